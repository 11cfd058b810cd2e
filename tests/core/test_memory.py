"""Peak and free memory."""

import subprocess
import sys

import pytest

from lecdsr.core import memory

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
