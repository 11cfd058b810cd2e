"""Training: catalogue and samples from the tables, the loop, the saved model."""
