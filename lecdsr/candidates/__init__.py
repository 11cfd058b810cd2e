"""Stage ``candidates``: draw the negatives of the sampled ranking once, the same for every model."""
