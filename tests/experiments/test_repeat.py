"""`lecdsr results --check`: the draw, the comparison of figures, and runs that cannot be repeated."""

import pytest

from lecdsr.core.paths import Artefacts
from lecdsr.experiments import repeat as module
from lecdsr.experiments.records import COLUMNS, write_rows
from lecdsr.experiments.repeat import MACHINE, compare, draw, repeat, run_of
from tests.errors import refused
from tests.report.test_results_page import FACTS, ROWS, row

HERE = {"device": "cpu", "processor": "p", "threads": "1", "torch": "2"}
FIGURE = "test.x.full.ndcg@10"


@pytest.fixture
def records(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(module, "hash_of_code", lambda model: {"sasrec": "c0de"}.get(model, "other"))
    write_rows(Artefacts(FACTS.pair).experiments, COLUMNS, [one | {"model": one["method"]} for one in ROWS])


def test_the_draw_depends_on_the_seed_and_takes_tested_runs_of_the_present_code(records):
    drawn = [draw([FACTS.pair], seed)[1] for seed in range(40)]
    assert drawn == [draw([FACTS.pair], seed)[1] for seed in range(40)]
    assert {one["experiment"] for one in drawn} == {
        f"sasrec{control}{seed}" for control in ("", "sasrec: shuffled") for seed in (1, 2, 3)
    }  # fmt: skip
    assert {one["role"] for one in drawn} == {"seed", "control"}


def test_without_runs_of_the_present_code_nothing_is_drawn(records, monkeypatch):
    monkeypatch.setattr(module, "hash_of_code", lambda model: "new")
    with refused("no-runs"):
        draw([FACTS.pair], 1)


def with_figure(value, **machine):
    return ROWS[2] | HERE | machine | {FIGURE: str(value)}


def test_on_the_same_machine_every_digit_counts():
    found = {one.name: one for one in compare(with_figure(0.1), with_figure(0.1), ROWS)}
    assert all(one.passed and one.allowed == 0 for one in found.values())
    found = {one.name: one.passed for one in compare(with_figure(0.1), with_figure(0.100001), ROWS)}
    assert found == {name: name != FIGURE for name in found}
    assert not any("sampled" in name for name in found)  # no sampled figure is recorded


@pytest.mark.parametrize("name", MACHINE)
def test_on_another_machine_four_deviations_are_allowed(name):
    """Seeds 0.1, 0.2 and 0.6 deviate by √0.07 = 0.2646, so 1.0583 is allowed."""
    for again, passed in ((1.15, True), (1.16, False), (-0.95, True)):
        (one,) = [
            each for each in compare(with_figure(0.1), with_figure(again, **{name: "z"}), ROWS) if each.name == FIGURE
        ]
        assert one.allowed == pytest.approx(1.0583, abs=1e-4)
        assert one.passed == passed


def test_one_seed_has_no_deviation_so_a_tenth_is_allowed():
    for again, passed in ((0.109, True), (0.111, False)):
        (one,) = [
            each for each in compare(with_figure(0.1), with_figure(again, torch="3"), ROWS[:3]) if each.name == FIGURE
        ]
        assert one.passed == passed


def test_a_figure_that_the_repeated_run_lacks_fails():
    found = compare(with_figure(0.1), with_figure(""), ROWS)
    assert [one.name for one in found if not one.passed] == [FIGURE]


def test_a_run_of_other_inputs_is_not_repeated(records, monkeypatch):
    class Planned:
        def __init__(self, *_):
            pass

        def name(self, method, setting, seed):
            return f"{method}-{setting['width']}-{seed}"

    monkeypatch.setattr(module, "ExperimentRunner", Planned)
    monkeypatch.setattr(module, "load_experiments", lambda pair: None)
    run = run_of(row("sasrec", "seed", 2, 0.1, 0.2))
    assert (run.method, run.setting, run.seed, run.name) == ("sasrec", {"width": 16}, 2, "sasrec2")
    with refused("other-inputs"):
        repeat(run, None, Artefacts(FACTS.pair))
