"""Encode texts of items and profiles of users into vectors."""
