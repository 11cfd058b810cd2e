"""Train the chosen model of a pair on everything, for production."""
