"""Bring the raw files of both domains to a pair's folder."""
