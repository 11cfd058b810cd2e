"""The order of methods under several measures, computed by hand."""

from lecdsr.report.rank_order import rank_order


def test_places_and_what_turns_round():
    scores = {
        "one": {"a": 0.3, "b": 0.2, "c": 0.1},
        "two": {"a": 0.3, "b": 0.1, "c": 0.2},
        "three": {"a": 0.5, "b": 0.1, "c": 0.4},
    }
    found = rank_order(scores)
    assert found.method_pairs == 3
    assert found.reversed_pairs == ["`c` is above `b` in 2 of 3"]
    assert found.table.splitlines()[2:] == ["| a | 1 | 1 | 1 |", "| b | 2 | 3 | 3 |", "| c | 3 | 2 | 2 |"]


def test_equals_share_a_place_and_turn_nothing_round():
    found = rank_order({"one": {"a": 0.1, "b": 0.1}, "two": {"a": 0.2, "b": 0.1}})
    assert found.table.splitlines()[2:] == ["| a | 1 | 1 |", "| b | 1 | 2 |"]
    assert found.reversed_pairs == []
