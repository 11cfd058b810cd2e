"""What all tests share: one thread each, and a tiny demo that is built once."""

import os

# Models this small lose time to more threads, and all of it on a busy machine.
os.environ.setdefault("OMP_NUM_THREADS", "1")  # read when torch is imported

from tests.docs.built import copy, prepared

__all__ = ["copy", "prepared"]
