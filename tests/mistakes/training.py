"""Mistakes in training and evaluation."""

from pathlib import Path

import pytest
import torch

from lecdsr.evaluate.targets import check_same, held_out
from lecdsr.experiments.config import load_experiments
from lecdsr.train import memory_estimate
from lecdsr.train.checkpoint import Checkpoints
from lecdsr.train.memory_estimate import MemoryEstimate, check_memory
from tests.evaluate.rank_tables import random_ranks
from tests.mistakes.registry import METHODS, case, lecdsr_command


@case
def not_enough_memory():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(memory_estimate, "free_memory", lambda: 8_000_000_000)
        sizes = [700_000_000, 2_000_000_000, 6_000_000_000, 2_000_000_000, 0, 500_000_000, 10_000_000, 8_000_000_000]
        check_memory(MemoryEstimate(*sizes), "sasrec", torch.device("cpu"), 1)


@case
def checkpoint_of_another_training():
    written, ours = (Checkpoints("toy", "sasrec", {"settings": {"width": width}}) for width in (64, 128))
    written.write({"a": torch.ones(1)})
    written.path.rename(ours.path)
    ours.read()


@case
def ranks_of_other_targets():
    tables = [held_out(random_ranks(2, 1, users=users), 2) for users in (150, 140)]
    check_same(tables[0], tables[1], ("sasrec", "hgn"), 2)


@case
def unknown_metric():
    lecdsr_command("compare", "sasrec", "popularity", "--metric", "ndgc@10")


@case
def comparison_without_a_name():
    lecdsr_command("compare", "sasrec,", "popularity")


@case
def grid_of_another_size_than_the_budget():
    Path("experiments.yaml").write_text(METHODS.replace("budget: 2", "budget: 3"), encoding="utf-8")
    load_experiments("toy", Path("experiments.yaml"))


@case
def results_of_a_pair_without_runs():
    Path("experiments.yaml").write_text(METHODS, encoding="utf-8")
    lecdsr_command("results", "--pair", "toy")
