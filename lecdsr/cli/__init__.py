"""Command-line interface ``lecdsr``."""
