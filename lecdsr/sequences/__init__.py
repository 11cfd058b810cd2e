"""From raw interactions to numbered users and items, ordered histories and splits."""
