"""Texts of items and profiles of users as vectors."""
