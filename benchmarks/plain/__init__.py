"""The same work written the straightforward way, to compare with."""
