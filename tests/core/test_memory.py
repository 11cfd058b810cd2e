"""Peak and free memory."""

import subprocess
import sys

import pytest

from lecdsr.core import memory
from tests.repository import ROOT

CHILD = "from lecdsr.core.memory import peak_memory; print(peak_memory())"
PARENT = f"import subprocess, sys; held = b'x' * (700 << 20); subprocess.run([sys.executable, '-c', {CHILD!r}])"


@pytest.mark.slow
def test_a_child_does_not_inherit_the_peak_of_its_parent():
    done = subprocess.run([sys.executable, "-c", PARENT], capture_output=True, text=True, check=True)
    assert 0 < int(done.stdout) < 600 << 20


def test_the_peak_grows_with_what_is_held():
    before = memory.peak_memory()
    held = bytearray(before + (64 << 20))  # zeros are pages too once written
    held[::4096] = b"x" * len(held[::4096])
    assert memory.peak_memory() > before


def test_without_the_kernels_files_there_are_other_figures(monkeypatch, tmp_path):
    monkeypatch.setattr(memory, "_STATUS", tmp_path / "none")
    monkeypatch.setattr(memory, "_MEMINFO", tmp_path / "none")
    assert memory.peak_memory() > 1 << 20
    assert memory.free_memory() > 1 << 30


def test_what_is_resident_is_at_most_the_peak():
    memory.release_freed_memory()
    assert 1 << 20 < memory.resident_memory() <= memory.peak_memory()


def test_a_library_without_the_function_is_no_error(monkeypatch):
    monkeypatch.setattr(memory.sys, "platform", "darwin")
    assert memory._glibc("malloc_trim") is None
    memory.release_freed_memory()


def test_freed_memory_is_released_after_growth_over_what_the_work_needs(monkeypatch):
    looks = iter([60, 100, 90, 114, 80, 116, 70, 90, 80, 103, 104])
    log = []

    def look():
        log.append(next(looks))
        return log[-1]

    monkeypatch.setattr(memory, "LOOK_EVERY_S", 0)
    monkeypatch.setattr(memory, "resident_memory", look)
    monkeypatch.setattr(memory, "release_freed_memory", lambda: log.append("released"))
    with pytest.raises(StopIteration):
        memory._release_after_growth()
    assert log == [60, 100, 90, 114, 80, 116, "released", 70, 90, 80, 103, 104, "released"]


HEAP = """
import threading
from lecdsr.core import memory
memory.keep_freed_memory()
memory.keep_freed_memory()
held = [bytearray(b"x" * 100_000) for _ in range(1000)]
high = memory.resident_memory()
held = held[-1:]  # at the end of the heap, so that it cannot shrink by itself
kept = memory.resident_memory()
memory.release_freed_memory()
print(high - kept, high - memory.resident_memory(), [thread.name for thread in threading.enumerate()])
"""


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc alone keeps freed memory")
def test_a_heap_keeps_freed_memory_until_it_is_released():
    done = subprocess.run([sys.executable, "-c", HEAP], capture_output=True, text=True, check=True, cwd=ROOT)
    kept, released, threads = done.stdout.split(maxsplit=2)
    assert int(kept) < 10_000_000 < 80_000_000 < int(released)
    assert threads.count("release-freed-memory") == 1
