"""Model card: what a trained model is, what it was trained on, and what it is not for."""
