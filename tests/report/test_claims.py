"""Sentences of the results page from hand-made comparisons: their figures, and what happens without records."""

import re

import pytest

from lecdsr.experiments.config import Experiments
from lecdsr.report.claims import (
    against_peers,
    against_published,
    against_second_best,
    cost,
    descriptions,
    opening,
    profiles,
    protocols,
    reads_text,
    second_domain,
    text,
    under_the_temporal_split,
    users_with_targets,
)
from lecdsr.report.not_shown import not_shown
from lecdsr.report.recorded import PairFacts, Recorded, compared_controls, compared_runs, pair_twins, timed_runs
from lecdsr.report.results_page import page
from tests.report.test_peers import record
from tests.report.test_results_page import row

FACTS = PairFacts(
    "food_kitchen", ("Food", "Kitchen"), "leave_one_out", 999, ("title", "answer"), ("mini",), (("a model", "2026"),)
)
DECLARED = Experiments.model_validate(
    {
        "seeds": [1, 2],
        "budget": 1,
        "methods": {
            "tandem": {"model": "tandem", "grid": [{"width": 8}]},
            "content": {"model": "content", "grid": [{"decay": 0.5}]},
            "sasrec": {"model": "sasrec", "grid": [{"width": 8}]},
            "sasrec-text": {
                "model": "sasrec",
                "set": {"start": "text"},
                "grid": [{"width": 8}],
                "time": "3 hours of a core",
            },
        },
        "controls": {
            "bare": {"method": "tandem", "set": {"item_text": "none"}},
            "unknown": {"method": "tandem", "set": {"profile_text": "none"}},
            "noise": {"method": "tandem", "set": {"item_text": "random"}},
            "own": {"method": "tandem", "set": {"domains": "own"}},
        },
    }
)

X, Y = "test.x.sampled.hr@10", "test.y.sampled.hr@10"


def run(method, seed, valid, control="", model=None, **changed):
    role = "control" if control else "seed"
    made = row(method, role, seed, valid, 0.5, control=control) | {"model": model or method}
    return made | {name: str(value) for name, value in changed.items()}


ROWS = [
    run("tandem", 1, 0.5, seconds=100, parameters=2000)
    | {"test.x.sampled.hr@10": "0.3", "test.y.sampled.hr@10": "0.2"},
    run("tandem", 2, 0.5, seconds=120, parameters=2000)
    | {"test.x.sampled.hr@10": "0.5", "test.y.sampled.hr@10": "0.2"},
    run("content", 1, 0.3, parameters=0),
    run("sasrec", 1, 0.4, seconds=50),
    run("sasrec", 2, 0.4, seconds=70),
    run("tandem", 2, 0.1, control="bare"),
    run("tandem", 1, 0.1, control="own"),
]


def compared(a, b, difference, mean=0.2, users=10, p=0.001):
    """A stored comparison, the same in both domains but for the sign of the difference, halved among negatives."""
    rows = [
        {
            "domain": domain, "slice": "all", "protocol": protocol, "metric": "ndcg@10", "users": users,
            "targets": users, "a": {"mean": mean + sign * difference, "deviation": None},
            "b": {"mean": mean, "deviation": None}, "difference": sign * difference,
            "interval": [sign * difference - 0.01, sign * difference + 0.01],
            "effect_size": 0.1, "p": p, "p_holm": p, "detectable": 0.01, "better": None,
        }
        for protocol, half in (("full", 1), ("sampled", 0.5))
        for domain, sign in (("x", half), ("y", -half))
    ]  # fmt: skip
    names = {"a": {"name": a[0], "seeds": list(a[1])}, "b": {"name": b[0], "seeds": list(b[1])}}
    return {**names, "conclusion": "one is better.", "rows": rows}


def recorded(**changed):
    one = Recorded(FACTS, DECLARED, ROWS, [], None)._replace(**changed)
    runs = compared_runs(one, "tandem") if one.rows else {}
    estimates = [
        {
            "domain": domain,
            "protocol": "sampled",
            "metric": "hr@10",
            "users": 10,
            "mean": mean,
            "low": low,
            "high": high,
        }
        for domain, mean, low, high in (("x", 0.4, 0.35, 0.45), ("y", 0.2, 0.1, 0.3))
    ]
    tests = {
        "best": "tandem",
        "experiments": runs,
        "tests": 4,
        "comparisons": [
            compared(("tandem", runs["tandem"]), (other, runs[other]), difference)
            for other, difference in (("content", 0.05), ("sasrec", 0.1))
            if other in runs
        ],
        "estimates": {"tandem": estimates},
        "agreement": [{"domain": "x", "users": 10, "pairs": 3, "same": 2, "low": 1 / 3, "high": 1.0}],
    }  # fmt: skip
    found = compared_controls(one)
    controls = {
        "experiments": found,
        "tests": 4,
        "comparisons": [compared((name, each["a"]), ("tandem", each["b"]), -0.04) for name, each in found.items()],
    }
    return one._replace(tests=one.tests or tests, controls=one.controls or controls)


def figures(sentence):
    """List the numbers of a sentence in order; ``@10`` and codes are not figures."""
    return re.findall(r"[+-]?\d+(?:,\d{3})*(?:\.\d+)?", re.sub(r"@10|`[^`]*`|95 % interval", "", sentence))


def test_against_published_by_hand():
    """Published HR@10: 0.3243 and 0.2438. 0.4 / 0.3243 = 1.2334, 0.35 / … = 1.0792, 0.45 / … = 1.3876."""
    assert figures(against_published([recorded()])) == [
        "999", "0.4000", "0.1414", "23.3", "0.3243", "+7.9", "+38.8", "0.2000", "0.0000", "18.0", "0.2438",
        "-59.0", "+23.1", "2",
    ]  # fmt: skip
    assert against_published([recorded(facts=FACTS._replace(pair="toy_game"))]) is None  # nothing is published on it


def test_against_the_second_best_by_hand():
    sentence = against_second_best([recorded()])
    assert figures(sentence) == [
        "+0.1000", "+50", "+0.0900", "+0.1100", "0.0010", "-0.1000", "-50", "-0.1100", "-0.0900", "0.0010",
        "2",
    ]  # fmt: skip
    assert "`sasrec`" in sentence  # 0.4 on validation, `content` 0.3
    assert "`content`" not in sentence
    assert against_second_best([recorded(facts=FACTS._replace(split="temporal"))]) is None


def test_a_rival_with_fewer_seeds_is_compared_under_those_that_both_have():
    rows = [row for row in ROWS if (row["method"], row["seed"]) != ("sasrec", "2")]
    sentence = against_second_best([recorded(rows=rows)])
    assert "`sasrec`" in sentence
    assert figures(sentence)[-1:] == ["1"]
    another = [row | {"seed": "3"} if row["method"] == "sasrec" else row for row in rows]
    assert against_second_best([recorded(rows=another)]) is None  # and not `content`, which is worse on validation


def test_the_range_of_seeds_is_told():
    rows = [row for row in ROWS if (row["method"], row["seed"]) != ("sasrec", "2")]
    assert figures(protocols([recorded(rows=rows)]))[-2:] == ["1", "2"]


def test_the_temporal_split_has_two_rivals():
    assert under_the_temporal_split([recorded()]) is None
    sentence = under_the_temporal_split([recorded(facts=FACTS._replace(split="temporal"))])
    assert sentence.index("`content`") < sentence.index("`sasrec`")
    full, sampled, ids = sentence.split(";")
    assert figures(full)[:2] == ["+0.0500", "+25"]
    assert figures(sampled)[:3] == ["999", "+0.0250", "+12"]
    assert figures(ids)[:2] == ["+0.1000", "+50"]


def test_against_peers_by_hand():
    """0.3 is 50 % above 0.2, the mean of the two seeds of the better peer; 0.2 to 0.4 are 0 and +100 %."""
    estimates = [
        {"domain": key, "protocol": "full", "metric": "ndcg@10", "users": 10, "mean": 0.3, "low": 0.2, "high": 0.4}
        for key in ("x", "y")
    ]
    peers = [record("peer", "grid", 1, 0.1, valid=0.5), record("peer", "seed", 2, 0.3, valid=0.5)]
    peers += [record("other", "grid", 1, 0.9, valid=0.4)]
    peers += [record("tandem", "grid", 1, 0.9, valid=0.9)]  # our own, trained beside them, is no peer
    one = recorded(peers=peers)
    assert against_peers([one]) is None  # no estimate of NDCG@10
    one = one._replace(tests={**one.tests, "estimates": {"tandem": estimates}})
    each = ["50.0", "0.2000", "+0.0", "+100.0"]
    assert figures(against_peers([one])) == [*each, *each, "2"]
    assert against_peers([one._replace(peers=[])]) is None


@pytest.mark.parametrize(("claim", "seeds"), [(text, "1"), (second_domain, "1")])
def test_a_control_by_hand(claim, seeds):
    """-0.04 of 0.2 is -20 %."""
    assert figures(claim([recorded()])) == [
        "-0.0400", "-20", "-0.0500", "-0.0300", "+0.0400", "+20", "+0.0300", "+0.0500", seeds,
    ]  # fmt: skip


def test_without_records_of_a_control_its_sentence_is_left_out():
    assert profiles([recorded()]) is None
    assert descriptions([recorded()]) is None
    fewer = recorded(rows=[one for one in ROWS if one["control"] != "bare"])
    assert text([fewer]) is None
    assert second_domain([fewer]) is not None


def test_comparisons_of_controls_that_have_other_runs_now_are_not_stated():
    one = recorded()
    changed = [{**each, "experiment": "again"} if each["control"] == "bare" else each for each in ROWS]
    later = one._replace(rows=changed)
    assert text([later]) is None
    assert second_domain([later]) is not None


def test_a_twin_without_descriptions_is_a_control():
    twin = Recorded(
        FACTS._replace(pair="titles", item_text=("title",)),
        DECLARED,
        [{**run("tandem", seed, 0.4), "experiment": f"titles{seed}"} for seed in (1, 2)]
        + [{**run("tandem", 1, 0.4, control="unknown"), "experiment": "titles only"}]
        + [{**run("sasrec", 2, 0.2), "experiment": "sasrec on titles"}],
        [],
        None,
    )
    found = compared_controls(recorded(twin=twin))
    assert found["tandem: no descriptions"] == {
        "method": "tandem", "a": ["titles1", "titles2"], "b": ["tandem1", "tandem2"]
    }  # fmt: skip
    assert found["tandem: titles only"] == {"method": "tandem", "a": ["titles only"], "b": ["tandem1"]}
    assert found["sasrec: no descriptions"] == {"method": "sasrec", "a": ["sasrec on titles"], "b": ["sasrec2"]}
    controls = {
        "experiments": found,
        "tests": 4,
        "comparisons": [
            compared((name, each["a"]), (each["method"], each["b"]), -0.02 if each["method"] == "sasrec" else -0.04)
            for name, each in found.items()
        ],
    }
    (one,) = pair_twins([recorded(controls=controls), twin])
    said = descriptions([one])
    assert figures(said)[0] == "-0.0400"
    assert [said.count(name) for name in ("`food_kitchen`", "`tandem`", "`sasrec`")] == [3, 2, 1]
    assert "-0.0200" in said.split("`sasrec`")[1]
    assert descriptions([one._replace(twin=None)]) is None
    assert "\n### titles\n" in page([one])
    assert pair_twins([twin]) == [twin]
    other = twin._replace(facts=twin.facts._replace(split="temporal"))
    assert [each.twin for each in pair_twins([recorded(), other])] == [None, None]


def test_cost_by_hand():
    """Mean 110, deviation √200 over √2 seeds is 10, times t = 12.706: ± 127, of which no time is below 0."""
    assert figures(cost([recorded()])) == ["110", "0", "237", "1", "2,000", "60", "0", "187", "1", "1,200", "2"]
    assert cost([recorded(rows=[one for one in ROWS if one["model"] != "sasrec"])]) is None


def test_times_of_different_machines_are_not_compared():
    """With seed 2 of sasrec elsewhere, its time is that of seed 1; with both seeds elsewhere there is none."""
    some = [one | {"processor": "fast"} if one["experiment"] == "sasrec2" else one for one in ROWS]
    assert figures(cost([recorded(rows=some)])) == ["110", "0", "237", "1", "2,000", "50", "1", "1,200", "1", "2"]
    apart = [one | {"processor": "fast"} if one["method"] == "sasrec" else one for one in ROWS]
    assert cost([recorded(rows=apart)]) is None
    # Most methods count more than most runs: content has no parameters, and tandem alone has two runs on one machine.
    places = {"tandem1": "a", "tandem2": "a", "tandem3": "b", "sasrec1": "b"}
    rows = [run("tandem", seed, 0.5, seconds=seed, parameters=9) for seed in (1, 2, 3)] + [run("sasrec", 1, 0.4)]
    rows = [one | {"processor": places[one["experiment"]]} for one in rows]
    found = timed_runs(recorded(rows=rows), ["tandem", "sasrec", "content"])
    assert {method: [one["seed"] for one in some] for method, some in found.items()} == {
        "tandem": ["3"],
        "sasrec": ["1"],
    }


def test_agreement_of_protocols_by_hand():
    assert figures(protocols([recorded()])) == ["2", "3", "67", "33", "100", "2"]


def test_users_of_every_pair():
    other = recorded(facts=FACTS._replace(pair="toy_game", split="temporal"))
    said = users_with_targets([recorded(), other, recorded(rows=[])])
    assert figures(said) == ["10", "10", "10", "10"]
    assert re.findall(r"`(\w+)`", said) == ["food_kitchen", "leave_one_out", "toy_game", "temporal"]


def test_noise_and_other_texts_stand_beside_no_text():
    said = text([recorded(rows=[*ROWS, run("tandem", 1, 0.1, control="noise")])])
    first, second = said.split(";")
    assert figures(first)[:2] == figures(second)[:2] == ["-0.0400", "-20"]


def test_who_reads_text():
    one = recorded()
    assert [reads_text(one, method) for method in DECLARED.methods] == [True, True, False, True]


def test_nothing_is_stated_without_records():
    empty = Recorded(FACTS, DECLARED, [], [], None)
    assert opening([empty]) == []
    assert all(f"`{method}`" in not_shown([empty]) for method in DECLARED.methods)


def test_what_is_not_shown():
    slices = [
        {"domain": "x", "slice": name, "targets": targets} for name, targets in (("tied", "30"), ("untied", "90"))
    ]
    said = not_shown([recorded(slices=slices)], ["toy_game"])
    # 30 of 120 targets; no run of sasrec-text; two controls with one of two seeds and two with none; 2026 is the date.
    # A run of sasrec-text takes 3 hours.
    assert figures(said) == ["2", "4", "4", "25", "2026", "3"]
    assert said.endswith("3 hours of a core (`sasrec-text`).")
    assert not_shown([recorded(), recorded()]).count("3 hours") == 1
    complete = [*ROWS, *(run("sasrec-text", seed, 0.01, model="sasrec") for seed in (1, 2))]
    assert "hours" not in not_shown([recorded(rows=complete)])
    assert all(name in said for name in ("`sasrec-text`", "toy_game", "mini", "a model"))


def test_controls_lack_only_the_seeds_that_they_should_have():
    # Of the four controls two have the one seed, and two have none.
    declared = DECLARED.model_copy(update={"control_seeds": 1})
    assert figures(not_shown([recorded(declared=declared)]))[:3] == ["1", "2", "4"]


def test_older_code_is_marked():
    code = {"tandem": "c0de", "content": "c0de", "sasrec": "other"}
    one = recorded(code=code)
    assert "†" in against_second_best([one])
    assert "†" not in text([one])
    assert "†" in not_shown([one])
    assert "†" not in not_shown([recorded()])
