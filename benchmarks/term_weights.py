"""What fitting the weights of the terms of a score adds: `tandem` with fitted and fixed weights, and `content`.

One training a seed; only the ranking differs. On validation the weights are cross-fitted: each half of the users is
ranked with weights fitted on the other half. On test they are fitted on all of validation, as by default.

    python -m benchmarks.term_weights [--pairs demo] [--seeds 1 2] [--split valid] [--device cpu] --folder FOLDER

`--folder` keeps weights and ranks, so that a run that was stopped goes on.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor

from benchmarks.llm_text import report
from lecdsr.config.load import load_block
from lecdsr.core.console import say, silent
from lecdsr.core.exit import exit_on_user_error
from lecdsr.core.files import atomic_path, read_table, write_table
from lecdsr.core.paths import Artefacts, enter_repository
from lecdsr.core.schemas import CANDIDATES, RANKS, SPLITS, VALID
from lecdsr.data.load import PairData, load_pair_data
from lecdsr.data.sequences import Sequences
from lecdsr.evaluate.compare import Comparison, Options, Side, compare
from lecdsr.evaluate.evaluate import rank_held_out
from lecdsr.evaluate.settings import Settings as EvaluateSettings
from lecdsr.models.base import Recommender
from lecdsr.models.registry import find_model
from lecdsr.models.saved import build
from lecdsr.train.fit import fit_model, prepare_process
from lecdsr.train.settings import SharedSettings
from lecdsr.train.term_weights import maximise, sample_terms

METHODS = ("fitted", "fitted without recency", "fixed", "content")
COMPARED = (("fitted", "fixed"), ("fitted", "fitted without recency"), ("fitted", "content"), ("fixed", "content"))


class Run(NamedTuple):
    """One pair and seed on a device, and the folder of its results."""

    pair: str
    seed: int
    device: torch.device
    folder: Path

    def path(self, name: str, suffix: str) -> Path:
        """File of a result."""
        return self.folder / f"{self.pair}-{self.seed}-{name.replace(' ', '-')}.{suffix}"


def load(run: Run, model: str) -> tuple[Any, SharedSettings, PairData]:
    """Settings of a model, and the data."""
    shared = load_block("train", SharedSettings, run.pair, "shared")
    shared = shared.model_copy(update={"seed": run.seed, "device": run.device.type})
    settings = load_block("train", find_model(model).settings, run.pair, model)
    reading = (settings.domains, settings.order, run.seed, settings.profiles_read)
    return settings, shared, load_pair_data(Artefacts(run.pair), *reading)


def trained(run: Run) -> tuple[Recommender, Any, PairData]:
    """The trained model, from the folder if it is there."""
    settings, shared, data = load(run, "tandem")
    path = run.path("tandem", "safetensors")
    if not path.exists():
        prepare_process()
        network = fit_model("tandem", settings, shared, data, label=f"{run.pair}, seed {run.seed}").network
        with atomic_path(path) as temporary:
            save_file({name: value.cpu().contiguous() for name, value in network.state_dict().items()}, temporary)
    network = build("tandem", settings, data.info, run.seed)
    network.load_state_dict(load_file(path))
    return network.to(run.device).eval(), settings, data


def fit(run: Run, network: Recommender, settings: Any, data: PairData) -> Callable[[int | None, bool], Tensor]:
    """Return a function for the factors ``[2, J]`` fitted on one half of the validation users or all, and on which."""
    weights, valid = network.term_weights, data.sequences.of_split(VALID)
    assert weights is not None
    with torch.no_grad():
        length = settings.history_length
        samples = sample_terms(network.score_terms(), valid, data.info, length, run.device, run.seed)

    def factors(half: int | None, recency: bool) -> Tensor:
        found = []
        for domain, (part, start) in enumerate(zip(samples, weights.start, strict=True)):
            assert part is not None
            users = valid.user[(valid.target >= data.info.n_x) == bool(domain)]
            rows = np.flatnonzero(halves(users) == half) if half is not None else np.arange(len(users))
            used = part[torch.from_numpy(rows)].clone()
            if not recency:
                used[:, :, weights.names.index("recency")] = 0  # a constant term keeps its start, 0
            found.append(maximise(used, start))
        return torch.stack(found).float()

    return factors


def halves(users: NDArray[np.int64]) -> NDArray[np.int64]:
    """``[U]`` half of each user, 0 or 1."""
    drawn: NDArray[np.int64] = np.random.default_rng(0).integers(0, 2, int(users.max(initial=0)) + 1)[users]
    return drawn


def rank(run: Run, network: Recommender, settings: Any, sequences: Sequences) -> pa.Table:
    """Rank the validation and test targets."""
    chosen = load_block("evaluate", EvaluateSettings, run.pair)
    candidates = read_table(Artefacts(run.pair).candidates, CANDIDATES)
    with silent(True):
        info = network.info
        return rank_held_out(network, sequences, info, candidates, settings.history_length, chosen, run.device)


def rank_tandem(run: Run) -> None:
    """Rank with fixed and with fitted weights, and print these."""
    network, settings, data = trained(run)
    weights, factors_of = network.term_weights, fit(run, network, settings, data)
    assert weights is not None

    def ranks(factors: Tensor) -> pa.Table:
        weights.set(factors)
        return rank(run, network, settings, data.sequences)

    write_table(run.path("fixed", "parquet"), ranks(weights.start), RANKS)
    for name, recency in (("fitted", True), ("fitted without recency", False)):
        whole = factors_of(None, recency)
        say(f"{run.pair}, seed {run.seed}, {name}: {weights.names} {whole.numpy().round(2).tolist()}")
        on_test, other = ranks(whole), [ranks(factors_of(half, recency)) for half in (0, 1)]
        write_table(run.path(name, "parquet"), crossed(on_test, other), RANKS)


def crossed(on_test: pa.Table, other: list[pa.Table]) -> pa.Table:
    """Take the validation ranks of each user from the table whose weights were fitted on the other half."""
    valid = on_test["split"].to_numpy() == VALID
    half = halves(on_test["user"].to_numpy().astype(np.int64))
    found = on_test
    for name in ("rank_full", "rank_sampled"):
        columns = [table[name].to_numpy() for table in (on_test, *other)]
        values = np.where(valid, np.where(half == 0, columns[2], columns[1]), columns[0])
        found = found.set_column(found.column_names.index(name), name, pa.array(values))
    return found.cast(RANKS)


def rank_content(run: Run) -> None:
    """Rank by untrained texts."""
    settings, _, data = load(run, "content")
    network = build("content", settings, data.info, run.seed).to(run.device).eval()
    write_table(run.path("content", "parquet"), rank(run, network, settings, data.sequences), RANKS)


@exit_on_user_error()
def main() -> None:
    """Train and rank, and compare the methods."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", nargs="+", default=["demo"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--split", choices=SPLITS[1:], default="valid", help="look at test once, at the end")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--folder", type=Path, required=True)
    chosen = parser.parse_args()
    enter_repository()
    folder = chosen.folder.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    for pair in chosen.pairs:
        runs = [Run(pair, seed, torch.device(chosen.device), folder) for seed in chosen.seeds]
        for run in runs:
            if not run.path("content", "parquet").exists():
                rank_content(run)
            if not all(run.path(name, "parquet").exists() for name in METHODS):
                rank_tandem(run)
        ranks = {name: [read_table(run.path(name, "parquet"), RANKS) for run in runs] for name in METHODS}
        sides = {name: Side(name, [str(run.seed) for run in runs], tables) for name, tables in ranks.items()}
        rows = compare([Comparison(sides[a], sides[b]) for a, b in COMPARED], Options(SPLITS.index(chosen.split)))
        report(rows, [f"{a} against {b}" for a, b in COMPARED], f"{pair}, {chosen.split}")


if __name__ == "__main__":
    main()
