"""LeCDSR: cross-domain sequential recommendation with LLM profiles, as a pipeline.

Each room below is one step of the pipeline and has the name of its stage in
``dvc.yaml``; ``base`` holds what all of them need. Nothing here knows of DVC.
"""

__version__ = "0.1.0"
