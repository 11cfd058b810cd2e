"""Experiments: methods, settings and seeds declared in a file, run as DVC experiments and recorded in Git."""
