"""Plain implementations of the same work, to compare with."""
