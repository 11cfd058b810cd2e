"""Fit the weights of the terms of a score on validation targets, after training (:mod:`lecdsr.models.layers.terms`).

For the terms t_1 … t_J of a score, the factors f of a domain maximise the likelihood of its validation targets among
K sampled items each, under a prior that keeps them where they start::

    Σ_targets log softmax(Σ_j f_j t_j)[target]  -  ½ Σ_j (f_j - start_j)²,   f ≥ 0

The prior weighs as much as one target, so that few targets change little. With uniform samples the estimate is
consistent (McFadden 1978). The sum is concave in f, so it has one maximum, which Newton's method finds in a few steps.
Test targets are never read.

Shape legend: B targets, K sampled items, J terms, N items of a domain.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from lecdsr.core.console import track
from lecdsr.data.batch import Gatherer, Histories
from lecdsr.data.info import DatasetInfo
from lecdsr.data.negatives import Draws, draw_unseen
from lecdsr.data.sequences import Sequences
from lecdsr.evaluate.ranks import batches_by_domain
from lecdsr.models.base import Recommender
from lecdsr.train.validator import sample_windows, validation_batch

#: Items that a target is compared with, and most targets: more would say little more about a few numbers.
SAMPLED, TARGETS = 1000, 10_000
#: Most steps of Newton's method; it needs about six.
STEPS = 50
#: Gain in log-likelihood below which it stops.
TOLERANCE = 1e-9


@torch.no_grad()
def fit_term_weights(
    network: Recommender, valid: Sequences, info: DatasetInfo, length: int, device: torch.device, seed: int
) -> None:
    """Fit the weights of the terms in each domain, in place; a model without such terms stays as it is.

    Args:
        network: the trained model, on ``device``.
        valid: windows of validation.
        info: sizes of the dataset.
        length: latest items of a history that the model reads.
        device: where to compute.
        seed: of the sampled items.
    """
    weights = network.term_weights
    if weights is None:
        return
    network.eval()
    valid = sample_windows(valid, TARGETS, seed)
    samples = sample_terms(network.score_terms(), valid, info, length, device, seed)
    fitted = [start if x is None else maximise(x, start) for x, start in zip(samples, weights.start, strict=True)]
    weights.set(torch.stack(fitted))


def sample_terms(
    terms: Callable[[Histories, slice], Tensor],
    valid: Sequences,
    info: DatasetInfo,
    length: int,
    device: torch.device,
    seed: int,
) -> list[Tensor | None]:
    """Compute the terms of validation targets and of uniform other items, which the user does not have.

    Args:
        terms: function for the terms ``[J, B, N]`` of histories and a slice of items.
        valid: windows of validation.
        info: sizes of the dataset.
        length: latest items of a history that are read.
        device: where to compute.
        seed: of the sample.

    Returns:
        ``[B, 1+K, J]`` of each domain, the target first, on the CPU. ``None`` without targets.
    """
    gatherer = Gatherer(valid, length, info.n_x, info.padding, device)
    draws, parts = Draws(seed), (list[Tensor](), list[Tensor]())
    size = max(1, validation_batch(info) // 8)  # a validation has one tensor of this size, here are one for each term
    for domain, windows in track(list(batches_by_domain(valid, info, size)), "weights of terms"):
        items, chosen = info.items_of(domain), valid.take(windows)
        histories = replace(gatherer.histories(chosen.user, chosen.start, chosen.end - 1), domain=domain)
        target = torch.from_numpy(chosen.target).unsqueeze(1)
        others = draw_unseen(items, SAMPLED, torch.cat([histories.sequence.cpu(), target], dim=1), draws)
        values = terms(histories, items)  # [J, B, N]
        places = torch.cat([target, others], dim=1).to(device) - items.start  # [B, 1+K]
        parts[domain].append(values.gather(2, places.expand(len(values), -1, -1)).permute(1, 2, 0).cpu())
    return [torch.cat(part) if part else None for part in parts]


def maximise(samples: Tensor, start: Tensor) -> Tensor:
    """Find the factors of one domain that maximise the sum in the module's docstring, by Newton's method.

    Args:
        samples: ``[B, 1+K, J]`` terms of the targets, which come first, and of the items sampled for each.
        start: ``[J]`` factors that the prior keeps.

    Returns:
        ``[J]`` factors, none below 0. Where the maximum without that bound is below 0, the factor is 0 and the others
        are fitted without the term.
    """
    start = start.double()
    free = torch.ones(len(start), dtype=torch.bool)
    while True:
        factors = torch.zeros_like(start)
        factors[free] = _newton(samples[:, :, free], start[free])
        below = factors < 0
        if not below.any():
            return factors
        free = free & ~below


def _newton(samples: Tensor, start: Tensor) -> Tensor:
    """``[J]`` factors at the maximum, with halved steps where a whole one would go down."""
    factors, (value, gradient, curvature) = start.clone(), _around(samples, start, start)
    for _ in range(STEPS):
        step = torch.linalg.solve(curvature, gradient)
        if float(gradient @ step) < TOLERANCE:
            break
        while (found := _around(samples, factors + step, start))[0] < value:
            step = step / 2
        factors, (value, gradient, curvature) = factors + step, found
    return factors


def _around(samples: Tensor, factors: Tensor, start: Tensor) -> tuple[float, Tensor, Tensor]:
    """The sum at some factors, its gradient ``[J]`` and its negative curvature ``[J, J]``."""
    away = factors - start
    value, gradient = -float(away @ away) / 2, -away
    curvature = torch.eye(len(start), dtype=start.dtype)
    for part in samples.split(1024):
        terms = part.double()
        logs = (terms @ factors).log_softmax(dim=1)  # [B, 1+K]
        shares = logs.exp().unsqueeze(2)
        means = (shares * terms).sum(dim=1)  # [B, J]
        value += float(logs[:, 0].sum())
        gradient = gradient + (terms[:, 0] - means).sum(dim=0)
        centred = terms - means.unsqueeze(1)
        curvature = curvature + (shares * centred).flatten(0, 1).T @ centred.flatten(0, 1)
    return value, gradient, curvature
