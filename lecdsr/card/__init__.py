"""The data card of a pair: what its sequences hold, in words, figures and plots."""
