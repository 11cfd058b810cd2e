"""The negatives of the sampled protocol: drawn once, stored, the same for every model."""
