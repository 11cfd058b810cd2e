"""The pretended GPU as a fixture."""

import pytest

from tests.cuda.machine import pretended_cuda


@pytest.fixture
def cuda():
    with pretended_cuda():
        yield


@pytest.fixture(autouse=True)
def checkpoint_after_every_step(tmp_path, monkeypatch):
    monkeypatch.setenv("LECDSR_CHECKPOINTS", str(tmp_path / "checkpoints"))
    monkeypatch.setenv("LECDSR_CHECKPOINT_S", "0")
