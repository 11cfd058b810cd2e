"""Stage ``card``: measure the sequences of a pair for its data card, and plot the figures."""
