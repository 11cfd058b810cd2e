"""Raw files of the Amazon reviews: where they lie, how ratings and metadata are read."""
