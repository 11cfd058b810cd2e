"""The stages of the pipeline, one script each."""

from lecdsr.core.threads import prepare_environment

prepare_environment()
