"""Windows, samples and batches against plain Python over lists."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lecdsr.core.arrays import expand
from lecdsr.core.schemas import TEST, TRAIN, VALID
from lecdsr.data.batch import Gatherer, prefix_samples, recency, sequence_samples
from lecdsr.data.sequences import Sequences, before_in_domain, from_tables, own_domain, shuffled
from tests.data.pairs import RandomPair, random_pairs
from tests.tiny import interactions, sequences, windows_table

small = settings(max_examples=50, deadline=None)
CPU = torch.device("cpu")


def padded(items: list[int], length: int, padding: int) -> list[int]:
    items = items[-length:]
    return [padding] * (length - len(items)) + items


def plain_recency(row: list[int], n_x: int, padding: int) -> list[int]:
    seen, ranks = [0, 0], []
    for item in reversed(row):
        if item == padding:
            ranks.append(0)
        else:
            seen[item >= n_x] += 1
            ranks.append(seen[item >= n_x])
    return ranks[::-1]


def gatherer(pair: RandomPair, sequences: Sequences, length: int) -> Gatherer:
    return Gatherer(sequences, length, pair.n_x, pair.n_x + pair.n_y, CPU)


@small
@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 5)), max_size=6))
def test_expand(intervals):
    start, size = (np.array([interval[i] for interval in intervals], np.int64) for i in (0, 1))
    interval, row = expand(start, start + size)
    assert list(zip(interval, row, strict=True)) == [
        (i, first + j) for i, (first, count) in enumerate(intervals) for j in range(count)
    ]


@small
@given(random_pairs())
def test_from_tables(pair):
    built = from_tables(*pair.tables)
    assert len(built) == len(pair.rows)
    assert built.items.tolist() == pair.items
    columns = (built.split, built.user, built.start, built.first_target, built.end)
    assert list(zip(*(column.tolist() for column in columns), strict=True)) == pair.rows
    assert built.target_row.tolist() == [end - 1 for *_, end in pair.rows]
    assert built.target.tolist() == [pair.items[end - 1] for *_, end in pair.rows]
    assert built.seen_start.tolist() == [pair.first_row[user] for _, user, *_ in pair.rows]


@small
@given(random_pairs())
def test_of_split_and_take(pair):
    built = from_tables(*pair.tables)
    for split in (TRAIN, VALID, TEST):
        part = built.of_split(split)
        wanted = [row for row in pair.rows if row[0] == split]
        assert part.target_row.tolist() == [row[4] - 1 for row in wanted]
        assert part.user.tolist() == [row[1] for row in wanted]
        assert part.seen_start.tolist() == [pair.first_row[row[1]] for row in wanted]


@small
@given(random_pairs(), st.integers(1, 18))
def test_prefix_samples(pair, length):
    built = from_tables(*pair.tables)
    training = built.of_split(TRAIN)
    samples = prefix_samples(training)
    expected = [
        (user, pair.items[start:row], pair.items[row])
        for split, user, start, first, end in pair.rows
        if split == TRAIN
        for row in range(first, end)
    ]
    assert len(samples) == len(expected)
    batch = gatherer(pair, built, length).prefixes(samples)
    padding = pair.n_x + pair.n_y
    histories = [padded(items, length, padding) for _, items, _ in expected]
    assert batch.histories.sequence.shape == batch.histories.position.shape == (len(expected), length)
    assert batch.histories.sequence.tolist() == histories
    assert batch.histories.position.tolist() == [plain_recency(row, pair.n_x, padding) for row in histories]
    assert batch.histories.user.tolist() == [user for user, _, _ in expected]
    assert batch.target.tolist() == [target for _, _, target in expected]


@small
@given(random_pairs(), st.integers(1, 18))
def test_sequence_samples(pair, length):
    built = from_tables(*pair.tables)
    samples = sequence_samples(built.of_split(TRAIN), length)
    batch = gatherer(pair, built, length).sequences(samples)
    padding = pair.n_x + pair.n_y
    covered = []
    for place in range(len(samples)):
        user, start, row = int(samples.user[place]), int(samples.start[place]), int(samples.row[place])
        inputs, targets = batch.histories.sequence[place].tolist(), batch.targets[place].tolist()
        assert batch.histories.user[place] == user
        assert inputs == padded(pair.items[start:row], length, padding)
        assert batch.histories.position[place].tolist() == plain_recency(inputs, pair.n_x, padding)
        for column, target in enumerate(targets):
            if target == padding:
                continue
            target_row = row - (length - 1 - column)
            assert target == pair.items[target_row]
            assert inputs[column] == pair.items[target_row - 1]  # the item right before it
            assert target_row - 1 >= start
            covered.append((user, start, row, target_row))
    wanted = sorted(
        (start, target) for split, _, start, first, end in pair.rows if split == TRAIN for target in range(first, end)
    )
    assert sorted((start, target) for _, start, _, target in covered) == wanted  # each exactly once


def test_sequence_samples_by_hand():
    # Ten interactions; targets are rows 2 … 9; pieces of three are cut from the end.
    training = from_tables(interactions([list(range(10))], 5), windows_table([(TRAIN, 0, 0, 2, 10)]))
    samples = sequence_samples(training, 3)
    assert sorted(zip(samples.first_target.tolist(), samples.row.tolist(), strict=True)) == [(2, 3), (4, 6), (7, 9)]
    batch = Gatherer(training, 3, 5, 10, CPU).sequences(samples)
    rows = sorted(zip(batch.histories.sequence.tolist(), batch.targets.tolist(), strict=True))
    assert rows == [([0, 1, 2], [10, 2, 3]), ([3, 4, 5], [4, 5, 6]), ([6, 7, 8], [7, 8, 9])]


def test_a_window_longer_than_the_length_keeps_the_latest():
    training = from_tables(interactions([[0, 5, 1, 6, 2, 7]], 5), windows_table([(TEST, 0, 0, 5, 6)]))
    histories = Gatherer(training, 3, 5, 10, CPU).histories(training.user, training.start, training.end - 1)
    assert histories.sequence.tolist() == [[1, 6, 2]]
    assert histories.position.tolist() == [[2, 1, 1]]


def test_no_history_at_all():
    built = sequences([[1, 2, 3]], 5)
    zero = np.array([0])
    histories = Gatherer(built, 4, 5, 10, CPU).histories(zero, zero, zero)
    assert histories.sequence.tolist() == [[10] * 4]
    assert histories.position.tolist() == [[0] * 4]


def test_take_of_samples():
    samples = prefix_samples(sequences([[1, 2, 3, 4, 5, 6], [3, 2, 1, 4]], 5).of_split(TRAIN))
    some = samples.take(np.array([2, 0]))
    assert len(some) == 2
    assert some.row.tolist() == samples.row[[2, 0]].tolist()
    assert some.start.tolist() == samples.start[[2, 0]].tolist()


@pytest.mark.parametrize(
    ("row", "ranks"),
    [
        # X is 0 … 4, Y is 5 … 9, padding 10.
        ([10, 10, 0, 5, 1, 6, 7], [0, 0, 2, 3, 1, 2, 1]),
        ([3, 3, 3], [3, 2, 1]),
        ([9, 4], [1, 1]),
        ([10, 10], [0, 0]),
        ([4, 5], [1, 1]),
    ],
)
def test_recency_by_hand(row, ranks):
    assert recency(torch.tensor([row]), 5, 10).tolist() == [ranks]


@small
@given(st.integers(1, 9), st.lists(st.lists(st.integers(0, 10), min_size=6, max_size=6), min_size=1, max_size=5))
def test_recency(n_x, rows):
    assert recency(torch.tensor(rows), n_x, 10).tolist() == [plain_recency(row, n_x, 10) for row in rows]


def plain_own_domain(pair: RandomPair) -> list[tuple[object, ...]]:
    """(split, user, items, targets among them, row of the target, first row of the user) of every window."""
    windows: list[tuple[object, ...]] = []
    for split, user, start, first, end in pair.rows:
        domains = (0, 1) if split == TRAIN else (pair.domain(pair.items[end - 1]),)
        for domain in domains:
            rows = [row for row in range(start, end) if pair.domain(pair.items[row]) == domain]
            targets = [row for row in rows[1:] if row >= first] if split == TRAIN else rows[-1:]
            if targets:
                items = [pair.items[row] for row in rows]
                windows.append((split, user, items, len(targets), rows[-1], pair.first_row[user]))
    return windows


@small
@given(random_pairs())
def test_own_domain(pair):
    own = own_domain(from_tables(*pair.tables), pair.n_x)
    found = [
        (
            int(own.split[w]),
            int(own.user[w]),
            own.items[own.start[w] : own.end[w]].tolist(),
            int(own.end[w] - own.first_target[w]),
            int(own.target_row[w]),
            int(own.seen_start[w]),
        )
        for w in range(len(own))
    ]
    assert found == plain_own_domain(pair)
    assert own.target.tolist() == [pair.items[row] for row in own.target_row]
    assert own.seen_items.tolist() == pair.items  # items excluded from the full ranking are still of both domains
    for window in range(len(own)):
        items = own.items[own.start[window] : own.end[window]]
        assert len({pair.domain(item) for item in items}) == 1


@small
@given(random_pairs())
def test_own_domain_keeps_every_held_out_target_in_order(pair):
    built = from_tables(*pair.tables)
    own = own_domain(built, pair.n_x)
    held_out, own_held_out = (s.take(s.split != TRAIN) for s in (built, own))
    assert own_held_out.target_row.tolist() == held_out.target_row.tolist()
    assert own_held_out.target.tolist() == held_out.target.tolist()
    assert own_held_out.tied.tolist() == held_out.tied.tolist()


def test_own_domain_by_hand():
    # X is 0 … 4. Training rows 0 … 5 with targets from row 2 on; the test target 8 has one Y before it.
    pair = interactions([[0, 5, 1, 6, 2, 3, 8]], 5)
    own = own_domain(from_tables(pair, windows_table([(TRAIN, 0, 0, 2, 6), (TEST, 0, 0, 6, 7)])), 5)
    windows = [own.items[start:end].tolist() for start, end in zip(own.start, own.end, strict=True)]
    assert windows == [[0, 1, 2, 3], [5, 6], [5, 6, 8]]
    assert (own.end - own.first_target).tolist() == [3, 1, 1]
    assert own.target_row.tolist() == [5, 3, 6]


def windows_of(sequences: Sequences) -> list[list[int]]:
    return [sequences.items[start:end].tolist() for start, end in zip(sequences.start, sequences.end, strict=True)]


@small
@given(random_pairs(), st.integers(0, 2**32), st.booleans())
def test_shuffled(pair, seed, own):
    built = from_tables(*pair.tables)
    built = own_domain(built, pair.n_x) if own else built
    other = shuffled(built, seed)
    for name in ("split", "user", "tied", "target_row", "seen_start", "seen_items"):
        assert getattr(other, name).tolist() == getattr(built, name).tolist()
    assert (other.end - other.first_target).tolist() == (built.end - built.first_target).tolist()
    for split, before, after in zip(built.split, windows_of(built), windows_of(other), strict=True):
        assert sorted(after) == sorted(before)
        assert split == TRAIN or after[-1] == before[-1]
    assert other.target.tolist() == [items[-1] for items in windows_of(other)]
    assert windows_of(shuffled(built, seed)) == windows_of(other)
    assert other.start.tolist() == [0, *other.end[:-1].tolist()][: len(other)]


def test_shuffled_by_seed_has_every_order_alike():
    pair = interactions([[0, 1, 2, 8]], 5)
    built = from_tables(pair, windows_table([(TRAIN, 0, 0, 1, 3), (TEST, 0, 0, 3, 4)]))
    orders = [windows_of(shuffled(built, seed)) for seed in range(600)]
    for place in (0, 1):
        found = [tuple(order[place][:3]) for order in orders]
        assert len(set(found)) == 6
        assert min(found.count(order) for order in set(found)) > 60  # 100 of each are expected
    assert len({tuple(order[0]) == tuple(order[1][:3]) for order in orders}) == 2  # windows are shuffled separately


@small
@given(random_pairs())
def test_history_in_the_domain_of_the_target(pair):
    built = from_tables(*pair.tables)
    expected = []
    for _, user, _, _, end in pair.rows:
        before = pair.items[pair.first_row[user] : end - 1]
        expected.append(sum(pair.domain(item) == pair.domain(pair.items[end - 1]) for item in before))
    assert before_in_domain(built, pair.n_x).tolist() == expected


def test_own_domain_without_windows():
    own = own_domain(from_tables(interactions([[0, 1, 2]], 2), windows_table([])), 2)
    assert len(own) == 0


def days_of(built: Sequences) -> list[list[int]]:
    return [built.days[start:end].tolist() for start, end in zip(built.start, built.end, strict=True)]


def test_days_go_with_their_rows():
    days = [[3, 3, 5, 8, 8, 9, 12]]
    table = interactions([[0, 5, 1, 6, 7, 2, 8]], 5, days)
    built = from_tables(table, windows_table([(TRAIN, 0, 0, 2, 6), (TEST, 0, 0, 6, 7)]))
    assert days_of(built) == [days[0][:6], days[0]]
    # X has the items 0, 1 and 2; Y 5, 6, 7 and, as the target, 8.
    assert days_of(own_domain(built, 5)) == [[3, 5, 9], [3, 8, 8], [3, 8, 8, 12]]
    assert days_of(shuffled(built, 1)) == days_of(built)
    histories = Gatherer(built, 4, 5, 9, CPU).histories(built.user, built.start, built.end - 1)
    real = histories.sequence != 9
    assert histories.day[0][real[0]].tolist() == [3, 5, 8, 8]
    assert histories.day[1][real[1]].tolist() == [5, 8, 8, 9]
