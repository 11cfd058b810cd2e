"""The stages of the pipeline, one script each."""

from lecdsr.core.threads import let_waiting_threads_sleep

let_waiting_threads_sleep()
