"""The results page from hand-made rows, with means computed by hand; missing runs are marked."""

import pytest

from lecdsr.experiments.config import Experiments
from lecdsr.experiments.records import COLUMNS, SLICE_COLUMNS
from lecdsr.report.draw import Plot
from lecdsr.report.recorded import PairFacts, Recorded, best_method, compared_runs, other_methods, paired_runs
from lecdsr.report.results_page import mean, page

FACTS = PairFacts("food_kitchen", ("Food", "Kitchen"), "leave_one_out", 999)
DECLARED = Experiments.model_validate(
    {
        "seeds": [1, 2, 3],
        "budget": 2,
        "methods": {
            "popularity": {"model": "popularity", "grid": [{}]},
            "sasrec": {"model": "sasrec", "grid": [{"width": 8}, {"width": 16}]},
            "sasrec-text": {"model": "sasrec", "set": {"start": "text"}, "grid": [{"width": 8}, {"width": 16}]},
            "hgn": {"model": "hgn", "grid": [{"width": 8}, {"width": 16}]},
        },
        "controls": {"sasrec: shuffled": {"method": "sasrec", "set": {"order": "shuffled"}}},
    }
)


def row(method, role, seed, valid, test=None, control="", setting='{"width":16}', seconds="10", parameters="1200"):
    values = dict.fromkeys(COLUMNS, "") | {
        "method": method, "model": method, "role": role, "control": control, "setting": setting, "seed": str(seed),
        "valid_ndcg@10": str(valid), "best_epoch": "3", "epochs": "8", "seconds": seconds, "parameters": parameters,
        "code": "c0de", "experiment": f"{method}{control}{seed}", "device": "cpu", "threads": "1",
    }  # fmt: skip
    if test is not None:
        values |= {name: str(test) for name in COLUMNS if name.startswith("test.x.full")}
    return values


ROWS = [
    row("sasrec", "grid", 1, 0.10, setting='{"width":8}'),
    row("sasrec", "grid", 1, 0.15),
    *(
        row("sasrec", "seed", seed, 0.15, value, seconds=str(10 * seed))
        for seed, value in ((1, 0.1), (2, 0.2), (3, 0.6))
    ),
    *(row("sasrec", "control", seed, 0.1, 0.2, control="sasrec: shuffled") for seed in (1, 2, 3)),
    *(row("hgn", "seed", seed, 0.12, 0.05) for seed in (1, 2, 3)),
    row("sasrec-text", "seed", 1, 0.9, 0.9),
]


def sliced(method, seed, part, value, targets):
    values = (method, "", seed, "x", part, "full", targets, targets, value, value, value, value, f"{method}{seed}")
    return {name: str(one) for name, one in zip(SLICE_COLUMNS, values, strict=True)}


SLICES = [
    sliced("sasrec", seed, part, value, targets)
    for seed, values in ((1, (0.1, 0.3)), (2, (0.2, 0.5)), (3, (0.3, 0.7)))
    for part, value, targets in zip(("0", "20+"), values, (40, 1234), strict=True)
]


def recorded(**changed):
    return Recorded(FACTS, DECLARED, ROWS, SLICES, None)._replace(**changed)


def lines(text, start):
    return [line for line in text.splitlines() if line.startswith(start)]


def test_what_the_runs_were_made_on():
    assert "Trained on" not in page([recorded()])  # rows of an earlier version do not say
    machines = [("NVIDIA H200", "2.11.0"), ("Xeon", "2.13.0"), ("NVIDIA H200", "2.11.0")]
    seeds = [one for one in ROWS if (one["method"], one["role"]) == ("sasrec", "seed")]
    rows = [one | {"processor": name, "torch": torch} for one, (name, torch) in zip(seeds, machines, strict=True)]
    grid = {**rows[0], "role": "grid"}  # the same run as the first seed
    (line,) = lines(page([recorded(rows=[grid, *rows])]), "Trained on")
    assert "NVIDIA H200 with PyTorch 2.11.0 (2 runs); Xeon with PyTorch 2.13.0 (1 run)" in line


def test_seconds_of_each_machine_by_hand():
    """Seeds 1 and 3 of sasrec took 10 and 30 seconds on one machine: 20 ± 10√2. Runs alone have no deviation."""
    places = {"sasrec1": "NVIDIA H200", "sasrec2": "Xeon", "sasrec3": "NVIDIA H200"}
    rows = [one | {"processor": places.get(one["experiment"], "")} for one in ROWS if one["role"] == "seed"]
    some = page([recorded(rows=[one for one in rows if one["method"] == "sasrec"])])
    assert lines(some, "| method | NVIDIA H200 | Xeon |")
    assert "| sasrec | 20 ± 14 (2) | 20 (1) |\n" in some
    # hgn and sasrec-text did not record their processor; popularity was not run, so it has no row.
    text = page([recorded(rows=rows)])
    assert lines(text, "| method | not recorded | NVIDIA H200 | Xeon |")
    assert "| hgn | 10 ± 0 (3) | – | – |\n" in text
    assert "| sasrec | – | 20 ± 14 (2) | 20 (1) |\n" in text


def test_means_by_hand():
    text = page([recorded()])
    # Mean 0.3; deviations -0.2, -0.1, 0.3: √(0.14 / 2) = 0.2646.
    (full, *_) = lines(text, "| sasrec |")
    assert full == "| sasrec | 0.3000 ± 0.2646 | 0.3000 ± 0.2646 | 0.3000 ± 0.2646 | 1,200 | `c0de` |"
    assert "| hgn | 0.0500 ± 0.0000 |" in text
    # 0.2 of the control less 0.3.
    assert "| sasrec: shuffled | 0.2000 ± 0.0000 (-0.1000) |" in text.replace("\\", "")
    assert "| targets | 40 | 1,234 |" in text
    assert "| sasrec | 0.2000 ± 0.1000 | 0.5000 ± 0.2000 |" in text


def test_what_is_missing_is_said_to_be():
    text = page([recorded()])
    assert lines(text, "| popularity |")[0] == "| popularity | not run | not run | not run | – | – |"
    assert lines(text, "| sasrec-text (1 of 3 seeds) |")
    assert '| hgn | `{"width":8}` |  | not run | – | – |' in text
    assert '| sasrec | `{"width":16}` | chosen | 0.1500 | 3 | 10 |' in text
    assert '| sasrec | `{"width":8}` |  | 0.1000 | 3 | 10 |' in text
    assert "| popularity | `lecdsr tune --pair food_kitchen --method popularity` | – | not run |" in text
    assert "nan" not in text
    empty = page([recorded(rows=[], slices=[])])
    assert "No run is recorded." in empty
    assert "Is the order of methods stable?" not in empty
    assert "0.3000" not in empty


@pytest.mark.parametrize(
    ("facts", "there"),
    [
        (FACTS, True),
        (FACTS._replace(pair="food_kitchen_raw"), False),
        (FACTS._replace(split="temporal"), False),
        (FACTS._replace(negatives=99), False),
    ],
)
def test_published_figures_stand_with_their_own_pair_and_split_alone(facts, there):
    text = page([recorded(facts=facts)])
    assert ("ABXI" in text) == there
    assert text.count("ABXI (published)") == (2 if there else 0)  # the sampled ranking of each domain
    assert ("0.3243 ± 0.0015 | 0.1971 ± 0.0019 | 0.1655 ± 0.0026" in text) == there


def test_runs_are_paired_by_seed():
    rows = [one for one in ROWS if (one["method"], one["seed"]) != ("hgn", "2")]
    one = recorded(rows=[*rows, row("popularity", "seed", 4, 0.1, 0.1)])
    ours, theirs = paired_runs(one, "sasrec", "hgn")
    assert [run["experiment"] for run in ours] == ["sasrec1", "sasrec3"]
    assert compared_runs(one, "sasrec")["hgn"] == [run["experiment"] for run in theirs] == ["hgn1", "hgn3"]
    assert other_methods(one, "sasrec") == ["hgn"]  # popularity has no seed of sasrec


def test_the_best_is_that_of_validation_of_those_with_most_seeds():
    one = recorded()
    assert best_method(one) == "sasrec"  # sasrec-text has one seed of three
    assert other_methods(one, "sasrec") == ["hgn"]  # sasrec-text is of the same model, popularity is not run
    assert compared_runs(one, "sasrec") == {
        "sasrec": ["sasrec1", "sasrec2", "sasrec3"],
        "hgn": ["hgn1", "hgn2", "hgn3"],
    }
    whole = recorded(rows=[*ROWS, *(row("sasrec-text", "seed", seed, 0.9, 0.0) for seed in (2, 3))])
    assert best_method(whole) == "sasrec-text"  # whatever the test split says
    assert best_method(recorded(rows=[])) is None
    first = [one for one in ROWS if one["seed"] == "1"]
    assert best_method(recorded(rows=first)) == "sasrec-text"  # all have one
    assert compared_runs(recorded(rows=first), "sasrec-text") == {"sasrec-text": ["sasrec-text1"], "hgn": ["hgn1"]}


def test_what_learns_nothing_needs_one_seed():
    text = page([recorded(rows=[*ROWS, row("popularity", "seed", 1, 0.5, 0.25, parameters="0")])])
    assert "| popularity | 0.2500 | 0.2500 | 0.2500 | 0 | `c0de` |" in text  # no word of missing seeds
    learned = [one for one in ROWS if one["seed"] == "1"]
    five = [row("popularity", "seed", seed, 0.5, 0.25, parameters="0") for seed in range(5)]
    for rows, names in (
        ([*ROWS, five[0]], ["popularity0"]),
        ([*learned, *five], [f"popularity{seed}" for seed in range(5)]),
    ):
        one = recorded(rows=rows)
        assert best_method(one) == ("popularity" if len(rows) > len(ROWS) else "sasrec-text")
        assert compared_runs(one, "sasrec")["popularity"] == names
    assert best_method(recorded(rows=five)) == "popularity"


def test_who_is_not_compared_is_told():
    tests = {"best": "sasrec", "experiments": compared_runs(recorded(), "sasrec"), "tests": 1, "comparisons": []}
    text = page([recorded(tests=tests)])
    assert "not in Git" not in text
    later = [*ROWS, *(row("popularity", "seed", seed, 0.1, 0.1) for seed in (1, 2, 3))]
    text = page([recorded(rows=later, tests=tests)])
    assert "Not compared, because the ranks of their runs are not in Git: popularity." in text


def test_a_control_is_held_against_the_same_seeds():
    rows = [one for one in ROWS if one["role"] != "control" or one["seed"] == "3"]
    # 0.2 less the 0.6 of seed 3.
    assert "0.2000 (-0.4000)" in page([recorded(rows=rows)])


def test_a_control_with_its_own_number_of_seeds_is_complete():
    one = recorded(declared=DECLARED.model_copy(update={"control_seeds": 2}))
    for seeds, shown in (({"1", "2"}, ""), ({"1"}, " (1 of 2 seeds)")):
        rows = [each for each in ROWS if each["role"] != "control" or each["seed"] in seeds]
        assert lines(page([one._replace(rows=rows)]), rf"| sasrec\: shuffled{shown} |")


def test_places_under_every_measure():
    better = [row("hgn", "seed", 1, 0.1, 0.7), row("sasrec", "seed", 1, 0.1, 0.2)]
    text = page([recorded(), recorded(rows=better, facts=FACTS._replace(pair="toy_game"))])
    # Full and sampled ranking of X, then of Y; where nothing is recorded both are 0 and share the place.
    assert lines(text, "| sasrec | 1 |") == ["| sasrec | 1 | 1 | 1 | 1 | 2 | 1 | 1 | 1 |"]
    assert lines(text, "| hgn | 2 |") == ["| hgn | 2 | 1 | 1 | 1 | 1 | 1 | 1 | 1 |"]
    assert "`sasrec` is above `hgn` in 1 of 8" in text
    assert "0 of 1 method pairs keep the same order everywhere." in text


FOUND = {
    "domain": "x", "slice": "all", "protocol": "full", "metric": "ndcg@10", "users": 2419, "targets": 2419,
    "a": {"mean": 0.3, "deviation": 0.1}, "b": {"mean": 0.05, "deviation": None}, "difference": 0.25,
    "interval": [0.2, 0.3], "effect_size": 0.5, "p": 0.0, "p_holm": 0.00001, "detectable": 0.01, "better": "a",
}  # fmt: skip


def test_comparisons_of_other_runs_are_not_shown():
    sides = {
        name: {"name": method, "seeds": ["one", "two", "three"]} for name, method in (("a", "sasrec"), ("b", "hgn"))
    }
    comparison = {**sides, "conclusion": "sasrec is better.", "rows": [FOUND]}
    tests = {
        "best": "sasrec",
        "experiments": compared_runs(recorded(), "sasrec"),
        "tests": 1,
        "comparisons": [comparison],
    }
    shown = page([recorded(tests=tests)])
    assert "| 2,419 | 0.3000 | 0.0500 | +0.2500 | +0.2000 … +0.3000 | +0.500 | <.0001 | 0.0100 |" in shown
    assert "A = sasrec (3 seeds), B = hgn (3 seeds)" in shown
    old = {**tests, "experiments": {**tests["experiments"], "hgn": ["hgn1", "hgn2", "another"]}}
    text = page([recorded(tests=old)])
    assert "+0.2500" not in text
    assert "is missing for these runs" in text
    assert "is missing for these runs" in page([recorded(tests={**tests, "best": "hgn"})])


def test_the_page_repeats_and_names_its_command():
    pairs = [recorded(), recorded(facts=FACTS._replace(pair="toy_game"))]
    assert page(pairs) == page(pairs)
    assert "`lecdsr results --pair food_kitchen --pair toy_game`" in page(pairs)
    assert page(pairs).count("\n#### Methods") == 2


def test_mean_of_one_run_has_no_deviation():
    assert mean([{"a": "0.5"}], "a") == "0.5000"
    assert mean([], "a") == "not run"
    assert mean([{"a": ""}], "a") == "–"


def test_runs_of_older_code_are_marked():
    """Two of the three models have changed since; only their rows are marked, in every table."""
    text = page([recorded(code={"sasrec": "c0de", "hgn": "other", "sasrec-text": "other"})])
    assert lines(text, "| hgn † | 0.0500")
    assert lines(text, "| sasrec-text (1 of 3 seeds) † |")
    assert lines(text, "| sasrec | 0.3000")
    assert "†" not in page([recorded(code={"sasrec": "c0de", "hgn": "c0de", "sasrec-text": "c0de"})])
    assert "†" not in page([recorded()])  # it is not known what the present code is


def test_charts_and_other_sections_stand_before_the_appendix():
    plot = Plot("methods", "A caption", "Bars: a [b] <c>", lambda axes: None)
    text = page([recorded()], images={"images/methods.svg": plot}, sections=["## Peers\n\nA table.\n"])
    assert "![Bars: a \\[b\\] &lt;c>](images/methods.svg)" in text
    places = [text.index(part) for part in ("## What", "images/methods.svg", "## Peers", "## Appendix", "#### Methods")]
    assert places == sorted(places)
