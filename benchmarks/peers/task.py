"""What every side of a comparison is given, and what it returns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray

from benchmarks.peers.clock import EpochClock
from lecdsr.core.files import read_table
from lecdsr.core.paths import Artefacts
from lecdsr.core.schemas import CANDIDATES, INTERACTIONS
from lecdsr.data.load import PairData, load_pair_data


class Task(NamedTuple):
    """A training: data, setting, seed and clock.

    Args:
        pair: name of the pair.
        data: sequences and sizes of the pair.
        time: ``[R]`` seconds of every interaction, since 1970.
        candidates: negatives of the sampled ranking.
        setting: settings that differ from the defaults of the side, by the names of its own library.
        seed: seed of the training.
        device: where to compute.
        precision: ``float32`` or ``bfloat16``.
        clock: measures the training and ends it.
        rank: rank the held-out targets at the end; a run for its time alone does not.
    """

    pair: str
    data: PairData
    time: NDArray[np.int64]
    candidates: pa.Table
    setting: Mapping[str, Any]
    seed: int
    device: torch.device
    precision: str
    clock: EpochClock
    rank: bool


class Trained(NamedTuple):
    """Result of a training: trainable parameters, name and version of the library, and the table ``RANKS``.

    ``ranks`` is ``None`` in a run for its time alone.
    """

    parameters: int
    library: str
    ranks: pa.Table | None


def load_task_data(pair: str) -> tuple[PairData, NDArray[np.int64], pa.Table]:
    """Load sequences and sizes of a pair, the times of its interactions, and the negatives.

    Raises:
        UserError: a file is missing; `dvc repro` writes it.
    """
    artefacts = Artefacts(pair)
    time = read_table(artefacts.interactions, INTERACTIONS, ["time"])["time"].to_numpy()
    return load_pair_data(artefacts, "both"), time, read_table(artefacts.candidates, CANDIDATES)
