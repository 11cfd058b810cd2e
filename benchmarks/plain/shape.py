"""Data of the size and shape of Food–Kitchen, and the published settings.

Histories have the lengths of Food–Kitchen (the split published with ABXI, WWW 2025, counted below). Items are drawn:
popularity falls with the rank as in Food–Kitchen, by Zipf's law with a flat head, and a batch of 1,024 samples has
about as many distinct items (6,280) and users (940). Vectors are random unit vectors, because speed does not depend on
their content.
"""

from __future__ import annotations

import argparse
from typing import Literal, NamedTuple

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks.common.profiles import one_profile_each
from benchmarks.plain.lecdsr import Network
from lecdsr.config.load import load_block
from lecdsr.core.arrays import IntArray
from lecdsr.core.files import read_table
from lecdsr.core.paths import Artefacts
from lecdsr.core.schemas import INTERACTIONS, WINDOWS
from lecdsr.data.info import DatasetInfo
from lecdsr.data.load import PairData, load_info
from lecdsr.data.profiles import target_profiles
from lecdsr.data.sequences import from_tables
from lecdsr.models.lecdsr import Settings
from lecdsr.sequences.split import leave_one_out
from lecdsr.train.settings import SharedSettings, TrainSettings

Source = Literal["synthetic", "food_kitchen"]
SOURCES: tuple[Source, ...] = ("synthetic", "food_kitchen")

#: Number of users with 10, 11 … 50 interactions; longer histories were cut at 50.
USERS_BY_LENGTH = (
    273, 383, 448, 424, 406, 365, 313, 301, 307, 237, 223, 223, 224, 163, 177, 171, 141, 134, 114, 120, 109,
    104, 104, 88, 77, 82, 70, 72, 52, 66, 50, 48, 47, 51, 47, 40, 31, 43, 31, 31, 754,
)  # fmt: skip
SHORTEST = 10
N_X, N_Y = 11_837, 16_258
SHARE_OF_Y = 89_885 / 173_548
#: Popularity of the item of rank r is ``1 / (r + FLAT) ** STEEP``.
FLAT, STEEP = 20, 0.85
MIN_HISTORY = 2


class Case(NamedTuple):
    """Case to measure: the data, the width of its vectors, the threads, and whether padding is excluded."""

    source: Source
    width: int
    threads: int
    masked: bool

    @property
    def settings(self) -> Settings:
        """Settings of the published shape."""
        return published(self.masked)

    def prepare(self) -> PairData:
        """Load the data, after setting the number of threads and the seed."""
        torch.set_num_threads(self.threads)
        torch.manual_seed(1)
        return load(self.source, self.width)

    def network(self, data: PairData) -> Network:
        """Build the plain network."""
        items, profiles = data.info.item_vectors, data.info.profiles
        assert items is not None
        assert profiles is not None
        users, chosen = profiles.vectors[profiles.whole], self.settings
        return Network(items, users, chosen.width, chosen.hidden, chosen.history_length, self.masked)


def add_case_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options that select the cases."""
    parser.add_argument("--width", type=int, nargs="+", default=[384, 1024], help="widths of the vectors (384 1024)")
    parser.add_argument("--threads", type=int, default=2, help="threads of either side (2)")
    parser.add_argument("--data", choices=SOURCES, default="synthetic", help="sequences: drawn, or of the built pair")
    parser.add_argument("--read-padding", action="store_true", help="compute on padding too, as published")


def cases(arguments: argparse.Namespace) -> list[Case]:
    """Return one case per requested width."""
    return [Case(arguments.data, width, arguments.threads, not arguments.read_padding) for width in arguments.width]


def published(masked: bool) -> Settings:
    """Return settings of the published shape, independent of params.yaml: L 15, d 512, 99 negatives, batch 1,024.

    Args:
        masked: exclude padding, as params.yaml does and the published code does not.
    """
    return load_block("train", Settings, "demo", "lecdsr").model_copy(
        update={
            "batch_size": 1024,
            "learning_rate": 1e-4,
            "weight_decay": 1e-6,
            "history_length": 15,
            "width": 512,
            "hidden": 768,
            "item_text": "vectors",
            "user_text": "vectors",
            "convolution": True,
            "projection": "mlp",
            "mask_padding": masked,
            "negatives": 99,
            "exclude_history": False,
            "tau": 9.0,
            "tau2": 7.0,
            "alignment": 0.6,
            "reduction": "sum",
            "loss": "hinge",
            "score": "dot",
            "align": "sequence",
        }
    )


def shared() -> SharedSettings:
    """Return the settings shared by all models, on the CPU."""
    return load_block("train", TrainSettings, "demo", "shared").training.model_copy(update={"device": "cpu"})


def load(source: Source, width: int, seed: int = 0) -> PairData:
    """Load sequences, with random vectors of the given width.

    Args:
        source: ``synthetic``, or ``food_kitchen`` if that pair is built.
        width: width of the text vectors.
        seed: random seed of everything that is drawn.
    """
    if source == "food_kitchen":
        artefacts = Artefacts("food_kitchen")
        info = load_info(artefacts)
        rows, windows = read_table(artefacts.interactions, INTERACTIONS), read_table(artefacts.windows, WINDOWS)
        counts, n_x, n_y, n_users = info.train_counts, info.n_x, info.n_y, info.n_users
    else:
        user, item = interactions(seed)
        # A user's rows are in time order; one row per day gives no ties.
        time = np.arange(len(user)) * 86_400
        split = leave_one_out(user, time, MIN_HISTORY)
        rows, windows = pa.table({"user": user, "item": item, "time": time}), split.windows
        n_x, n_y, n_users = N_X, N_Y, sum(USERS_BY_LENGTH)
        counts = torch.from_numpy(np.bincount(item[split.part == 0], minlength=N_X + N_Y))
    generator = torch.Generator().manual_seed(seed)
    items = unit_rows(n_x + n_y + 1, width, generator)
    items[-1] = 0
    profiles = one_profile_each(unit_rows(n_users, width, generator))
    sequences = from_tables(rows, windows, target_profiles(profiles, rows))
    return PairData(DatasetInfo(n_x, n_y, n_users, items, profiles, counts), sequences)


def interactions(seed: int) -> tuple[IntArray, IntArray]:
    """Draw user and item of every interaction; no user has an item twice."""
    rng = np.random.default_rng(seed)
    lengths = np.repeat(np.arange(SHORTEST, SHORTEST + len(USERS_BY_LENGTH)), USERS_BY_LENGTH)
    user = np.repeat(np.arange(len(lengths)), rng.permutation(lengths))
    in_y = rng.random(len(user)) < SHARE_OF_Y
    item = np.empty(len(user), np.int64)
    again = np.arange(len(user))
    while len(again):
        for first, count, there in ((0, N_X, ~in_y), (N_X, N_Y, in_y)):
            rows = again[there[again]]
            item[rows] = first + popular(count, len(rows), rng, seed)
        # Redraw all but the first of a user's repeated items.
        _, kept = np.unique(user * (N_X + N_Y) + item, return_index=True)
        again = np.setdiff1d(np.arange(len(user)), kept)
    return user, item


def popular(count: int, wanted: int, rng: np.random.Generator, seed: int) -> IntArray:
    """Draw ``wanted`` of ``count`` items by popularity, which is independent of their number."""
    share = np.cumsum((np.arange(1, count + 1) + FLAT) ** -STEEP)
    rank = np.searchsorted(share, rng.random(wanted) * share[-1])
    drawn: IntArray = np.random.default_rng([seed, count]).permutation(count)[rank]
    return drawn


def unit_rows(count: int, width: int, generator: torch.Generator) -> Tensor:
    """Draw random unit vectors ``[count, width]``."""
    rows = torch.randn(count, width, generator=generator)
    return F.normalize(rows, dim=1, out=rows)
