"""Stage ``embed``: encode texts of items and profiles of users into vectors."""
