"""Recommend, explain and export with a trained model of a pair."""
