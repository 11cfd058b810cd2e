"""The mistakes whose messages tests/core/test_messages.py checks, and what they share."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from lecdsr.cli.main import run
from lecdsr.core.errors import UserError

PARAMS = "active: [toy]\nmodels: [sasrec, popularity]\n"
PAIR = "domains: [Food, Kitchen]\nrelease: 2018\nsource: ../raw\n"
METHODS = "seeds: [1]\nbudget: 2\nmethods:\n  short: {model: sasrec, grid: [{dropout: 0.1}, {dropout: 0.5}]}\n"
CASES: dict[str, Callable[[], object]] = {}


def case(function: Callable[[], object]) -> Callable[[], object]:
    """Register a mistake under the name of its function."""
    CASES[function.__name__.replace("_", " ")] = function
    return function


def lecdsr_command(*arguments: str) -> None:
    """Run a command as on the command line, and raise the mistake that ends it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["lecdsr", *arguments])
        with pytest.raises(SystemExit) as ended:
            run()
    assert isinstance(ended.value.__context__, UserError), "no mistake"
    raise ended.value.__context__


def check(params: str = PARAMS, pair: str = PAIR) -> None:
    """Run `lecdsr check` on these two files."""
    Path("params.yaml").write_text(params, encoding="utf-8")
    Path("pairs/toy.yaml").write_text(pair, encoding="utf-8")
    lecdsr_command("check")
