"""LeCDSR: cross-domain sequential recommendation with LLM profiles, as a pipeline.

Each room below is one step of the pipeline and has the name of its stage in
``dvc.yaml``; ``base`` holds what all of them need. Nothing here knows of DVC.
"""

import os

__version__ = "0.1.0"

# Read when torch is loaded. Threads that spin while they wait make training on a machine that does
# something else besides twenty times slower; threads that sleep cost a fifth where it does not.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
