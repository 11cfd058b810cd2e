"""Ten steps of small models with whole or sharded tables, and what is compared between one process and two.

``python -m tests.train.sharded_run FOLDER`` is one of two processes; the main one writes ``two.json`` and a checkpoint.
"""

import json
import os
import sys
import time
from datetime import timedelta
from pathlib import Path
from unittest import mock

import numpy as np
import torch
from torch.distributed import distributed_c10d

from lecdsr.core.errors import UserError
from lecdsr.core.schemas import VALID
from lecdsr.models.saved import build
from lecdsr.train import sharded
from lecdsr.train.checkpoint import Checkpoints
from lecdsr.train.distributed import TIMEOUT, join_processes
from lecdsr.train.schedule import return_to_best
from lecdsr.train.state import Generators, TrainerState, copy_weights
from lecdsr.train.step import Steps
from lecdsr.train.validator import Validator
from tests.models.settings import settings_for, shared_settings
from tests.tiny import info, sequences

CPU = torch.device("cpu")
N_X, N_Y = 11, 13  # 25 rows with padding: 13 and 12
BEST, COOLDOWN, STEPS = 3, 5, 10
SMALL = {"width": 8, "layers": 1, "history_length": 5, "dropout": 0.0, "learning_rate": 0.01, "weight_decay": 0.1}
TANDEM = {"id_dropout": 0.0, "profile_dropout": 0.0, "calendar_days": 2}
CASES = {
    "tandem, full softmax": ("tandem", {**TANDEM, "loss": "full"}),
    "tandem, sampled softmax": ("tandem", {**TANDEM, "loss": "sampled", "negatives": 5}),
    "tandem, sampled then full": ("tandem", {**TANDEM, "loss": "sampled_then_full", "negatives": 5}),
    "sasrec, full softmax": ("sasrec", {}),
    "sasrec, sampled then full": ("sasrec", {"loss": "sampled_then_full", "negatives": 5}),
}
RESUMED = "tandem, full softmax"


class Run:
    """A training of one case in this process."""

    def __init__(self, case, context, tables):
        model, changed = CASES[case]
        settings = settings_for(model, **{**SMALL, **changed, "batch_size": 8 // context.size})
        draw = np.random.default_rng(0)
        walks = [[int(item) for item in draw.permutation(N_X + N_Y)[: draw.integers(5, 14)]] for _ in range(30)]
        data, shared = info(N_X, N_Y, len(walks)), shared_settings(tables=tables)
        windows = sequences(walks, N_X, profiles=data.profiles)
        self.model = build(model, settings, data, 1)
        if tables == "sharded":
            sharded.shard_tables(self.model, context, CPU)
        self.steps = Steps(self.model, windows, data, settings, shared, CPU, context)
        self.validator = Validator(self.model, windows.of_split(VALID), data, 5, CPU, context)
        self.taken = 0

    def train(self, steps):
        """The losses of some steps; the low rate begins half-way, from the best weights so far."""
        self.model.train()
        batches, losses = [batch for epoch in range(1, 9) for batch in self.steps.batches(epoch)], []
        for _ in range(steps):
            if self.taken == BEST:
                best = self.state()
            if self.taken == COOLDOWN:
                return_to_best(best)
                self.model.low_rate = True
            losses.append(self.steps.step(batches[self.taken], self.taken)[0].item())
            self.taken += 1
        return losses

    def state(self):
        generators = Generators(self.steps.draws.generator, CPU, self.steps.context)
        return TrainerState(
            weights=copy_weights(self.model),
            model=self.model,
            optimisers=self.steps.optimisers,
            generators=generators,
        )

    def moments(self):
        """Rows of the item table's weight, gradient and moments that are in this process."""
        weight = self.model.item_embeddings.weight
        state = self.steps.optimisers._all[-1].state[weight]
        tensors = (weight, weight.grad, state["exp_avg"], state["exp_avg_sq"])
        return [len(sharded.is_sharded(tensor) and tensor.to_local()) for tensor in tensors]


def checkpoint():
    return Checkpoints("toy", "tandem", {})


def lose(context):
    """Wait in vain for the other process, which sleeps."""
    assert distributed_c10d._get_default_group()._get_backend(CPU).options._timeout == TIMEOUT
    distributed_c10d._set_pg_timeout(timedelta(seconds=2), distributed_c10d._get_default_group())
    if context.is_main:
        context.sum(torch.ones(1))
    time.sleep(6)


def compare(context):
    """Train all cases with sharded tables, and write a checkpoint."""
    found = {}
    for case in CASES:
        run = Run(case, context, "sharded")
        losses, ranks = run.train(STEPS), run.validator._rank().tolist()
        rows = context.gather(torch.tensor(run.moments())).tolist()
        found[case] = {"losses": losses, "ranks": ranks, "rows": rows}
        if case == RESUMED:
            state = run.state().state_dict()
            if context.is_main:
                checkpoint().write(state)
            found[case]["next"] = run.train(2)
    return found


def main(folder):
    os.chdir(folder)
    found = {}
    try:
        with mock.patch.object(sharded, "_PIECE", 100), join_processes(CPU) as (context, _):  # three rows at once
            found = compare(context)
            begin = time.monotonic()
            lose(context)
    except UserError as error:
        found["lost"] = [str(error), time.monotonic() - begin]
    if context.is_main:
        Path("two.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1])
