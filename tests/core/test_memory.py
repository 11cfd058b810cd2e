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


def test_growth_counts_from_what_the_work_needs():
    growth = memory.Growth()
    looks = [(60, False), (100, False), (90, False), (125, False), (80, False), (126, True)]
    assert [growth.is_due(resident) for resident, _ in looks] == [due for _, due in looks]


GROWN = """
import time
from lecdsr.core import memory
from tests.repository import ROOT
memory.LOOK_EVERY_S = 0.5
START
time.sleep(2.5)  # as long as the memory is given to settle
before = memory.resident_memory()
held = [bytearray(100_000) for _ in range(before // 50_000)]
high = memory.resident_memory()
held = held[-1:]  # at the end of the heap, so that it cannot shrink by itself
until = time.monotonic() + WAIT
while memory.resident_memory() > (before + high) / 2 and time.monotonic() < until:
    time.sleep(0.05)
print(before, high, memory.resident_memory())
"""
PLAIN = "memory._start_releasing = lambda: None; memory.keep_freed_memory()"


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc alone keeps freed memory")
@pytest.mark.parametrize(("start", "wait", "falls"), [("memory.keep_freed_memory()", 60, True), (PLAIN, 1, False)])
def test_a_heap_that_grew_is_released(start, wait, falls):
    code = GROWN.replace("START", start).replace("WAIT", str(wait))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    before, high, after = map(int, done.stdout.split())
    assert high > 2 * before
    assert (after < (before + high) / 2) == falls
