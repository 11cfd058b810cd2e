"""`lecdsr results`: a page is written only for pairs that have recorded runs."""

from pathlib import Path

import pytest

from lecdsr.core.errors import UserError
from lecdsr.experiments.results import write_results
from tests.mistakes.registry import METHODS, PAIR, PARAMS


def test_a_pair_without_runs_leaves_the_page_as_it_was(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("pairs").mkdir()
    Path("docs/images").mkdir(parents=True)
    texts = {
        "params.yaml": PARAMS,
        "pairs/toy.yaml": PAIR,
        "experiments.yaml": METHODS,
        "docs/results.md": "# Results\n",
        "docs/images/results-methods.svg": "<svg/>",
    }
    for name, text in texts.items():
        Path(name).write_text(text, encoding="utf-8")
    with pytest.raises(UserError) as caught:
        write_results(["toy"])
    assert caught.value.code == "no-runs"
    assert {name: Path(name).read_text(encoding="utf-8") for name in texts} == texts
