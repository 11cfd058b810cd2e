"""Losses computed by hand and compared with slow loops."""

import math

import pytest
import torch
from torch.nn import functional as F

from lecdsr.models.layers.losses import align, binary_cross_entropy, hinge, psl, sampled_softmax, softmax_by_domain
from tests.models.zoo import generator


def test_hinge_by_hand():
    target, negatives = torch.tensor([2.0, 0.0]), torch.tensor([[1.0, 2.0, -9.0], [0.5, 3.0, -2.0]])
    # tau 2: terms 1 - 1/2, 1, 0 (far below); 1 + 1/4, 1 + 3/2, 0 (exactly one margin below).
    assert hinge(target, negatives, 2.0, "sum").value().item() == pytest.approx(0.5 + 1 + 0 + 1.25 + 2.5 + 0)
    assert hinge(target, negatives, 2.0, "mean").value().item() == pytest.approx(5.25 / 6)
    # tau 4: 3/4, 1, 0; 9/8, 7/4, 1/2.
    assert hinge(target, negatives, 4.0, "sum").value().item() == pytest.approx(0.75 + 1 + 1.125 + 1.75 + 0.5)


def slow_alignment(e, t, tau, mask):
    """½ [CE(Q, A) + CE(Q, Aᵀ)] averaged over the positions that count, twice."""
    total, count = 0.0, 0
    for b in range(len(e)):
        real = [i for i in range(e.shape[1]) if mask[b, i]]
        for i in real:
            similarity = torch.stack([(t[b, i] @ t[b, j] + e[b, i] @ e[b, j]) / (2 * tau) for j in real])
            q = similarity.exp() / similarity.exp().sum()
            forward = torch.stack([e[b, i] @ t[b, j] / tau for j in real])
            backward = torch.stack([e[b, j] @ t[b, i] / tau for j in real])
            for a in (forward, backward):
                total = total + 0.5 * -(q * (a - a.exp().sum().log())).sum()
            count += 1
    return 2 * total / max(count, 1)


@pytest.mark.parametrize("masked", [False, True])
def test_alignment_against_a_slow_loop(masked):
    source = generator(8)
    e, t = (torch.randn(3, 5, 4, generator=source, requires_grad=True) for _ in range(2))
    mask = torch.tensor([[False, False, True, True, True], [True] * 5, [False, False, False, False, True]])
    full = torch.ones_like(mask)
    found = align(e, t, 1.5, mask if masked else None, "sequence").value()
    expected = slow_alignment(e, t, 1.5, mask if masked else full)
    torch.testing.assert_close(found, expected)
    gradients = torch.autograd.grad(found, (e, t)), torch.autograd.grad(expected, (e, t))
    torch.testing.assert_close(*gradients, atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize("weight", [1, 1000])
def test_alignment_of_a_single_position_has_finite_gradients(weight):
    # A last batch of one sample with one item of history is possible in the one-domain control.
    e, t = (torch.randn(1, 5, 4, generator=generator(), requires_grad=True) for _ in range(2))
    mask = torch.tensor([[False] * 4 + [True]])
    align(e, t, 1.0, mask, "sequence").times(weight).value().backward()
    assert torch.isfinite(e.grad).all()
    assert torch.isfinite(t.grad).all()


@pytest.mark.parametrize("over", ["sequence", "batch"])
def test_alignment_of_nothing(over):
    e = torch.randn(2, 3, 4, generator=generator(), requires_grad=True)
    found = align(e, e * 2, 1.0, torch.zeros(2, 3, dtype=torch.bool), over).value()
    found.backward()
    assert found.item() == 0
    assert not e.grad.any()


def test_softmax_by_domain_against_a_loop():
    source = generator(2)
    queries = torch.randn(20, 6, generator=source, requires_grad=True)
    keys, bias = torch.randn(11, 6, generator=source, requires_grad=True), torch.randn(11, generator=source)
    target = torch.randint(11, (20,), generator=source)
    losses = []
    for query, item in zip(queries, target.tolist(), strict=True):
        domain, place = (slice(0, 6), item) if item < 6 else (slice(6, 11), item - 6)
        losses.append(F.cross_entropy((query @ keys[domain].T + bias[domain])[None], torch.tensor([place])))
    expected, found = torch.stack(losses).mean(), softmax_by_domain(queries, keys, bias, target, 6).value()
    torch.testing.assert_close(found, expected)
    gradients = torch.autograd.grad(found, (queries, keys)), torch.autograd.grad(expected, (queries, keys))
    torch.testing.assert_close(*gradients)


@pytest.mark.parametrize("target", [[0, 1, 2], [6, 7, 10], []])
def test_softmax_of_one_domain_or_none(target):
    queries = torch.randn(len(target), 3, generator=generator(), requires_grad=True)
    found = softmax_by_domain(
        queries, torch.randn(11, 3), torch.zeros(11), torch.tensor(target, dtype=torch.long), 6
    ).value()
    found.backward()
    assert torch.isfinite(found)


def test_psl_by_hand():
    # One sample, tau 0.5, differences (0.2 - 0.6) / 0.5 = -0.8 and (0.6 - 0.6) / 0.5 = 0.
    target, negatives = torch.tensor([0.6]), torch.tensor([[0.2, 0.6]])
    activated = {
        "relu": (0.2, 1.0),
        "tanh": (math.tanh(-0.8) + 1, 1.0),
        "atan": (math.atan(-0.8) + 1, 1.0),
    }
    for surrogate, (first, second) in activated.items():
        # logsumexp of log σ / outer: the sum of σ to the power of 1 / outer.
        for outer in (1.0, 0.5):
            expected = math.log(first ** (1 / outer) + second ** (1 / outer))
            found = psl(target, negatives, 0.5, outer, surrogate).value().item()
            assert found == pytest.approx(expected, rel=1e-5), surrogate


def test_psl_of_exponentials_is_the_softmax_loss():
    # The paper's starting point: with σ = exp the loss is the sampled softmax without the target in the sum.
    target, negatives = torch.tensor([0.3, -0.2]), torch.tensor([[0.1, 0.5], [0.0, -0.9]])
    softmax = sampled_softmax(target, negatives, 0.7).value().item()
    d = ((negatives - target[:, None]) / 0.7).logsumexp(1)
    assert softmax == pytest.approx((1 + d.exp()).log().mean().item(), rel=1e-5)


@pytest.mark.parametrize("surrogate", ["relu", "tanh", "atan"])
def test_psl_far_below_has_finite_values_and_gradients(surrogate):
    target, negatives = torch.tensor([1.0]), torch.full((1, 3), -1.0)
    target.requires_grad_()
    found = psl(target, negatives, 0.01, 1.0, surrogate).value()
    found.backward()
    assert torch.isfinite(found)
    assert torch.isfinite(target.grad).all()


def test_sampled_softmax_and_binary_cross_entropy_by_hand():
    target, negatives = torch.tensor([1.0]), torch.tensor([[0.0, 2.0]])
    logits = [1 / 2, 0 / 2, 2 / 2]
    expected = math.log(sum(map(math.exp, logits))) - logits[0]
    assert sampled_softmax(target, negatives, 2.0).value().item() == pytest.approx(expected, rel=1e-5)
    sigmoid = [1 / (1 + math.exp(-x)) for x in (1.0, 0.0, 2.0)]
    expected = -math.log(sigmoid[0]) - (math.log(1 - sigmoid[1]) + math.log(1 - sigmoid[2])) / 2
    assert binary_cross_entropy(target, negatives).value().item() == pytest.approx(expected, rel=1e-5)


def test_alignment_across_the_batch_is_that_of_the_latest_positions():
    source = generator(3)
    e, t = (torch.randn(4, 5, 6, generator=source) for _ in range(2))
    mask = torch.tensor([[False] * 3 + [True] * 2, [True] * 5, [False] * 5, [False] * 4 + [True]])
    latest = [0, 1, 3]
    expected = slow_alignment(e[latest, -1][None], t[latest, -1][None], 1.5, torch.ones(1, 3, dtype=torch.bool))
    torch.testing.assert_close(align(e, t, 1.5, mask, "batch").value(), expected)


@pytest.mark.parametrize("parts", [[2, 2], [3, 1], [4, 0]])
def test_terms_of_parts_make_the_mean_of_the_whole(parts):
    source = generator(5)
    target, negatives = torch.randn(4, generator=source), torch.randn(4, 3, generator=source)
    for loss in (
        lambda t, n: hinge(t, n, 1.0, "mean"),
        lambda t, n: sampled_softmax(t, n, 1.0),
        binary_cross_entropy,
        lambda t, n: psl(t, n, 1.0, 1.0, "tanh"),
    ):
        whole = loss(target, negatives).value()
        pieces = [loss(t, n) for t, n in zip(target.split(parts), negatives.split(parts), strict=True)]
        total, count = sum(piece.total for piece in pieces), sum(piece.count for piece in pieces)
        torch.testing.assert_close(total / count, whole)
