"""Train a model of this project on a pair, and write what the peers write: one JSON line per epoch.

Seconds are those of training without validation, summed up to the epoch; NDCG@10 is over all items of the target's
domain, without those of the history, the mean of both domains. Run by benchmarks/peers/compare.py.

    python -m benchmarks.peers.ours --model sasrec --out sasrec.jsonl width=64 layers=2
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import torch

from lecdsr.config.load import load_block
from lecdsr.core.paths import Artefacts, enter_repository
from lecdsr.data.load import load_pair_data
from lecdsr.models.registry import find_model
from lecdsr.models.saved import build
from lecdsr.train.fit import prepare_process
from lecdsr.train.settings import SharedSettings
from lecdsr.train.trainer import train
from lecdsr.train.validator import SCORE, Validator


class Stopwatch:
    """Writes a line after each validation, and does not count the validations.

    Args:
        out: file to add lines to.
    """

    def __init__(self, out: Path) -> None:
        self.out, self.epoch = out, 0
        self.seconds = self.cpu = 0.0
        self._wall, self._used = time.perf_counter(), time.process_time()

    def after_epoch(self, validator: Validator) -> dict[str, float]:
        """Validate, and write the seconds before and the score."""
        self.seconds += time.perf_counter() - self._wall
        self.cpu += time.process_time() - self._used
        scores = _evaluate(validator)
        if self.epoch:  # the first validation is of the model before training
            row = {"epoch": self.epoch, "seconds": round(self.seconds, 1), "cpu": round(self.cpu, 1)}
            with open(self.out, "a", encoding="utf-8") as file:
                file.write(json.dumps({**row, "ndcg@10": round(scores[SCORE], 5)}) + "\n")
        else:
            self.seconds = self.cpu = 0.0
        self.epoch += 1
        self._wall, self._used = time.perf_counter(), time.process_time()
        return scores


_evaluate = Validator.evaluate


def main() -> None:
    """Train once."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pair", default="food_kitchen")
    parser.add_argument("--model", default="sasrec")
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--patience", type=int, default=4, help="epochs without a better score before the end")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("settings", nargs="*", help="settings of the model as NAME=VALUE; others as in the repository")
    a = parser.parse_args()
    enter_repository()
    prepare_process()
    torch.set_num_threads(a.threads)
    known = load_block("train", find_model(a.model).settings, a.pair, a.model).model_dump()
    changed: dict[str, Any] = dict(pair.split("=", 1) for pair in a.settings)
    settings = find_model(a.model).settings.model_validate({**known, **changed})
    shared = SharedSettings(device="cpu", epochs=a.epochs, patience=a.patience, lr_decays=0)
    data = load_pair_data(Artefacts(a.pair), settings.domains, settings.order, shared.seed)
    network = build(a.model, settings, data.info, shared.seed)
    torch.manual_seed(shared.seed)
    watch = Stopwatch(a.out)
    Validator.evaluate = lambda validator: watch.after_epoch(validator)  # type: ignore[method-assign, assignment]
    train(network, data.sequences, data.info, settings, shared, torch.device("cpu"))


if __name__ == "__main__":
    main()
