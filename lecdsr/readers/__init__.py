"""Readers of raw files: the Amazon reviews of 2014, 2018 and 2023, and your own catalogues."""
