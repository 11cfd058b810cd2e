"""Studies: one model under several switches and seeds, outside the pipeline's outputs."""
