"""Comparisons of `lecdsr results`: computed from ranks in Git, kept if ranks are lost, recomputed if there are more."""

import json

import pytest

from lecdsr.core.files import write_table
from lecdsr.core.paths import Artefacts
from lecdsr.core.schemas import RANKS
from lecdsr.experiments.comparisons import with_comparisons
from lecdsr.experiments.records import controls_file, rank_file
from lecdsr.report.recorded import compared_runs
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
    tests = with_comparisons(recorded()).tests
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
    assert with_comparisons(recorded()).tests is None
    assert not Artefacts(PAIR).experiment_tests.exists()
    shown = " ".join("".join(capsys.readouterr()).split())
    assert "lacks ranks of hgn" in shown


def test_a_method_with_fewer_seeds_is_compared_under_those(folder):
    all_of("sasrec", "hgn")
    table = ranks([(user, 0, 5, 0, 1.0) for user in range(10)])
    write_table(rank_file(Artefacts(PAIR), "sasrec3"), table, RANKS)  # better than the other seeds
    rows = [one for one in ROWS if (one["method"], one["seed"]) != ("hgn", "3")]
    (comparison,) = with_comparisons(recorded(rows=rows)).tests["comparisons"]
    assert (comparison["a"]["seeds"], comparison["b"]["seeds"]) == (["sasrec1", "sasrec2"], ["hgn1", "hgn2"])
    mean = {(line["protocol"], line["metric"]): line["a"]["mean"] for line in comparison["rows"]}
    assert mean["full", "ndcg@10"] == pytest.approx((0.6309297536 + 0.5) / 2)


def test_what_is_stored_stands_until_more_can_be_compared(folder, capsys):
    all_of("sasrec", "hgn")
    before = with_comparisons(recorded()).tests
    more = recorded(rows=[*ROWS, *(row("popularity", "seed", seed, 0.01, 0.01) for seed in (1, 2, 3))], tests=before)
    assert with_comparisons(more).tests == before == stored()
    assert "lacks ranks of popularity" in " ".join("".join(capsys.readouterr()).split())
    # The ranks of a method that was compared are lost: the stored comparison has more than a new one could.
    all_of("popularity")
    lost = [rank_file(Artefacts(PAIR), f"hgn{seed}") for seed in (1, 2, 3)]
    kept = [path.read_bytes() for path in lost]
    for path in lost:
        path.unlink()
    assert with_comparisons(more).tests == before == stored()
    for path, data in zip(lost, kept, strict=True):
        path.write_bytes(data)
    tests = with_comparisons(more).tests
    assert [one["b"]["name"] for one in tests["comparisons"]] == ["popularity", "hgn"]
    # Among all items every user loses the hit to popularity, so there is no deviation and no test.
    assert tests["tests"] == before["tests"] + 3


def test_comparisons_of_runs_that_are_no_more_do_not_stand(folder):
    all_of("sasrec", "hgn")
    before = with_comparisons(recorded()).tests
    again = [{**one, "experiment": "hgn3 again"} if one["experiment"] == "hgn3" else one for one in ROWS]
    assert (
        with_comparisons(recorded(rows=again, tests=before)).tests == before
    )  # stays stored; the page does not show it
    rank_file(Artefacts(PAIR), "hgn3").rename(rank_file(Artefacts(PAIR), "hgn3 again"))
    assert with_comparisons(recorded(rows=again, tests=before)).tests["experiments"]["hgn"] == [
        "hgn1",
        "hgn2",
        "hgn3 again",
    ]


def controls():
    return json.loads(controls_file(Artefacts(PAIR)).read_text())


def test_controls_are_compared_with_their_method_under_their_seeds(folder):
    all_of("sasrec")
    for seed in (1, 2):
        put("hgn", seed)
        name = rank_file(Artefacts(PAIR), f"hgn{seed}")
        name.rename(rank_file(Artefacts(PAIR), f"sasrecsasrec: shuffled{seed}"))
    rows = [one for one in ROWS if one["role"] != "control" or one["seed"] != "3"]
    found = with_comparisons(recorded(rows=rows)).controls
    assert found == controls()
    assert found["experiments"] == {
        "sasrec: shuffled": {
            "method": "sasrec",
            "a": ["sasrecsasrec: shuffled1", "sasrecsasrec: shuffled2"],
            "b": ["sasrec1", "sasrec2"],
        }
    }
    ((comparison,),) = [found["comparisons"]]
    ndcg = {(line["protocol"], line["metric"]): line["difference"] for line in comparison["rows"]}
    # 1 / log2(1 + rank) at 8 and 9, less that at 2 and 3.
    assert ndcg["full", "ndcg@10"] == pytest.approx((0.3154648768 + 0.3010299957 - 0.6309297536 - 0.5) / 2)


def test_stored_comparisons_of_controls_stay_without_ranks(folder):
    before = {"experiments": {"sasrec: shuffled": {"method": "sasrec", "a": ["x"], "b": ["y"]}}, "comparisons": []}
    assert with_comparisons(recorded(controls=before)).controls == before
    assert not controls_file(Artefacts(PAIR)).exists()


def test_a_twin_keeps_its_ranks_in_its_own_folder(folder):
    all_of("sasrec")
    facts = FACTS._replace(item_text=("title", "answer"))
    twin = recorded(
        facts=FACTS._replace(pair="titles", item_text=("title",)),
        rows=[{**one, "experiment": f"titles{one['seed']}"} for one in ROWS if one["experiment"] == "sasrec1"],
    )
    table = ranks([(user, 0, 5, 0, 30.0) for user in range(10)])
    write_table(rank_file(Artefacts("titles"), "titles1"), table, RANKS)
    rows = [one for one in ROWS if one["role"] != "control"]
    found = with_comparisons(recorded(facts=facts, rows=rows, twin=twin)).controls
    assert found["experiments"] == {
        "sasrec: no descriptions": {"method": "sasrec", "a": ["titles1"], "b": ["sasrec1"]}
    }  # fmt: skip
    hits = {line["difference"] for line in found["comparisons"][0]["rows"] if line["metric"] == "hr@10"}
    assert hits == {-1.0}
