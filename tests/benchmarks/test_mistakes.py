"""A benchmark reports a user's mistake as one message, and an environment that does not work before it trains."""

import importlib
import re
import sys
from pathlib import Path

import pytest

from benchmarks.common.measure import measure
from benchmarks.peers.compare import check_environment
from lecdsr.core.errors import UserError
from lecdsr.core.exit import exit_on_user_error

ROOT = Path(__file__).parents[2]
#: Benchmarks that read a pair.
READERS = sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for path in (ROOT / "benchmarks").rglob("*.py")
    if re.search(r'"--pairs?"', path.read_text(encoding="utf-8")) and "rectools_beyond" not in path.name
)
#: Arguments that some of them require.
REQUIRED = {
    "llm_text": ["--folder"],
    "term_weights": ["--folder"],
    "compare": ["--sides", "sasrec", "--folder"],
    "run": ["--side", "sasrec", "--out"],
}


@pytest.mark.parametrize("name", READERS)
def test_a_pair_that_does_not_exist(name, monkeypatch, capfd, tmp_path):
    program = importlib.import_module(name)
    option = "--pairs" if '"--pairs"' in Path(program.__file__).read_text(encoding="utf-8") else "--pair"
    required = REQUIRED.get(name.rpartition(".")[2], [])
    folder = [str(tmp_path / "out")] if required else []
    monkeypatch.setattr(sys, "argv", [name, option, "nope", *required, *folder])
    monkeypatch.chdir(ROOT)
    with pytest.raises(SystemExit) as raised:
        program.main()
    assert raised.value.code != 0
    shown = capfd.readouterr().err
    assert "nope" in shown + str(raised.value.code)
    assert "Traceback" not in shown


def _mistake():
    raise UserError("there is no such thing", do="use another")


def test_a_mistake_in_another_process(capfd):
    with pytest.raises(SystemExit):
        measure(_mistake)
    shown = capfd.readouterr().err
    assert "there is no such thing" in shown
    assert "Traceback" not in shown


def test_only_mistakes_are_caught(capsys):
    with pytest.raises(SystemExit) as raised, exit_on_user_error():
        _mistake()
    assert raised.value.code == UserError.exit_code
    assert "use another" in capsys.readouterr().err
    with pytest.raises(ZeroDivisionError), exit_on_user_error():
        raise ZeroDivisionError


def test_an_environment_that_does_not_work(tmp_path):
    broken = tmp_path / "broken"
    broken.write_text("#!/bin/sh\necho 'ImportError: NumPy 2.0 or newer is needed' >&2\nexit 1\n")
    broken.chmod(0o755)
    with pytest.raises(UserError, match=r"NumPy 2\.0 or newer"):
        check_environment(broken)
    with pytest.raises(UserError, match="missing"):
        check_environment(tmp_path / "missing")
    works = tmp_path / "works"
    works.write_text("#!/bin/sh\nexit 0\n")
    works.chmod(0o755)
    check_environment(works)
