"""Evaluation: ranks of every target under full and sampled ranking, and the metrics computed from them."""
