"""The wording of messages, in one place: tests/snapshots/messages.txt.

Every case provokes one mistake, and the snapshot holds the whole message. Other tests assert codes, keys and figures,
so that only the snapshot changes when a message is reworded. To write it again, and then read what changed:

    LECDSR_UPDATE_SNAPSHOT=1 python -m pytest tests/core/test_messages.py
    git diff tests/snapshots/messages.txt
"""

import os
from pathlib import Path

import pytest

from lecdsr.core.errors import UserError
from tests.mistakes import CASES
from tests.mistakes.registry import PAIR, PARAMS

SNAPSHOT = Path(__file__).parents[1] / "snapshots" / "messages.txt"
UPDATE = "LECDSR_UPDATE_SNAPSHOT"


def read_snapshot() -> dict[str, str]:
    """Messages by case: a line ``== CASE``, then the message."""
    parts = SNAPSHOT.read_text(encoding="utf-8").split("\n== ")[1:]
    return {name: text.rstrip("\n") for name, _, text in (part.partition("\n") for part in parts)}


def write_snapshot(messages: dict[str, str]) -> None:
    """Write all messages in the order of the cases."""
    head = "Written by tests/core/test_messages.py, which says how to write it again.\n"
    body = "".join(f"\n== {name}\n{messages[name]}\n" for name in CASES if name in messages)
    SNAPSHOT.parent.mkdir(exist_ok=True)
    SNAPSHOT.write_text(head + body, encoding="utf-8")


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """The current folder: an empty repository with the pair `toy`, without the variables of this machine."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith(("OPENAI_", "LECDSR_LLM_", "LECDSR_MEMORY"))]:
        monkeypatch.delenv(name)
    Path("dvc.yaml").touch()
    Path("pairs").mkdir()
    Path("params.yaml").write_text(PARAMS, encoding="utf-8")
    Path("pairs/toy.yaml").write_text(PAIR, encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize("name", CASES)
def test_message(repository, name):
    with pytest.raises(UserError) as caught:
        CASES[name]()
    error = caught.value
    assert error.where or error.do
    assert error.code, "give it a code"
    assert not error.what.endswith(".")
    message = f"error: {error}".replace(str(repository.parent), "FOLDER").replace(repository.name, "REPOSITORY")
    if os.environ.get(UPDATE):
        write_snapshot({**(read_snapshot() if SNAPSHOT.exists() else {}), name: message})
    assert read_snapshot()[name] == message


def test_the_snapshot_holds_no_other_message():
    assert list(read_snapshot()) == list(CASES)
