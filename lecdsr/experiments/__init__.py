"""Experiments: declared methods, settings and seeds, run as DVC experiments and recorded in Git."""
