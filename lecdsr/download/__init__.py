"""Stage ``download``: fetch or generate the raw files of both domains of a pair."""
