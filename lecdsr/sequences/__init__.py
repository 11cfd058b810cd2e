"""Stage ``sequences``: turn raw interactions into numbered users and items, ordered histories and splits."""
