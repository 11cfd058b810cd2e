"""Stage ``candidates``: draw the negatives of sampled ranking once, the same for every model."""
