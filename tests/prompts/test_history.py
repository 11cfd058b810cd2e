"""Which interactions a version of a profile shows, and the time up to which it knows them."""

import datetime
import re

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from lecdsr.core.schemas import INTERACTIONS, SECONDS_PER_DAY, TEST, TRAIN, VALID
from lecdsr.prompts.history import profile_parts
from lecdsr.prompts.questions import write_questions
from tests.prompts.prompt_tables import DOMAINS, interactions, item, items, settings, users

_SHOWN = re.compile(r"Thing-(\d+)-")
NAMED = ["first_half", "training", "before_test", "latest"]
#: Days of the interactions of one user: five in training, two in validation, one in test.
ONE = [(0, TRAIN), (1, TRAIN), (2, TRAIN), (2, TRAIN), (4, TRAIN), (5, VALID), (6, VALID), (9, TEST)]


def table(users_rows):
    """Build interactions, each with an item of its own, from lists of (day, split), one list per user."""
    rows = [(user, *row) for user, own in enumerate(users_rows) for row in own]
    built = interactions([(user, number, number % 2, split) for number, (user, _, split) in enumerate(rows)])
    times = [day * SECONDS_PER_DAY for _, day, _ in rows]
    return built.set_column(
        INTERACTIONS.get_field_index("time"), INTERACTIONS.field("time"), pa.array(times, pa.int64())
    )


def parts(versions, *users_rows, length=30):
    found = profile_parts(table(users_rows), len(users_rows), versions, length)
    columns = (found.user, found.start, found.end, found.as_of // SECONDS_PER_DAY, found.version)
    return list(zip(*(column.tolist() for column in columns), strict=True))


@pytest.mark.parametrize(
    ("version", "end", "day"),
    [
        ("first_half", 3, 2),
        ("training", 5, 4),
        ("before_test", 7, 6),
        ("latest", 8, 9),
        (1, 1, 0),
        (2, 2, 1),
        (99, 5, 4),
        (datetime.date(1970, 1, 2), 1, 0),
        (datetime.date(1970, 1, 3), 2, 1),
        (datetime.date(1970, 1, 4), 4, 2),
        (datetime.date(2000, 1, 1), 8, 9),
    ],
)
def test_versions_by_hand(version, end, day):
    assert parts([version], ONE) == [(0, 0, end, day, 0)]


def test_versions_of_several_users_are_sorted_by_user_and_time():
    two = [(3, TRAIN), (4, VALID), (8, TEST)]
    assert parts(["latest", *NAMED[:3]], ONE, [(1, TEST)], two, length=3) == [
        (0, 0, 3, 2, 1),
        (0, 2, 5, 4, 2),
        (0, 4, 7, 6, 3),
        (0, 5, 8, 9, 0),
        (1, 8, 9, 1, 0),
        (2, 9, 10, 3, 1),  # the first half of one interaction is all of training: written once
        (2, 9, 11, 4, 3),
        (2, 9, 12, 8, 0),
    ]


def test_of_versions_with_one_time_the_longest_is_kept():
    assert parts([3, 4], ONE) == [(0, 0, 4, 2, 1)]
    assert parts(["training", 5, "first_half", 3], ONE) == [(0, 0, 3, 2, 2), (0, 0, 5, 4, 0)]


def test_no_interaction_in_the_part_gives_no_version():
    assert parts([datetime.date(1970, 1, 1)], ONE) == []
    assert parts(["training", "before_test"], [(1, VALID), (2, TEST)], [(1, TEST)]) == [(0, 0, 1, 1, 1)]
    assert parts(NAMED) == []


@st.composite
def histories(draw):
    """Draw histories of users, whose interactions may share a day, each split at two places."""
    found = []
    for _ in range(draw(st.integers(1, 5))):
        days = sorted(draw(st.lists(st.integers(0, 30), max_size=12)))
        first, second = sorted((draw(st.integers(0, len(days))), draw(st.integers(0, len(days)))))
        splits = [TRAIN] * first + [VALID] * (second - first) + [TEST] * (len(days) - second)
        found.append(list(zip(days, splits, strict=True)))
    return found


VERSIONS = st.one_of(
    st.sampled_from(NAMED), st.integers(1, 9), st.dates(datetime.date(1970, 1, 1), datetime.date(1970, 2, 9))
)


@hypothesis_settings(max_examples=80, deadline=None)
@given(histories(), st.lists(VERSIONS, min_size=1, max_size=5, unique=True), st.integers(1, 6))
def test_a_question_shows_the_latest_interactions_up_to_its_time_and_no_later_one(users_rows, versions, length):
    bought = table(users_rows)
    owner, time, split = (bought[name].to_numpy() for name in ("user", "time", "split"))
    catalogue = items([item(number, number % 2, f"Thing-{number}-") for number in range(len(bought))])
    chosen = settings(profile_versions=versions, history_length=length)
    questions = write_questions(catalogue, users(len(users_rows)), bought, DOMAINS, chosen)
    seen = set()
    for row in questions.table.to_pylist():
        shown = [int(number) for number in _SHOWN.findall(row["body"])]
        assert shown == [int(number) for number in _SHOWN.findall(row["facts"])]
        before = [at for at in range(len(bought)) if owner[at] == row["id"] and at <= shown[-1]]
        assert shown == before[-length:]
        assert time[shown].max() == row["as_of"]
        if set(versions) <= {"first_half", "training", *range(1, 10)}:
            assert (split[shown] == TRAIN).all()
        if "latest" not in versions and not any(isinstance(entry, datetime.date) for entry in versions):
            assert (split[shown] != TEST).all()
        seen.add((row["id"], row["as_of"]))
    assert len(seen) == questions.table.num_rows == questions.profiles
    assert sorted(seen) == [(row["id"], row["as_of"]) for row in questions.table.to_pylist()]
    assert sum(questions.profiles_by_version.values()) == questions.profiles
    if "latest" in versions:
        assert {user for user, _ in seen} == {user for user, own in enumerate(users_rows) if own}


def test_metrics_count_versions():
    bought = table([ONE, [(0, TRAIN)], [(3, TEST)]])
    catalogue = items([item(number, number % 2, f"Thing-{number}-") for number in range(len(bought))])
    chosen = settings(profile_versions=["first_half", "training", "before_test"])
    assert write_questions(catalogue, users(3), bought, DOMAINS, chosen).metrics() == {
        "questions": 4,
        "profiles": 4,
        "descriptions": 0,
        "profiles_by_version": {"first_half": 2, "training": 1, "before_test": 1},
        "users_without_profile": 1,
    }


def test_unsorted_interactions_are_refused():
    unsorted = interactions([(1, 0, 0, TRAIN), (0, 1, 0, TRAIN)])
    with pytest.raises(ValueError, match="not sorted"):
        profile_parts(unsorted, 2, ["training"], 5)
    with pytest.raises(ValueError, match="not sorted"):
        profile_parts(table([[(2, TRAIN), (1, TRAIN)]]), 1, ["training"], 5)
    with pytest.raises(ValueError, match="not in order"):
        profile_parts(table([[(1, VALID), (2, TRAIN)]]), 1, ["training"], 5)


def test_arrays_are_of_the_row_type():
    found = profile_parts(table([ONE]), 1, ["training"], 3)
    assert {array.dtype for array in (found.user, found.start, found.end, found.as_of)} == {np.dtype(np.int64)}
