"""One thread for every test: models this small lose time to more, and all of it on a busy machine."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # read when torch is imported
