"""Configuration of all tests: one thread each, a tiny demo built once, and the rules of the marker ``slow``."""

import os
import sys
from pathlib import Path

# Models this small lose time to more threads, and all of it on a busy machine.
os.environ.setdefault("OMP_NUM_THREADS", "1")  # read when torch is imported

import pytest
from hypothesis import settings

from tests.fixtures import built, copy, prepared
from tests.programs import Programs

__all__ = ["built", "copy", "prepared"]

#: Programs that a test may start only if it is marked ``slow``.
SLOW_PROGRAMS = ("python", "dvc", "lecdsr", "java", "chromium", "google-chrome", "make", "pip", "bash")

# How long one example takes says nothing where several processes share the cores.
settings.register_profile("tests", deadline=None)
settings.load_profile("tests")


class _Running:
    """Remember the test that is running."""

    fast: str = ""


def _refuse_processes(event: str, arguments: tuple[object, ...]) -> None:
    if event == "subprocess.Popen" and _Running.fast:
        program = Path(os.fsdecode(arguments[0])).name  # type: ignore[arg-type]
        if program.startswith(SLOW_PROGRAMS):
            raise AssertionError(f"{_Running.fast} starts {program}: mark it slow")


sys.addaudithook(_refuse_processes)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item):
    """Record whether the running test may start programs."""
    _Running.fast = "" if item.get_closest_marker("slow") else item.nodeid
    try:
        return (yield)
    finally:
        _Running.fast = ""


def pytest_configure(config: pytest.Config) -> None:
    """Start the server of programs in the process that all others start from."""
    if "PYTEST_XDIST_WORKER" not in os.environ:
        programs = Programs()
        config.add_cleanup(programs.close)


def _needs_demo(item: pytest.Item) -> bool:
    return "built" in getattr(item, "fixturenames", ())


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what uses the built demo as slow; where several processes share the tests, put the longest first.

    The first process then builds the demo, while the others begin with fast tests.
    """
    for item in items:
        if _needs_demo(item):
            item.add_marker("slow")
    if "PYTEST_XDIST_WORKER" in os.environ:
        items.sort(key=lambda item: (item.get_closest_marker("slow") is None, not _needs_demo(item)))
