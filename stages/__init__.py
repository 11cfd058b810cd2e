"""Stages of the pipeline, one script per stage."""

from lecdsr.core.threads import prepare_environment

prepare_environment()
