import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from lecdsr.core.schemas import TEST, TRAIN, VALID
from lecdsr.prompts.history import shown_rows
from lecdsr.prompts.questions import write_questions
from tests.prompts.prompt_tables import DOMAINS, interactions, item, items, settings, users, windows

_SHOWN = re.compile(r"Thing-(\d+)-")


@st.composite
def sequences(draw):
    """Draw users with a training prefix, windows over it, and validation and test rows after it."""
    rows, cuts = [], []
    n_users = draw(st.integers(1, 5))
    for user in range(n_users):
        start, training = len(rows), draw(st.integers(0, 9))
        held_out = draw(st.lists(st.sampled_from([VALID, TEST]), max_size=3))
        rows += [(user, len(rows) + k, k % 2, split) for k, split in enumerate([TRAIN] * training + held_out)]
        for _ in range(draw(st.integers(0, 3)) if training > 1 else 0):
            first = draw(st.integers(start + 1, start + training - 1))
            cuts.append((TRAIN, user, start, first, draw(st.integers(first + 1, start + training))))
        if held_out:
            cuts.append((held_out[0], user, start, start + training, start + training + 1))
    return n_users, rows, sorted(cuts)


def shown_in_prompts(n_users, rows, cuts, **values):
    catalogue = items([item(number, domain, f"Thing-{number}-") for _, number, domain, _ in rows])
    questions = write_questions(
        catalogue, users(n_users), interactions(rows), windows(cuts), DOMAINS, settings(**values)
    )
    by_user = {row["id"]: row for row in questions.table.to_pylist()}
    return (
        questions,
        {user: [int(found) for found in _SHOWN.findall(row["body"])] for user, row in by_user.items()},
        {user: [int(found) for found in _SHOWN.findall(row["facts"])] for user, row in by_user.items()},
    )


@hypothesis_settings(max_examples=60, deadline=None)
@given(sequences(), st.integers(1, 6))
def test_no_target_and_no_held_out_row_reaches_a_prompt(case, length):
    n_users, rows, cuts = case
    questions, bodies, facts = shown_in_prompts(n_users, rows, cuts, history_length=length)
    assert bodies == facts
    assert not questions.profiles_saw_targets
    targets = {row for split, _, _, first, end in cuts if split == TRAIN for row in range(first, end)}
    for user in range(n_users):
        firsts = [first for split, who, _, first, _ in cuts if split == TRAIN and who == user]
        expected = [
            row
            for row, (who, _, _, split) in enumerate(rows)
            if who == user and split == TRAIN and row < min(firsts, default=len(rows))
        ][-length:]
        assert bodies.get(user, []) == expected
        assert not targets & set(expected)


@hypothesis_settings(max_examples=30, deadline=None)
@given(sequences())
def test_published_mode_shows_training_and_says_so(case):
    n_users, rows, cuts = case
    questions, bodies, _ = shown_in_prompts(n_users, rows, cuts, profile_from="training")
    for user in range(n_users):
        assert bodies.get(user, []) == [r for r, row in enumerate(rows) if row[0] == user and row[3] == TRAIN]
    assert questions.profiles_saw_targets == any(cut[0] == TRAIN for cut in cuts)


def test_user_with_nothing_to_show_has_no_question():
    rows = [(0, 0, 0, TRAIN), (0, 1, 1, TRAIN), (1, 2, 0, TEST), (2, 3, 0, TRAIN)]
    questions, bodies, _ = shown_in_prompts(3, rows, [(TRAIN, 0, 0, 1, 2)])
    assert bodies == {0: [0], 2: [3]}
    assert questions.metrics() == {
        "questions": 2,
        "profiles": 2,
        "descriptions": 0,
        "profiles_saw_targets": False,
        "users_without_profile": 1,
    }


def test_unsorted_interactions_are_refused():
    with pytest.raises(ValueError, match="not sorted"):
        shown_rows(interactions([(1, 0, 0, TRAIN), (0, 1, 0, TRAIN)]), windows([]), 2, "training", 5)


def test_latest_rows_of_each_user_in_time_order():
    table = interactions([(0, k, 0, TRAIN) for k in range(4)] + [(2, k, 0, TRAIN) for k in range(2)])
    shown = shown_rows(table, windows([]), 4, "before_first_target", 3)
    assert [shown.of(user).tolist() for user in range(4)] == [[1, 2, 3], [], [4, 5], []]
    assert shown.offsets.dtype == np.int64
