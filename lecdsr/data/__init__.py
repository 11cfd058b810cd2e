"""Inputs of training and evaluation: sequences, batches, negatives, and the sizes and vectors of a pair."""
