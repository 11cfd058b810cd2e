"""The tables of a pair as what models are built from and fed with."""

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
    """All that training and evaluation read of a pair."""

    info: DatasetInfo
    sequences: Sequences


def load_pair_data(artefacts: Artefacts, domains: str, order: str = "time", seed: int = 0) -> PairData:
    """Load sequences and vectors.

    Args:
        artefacts: where the pair lies.
        domains: ``both``, or ``own`` (one-domain control).
        order: ``time``, or ``shuffled`` (control without order).
        seed: of the model, from which ``shuffled`` draws.

    Raises:
        UserError: a file is missing, or the vectors are not those of the sequences.
    """
    interactions = read_table(artefacts.interactions, INTERACTIONS)
    info = load_info(artefacts, interactions)
    sequences = from_tables(interactions, read_table(artefacts.windows, WINDOWS))
    if domains == "own":
        sequences = own_domain(sequences, info.n_x)
    return PairData(info, shuffled(sequences, seed) if order == "shuffled" else sequences)


def load_info(artefacts: Artefacts, interactions: pa.Table | None = None) -> DatasetInfo:
    """Load sizes, vectors, training counts and days of a pair; its ``interactions`` too, unless they are at hand.

    Raises:
        UserError: a file is missing, or the vectors are not those of the sequences.
    """
    if interactions is None:
        interactions = read_table(artefacts.interactions, INTERACTIONS, ["time", "split"])
    items = read_table(artefacts.items, ITEMS, ["domain", "train_count"])
    n_users = len(read_table(artefacts.users, USERS, ["user"]))
    domain = items["domain"].to_numpy()
    return DatasetInfo(
        n_x=int((domain == 0).sum()),
        n_y=int((domain == 1).sum()),
        n_users=n_users,
        item_vectors=_vectors(artefacts.item_vectors, len(items)),
        user_vectors=_vectors(artefacts.user_vectors, n_users),
        train_counts=torch.from_numpy(items["train_count"].to_numpy().astype(np.int64)),
        train_days=_train_days(interactions),
    )


def _train_days(interactions: pa.Table) -> tuple[int, int]:
    days = interactions["time"].to_numpy()[interactions["split"].to_numpy() == TRAIN] // SECONDS_PER_DAY
    return (int(days.min()), int(days.max())) if len(days) else (0, 0)


def _vectors(path: Path, count: int) -> Tensor:
    """``[count+1, D]``, the last row zeros (padding item or anonymous user); ids must be 0 … count-1 in order."""
    where = str(path)
    table: pa.Table = read_table(path, vectors(1))  # the columns are checked, the width is the encoder's
    if len(table) != count or not (table["id"].to_numpy() == np.arange(count)).all():
        raise UserError(f"holds {len(table):,} vectors, expected {count:,} in order", where=where, do=REBUILD)
    column = table["vector"].chunk(0) if count else table["vector"]
    rows = column.values.to_numpy().reshape(count, -1)
    return torch.from_numpy(np.vstack([rows, np.zeros((1, rows.shape[1]), rows.dtype)]))
