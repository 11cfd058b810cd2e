"""What a profile that has seen the targets of training looks like: NDCG@10 on training, validation and test.

`published` gives every training target of a user the profile that was written from all training interactions, as the
published code does; `before_target` gives it the latest profile before the target. A model that reads the answers of
training learns to trust a list that will not hold them later: it is better on training than on validation and test.
Training targets are the last of every user. The pair must have been built up to its vectors, with lists
(docs/llm.md; in the demo `ask.offline_lists: true`).

    python -m benchmarks.leak [--pair demo] [--model tandem] [--seeds 1 2 3] [--folder FOLDER]

`--folder` keeps the result of every training, so that a run that was stopped goes on with the next.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.table import Table

from benchmarks.common.measure import measure
from lecdsr.config.load import load_block
from lecdsr.core.console import console, say, silent
from lecdsr.core.device import has_bfloat16
from lecdsr.core.exit import exit_on_user_error
from lecdsr.core.files import atomic_path
from lecdsr.core.paths import Artefacts, enter_repository
from lecdsr.core.schemas import SPLITS
from lecdsr.data.load import load_pair_data
from lecdsr.evaluate.ranks import rank_targets
from lecdsr.models.registry import find_model
from lecdsr.train.fit import fit_model, prepare_process
from lecdsr.train.settings import SharedSettings
from lecdsr.train.validator import validation_batch

CPU = torch.device("cpu")
#: Ways of reading profiles, under the names of the table.
WAYS: dict[str, dict[str, Any]] = {
    "no profile": {"profile_text": "none"},
    "before_target": {"profile_time": "before_target"},
    "published": {"profile_time": "published"},
}


def train_and_rank(pair: str, model: str, way: str, seed: int) -> dict[str, float]:
    """Train once; return NDCG@10 over all items, the mean of both domains, for each split."""
    prepare_process()
    shared = load_block("train", SharedSettings, pair, "shared").model_copy(update={"seed": seed, "device": "cpu"})
    if not has_bfloat16(CPU):
        shared = shared.model_copy(update={"precision": "float32"})
    schema = find_model(model).settings
    settings = schema.model_validate({**load_block("train", schema, pair, model).model_dump(), **WAYS[way]})
    data = load_pair_data(Artefacts(pair), settings.domains, settings.order, seed, settings.profiles_read)
    network = fit_model(model, settings, shared, data, quiet=True).network
    found = {}
    for code, split in enumerate(SPLITS):
        targets = data.sequences.of_split(code)
        with silent(True):
            reading = (settings.history_length, validation_batch(data.info), CPU)
            ranks = rank_targets(network, targets, data.info, *reading).full
        gain = np.where(ranks <= 10, 1 / np.log2(1 + ranks), 0)
        in_y = targets.target >= data.info.n_x
        found[split] = float(np.mean([gain[~in_y].mean(), gain[in_y].mean()]))
    return found


@exit_on_user_error()
def main() -> None:
    """Train every way with every seed and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pair", default="demo")
    parser.add_argument("--model", default="tandem")
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3])
    parser.add_argument("--folder", type=Path)
    chosen = parser.parse_args()
    folder = (chosen.folder or Path(tempfile.mkdtemp())).absolute()
    folder.mkdir(parents=True, exist_ok=True)
    enter_repository()
    table = Table("profile read", *SPLITS, title=f"{chosen.model} on {chosen.pair}, NDCG@10 over all items")
    for way in WAYS:
        runs = []
        for seed in chosen.seeds:
            path = folder / f"{chosen.pair}-{chosen.model}-{way.replace(' ', '-')}-{seed}.json"
            if not path.exists():
                found = measure(train_and_rank, chosen.pair, chosen.model, way, seed).result
                with atomic_path(path) as temporary:
                    temporary.write_text(json.dumps(found))
                say(f"{way}, seed {seed}: {found}")
            runs.append(json.loads(path.read_text()))
        scores = [[run[split] for run in runs] for split in SPLITS]
        table.add_row(way, *(f"{np.mean(column):.4f} ± {np.std(column):.4f}" for column in scores))
    console.print(table)


if __name__ == "__main__":
    main()
