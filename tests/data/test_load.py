"""The tables of a pair as models read them, and the messages for wrong tables."""

import numpy as np
import pyarrow as pa
import pytest
import torch

from lecdsr.core.files import write_table
from lecdsr.core.paths import Artefacts
from lecdsr.core.schemas import INTERACTIONS, ITEMS, USERS, WINDOWS
from lecdsr.data.load import load_info, load_pair_data
from lecdsr.embed.base import to_table
from lecdsr.sequences.split import leave_one_out
from tests.errors import refused
from tests.tiny import interactions, items_table

HISTORIES = [[0, 4, 1, 5, 2], [3, 4, 0]]
ITEM_ROWS = np.arange(18, dtype=np.float32).reshape(6, 3)
USER_ROWS = np.ones((2, 3), np.float32)


def write_vectors(path, rows):
    table = to_table(rows, "random")
    write_table(path, table, table.schema)


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
    write_vectors(found.user_vectors, USER_ROWS)
    return found


def test_the_catalogue(artefacts):
    found = load_info(artefacts)
    assert (found.n_x, found.n_y, found.n_users, found.n_items, found.padding) == (4, 2, 2, 6, 6)
    assert found.items_of(0) == slice(0, 4)
    assert found.items_of(1) == slice(4, 6)
    assert torch.equal(found.item_vectors, torch.from_numpy(np.vstack([ITEM_ROWS, np.zeros((1, 3), np.float32)])))
    assert torch.equal(found.user_vectors, torch.from_numpy(np.vstack([USER_ROWS, np.zeros((1, 3), np.float32)])))
    assert found.anonymous_user == 2
    assert not found.user_vectors[found.anonymous_user].any()
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


@pytest.mark.parametrize("kind", ["item_vectors", "user_vectors"])
def test_vectors_of_other_sequences(artefacts, kind):
    path, rows = getattr(artefacts, kind), ITEM_ROWS if kind == "item_vectors" else USER_ROWS
    for wrong in (rows[:-1], np.vstack([rows, rows])):
        write_vectors(path, wrong)
        with refused("other-ids", path):
            load_info(artefacts)
    table = to_table(rows, "random").take(list(range(len(rows)))[::-1])
    write_table(path, table, table.schema)
    with refused("other-ids", path):
        load_info(artefacts)


@pytest.mark.parametrize("kind", ["items", "users"])
def test_files_that_are_missing_or_broken(artefacts, kind):
    path = getattr(artefacts, kind)
    path.write_bytes(b"no parquet")
    with refused("broken-file", path):
        load_info(artefacts)
    path.unlink()
    with refused("missing-file", path):
        load_info(artefacts)


@pytest.mark.parametrize("kind", ["item_vectors", "user_vectors"])
def test_missing_vectors(artefacts, kind):
    path = getattr(artefacts, kind)
    path.unlink()
    with refused("missing-file", path):
        load_info(artefacts)
