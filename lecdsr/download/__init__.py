"""Stage ``download``: fetch the raw files of both domains into a pair's folder."""
