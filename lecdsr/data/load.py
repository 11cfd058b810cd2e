"""Load the tables of a pair in the form that training and evaluation read."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from lecdsr.core.errors import UserError
from lecdsr.core.files import REBUILD, read_table
from lecdsr.core.paths import Artefacts
from lecdsr.core.schemas import INTERACTIONS, ITEMS, SECONDS_PER_DAY, TRAIN, USERS, WINDOWS, vectors
from lecdsr.data.info import DatasetInfo
from lecdsr.data.sequences import Sequences, from_tables, own_domain, shuffled


class PairData(NamedTuple):
    """Everything that training and evaluation read of a pair."""

    info: DatasetInfo
    sequences: Sequences


class PairTables(NamedTuple):
    """Tables of a pair from which :class:`PairData` is built, see ``lecdsr.core.schemas``.

    ``item_vectors`` and ``user_vectors`` are ``None`` if there are no texts.
    """

    items: pa.Table
    users: pa.Table
    interactions: pa.Table
    windows: pa.Table
    item_vectors: pa.Table | None = None
    user_vectors: pa.Table | None = None


def load_pair_data(artefacts: Artefacts, domains: str, order: str = "time", seed: int = 0) -> PairData:
    """Load the sequences and dataset info of a pair.

    Args:
        artefacts: paths of the pair's files.
        domains: ``both``, or ``own`` (control with one domain).
        order: ``time``, or ``shuffled`` (control without order).
        seed: seed of the model, from which ``shuffled`` draws.

    Raises:
        UserError: a file is missing, or the vectors do not belong to the sequences.
    """
    interactions = read_table(artefacts.interactions, INTERACTIONS)
    info = load_info(artefacts, interactions)
    windows = read_table(artefacts.windows, WINDOWS)
    return PairData(info, read_sequences(interactions, windows, info.n_x, domains, order, seed))


def pair_data(tables: PairTables, domains: str, order: str = "time", seed: int = 0) -> PairData:
    """Build sequences and dataset info from tables in memory; arguments as for :func:`load_pair_data`.

    Raises:
        UserError: the vectors do not belong to the sequences.
    """
    info = info_of(tables)
    return PairData(info, read_sequences(tables.interactions, tables.windows, info.n_x, domains, order, seed))


def read_sequences(
    interactions: pa.Table, windows: pa.Table, n_x: int, domains: str, order: str, seed: int
) -> Sequences:
    """Build the windows that a model reads: of both domains or of one, in time order or shuffled."""
    sequences = from_tables(interactions, windows)
    if domains == "own":
        sequences = own_domain(sequences, n_x)
    return shuffled(sequences, seed) if order == "shuffled" else sequences


def load_info(artefacts: Artefacts, interactions: pa.Table | None = None) -> DatasetInfo:
    """Load the dataset info of a pair; ``interactions`` are read only if they are not given.

    Raises:
        UserError: a file is missing, or the vectors do not belong to the sequences.
    """
    if interactions is None:
        interactions = read_table(artefacts.interactions, INTERACTIONS, ["time", "split"])
    items = read_table(artefacts.items, ITEMS, ["domain", "train_count"])
    users = read_table(artefacts.users, USERS, ["user"])
    return _info(
        items,
        interactions,
        len(users),
        _vectors(artefacts.item_vectors, len(items)),
        _vectors(artefacts.user_vectors, len(users)),
    )


def info_of(tables: PairTables) -> DatasetInfo:
    """Compute the dataset info of a pair from tables in memory.

    Raises:
        UserError: the vectors do not belong to the sequences.
    """
    n_items, n_users = len(tables.items), len(tables.users)
    items, users = tables.item_vectors, tables.user_vectors
    item_rows = None if items is None else vector_rows(items, n_items, "vectors of items")
    user_rows = None if users is None else vector_rows(users, n_users, "vectors of users")
    return _info(tables.items, tables.interactions, n_users, item_rows, user_rows)


def _info(
    items: pa.Table, interactions: pa.Table, n_users: int, item_vectors: Tensor | None, user_vectors: Tensor | None
) -> DatasetInfo:
    domain = items["domain"].to_numpy()
    return DatasetInfo(
        n_x=int((domain == 0).sum()),
        n_y=int((domain == 1).sum()),
        n_users=n_users,
        item_vectors=item_vectors,
        user_vectors=user_vectors,
        train_counts=torch.from_numpy(items["train_count"].to_numpy().astype(np.int64)),
        train_days=_train_days(interactions),
    )


def _train_days(interactions: pa.Table) -> tuple[int, int]:
    days = interactions["time"].to_numpy()[interactions["split"].to_numpy() == TRAIN] // SECONDS_PER_DAY
    return (int(days.min()), int(days.max())) if len(days) else (0, 0)


def _vectors(path: Path, count: int) -> Tensor:
    # Only the columns are checked, because the width depends on the encoder.
    return vector_rows(read_table(path, vectors(1)), count, str(path))


def vector_rows(table: pa.Table, count: int, where: str) -> Tensor:
    """Convert a table of vectors to a tensor ``[count+1, D]`` with a last row of zeros (padding or anonymous user).

    Args:
        table: table of vectors; its ids must be 0 … count-1 in order.
        count: number of items or users.
        where: name of the table in an error message.

    Raises:
        UserError: the ids differ.
    """
    if len(table) != count or not (table["id"].to_numpy() == np.arange(count)).all():
        what = f"the table holds {len(table):,} vectors; expected {count:,}, with the ids 0 to {count - 1:,} in order"
        raise UserError(what, where=where, do=REBUILD, code="other-ids")
    column = table["vector"].combine_chunks() if count else table["vector"]
    rows = column.values.to_numpy().reshape(count, -1)
    return torch.from_numpy(np.vstack([rows, np.zeros((1, rows.shape[1]), rows.dtype)]))
