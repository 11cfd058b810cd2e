"""Load the tables of a pair in the form that training and evaluation read."""

from __future__ import annotations

import hashlib
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from torch import Tensor

from lecdsr.core.errors import UserError
from lecdsr.core.files import REBUILD, read_table
from lecdsr.core.paths import Artefacts
from lecdsr.core.schemas import INTERACTIONS, ITEMS, PROFILES, SECONDS_PER_DAY, TRAIN, USERS, WIDTHS, WINDOWS, vectors
from lecdsr.data.info import DatasetInfo
from lecdsr.data.profiles import Profiles, ProfileTime, check_order, profiles_to_read
from lecdsr.data.sequences import Sequences, from_tables, own_domain, shuffled


class PairData(NamedTuple):
    """Everything that training and evaluation read of a pair."""

    info: DatasetInfo
    sequences: Sequences


class PairTables(NamedTuple):
    """Tables of a pair from which :class:`PairData` is built, see ``lecdsr.core.schemas``.

    ``item_vectors`` is ``None`` without texts, ``profiles`` and ``phrase_vectors`` without profiles.
    """

    items: pa.Table
    users: pa.Table
    interactions: pa.Table
    windows: pa.Table
    item_vectors: pa.Table | None = None
    profiles: pa.Table | None = None
    phrase_vectors: pa.Table | None = None


def load_pair_data(
    artefacts: Artefacts, domains: str, order: str = "time", seed: int = 0, profile_time: ProfileTime = "before_target"
) -> PairData:
    """Load the sequences and dataset info of a pair.

    Args:
        artefacts: paths of the pair's files.
        domains: ``both``, or ``own`` (control with one domain).
        order: ``time``, or ``shuffled`` (control without order).
        seed: seed of the model, from which ``shuffled`` draws.
        profile_time: which profile a target reads, see :class:`~lecdsr.models.base.ModelSettings`.

    Raises:
        UserError: a file is missing, or the vectors do not belong to the sequences.
    """
    interactions = read_table(artefacts.interactions, INTERACTIONS)
    info = load_info(artefacts, interactions)
    windows = read_table(artefacts.windows, WINDOWS)
    return PairData(info, read_sequences(interactions, windows, info, domains, order, seed, profile_time))


def pair_data(
    tables: PairTables, domains: str, order: str = "time", seed: int = 0, profile_time: ProfileTime = "before_target"
) -> PairData:
    """Build sequences and dataset info from tables in memory; arguments as for :func:`load_pair_data`.

    Raises:
        UserError: the vectors do not belong to the sequences.
    """
    info, interactions = info_of(tables), tables.interactions
    return PairData(info, read_sequences(interactions, tables.windows, info, domains, order, seed, profile_time))


def read_sequences(
    interactions: pa.Table,
    windows: pa.Table,
    info: DatasetInfo,
    domains: str,
    order: str,
    seed: int,
    profile_time: ProfileTime = "before_target",
) -> Sequences:
    """Build the windows that a model reads: of both domains or of one, in time order or shuffled."""
    profiles = None if info.profiles is None else profiles_to_read(info.profiles, interactions, profile_time)
    sequences = from_tables(interactions, windows, profiles)
    if domains == "own":
        sequences = own_domain(sequences, info.n_x)
    return shuffled(sequences, seed) if order == "shuffled" else sequences


def load_info(artefacts: Artefacts, interactions: pa.Table | None = None) -> DatasetInfo:
    """Load the dataset info of a pair; ``interactions`` are read only if they are not given.

    Raises:
        UserError: a file is missing, or the vectors do not belong to the sequences.
    """
    if interactions is None:
        interactions = read_table(artefacts.interactions, INTERACTIONS, ["time", "split"])
    items = read_table(artefacts.items, ITEMS, ["domain", "asin", "train_count"])
    reviewers = read_table(artefacts.users, USERS, ["reviewer"])["reviewer"]
    # Only the columns are checked, because the width depends on the encoder.
    item_vectors, phrases = (
        read_table(path, vectors(1)) for path in (artefacts.item_vectors, artefacts.phrase_vectors)
    )
    item_rows = vector_rows(item_vectors, len(items), str(artefacts.item_vectors))
    phrase_rows = vector_rows(phrases, len(phrases), str(artefacts.phrase_vectors))
    table = read_table(artefacts.profiles, PROFILES)
    profiles = profiles_of(table, phrase_rows, len(reviewers), str(artefacts.profiles))
    return _info(items, interactions, reviewers, item_rows, profiles, _widths(item_vectors))


def info_of(tables: PairTables) -> DatasetInfo:
    """Compute the dataset info of a pair from tables in memory.

    Raises:
        UserError: the vectors do not belong to the sequences.
    """
    n_users, items, phrases = len(tables.users), tables.item_vectors, tables.phrase_vectors
    item_rows = None if items is None else vector_rows(items, len(tables.items), "vectors of items")
    read = None
    if tables.profiles is not None and phrases is not None:
        rows = vector_rows(phrases, len(phrases), "vectors of phrases")
        read = profiles_of(tables.profiles, rows, n_users, "profiles")
    widths, reviewers = () if items is None else _widths(items), tables.users["reviewer"]
    return _info(tables.items, tables.interactions, reviewers, item_rows, read, widths)


def _info(
    items: pa.Table,
    interactions: pa.Table,
    reviewers: pa.ChunkedArray,
    item_vectors: Tensor | None,
    profiles: Profiles | None,
    widths: tuple[int, ...],
) -> DatasetInfo:
    domain = items["domain"].to_numpy()
    return DatasetInfo(
        n_x=int((domain == 0).sum()),
        n_y=int((domain == 1).sum()),
        n_users=len(reviewers),
        item_vectors=item_vectors,
        profiles=profiles,
        train_counts=torch.from_numpy(items["train_count"].to_numpy().astype(np.int64)),
        train_days=_train_days(interactions),
        text_widths=widths,
        item_ids=_hash_ids(items["asin"]),
        user_ids=_hash_ids(reviewers),
    )


def _hash_ids(ids: pa.ChunkedArray) -> str:
    """SHA-256 of ids in order."""
    return hashlib.sha256("\n".join(str(name) for name in ids.to_pylist()).encode()).hexdigest()


def _widths(table: pa.Table) -> tuple[int, ...]:
    """Widths of the encoders whose vectors a table joins."""
    written = (table.schema.metadata or {}).get(WIDTHS, b"").decode()
    return tuple(int(width) for width in written.split(",") if width)


def profiles_of(table: pa.Table, phrases: Tensor, n_users: int, where: str) -> Profiles:
    """Convert the table of profiles.

    Args:
        table: table ``PROFILES``.
        phrases: ``[V+1, D]`` vectors of the phrases, the last row zero.
        n_users: users of the pair.
        where: name of the table in an error message.

    Raises:
        UserError: the profiles are not sorted, or belong to other users or phrases.
    """
    user, as_of, whole = (table[name].to_numpy().astype(np.int64) for name in ("user", "as_of", "whole"))
    check_order(user, as_of, n_users, where)
    columns = [table[name].combine_chunks() for name in ("next_x", "next_y")]
    none = len(phrases) - 1
    named = np.concatenate([whole, *(column.flatten().to_numpy() for column in columns)])
    if len(named) and (named.min() < 0 or named.max() >= none):
        raise UserError("the profiles name phrases that do not exist", where=where, do=REBUILD, code="other-ids")
    lists = [_padded(column, none) for column in columns]
    longest = max(1, *(part.shape[1] for part in lists))
    padded = [np.pad(part, ((0, 1), (0, longest - part.shape[1])), constant_values=none) for part in lists]
    whole = np.append(whole, none)
    return Profiles(user, as_of, phrases, torch.from_numpy(whole), torch.from_numpy(np.stack(padded, axis=1)))


def _padded(lists: pa.ListArray, padding: int) -> NDArray[np.int64]:
    """``[P, K]`` lists of numbers, filled up to the longest of them."""
    sizes = np.diff(lists.offsets.to_numpy())
    rows = np.full((len(sizes), int(sizes.max(initial=0))), padding, np.int64)
    rows[np.arange(rows.shape[1]) < sizes[:, None]] = lists.values.to_numpy()[lists.offsets[0].as_py() :]
    return rows


def _train_days(interactions: pa.Table) -> tuple[int, int]:
    days = interactions["time"].to_numpy()[interactions["split"].to_numpy() == TRAIN] // SECONDS_PER_DAY
    return (int(days.min()), int(days.max())) if len(days) else (0, 0)


def vector_rows(table: pa.Table, count: int, where: str) -> Tensor:
    """Convert a table of vectors to a tensor ``[count+1, D]`` with a last row of zeros (padding).

    Args:
        table: table of vectors; its ids must be 0 … count-1 in order.
        count: number of items or phrases.
        where: name of the table in an error message.

    Raises:
        UserError: the ids differ.
    """
    if len(table) != count or not (table["id"].to_numpy() == np.arange(count)).all():
        what = f"the table holds {len(table):,} vectors; expected {count:,}, with the ids 0 to {count - 1:,} in order"
        raise UserError(what, where=where, do=REBUILD, code="other-ids")
    column = table["vector"].combine_chunks()
    rows = column.values.to_numpy().reshape(count, column.type.list_size)
    return torch.from_numpy(np.vstack([rows, np.zeros((1, rows.shape[1]), rows.dtype)]))
