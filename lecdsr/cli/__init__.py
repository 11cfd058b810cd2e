"""The command line ``lecdsr``."""
