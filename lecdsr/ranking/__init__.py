"""What training and evaluation share: histories as tensors, negatives, ranks, metrics."""
