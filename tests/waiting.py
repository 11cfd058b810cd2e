"""Wait for what another thread or process does."""

import time


def wait_for(condition, seconds=120.0, what="waited in vain"):
    """Wait until a condition holds; fail with ``what`` if it does not for so many seconds."""
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, what
        time.sleep(0.01)
