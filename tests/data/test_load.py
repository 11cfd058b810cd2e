"""The tables of a pair as models read them, and the messages for wrong tables."""

import numpy as np
import pyarrow as pa
import pytest
import torch

from lecdsr.core.files import write_table
from lecdsr.core.paths import Artefacts
from lecdsr.core.schemas import INTERACTIONS, ITEMS, PROFILES, USERS, WINDOWS
from lecdsr.data.load import load_info, load_pair_data
from lecdsr.embed.base import to_table
from lecdsr.sequences.split import leave_one_out
from tests.errors import refused
from tests.tiny import interactions, items_table

HISTORIES = [[0, 4, 1, 5, 2], [3, 4, 0]]
ITEM_ROWS = np.arange(18, dtype=np.float32).reshape(6, 3)
PHRASES = np.arange(1, 13, dtype=np.float32).reshape(4, 3)
#: User 0 has two versions; the lists of the first are one longer and one empty.
PROFILE_ROWS = {
    "user": [0, 0, 1],
    "as_of": [0, 172_800, 86_400],
    "whole": [3, 2, 3],
    "next_x": [[0, 1], [1], []],
    "next_y": [[], [2], [0, 1]],
}


def write_vectors(path, rows):
    table = to_table(rows, "random")
    write_table(path, table, table.schema)


def write_profiles(path, **changed):
    write_table(path, pa.table({**PROFILE_ROWS, **changed}).cast(PROFILES), PROFILES)


@pytest.fixture
def artefacts(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = Artefacts("toy")
    table = interactions(HISTORIES, 4)
    write_table(found.interactions, table, INTERACTIONS)
    split = leave_one_out(table["user"].to_numpy(), table["time"].to_numpy(), 1)
    write_table(found.windows, split.windows, WINDOWS)
    items = items_table(4, 2).set_column(7, "train_count", pa.array([5, 4, 3, 2, 1, 0], pa.int32()))
    write_table(found.items, items, ITEMS)
    users = {"user": [0, 1], "reviewer": ["a", "b"], "n_x": [3, 2], "n_y": [2, 1]}
    write_table(found.users, pa.table(users).cast(USERS), USERS)
    write_vectors(found.item_vectors, ITEM_ROWS)
    write_vectors(found.phrase_vectors, PHRASES)
    write_profiles(found.profiles)
    return found


def test_the_catalogue(artefacts):
    found = load_info(artefacts)
    assert (found.n_x, found.n_y, found.n_users, found.n_items, found.padding) == (4, 2, 2, 6, 6)
    assert found.items_of(0) == slice(0, 4)
    assert found.items_of(1) == slice(4, 6)
    assert torch.equal(found.item_vectors, torch.from_numpy(np.vstack([ITEM_ROWS, np.zeros((1, 3), np.float32)])))
    assert found.anonymous_user == 2
    assert found.train_counts.tolist() == [5, 4, 3, 2, 1, 0]
    assert found.train_counts.dtype == torch.long


def test_both_domains_or_the_own(artefacts):
    both, own = (load_pair_data(artefacts, domains).sequences for domains in ("both", "own"))
    assert both.items.tolist() == [0, 4, 1, 5, 2, 3, 4, 0]
    last = own.of_split(2)
    histories = [own.items[a:b].tolist() for a, b in zip(last.start, last.end, strict=True)]
    assert histories == [[0, 1, 2], [3, 0]]


def test_order_by_time_or_none(artefacts):
    found = [load_pair_data(artefacts, "own", "shuffled", seed).sequences for seed in range(20)]
    ends = [[one.items[a:b].tolist() for a, b in zip(one.start, one.end, strict=True)][-2:] for one in found]
    assert {tuple(first) for first, _ in ends} == {(0, 1, 2), (1, 0, 2)}
    assert all(second == [3, 0] for _, second in ends)


def test_profiles_are_lists_of_rows_of_vectors(artefacts):
    profiles = load_info(artefacts).profiles
    assert (profiles.user.tolist(), profiles.as_of.tolist()) == ([0, 0, 1], [0, 172_800, 86_400])
    assert torch.equal(profiles.vectors, torch.from_numpy(np.vstack([PHRASES, np.zeros((1, 3), np.float32)])))
    assert profiles.whole.tolist() == [3, 2, 3, 4]
    assert profiles.lists.tolist() == [[[0, 1], [4, 4]], [[1, 4], [2, 4]], [[4, 4], [0, 1]], [[4, 4], [4, 4]]]
    assert load_info(artefacts).unknown_profile == 3


def test_no_profile_at_all(artefacts):
    write_profiles(artefacts.profiles, **{name: [] for name in PROFILE_ROWS})
    write_vectors(artefacts.phrase_vectors, PHRASES[:0])
    found = load_pair_data(artefacts, "both")
    assert not found.info.profiles
    assert found.info.profiles.lists.tolist() == [[[0], [0]]]
    assert not found.info.profiles.vectors.any()
    assert set(found.sequences.profiles.profile) == {found.info.unknown_profile} == {0}


def test_what_each_interaction_may_read(artefacts):
    # User 0 on days 0 … 4 with profiles of days 0 and 2; user 1 on days 0 … 2 with one of day 1.
    found = load_pair_data(artefacts, "both").sequences.profiles
    assert found.profile.tolist() == [3, 0, 0, 1, 1, 3, 3, 2]
    assert found.age.tolist() == [0, 0, 1, 0, 1, 0, 0, 0]
    older = load_pair_data(artefacts, "both", profile_time="older").sequences.profiles
    assert older.profile.tolist() == [3, 3, 3, 0, 0, 3, 3, 3]


@pytest.mark.parametrize(
    ("code", "changed"),
    [
        ("other-ids", {"user": [0, 0, 2]}),
        ("unsorted", {"user": [0, 1, 0]}),
        ("unsorted", {"as_of": [7, 7, 8]}),
        ("other-ids", {"whole": [3, 2, 4]}),
        ("other-ids", {"next_x": [[0, -1], [1], []]}),
        ("other-ids", {"next_y": [[], [4], [0, 1]]}),
    ],
)
def test_profiles_of_other_sequences(artefacts, code, changed):
    write_profiles(artefacts.profiles, **changed)
    with refused(code, artefacts.profiles):
        load_info(artefacts)


@pytest.mark.parametrize("kind", ["item_vectors", "phrase_vectors"])
def test_vectors_of_other_sequences(artefacts, kind):
    path, rows = getattr(artefacts, kind), ITEM_ROWS if kind == "item_vectors" else PHRASES
    for wrong in (rows[:-1], np.vstack([rows, rows])) if kind == "item_vectors" else (rows[:-1], rows[:0]):
        write_vectors(path, wrong)
        with refused("other-ids", path if kind == "item_vectors" else artefacts.profiles):
            load_info(artefacts)
    table = to_table(rows, "random").take(list(range(len(rows)))[::-1])
    write_table(path, table, table.schema)
    with refused("other-ids", path):
        load_info(artefacts)


@pytest.mark.parametrize("kind", ["items", "users", "profiles"])
def test_files_that_are_missing_or_broken(artefacts, kind):
    path = getattr(artefacts, kind)
    path.write_bytes(b"no parquet")
    with refused("broken-file", path):
        load_info(artefacts)
    path.unlink()
    with refused("missing-file", path):
        load_info(artefacts)


@pytest.mark.parametrize("kind", ["item_vectors", "phrase_vectors"])
def test_missing_vectors(artefacts, kind):
    path = getattr(artefacts, kind)
    path.unlink()
    with refused("missing-file", path):
        load_info(artefacts)
