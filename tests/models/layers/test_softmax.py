"""Blocked cross-entropy compared with the obvious implementation and its derivatives."""

import pytest
import torch
from torch.nn import functional as F

from lecdsr.models.layers import softmax
from lecdsr.models.layers.softmax import cross_entropy


def case(m, n, d, seed=0, dtype=torch.float64):
    source = torch.Generator().manual_seed(seed)
    queries, keys, bias = (
        torch.randn(*size, generator=source, dtype=dtype).requires_grad_() for size in ((m, d), (n, d), (n,))
    )
    return queries, keys, bias, torch.randint(0, n, (m,), generator=source)


@pytest.mark.parametrize("rows", [1, 4, 8, 10**6])
def test_value_and_gradients_are_those_of_the_plain_way(rows, monkeypatch):
    monkeypatch.setattr(softmax, "block_rows", lambda n, device: rows)  # one target at a time, several, all
    queries, keys, bias, target = case(9, 5, 3)
    plain = F.cross_entropy(queries @ keys.T + bias, target, reduction="sum")
    ours = cross_entropy(queries, keys, target, bias)
    torch.testing.assert_close(ours, plain)
    for one, other in zip(
        torch.autograd.grad(2.5 * ours, (queries, keys, bias)),
        torch.autograd.grad(2.5 * plain, (queries, keys, bias)),
        strict=True,
    ):
        torch.testing.assert_close(one, other)


def test_gradients_are_those_of_small_differences():
    queries, keys, bias, target = case(4, 6, 3, seed=1)
    assert torch.autograd.gradcheck(lambda q, k, b: cross_entropy(q, k, target, b), (queries, keys, bias))


def test_scores_far_apart_stay_finite():
    queries = torch.tensor([[200.0], [-200.0]], requires_grad=True)
    keys, bias, target = torch.tensor([[1.0], [0.0]]), torch.zeros(2), torch.tensor([1, 0])
    loss = cross_entropy(queries, keys, target, bias)
    assert loss.item() == 400  # each target is 200 below the other item
    assert torch.equal(torch.autograd.grad(loss, queries)[0], torch.tensor([[1.0], [-1.0]]))


def test_no_targets_give_zero():
    queries, keys, bias, target = case(0, 5, 3)
    loss = cross_entropy(queries, keys, target, bias)
    assert loss.item() == 0
    assert not torch.autograd.grad(loss, keys)[0].any()


def test_autocast_is_close():
    queries, keys, bias, target = case(30, 40, 8, dtype=torch.float32)
    exact = cross_entropy(queries, keys, target, bias)
    with torch.autocast("cpu", torch.bfloat16):
        close = cross_entropy(queries, keys, target, bias)
    assert close.dtype == torch.float32
    assert close != exact  # the products were in bfloat16
    torch.testing.assert_close(close, exact, rtol=0.01, atol=0)


def test_weights_and_no_bias():
    queries, keys, _, target = case(6, 5, 3)
    weight = torch.arange(6, dtype=torch.float64)
    plain = (weight * F.cross_entropy(queries @ keys.T, target, reduction="none")).sum()
    ours = cross_entropy(queries, keys, target, weight=weight)
    torch.testing.assert_close(ours, plain)
    for one, other in zip(
        torch.autograd.grad(ours, (queries, keys)), torch.autograd.grad(plain, (queries, keys)), strict=True
    ):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize(
    ("device", "items", "rows"),
    [
        ("cpu", 1_000, 4_000),  # the cache decides
        ("cpu", 200_000, 256),  # the least number of targets does
        ("cpu", 10_000_000, 26),  # memory does
        ("cuda", 1_000, 268_435),
        ("cuda", 1_000_000, 268),
        ("cuda", 10**9, 1),
    ],
)
def test_blocks_suit_the_device_and_the_catalogue(device, items, rows):
    assert softmax.block_rows(items, torch.device(device)) == rows
