"""Stages of the pipeline, one script per stage."""

from lecdsr.core.threads import let_waiting_threads_sleep

let_waiting_threads_sleep()
