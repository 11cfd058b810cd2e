"""Evaluation: ranks of every target in both protocols, and the metrics they give."""
