"""Every stage has a help text."""

import runpy
import sys

import pytest

from tests.repository import ROOT


@pytest.mark.parametrize("stage", sorted(path.stem for path in (ROOT / "stages").glob("[!_]*.py")))
def test_every_stage_explains_itself(stage, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", [f"stages/{stage}.py", "--help"])
    monkeypatch.delitem(sys.modules, f"stages.{stage}", raising=False)
    with pytest.raises(SystemExit) as ended:
        runpy.run_module(f"stages.{stage}", run_name="__main__")
    assert ended.value.code == 0
    shown = capsys.readouterr().out
    assert "--pair" in shown
    assert len(shown.splitlines()) > 5
