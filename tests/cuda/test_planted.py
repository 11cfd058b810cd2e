"""What would go wrong on a GPU goes wrong on the pretended one: bugs planted on purpose are found."""

import numpy as np
import pytest
import torch

from lecdsr.data import batch, negatives
from lecdsr.data.negatives import Draws
from lecdsr.models.layers import attention, losses
from lecdsr.models.sasrec import SASRec
from lecdsr.train import state
from lecdsr.train.checkpoint import Checkpoints
from lecdsr.train.step import Steps
from tests.cuda.machine import pretended_cuda
from tests.cuda.pretended import CUDA, DeviceError, syncs
from tests.cuda.runs import CPU, ranked, steps_on, trained


def one_step(model, variant):
    steps = steps_on(model, variant, CUDA)
    found = next(iter(steps.batches(1)))
    syncs.clear()
    steps.step(found, 0)


def test_tensors_of_two_devices_in_one_operation(cuda, monkeypatch):
    monkeypatch.setattr(attention, "or_itself", lambda allowed: (allowed | torch.eye(allowed.shape[1]).bool())[:, None])
    with pytest.raises(DeviceError, match="found cuda:0 and cpu"):
        one_step("sasrec", "ids")


def test_a_table_that_stays_on_the_cpu(cuda, monkeypatch):
    plain = SASRec.table
    monkeypatch.setattr(SASRec, "table", lambda self: plain(self).cpu())
    with pytest.raises(DeviceError):
        one_step("sasrec", "ids")


def test_a_generator_of_the_other_device(cuda, monkeypatch):
    plain = Draws.__init__
    monkeypatch.setattr(Draws, "__init__", lambda self, seed, device=None, *rest: plain(self, seed))
    monkeypatch.setattr(Draws, "uniform", _uniform_on_cuda)
    with pytest.raises(DeviceError, match="generator"):
        one_step("lecdsr", "masked")


def _uniform_on_cuda(self, samples, count):
    return torch.rand(samples, count, generator=self.generator, device="cuda", dtype=torch.float64)


def test_negatives_drawn_on_the_cpu(cuda, monkeypatch):
    plain = Draws.__init__
    monkeypatch.setattr(Draws, "__init__", lambda self, seed, device=None, *rest: plain(self, seed))
    with pytest.raises(DeviceError, match="found cuda:0 and cpu"):
        one_step("lecdsr", "masked")


def test_a_number_of_items_asked_of_the_device(cuda, monkeypatch):
    plain = batch.true_places
    monkeypatch.setattr(attention, "true_places", lambda mask, count=None: plain(mask))
    one_step("sasrec", "ids")
    assert sum(syncs.values()) == 1
    assert any("nonzero" in reason for _, reason in syncs)


@pytest.mark.parametrize(
    ("ask", "reason"),
    [
        (lambda target: target.max().item(), "item"),
        (lambda target: target.tolist(), "copy to the host"),
        (lambda target: target[target >= 0], "boolean index"),
        (lambda target: target + torch.tensor([1], device=target.device), "pageable"),
        (lambda target: torch.where(target >= 0, target, -1), "where"),
        (lambda target: torch.unique(target), "unique"),
        (lambda target: bool((target >= 0).all()), "item"),
    ],
)
def test_a_wait_in_a_step(cuda, monkeypatch, ask, reason):
    plain = losses.hinge

    def hinge(target, *rest):
        ask(target.detach())
        return plain(target, *rest)

    monkeypatch.setattr("lecdsr.models.lecdsr.hinge", hinge)
    one_step("lecdsr", "masked")
    assert sum(syncs.values()) >= 1
    assert all(reason in found for _, found in syncs), dict(syncs)


def test_a_state_of_a_generator_of_the_other_device(monkeypatch):
    def restored(self, saved):
        self.negatives.set_state(saved["negatives"].cpu())

    monkeypatch.setattr(state.Generators, "load_state_dict", restored)
    checkpoints = Checkpoints("toy", "lecdsr", {})
    trained("lecdsr", "masked", CPU, checkpoints, epochs=1)
    with pretended_cuda(), pytest.raises(Exception, match="RNG state is wrong size"):
        trained("lecdsr", "masked", CUDA, checkpoints, epochs=2)


def test_scores_turned_into_an_array_without_a_copy(cuda, monkeypatch):
    monkeypatch.setattr("lecdsr.evaluate.ranks.rank", lambda scores, target: _Careless(scores[:, 0]))
    network, _ = trained("sasrec", "ids", CPU, epochs=1)
    with pytest.raises(DeviceError, match="numpy"):
        ranked(network.to(CUDA), CUDA)


class _Careless:
    def __init__(self, tensor):
        self.tensor = tensor

    def cpu(self):
        return self.tensor


def test_a_wrong_count_changes_the_loss(cuda, monkeypatch):
    """A count that the host has wrong drops a target without a notice."""
    right = float(next(iter(_losses("sasrec", "no dropout"))))
    plain = Steps.batches

    def batches(self, epoch, first_step=0):
        for found in plain(self, epoch, first_step):
            in_x, in_y = found.in_domain
            yield batch.SequenceBatch(found.histories, found.targets, (in_x - 1, in_y))

    monkeypatch.setattr(Steps, "batches", batches)
    assert not np.isclose(next(iter(_losses("sasrec", "no dropout"))), right, rtol=1e-3)


def _losses(model, variant):
    steps = steps_on(model, variant, CUDA)
    for found in steps.batches(1):
        yield steps.step(found, 0)[0].item()


def test_the_switches_are_restored():
    before = torch.Generator, torch.rand, torch.cuda.is_available, torch.Tensor.pin_memory
    with pretended_cuda():
        assert torch.ones(2, device="cuda").is_cuda
    assert before == (torch.Generator, torch.rand, torch.cuda.is_available, torch.Tensor.pin_memory)
    assert negatives.Draws(0).uniform(1, 1).device == CPU
