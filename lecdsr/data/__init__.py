"""What training and evaluation read: sequences, batches, negatives, and the sizes and vectors of a pair."""
