"""Comparisons of `lecdsr results`: computed from ranks in Git, kept if ranks are lost, recomputed if there are more."""

import json

import pytest

from lecdsr.core.files import write_table
from lecdsr.core.paths import Artefacts
from lecdsr.core.schemas import RANKS
from lecdsr.experiments.records import rank_file
from lecdsr.experiments.results import _with_comparisons
from lecdsr.report.results_page import compared_runs
from tests.evaluate.rank_tables import ranks
from tests.report.test_results_page import FACTS, ROWS, recorded, row

PAIR = FACTS.pair
RANK = {"sasrec": 2.0, "hgn": 8.0, "popularity": 20.0}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def put(method, seed):
    """Make ranks of ten users, every other one worse by one."""
    table = ranks([(user, 0, 5, 0, RANK[method] + user % 2) for user in range(10)])
    write_table(rank_file(Artefacts(PAIR), f"{method}{seed}"), table, RANKS)


def all_of(*methods):
    for method in methods:
        for seed in (1, 2, 3):
            put(method, seed)


def stored():
    return json.loads(Artefacts(PAIR).experiment_tests.read_text())


def test_made_from_ranks_in_git_alone(folder):
    all_of("sasrec", "hgn")
    tests = _with_comparisons(recorded()).tests
    assert tests == stored()
    assert tests["experiments"] == compared_runs(recorded(), "sasrec")
    (comparison,) = tests["comparisons"]
    hits = {(line["protocol"], line["metric"]): line["difference"] for line in comparison["rows"]}
    ndcg = (0.6309297536 + 0.5 - 0.3154648768 - 0.3010299957) / 2  # 1 / log2(1 + rank) at 2 and 3, at 8 and 9
    assert hits["full", "ndcg@10"] == pytest.approx(ndcg)
    assert hits["full", "hr@10"] == 0


def test_without_ranks_nothing_is_compared_and_it_is_told(folder, capsys):
    all_of("sasrec")
    put("hgn", 1)
    assert _with_comparisons(recorded()).tests is None
    assert not Artefacts(PAIR).experiment_tests.exists()
    shown = " ".join("".join(capsys.readouterr()).split())
    assert "lacks ranks of hgn" in shown


def test_what_is_stored_stands_until_more_can_be_compared(folder, capsys):
    all_of("sasrec", "hgn")
    before = _with_comparisons(recorded()).tests
    more = recorded(rows=[*ROWS, *(row("popularity", "seed", seed, 0.01, 0.01) for seed in (1, 2, 3))], tests=before)
    assert _with_comparisons(more).tests == before == stored()
    assert "lacks ranks of popularity" in " ".join("".join(capsys.readouterr()).split())
    # The ranks of a method that was compared are lost: the stored comparison has more than a new one could.
    all_of("popularity")
    lost = [rank_file(Artefacts(PAIR), f"hgn{seed}") for seed in (1, 2, 3)]
    kept = [path.read_bytes() for path in lost]
    for path in lost:
        path.unlink()
    assert _with_comparisons(more).tests == before == stored()
    for path, data in zip(lost, kept, strict=True):
        path.write_bytes(data)
    tests = _with_comparisons(more).tests
    assert [one["b"]["name"] for one in tests["comparisons"]] == ["popularity", "hgn"]
    # Among all items every user loses the hit to popularity, so there is no deviation and no test.
    assert tests["tests"] == before["tests"] + 3


def test_comparisons_of_runs_that_are_no_more_do_not_stand(folder):
    all_of("sasrec", "hgn")
    before = _with_comparisons(recorded()).tests
    again = [{**one, "experiment": "hgn3 again"} if one["experiment"] == "hgn3" else one for one in ROWS]
    assert (
        _with_comparisons(recorded(rows=again, tests=before)).tests == before
    )  # stays stored; the page does not show it
    rank_file(Artefacts(PAIR), "hgn3").rename(rank_file(Artefacts(PAIR), "hgn3 again"))
    assert _with_comparisons(recorded(rows=again, tests=before)).tests["experiments"]["hgn"] == [
        "hgn1",
        "hgn2",
        "hgn3 again",
    ]
