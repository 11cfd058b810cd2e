"""Settings: their types, and how they are read from params.yaml and the files of the pairs."""
