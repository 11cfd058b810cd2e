"""Split rules on hand-made sequences, and as properties of random ones."""

import datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lecdsr.core.schemas import SECONDS_PER_DAY, TEST, TRAIN, VALID
from lecdsr.sequences.split import day_cuts, leave_one_out, ratio_windows, temporal


def rows_of(split, code):
    """Return (user, start, first_target, end) of the windows of one split."""
    columns = [split.windows[name].to_pylist() for name in ("split", "user", "start", "first_target", "end")]
    return [tuple(row[1:]) for row in zip(*columns, strict=True) if row[0] == code]


def sequence(lengths):
    user = np.repeat(np.arange(len(lengths)), lengths)
    time = np.concatenate([np.arange(n) for n in lengths]) * SECONDS_PER_DAY
    return user, time


def test_leave_one_out_by_hand():
    split = leave_one_out(*sequence([5, 2, 1]), min_history=2)
    assert split.part.tolist() == [TRAIN, TRAIN, TRAIN, VALID, TEST, TRAIN, TEST, TRAIN]
    assert rows_of(split, TRAIN) == [(0, 0, 2, 3)]
    assert rows_of(split, VALID) == [(0, 0, 3, 4)]
    assert rows_of(split, TEST) == [(0, 0, 4, 5), (1, 5, 6, 7)]


def test_ratio_windows_by_hand():
    # 40 events: 32 training (windows 15 + 15 + 2, the last too short), 4 validation, 4 test.
    split = ratio_windows(*sequence([40]), (0.8, 0.1), window=15, min_window=4, min_history=2)
    assert np.bincount(split.part).tolist() == [32, 4, 4]
    assert rows_of(split, TRAIN) == [(0, 0, 2, 15), (0, 15, 17, 30)]
    assert rows_of(split, VALID) == [(0, 32, 35, 36)]
    assert rows_of(split, TEST) == [(0, 36, 39, 40)]


@pytest.mark.parametrize(("length", "bounds"), [(10, (8, 9)), (30, (24, 27)), (21, (16, 18)), (19, (15, 17))])
def test_ratio_windows_cut_by_floor(length, bounds):
    part = ratio_windows(*sequence([length]), (0.8, 0.1), 15, 2, 1).part
    assert (np.count_nonzero(part == TRAIN), np.count_nonzero(part <= VALID)) == bounds


def test_temporal_by_hand():
    # Days 0 … 9 over two users; validation from day 6, test from day 8.
    user = np.array([0, 0, 0, 0, 0, 1, 1, 1, 1, 1])
    time = np.array([0, 2, 4, 6, 8, 1, 3, 5, 7, 9]) * SECONDS_PER_DAY
    split = temporal(user, time, (6 * SECONDS_PER_DAY, 8 * SECONDS_PER_DAY), min_history=2)
    assert split.part.tolist() == [TRAIN, TRAIN, TRAIN, VALID, TEST] * 2
    assert rows_of(split, TRAIN) == [(0, 0, 2, 3), (1, 5, 7, 8)]
    assert rows_of(split, VALID) == [(0, 0, 3, 4), (1, 5, 8, 9)]
    assert rows_of(split, TEST) == [(0, 0, 4, 5), (1, 5, 9, 10)]


def test_tied_means_the_same_day_as_the_item_before():
    user, time = np.zeros(4, np.int64), np.array([0, 1, 2, 2]) * SECONDS_PER_DAY + np.array([0, 0, 5, 9])
    split = leave_one_out(user, time, 1)
    assert dict(zip(split.windows["split"].to_pylist(), split.windows["tied"].to_pylist(), strict=True)) == {
        TRAIN: False,
        VALID: False,
        TEST: True,
    }


lengths = st.lists(st.integers(1, 60), min_size=1, max_size=8)


@given(lengths, st.integers(1, 3))
def test_ratio_windows_properties(sizes, min_history):
    user, time = sequence(sizes)
    split = ratio_windows(user, time, (0.8, 0.1), 15, 4, min_history)
    windows = split.windows
    start, first, end = (windows[name].to_numpy() for name in ("start", "first_target", "end"))
    assert (start < first).all()
    assert (first < end).all()
    assert (end - start >= 4).all()
    assert (end - start <= 15).all()
    for s, e, u, code in zip(start, end, windows["user"].to_numpy(), windows["split"].to_numpy(), strict=True):
        assert (user[s:e] == u).all()
        assert (split.part[s:e] == code).all()  # no window crosses a cut
    assert len(np.unique(np.concatenate([np.arange(s, e) for s, e in zip(start, end, strict=True)] or [[]]))) == (
        (end - start).sum()
    )


histories_of_days = st.lists(st.lists(st.integers(0, 30), min_size=1, max_size=20), min_size=2, max_size=6)


def tied_sequences(histories):
    """Draw users with many interactions per day; the seconds of a day are in order."""
    user = np.repeat(np.arange(len(histories)), [len(h) for h in histories])
    time = np.concatenate([np.sort(h) * SECONDS_PER_DAY + np.arange(len(h)) for h in histories])
    return user, time


def shares(time, cuts):
    return day_cuts(*np.unique(time // SECONDS_PER_DAY, return_counts=True), cuts)


@given(histories_of_days, st.integers(1, 3))
def test_temporal_has_no_training_at_or_after_the_cut(histories, min_history):
    user, time = tied_sequences(histories)
    valid_from, test_from = shares(time, (0.6, 0.8))
    split = temporal(user, time, (valid_from, test_from), min_history)
    expected = np.where(time < valid_from, TRAIN, np.where(time < test_from, VALID, TEST))
    assert (split.part == expected).all()
    for _, start, first, end in rows_of(split, TRAIN):
        assert (split.part[start:end] == TRAIN).all()
        assert first - start == min_history
    for code in (VALID, TEST):
        for who, start, target, end in rows_of(split, code):
            assert end == target + 1
            assert (user[start:end] == who).all()
            assert start == np.flatnonzero(user == who)[0]
            assert split.part[target] == code
            assert target == np.flatnonzero((user == who) & (split.part == code))[-1]


@given(histories_of_days, st.floats(0.05, 0.9), st.floats(0.01, 0.09))
def test_cuts_by_share_are_midnights_with_at_most_that_share_before(histories, first, more):
    _, time = tied_sequences(histories)
    for share, cut in zip((first, first + more), shares(time, (first, first + more)), strict=True):
        assert cut % SECONDS_PER_DAY == 0
        assert np.count_nonzero(time < cut) <= share * len(time)
        # One day later would be too many: the cut lies as late as a midnight can.
        assert np.count_nonzero(time < cut + SECONDS_PER_DAY) > int(share * len(time))


def test_cuts_by_day():
    days = (datetime.date(1970, 1, 3), datetime.date(1970, 2, 1))
    assert day_cuts(np.array([0]), np.array([1]), days) == (2 * SECONDS_PER_DAY, 31 * SECONDS_PER_DAY)


@given(histories_of_days, st.integers(1, 3), st.randoms())
def test_leave_one_out_properties(histories, min_history, chance):
    user, time = tied_sequences(histories)
    evaluated = np.array([chance.random() < 0.5 for _ in histories])
    split = leave_one_out(user, time, min_history, evaluated[user])
    for who in range(len(histories)):
        rows = np.flatnonzero(user == who)
        held_out = min(len(rows) - 1, 2) if evaluated[who] else 0
        parts = [TRAIN] * (len(rows) - held_out) + [VALID, TEST][2 - held_out :]
        assert split.part[rows].tolist() == parts
        for code in (VALID, TEST):
            found = [row[1:] for row in rows_of(split, code) if row[0] == who]
            at = rows[split.part[rows] == code]
            assert found == [(rows[0], row, row + 1) for row in at]
        end = rows[-1] + 1 - held_out
        expected = [(rows[0], rows[0] + min_history, end)] if end - rows[0] > min_history else []
        assert [row[1:] for row in rows_of(split, TRAIN) if row[0] == who] == expected


@given(lengths, st.integers(1, 3))
def test_users_who_are_not_evaluated_are_all_training(sizes, min_history):
    user, time = sequence(sizes)
    none_evaluated = np.zeros(len(user), np.bool_)
    for split in (
        leave_one_out(user, time, min_history, none_evaluated),
        ratio_windows(user, time, (0.8, 0.1), 15, 4, min_history, none_evaluated),
    ):
        assert (split.part == TRAIN).all()
        assert (split.windows["split"].to_numpy() == TRAIN).all()
    cut = temporal(user, time, (5 * SECONDS_PER_DAY, 9 * SECONDS_PER_DAY), min_history, none_evaluated)
    assert (cut.windows["split"].to_numpy() == TRAIN).all()
    assert ((time >= 5 * SECONDS_PER_DAY) == (cut.part != TRAIN)).all()
