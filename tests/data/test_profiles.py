"""Which profile a target reads: the latest written before it, in every split, batch and control."""

from typing import NamedTuple
from unittest import mock

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lecdsr.core.schemas import SECONDS_PER_DAY, TEST, TRAIN, VALID
from lecdsr.data import batch, sequences
from lecdsr.data.batch import Gatherer, HistoryProfiles, prefix_samples, sequence_samples
from lecdsr.data.info import DatasetInfo
from lecdsr.data.load import read_sequences
from lecdsr.data.profiles import Profiles, check_order, history_profiles, profiles_to_read, target_profiles
from lecdsr.data.sequences import Sequences
from lecdsr.sequences.split import Split, leave_one_out, ratio_windows, temporal
from tests.errors import refused
from tests.tiny import interactions

CPU = torch.device("cpu")
DAY = SECONDS_PER_DAY
LENGTH = 4


def known(versions: list[list[int]]) -> Profiles:
    """Build profiles of users 0, 1 … from the times of their versions, ascending."""
    user = np.repeat(np.arange(len(versions)), [len(times) for times in versions])
    as_of = np.array([time for times in versions for time in times], np.int64)
    padding, count = torch.zeros(1, 2), len(user)
    return Profiles(user, as_of, padding, torch.zeros(count + 1, dtype=torch.long), torch.zeros(count + 1, 2, 1).long())


def table_of(times: list[list[int]], split: list[int] | None = None) -> pa.Table:
    user = np.repeat(np.arange(len(times)), [len(row) for row in times])
    columns = {"user": user, "time": np.array([time for row in times for time in row], np.int64)}
    return pa.table({**columns, "split": np.zeros(len(user), np.int8) if split is None else np.array(split, np.int8)})


def arrays(*columns: list[int]) -> list[np.ndarray]:
    return [np.array(column, np.int64) for column in columns]


# By hand


def test_the_latest_profile_before_a_time():
    profiles = known([[10, 20], [], [5]])
    user, time = arrays([0, 0, 0, 0, 1, 2, 2, 3], [10, 11, 20, 21, 99, 5, 6, 99])
    # A profile as of the time itself may have seen the target.
    assert profiles.before(user, time).tolist() == [3, 0, 0, 1, 3, 3, 2, 3]
    assert profiles.unknown == len(profiles) == 3
    assert profiles.time_of(np.array([0, 1, 2, 3])).tolist() == [10, 20, 5, 0]


def test_without_any_profile_all_are_unknown():
    profiles = known([[], []])
    assert not profiles
    assert profiles.before(*arrays([0, 1, 7], [0, 5, 9])).tolist() == [0, 0, 0]
    assert target_profiles(profiles, table_of([[1, 2], [3]])).age.tolist() == [0, 0, 0]


def test_times_of_many_years_and_users_stay_apart():
    profiles = known([[2**33], [0, 2**33], [0]])
    assert profiles.before(*arrays([0, 1, 1, 2, 2], [2**34, 1, 2**34, 0, 2**34])).tolist() == [0, 1, 2, 4, 3]


def test_profile_and_age_of_each_target():
    # Ties at 20: the profile as of 20 is read from 30 on only, and by then two interactions are not in the first one.
    found = target_profiles(known([[10, 20], [5]]), table_of([[10, 20, 20, 30, 40], [6, 7], [8]]))
    assert found.profile.tolist() == [3, 0, 0, 1, 1, 2, 2, 3]
    assert found.age.tolist() == [0, 0, 1, 0, 1, 0, 1, 0]
    assert found.unknown == 3


def test_earlier_than_reads_an_older_one():
    found = target_profiles(known([[10, 20]]), table_of([[10, 20, 30, 40]]), np.array([99, 99, 20, 21]))
    assert found.profile.tolist() == [2, 0, 0, 1]
    assert found.age.tolist() == [0, 0, 1, 1]


def test_after_whole_histories():
    profiles = known([[10, 20], [5], [1]])
    owner, time = arrays([0, 0, 0, 1, 2], [10, 20, 30, 4, 7])
    # User 0 whole, and their first two; user 1, whose history ends before the profile; no history; a stranger.
    user, start, end = arrays([0, 0, 0, 1, 2, 9], [0, 0, 0, 3, 4, 0], [3, 2, 1, 4, 4, 3])
    found = history_profiles(profiles, user, owner, time, (start, end))
    assert found.profile.tolist() == [1, 1, 0, 4, 4, 4]
    assert found.age.tolist() == [1, 0, 0, 0, 0, 0]


def test_after_whole_histories_a_known_next_item_counts_too():
    profiles, (owner, time) = known([[10, 20]]), arrays([0, 0], [10, 20])
    bounds = (np.array([0, 0]), np.array([2, 2]))
    found = history_profiles(profiles, np.zeros(2, np.int64), owner, time, bounds, np.array([20, 21]))
    assert found.profile.tolist() == [0, 1]
    assert found.age.tolist() == [1, 0]


def test_older_is_the_version_before():
    table, profiles = table_of([[10, 20, 30, 40]]), known([[10, 20, 35]])
    honest, older = (profiles_to_read(profiles, table, time) for time in ("before_target", "older"))
    assert honest.profile.tolist() == [3, 0, 1, 2]
    assert older.profile.tolist() == [3, 3, 0, 1]
    assert older.age.tolist() == [0, 0, 1, 1]


def test_published_is_the_version_of_the_first_held_out_target():
    table = table_of([[10, 20, 30, 40, 50], [10, 20]], [TRAIN, TRAIN, TRAIN, VALID, TEST, TRAIN, TRAIN])
    found = profiles_to_read(known([[10, 30, 40], [5]]), table, "published")
    assert found.profile.tolist() == [1, 1, 1, 1, 2, 4, 4]  # a leak for three targets, as its name says
    assert found.age.tolist() == [0, 0, 0, 0, 0, 0, 0]


@pytest.mark.parametrize(
    ("user", "as_of", "code"),
    [
        ([0, 0], [7, 7], "unsorted"),
        ([0, 0], [8, 7], "unsorted"),
        ([1, 0], [7, 8], "unsorted"),
        ([0, 2], [7, 8], "other-ids"),
        ([-1, 0], [7, 8], "other-ids"),
    ],
)
def test_profiles_out_of_order_or_of_strangers_are_refused(user, as_of, code):
    with refused(code, "here"):
        check_order(*arrays(user, as_of), 2, "here")


def test_profiles_in_order_are_not_refused():
    check_order(*arrays([0, 0, 1], [7, 8, 7]), 2, "here")
    check_order(*arrays([], []), 0, "here")


# In batches


class Case(NamedTuple):
    """Random histories in which every interaction has an item of its own, a split of them, and profiles."""

    table: pa.Table
    split: Split
    profiles: Profiles
    n_x: int

    def sequences(self, domains: str = "both", order: str = "time") -> Sequences:
        n = len(self.table)
        info = DatasetInfo(self.n_x, n - self.n_x, 9, None, self.profiles, torch.zeros(n))
        return read_sequences(self.table, self.split.windows, info, domains, order, 3)


def case_of(days: list[list[int]], versions: list[list[int]], name: str, seed: int) -> Case:
    """Build a case; ``name`` of a split."""
    sizes = [len(row) for row in days]
    items = np.random.default_rng(seed).permutation(sum(sizes))
    n_x = max(1, len(items) // 2)
    rows = [part.tolist() for part in np.split(items, np.cumsum(sizes)[:-1])]
    table = interactions(rows, n_x, days)
    user, time = (table[column].to_numpy() for column in ("user", "time"))
    split = {
        "leave_one_out": lambda: leave_one_out(user, time, 1),
        "ratio_windows": lambda: ratio_windows(user, time, (0.5, 0.25), 5, 2, 1),
        "temporal": lambda: temporal(user, time, (3 * DAY, 5 * DAY), 1),
    }[name]()
    return Case(table, split, known(versions), n_x)


@st.composite
def cases(draw) -> Case:
    day = st.lists(st.integers(0, 7), min_size=1, max_size=12).map(sorted)
    days = draw(st.lists(day, min_size=1, max_size=4))
    moment = st.builds(lambda one, shift: one * DAY + shift, st.integers(0, 7), st.sampled_from([-1, 0, 1]))
    versions = [sorted(draw(st.sets(moment, max_size=4))) for _ in days]
    name = draw(st.sampled_from(["leave_one_out", "ratio_windows", "temporal"]))
    return case_of(days, versions, name, draw(st.integers(0, 99)))


def faults(case: Case, built: Sequences, exact: bool = True) -> set[str]:
    """List what is wrong with the profiles in batches of training, validation and test.

    Args:
        case: from which all is computed again, by a plain rule.
        built: the sequences of a model.
        exact: the latest profile and its age are expected, and not any profile from before the target.
    """
    gatherer = Gatherer(built, LENGTH, case.n_x, len(case.table), CPU)
    training, held_out = built.of_split(TRAIN), built.take(built.split != TRAIN)
    prefixes = gatherer.prefixes(prefix_samples(training))
    windows = gatherer.sequences(sequence_samples(training, LENGTH))
    evaluated = gatherer.histories(held_out.user, held_out.start, held_out.end - 1)
    read = [(*_last(prefixes.histories.profile), prefixes.target)]
    read.append(
        (windows.histories.profile.row.flatten(), windows.histories.profile.age.flatten(), windows.targets.flatten())
    )
    found = {fault for part in read for fault in _faults(case, *part, exact)}
    return found | _faults(case, *_last(evaluated.profile), torch.from_numpy(held_out.target), True)


def _last(profile: HistoryProfiles) -> tuple[torch.Tensor, torch.Tensor]:
    return profile.row[:, -1], profile.age[:, -1]


def _faults(case: Case, row: torch.Tensor, age: torch.Tensor, target: torch.Tensor, exact: bool) -> set[str]:
    item, user, time = (case.table[name].to_pylist() for name in ("item", "user", "time"))
    owner, as_of = case.profiles.user.tolist(), case.profiles.as_of.tolist()
    found = set()
    for profile, old, one in zip(row.tolist(), age.tolist(), target.tolist(), strict=True):
        if one == len(item):  # padding: no target
            continue
        place = item.index(one)
        allowed = [p for p in range(len(owner)) if owner[p] == user[place] and as_of[p] < time[place]]
        wanted = allowed[-1] if allowed else len(owner)
        since = [r for r in range(place) if user[r] == user[place] and allowed and time[r] > as_of[wanted]]
        if profile != len(owner) and profile not in allowed:
            found.add("a later profile, or another user's")
        if exact and profile != wanted:
            found.add("not the latest profile")
        if exact and old != len(since):
            found.add("another age")
    return found


small = settings(max_examples=30, deadline=None)


@small
@given(cases())
def test_every_target_reads_the_latest_profile_from_before_it(case):
    assert faults(case, case.sequences()) == set()
    # In its own domain a target has the same time, and its user the same interactions since the profile.
    assert faults(case, case.sequences("own")) == set()


@small
@given(cases(), st.sampled_from(["both", "own"]))
def test_in_no_order_no_target_reads_a_later_profile(case, domains):
    assert faults(case, case.sequences(domains, "shuffled"), exact=False) == set()


@small
@given(cases(), st.sampled_from(["before_target", "older"]))
def test_an_older_profile_is_never_a_later_one(case, time):
    found = profiles_to_read(case.profiles, case.table, time)
    row, age = torch.from_numpy(found.profile), torch.from_numpy(found.age)
    target = torch.from_numpy(case.table["item"].to_numpy().astype(np.int64))
    assert _faults(case, row, age, target, exact=time == "before_target") == set()
    assert (found.age >= 0).all()


PLANTED_DAYS = [[0, 1, 1, 2, 3, 4, 5, 6], [0, 2, 3, 3, 5, 6]]
PLANTED_VERSIONS = [[DAY, 3 * DAY, 5 * DAY], [2 * DAY, 5 * DAY]]


@pytest.fixture(params=["leave_one_out", "ratio_windows", "temporal"])
def planted(request) -> Case:
    case = case_of(PLANTED_DAYS, PLANTED_VERSIONS, request.param, 1)
    assert faults(case, case.sequences()) == faults(case, case.sequences("own")) == set()
    return case


def _at_the_time_too(self, user, time):
    return _before(self, user, time + 1)


_before = Profiles.before


def test_a_profile_of_the_targets_own_time_is_seen(planted):
    with mock.patch.object(Profiles, "before", _at_the_time_too):
        found = faults(planted, planted.sequences())
    assert "a later profile, or another user's" in found


@pytest.mark.parametrize(
    ("shift", "fault"), [(1, "a later profile, or another user's"), (-1, "not the latest profile")]
)
def test_a_profile_of_another_row_is_seen(planted, shift, fault):
    def wrong(profiles, device):
        return HistoryProfiles(*(part.roll(-shift) for part in right(profiles, device)))

    right = batch._per_row
    with mock.patch.object(batch, "_per_row", wrong):
        assert fault in faults(planted, planted.sequences())


def _unmoved(profiles, rows):
    return profiles.take(np.arange(len(rows)) % len(profiles.profile))


def test_profiles_that_stay_while_rows_move_are_seen(planted):
    with mock.patch.object(sequences, "_taken", _unmoved):
        assert faults(planted, planted.sequences("own"))
        assert faults(planted, planted.sequences("both", "shuffled"), exact=False)


def test_a_target_without_any_history_reads_a_profile_too():
    """The first item of a user in the domain of the target, with `domains: own`."""
    case = case_of([[0, 1, 2]], [[0]], "leave_one_out", 0)
    items = case.table.schema.get_field_index("item")
    case = case._replace(table=case.table.set_column(items, "item", pa.array([0, 1, 2], pa.int32())), n_x=2)
    own = case.sequences("own").of_split(TEST)
    histories = Gatherer(own, LENGTH, 2, 3, CPU).histories(own.user, own.start, own.end - 1)
    assert histories.sequence.tolist() == [[3] * LENGTH]
    assert histories.profile.row.tolist() == [[1, 1, 1, 0]]
    assert histories.profile.age.tolist() == [[0, 0, 0, 1]]
