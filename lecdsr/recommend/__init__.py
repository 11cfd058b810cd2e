"""Recommendations for one user, with the texts a person reads."""
