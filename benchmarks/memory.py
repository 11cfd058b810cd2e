"""Memory of a training: the estimate beside the measured peak, for three models at three sizes.

    python -m benchmarks.memory [--models sasrec tandem lecdsr] [--sizes small medium large]

Every training runs in a process of its own, `sasrec` and `tandem` for three epochs, so that `tandem` reaches the low
learning rate at which it scores all items. The ratio should be between 0.8 and 1.5.
"""

from __future__ import annotations

import argparse
from typing import Any
from unittest import mock

import numpy as np
import torch

from benchmarks.common.measure import measure
from benchmarks.common.profiles import one_profile_each

#: Items of each domain, users, and width.
SIZES = {"small": (1_000, 1_000, 64), "medium": (8_000, 2_000, 128), "large": (17_000, 3_000, 256)}
MODELS: dict[str, dict[str, Any]] = {
    "sasrec": {},
    "tandem": {},
    "lecdsr": {"hidden": 256, "batch_size": 256},
}
#: ``lecdsr`` has a sample for every target, so many more steps in an epoch than the others.
EPOCHS = {"sasrec": 3, "tandem": 3, "lecdsr": 1}


def train_once(model: str, n: int, users: int, width: int, epochs: int) -> tuple[float, float]:
    """Train on random walks; return the estimate in GB and the peak of the memory on the device of the training."""
    from lecdsr.core.memory import peak_memory
    from lecdsr.models.registry import find_model
    from lecdsr.train import fit
    from lecdsr.train.settings import SharedSettings

    fit.prepare_process()
    data = pair_of_walks(n, users)
    told: list[int] = []

    def remember(estimate: Any, *rest: Any) -> None:
        told.append(estimate.total)

    settings = find_model(model).settings.model_validate({"width": width, **MODELS[model]})
    shared = SharedSettings(epochs=epochs, patience=epochs)
    with mock.patch.object(fit, "check_memory", remember):
        fitted = fit.fit_model(model, settings, shared, data, quiet=True)
    on_gpu = fitted.device.type == "cuda"
    return told[-1] / 1e9, (torch.cuda.max_memory_allocated() if on_gpu else peak_memory()) / 1e9


def pair_of_walks(n: int, users: int) -> Any:
    """Random walks over ``n`` items in each domain, with random text vectors."""
    from lecdsr.data.info import DatasetInfo
    from lecdsr.data.load import PairData

    draw = np.random.default_rng(0)
    vectors = torch.from_numpy(draw.standard_normal((2 * n + 1, 384), np.float32))
    profiles = one_profile_each(torch.from_numpy(draw.standard_normal((users, 384), np.float32)))
    vectors[-1] = 0
    counts = torch.from_numpy(draw.integers(1, 20, 2 * n))
    info = DatasetInfo(n, n, users, vectors, profiles, counts, (0, 999))
    return PairData(info, random_sequences(draw, n, users))


def random_sequences(draw: np.random.Generator, n: int, users: int) -> Any:
    """Walks of 5 to 40 items over both domains, with the latest two held out."""
    from lecdsr.core.schemas import TEST, TRAIN, VALID
    from lecdsr.data.profiles import TargetProfiles
    from lecdsr.data.sequences import Sequences

    sizes = draw.integers(5, 41, users)
    end = np.cumsum(sizes)
    start = end - sizes
    items = draw.integers(0, 2 * n, end[-1])
    days = np.sort(draw.integers(0, 1000, end[-1]))
    parts = []
    for code, last in ((TRAIN, end - 2), (VALID, end - 1), (TEST, end)):
        first = start + 1 if code == TRAIN else last - 1
        parts.append((np.full(users, code), np.arange(users), start, first, last))
    split, user, start, first, last = (np.concatenate(column) for column in zip(*parts, strict=True))
    return Sequences(
        items=items,
        days=days,
        split=split,
        user=user,
        start=start,
        first_target=first,
        end=last,
        tied=np.zeros(len(user), bool),
        target=items[last - 1],
        target_row=last - 1,
        seen_start=start,
        seen_items=items,
        profiles=TargetProfiles(np.repeat(np.arange(users), sizes), np.zeros(end[-1], np.int64), users),
    )


def main() -> None:
    """Print one line for each training."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", nargs="+", default=list(SIZES))
    parser.add_argument("--models", nargs="+", default=list(MODELS))
    chosen = parser.parse_args()
    print(f"{'model':8} {'size':8} {'estimate GB':>12} {'peak GB':>9} {'ratio':>6}")
    for model in chosen.models:
        for size in chosen.sizes:
            n, users, width = SIZES[size]
            estimate, peak = measure(train_once, model, n, users, width, EPOCHS[model]).result
            print(f"{model:8} {size:8} {estimate:12.2f} {peak:9.2f} {estimate / peak:6.2f}", flush=True)


if __name__ == "__main__":
    main()
