"""Memory is estimated before it is allocated, and a training that does not fit is refused."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from lecdsr.core.schemas import VALID
from lecdsr.experiments.config import FILE, load_experiments
from lecdsr.models.registry import find_model
from lecdsr.models.saved import build
from lecdsr.train import memory_estimate
from lecdsr.train.live_memory import LiveMemory, extended_peak, peak_of
from lecdsr.train.memory_estimate import (
    HEAP_GROWTH,
    MemoryEstimate,
    check_memory,
    complete_estimate,
    estimate_activations,
    estimate_memory,
    estimate_validation,
    held_on_gpu,
)
from lecdsr.train.step import Steps
from tests.errors import refused
from tests.models.settings import lecdsr_settings, sasrec_settings, shared_settings
from tests.tiny import info, sequences

CPU = torch.device("cpu")
DECLARED = load_experiments("demo", Path(__file__).parents[2] / FILE)
HISTORIES = [[0, 6, 1, 7, 2, 8, 3, 9], [10, 5, 4, 9, 3], [1, 2, 3, 4], [6, 0, 7, 10, 5, 2]]
SETTINGS = {
    "lecdsr": lecdsr_settings(width=8, hidden=12, history_length=5, negatives=3, batch_size=4),
    "sasrec": sasrec_settings(width=8, heads=2, history_length=5, batch_size=4, item_text="random"),
}


@pytest.mark.parametrize("model", SETTINGS)
def test_weights_are_counted_without_taking_their_memory(model):
    data = info()
    found = estimate_memory(model, SETTINGS[model], data, shared_settings(), CPU)
    network = build(model, SETTINGS[model], data, 1)
    assert found.weights == sum(weight.numel() * weight.element_size() for weight in network.parameters())
    assert (found.best_copy, found.gradients_and_optimiser) == (found.weights, 3 * found.weights)


@pytest.mark.parametrize("name", DECLARED.controls)
def test_every_declared_control_can_be_estimated(name):
    control = DECLARED.controls[name]
    model = DECLARED.methods[control.method].model
    default = find_model(model).settings(width=8)
    weights = [
        estimate_memory(model, settings, info(), shared_settings(), CPU).weights
        for settings in (default, default.model_copy(update=control.set))
    ]
    assert min(weights) > 0
    if "shuffled" in control.set.values():
        assert weights[0] == weights[1]


@pytest.mark.parametrize("model", SETTINGS)
def test_activations_grow_with_the_batch_and_leave_no_trace(model):
    data, sizes = info(), []
    for batch in (2, 4):
        settings = SETTINGS[model].model_copy(update={"batch_size": batch})
        network = build(model, settings, data, 1)
        steps = Steps(network, sequences(HISTORIES, 6), data, settings, shared_settings(), CPU)
        state, drawn = torch.get_rng_state(), steps.draws.generator.get_state()
        sizes.append(estimate_activations(steps))
        assert torch.equal(torch.get_rng_state(), state)
        assert torch.equal(steps.draws.generator.get_state(), drawn)
        assert all(weight.grad is None for weight in network.parameters())
    assert 0 < sizes[0] < sizes[1]


@pytest.mark.parametrize("model", SETTINGS)
def test_a_validation_is_measured_and_leaves_no_trace(model):
    data, built = info(), sequences(HISTORIES, 6)
    network = build(model, SETTINGS[model], data, 1)
    steps = Steps(network, built, data, SETTINGS[model], shared_settings(), CPU)
    valid, state = built.of_split(VALID), torch.get_rng_state()
    sizes = [estimate_validation(steps, data, valid.take(np.arange(count))) for count in (0, 1, len(valid))]
    assert 0 == sizes[0] < sizes[1] <= sizes[2]
    assert torch.equal(torch.get_rng_state(), state)
    assert network.training


def test_the_whole_estimate_counts_weights_once():
    data, built = info(), sequences(HISTORIES, 6)
    settings = SETTINGS["sasrec"]
    before = estimate_memory("sasrec", settings, data, shared_settings(), CPU)
    network = build("sasrec", settings, data, 1)
    steps = Steps(network, built, data, settings, shared_settings(), CPU)
    found = complete_estimate(before, steps, data, built.of_split(VALID))
    assert found.activations == estimate_activations(steps)
    assert found.process + found.weights <= found.so_far <= found.total
    assert found.total >= found.process + found.needed


def test_tables_of_all_items_do_not_grow_with_the_batch():
    data = info(4_000, 4_000, 4, width=8)
    walks = [[user * 40 + item for item in range(8)] for user in range(64)]
    sizes = []
    for batch in (1, 64):
        settings = SETTINGS["sasrec"].model_copy(update={"batch_size": batch, "width": 64})
        network = build("sasrec", settings, data, 1)
        steps = Steps(network, sequences(walks, 4_000), data, settings, shared_settings(), CPU)
        sizes.append(estimate_activations(steps))
    table = 8_001 * 64 * 4
    assert sizes[0] > table  # ids plus projected texts
    scores = 2 * 64 * 5 * 4_000 * 4  # of a block with all targets of the larger batch, and their gradients
    assert sizes[1] < sizes[0] + HEAP_GROWTH * scores + 64 * table / 8


@pytest.mark.parametrize(
    ("few", "many", "count", "peak"),
    [
        ([10, 30, 100], [40, 50, 103], 320, 400),  # the first moment: 40, and 30 more for every 24 samples
        ([10, 100], [40, 60, 103], 320, 103 + 3 * 12),  # other moments: the peaks are extended, as is all that is known
        ([50], [40], 320, 40),  # what shrinks is not extended below
        ([], [], 320, 0),
    ],
)
def test_every_moment_grows_with_the_samples(few, many, count, peak):
    measured = {8: LiveMemory(()), 32: LiveMemory(())}
    measured[8].moments, measured[32].moments = few, many
    assert extended_peak(measured, count) == peak


def test_a_large_batch_needs_what_two_small_ones_foretell():
    """Gradients of the tables hide the activations of the small batches, but not those of the large one."""
    walks = [[user * 3 % 3_990 + item for item in range(9)] for user in range(600)]
    data = info(4_000, 4_000, 600, width=8)
    settings = SETTINGS["lecdsr"].model_copy(update={"batch_size": 512, "history_length": 8})
    network = build("lecdsr", settings, data, 1)
    steps = Steps(network, sequences(walks, 4_000), data, settings, shared_settings(), CPU)
    small, large = (memory_estimate._measure_step(steps, count) for count in (8, 512))
    gradients = sum(weight.nbytes for weight in network.parameters())
    assert small.peak < 1.2 * gradients < large.peak
    needed = large.peak + large.block(CPU, 1) - gradients
    assert 0.9 * needed < estimate_activations(steps) / HEAP_GROWTH < 1.2 * needed


def test_a_table_that_does_not_fit_is_refused_before_it_is_made(monkeypatch):
    settings = lecdsr_settings(width=512)
    data = dataclasses.replace(info(), n_x=40_000_000, n_y=40_000_000)  # 164 GB in each of two tables
    found = estimate_memory("lecdsr", settings, data, shared_settings(), CPU)
    assert found.weights > 300e9
    with refused("not-enough-memory", "train.lecdsr") as caught:
        check_memory(found, "lecdsr", CPU, 1)
    assert f"{found.total / 1e9:.1f} GB" in caught.value.what
    assert "train.lecdsr.width" in caught.value.do


@pytest.mark.parametrize(("free", "processes", "fits"), [(950, 1, True), (940, 1, False), (950, 2, False)])
def test_what_fits(monkeypatch, free, processes, fits):
    monkeypatch.setattr(memory_estimate, "free_memory", lambda: free)
    asked = MemoryEstimate(5_000, 100, 300, 100, 0, 350, 10, 200)  # 850 beside the process
    assert asked.total == 5_850
    if fits:
        check_memory(asked, "sasrec", CPU, processes)
    else:
        with refused("not-enough-memory", "train.sasrec") as caught:
            check_memory(asked, "sasrec", CPU, processes)
        assert "train.sasrec.width" in caught.value.do


def test_activations_too_large_get_other_advice(monkeypatch):
    monkeypatch.setattr(memory_estimate, "free_memory", lambda: 100)
    with refused("not-enough-memory", "train.sasrec") as caught:
        check_memory(MemoryEstimate(0, 1, 3, 1, 0, 500, 1, 1), "sasrec", CPU, 1)
    assert "train.sasrec.batch_size" in caught.value.do


@pytest.fixture
def allocator(monkeypatch):
    """An allocator of a GPU that holds 100 bytes before a piece of work and 5,100 at its peak."""
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", lambda device: None)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda device: 100)
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda device: 5_100)


@pytest.mark.parametrize(("device", "peak"), [("cpu", 40), ("cuda", 5_000)])
def test_on_a_gpu_the_allocator_counts_what_operations_need_inside(allocator, device, peak):
    assert peak_of(lambda: torch.ones(10), (), torch.device(device)).peak == peak


def test_what_a_gpu_holds_beside_the_weights(allocator):
    assert held_on_gpu(torch.nn.Linear(4, 1, bias=False), torch.device("cuda")) == 100 - 16


def test_without_an_allocator_the_buffers_are_what_a_gpu_holds():
    network = torch.nn.BatchNorm1d(3)
    assert held_on_gpu(network, torch.device("cuda")) == 2 * 3 * 4 + 8  # mean, variance, number of batches
