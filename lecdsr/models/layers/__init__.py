"""Building blocks that models share: attention, losses, text projections, score kernels."""
