"""Weights of terms are fitted to validation targets alone, by the stated rule."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from lecdsr.core.schemas import TEST, VALID
from lecdsr.data.load import PairData
from lecdsr.train import term_weights
from lecdsr.train.fit import fit_model
from lecdsr.train.term_weights import maximise, sample_terms
from tests.models.settings import settings_for, shared_settings
from tests.models.zoo import LENGTH
from tests.tiny import circle, info, sequences

CPU = torch.device("cpu")
ONE = torch.ones(2)


def drawn(true: list[float], targets: int, items: int = 30) -> torch.Tensor:
    """Samples whose target was drawn from the softmax with the factors ``true``, put first."""
    generator = torch.Generator().manual_seed(1)
    terms = torch.randn(targets, items, len(true), generator=generator, dtype=torch.float64)
    shares = (terms @ torch.tensor(true, dtype=torch.float64)).softmax(dim=1)
    target = torch.multinomial(shares, 1, generator=generator)
    first = terms[:, 0].clone()
    terms[:, 0] = terms[torch.arange(targets), target[:, 0]]
    terms[torch.arange(targets), target[:, 0]] = first
    return terms


def objective(samples: torch.Tensor, factors: torch.Tensor, start: torch.Tensor) -> float:
    """The sum that is maximised, target by target."""
    total = -0.5 * float(((factors - start) ** 2).sum())
    for rows in samples.tolist():
        scores = [sum(f * t for f, t in zip(factors.tolist(), row, strict=True)) for row in rows]
        total += scores[0] - float(torch.tensor(scores, dtype=torch.float64).logsumexp(0))
    return total


def test_fitted_factors_are_the_maximum_on_a_grid():
    samples = drawn([1.5, 0.4], 40, 6)
    found = maximise(samples, ONE)
    best = objective(samples, found, ONE)
    grid = torch.linspace(0, 3, 13, dtype=torch.float64)
    values = {(a, b): objective(samples, torch.stack([a, b]), ONE) for a in grid for b in grid}
    assert best >= max(values.values())
    for shift in (0.01, -0.01):
        for place in (0, 1):
            moved = found.clone()
            moved[place] += shift
            assert objective(samples, moved, ONE) < best


def test_many_targets_give_the_factors_that_they_were_drawn_with():
    found = maximise(drawn([2.0, 0.3, 0.7], 2000), torch.ones(3))
    np.testing.assert_allclose(found, [2.0, 0.3, 0.7], atol=0.1)


def test_a_term_that_harms_gets_no_weight_and_the_others_are_fitted_without_it():
    samples = drawn([1.5, -0.8], 300)
    found = maximise(samples, ONE)
    assert found[1] == 0
    torch.testing.assert_close(found[:1], maximise(samples[:, :, :1], ONE[:1]))


def test_few_targets_change_little_and_a_separable_one_stays_finite():
    start = torch.tensor([1.0, 0.0])
    none = maximise(torch.zeros(3, 5, 2, dtype=torch.float64), start)
    torch.testing.assert_close(none, start.double())  # nothing to learn
    one = torch.zeros(1, 3, 2, dtype=torch.float64)
    one[0, 0, 0] = 1
    # The target is best by its first term: the likelihood has no maximum, and the prior bounds the factor.
    factor = float(maximise(one, start)[0])
    assert factor - 1 == pytest.approx(1 - np.exp(factor) / (np.exp(factor) + 2))


def test_samples_start_with_the_target_and_avoid_what_the_user_has(monkeypatch):
    walks = circle(12)
    data, valid = info(12, 12, len(walks)), sequences(walks, 12).of_split(VALID)
    monkeypatch.setattr(term_weights, "SAMPLED", 50)

    def numbers(histories, items):
        return torch.arange(items.start, items.stop).expand(1, len(histories.user), -1)

    for domain, found in enumerate(sample_terms(numbers, valid, data, LENGTH, CPU, 1)):
        chosen = valid.take((valid.target >= 12) == bool(domain))
        assert found.shape == (len(chosen), 51, 1)
        assert found[:, 0, 0].tolist() == chosen.target.tolist()
        others = found[:, 1:, 0].long()
        assert others.min() >= 12 * domain
        assert others.max() < 12 * domain + 12
        rows = zip(chosen.end, others.tolist(), strict=True)
        owned = [item in chosen.items[end - LENGTH - 1 : end] for end, row in rows for item in row]
        assert np.mean(owned) < 0.05  # a third of the domain; drawn again at most three times


def fitted_on(data: PairData, **changed):
    settings = settings_for("tandem", width=8, history_length=6, batch_size=16, calendar_days=2, **changed)
    return fit_model("tandem", settings, shared_settings(seed=2, device="cpu", epochs=2), data, quiet=True)


@pytest.fixture
def data():
    walks = circle(12)
    return PairData(info(12, 12, len(walks)), sequences(walks, 12))


def test_the_weights_are_part_of_the_result_and_of_its_score(data):
    fitted, fixed = fitted_on(data), fitted_on(data, term_weights="fixed")
    factors = fitted.network.weights.factors
    assert not torch.equal(factors, fixed.network.weights.factors)
    assert torch.equal(fitted.result.weights["weights.factors"], factors)
    # Training itself is the same.
    assert fitted.result.log == fixed.result.log
    assert torch.equal(fitted.network.item_embeddings.weight, fixed.network.item_embeddings.weight)


def with_other_targets(sequences, split, step):
    """The same sequences, each target of a split replaced by another item."""
    chosen = np.flatnonzero(sequences.split == split)
    items, rows = sequences.items.copy(), sequences.end[chosen] - 1
    items[rows] = np.where(items[rows] < 12, (items[rows] + step) % 12, items[rows])
    target = sequences.target.copy()
    target[chosen] = items[rows]
    return replace(sequences, items=items, target=target)


def test_test_targets_change_no_weight(data):
    changed = with_other_targets(data.sequences, TEST, 1)
    assert not np.array_equal(changed.items, data.sequences.items)
    first, again = fitted_on(data), fitted_on(PairData(data.info, changed))
    for name, value in first.result.weights.items():
        assert torch.equal(value, again.result.weights[name]), name


def test_validation_targets_do(data):
    changed = with_other_targets(data.sequences, VALID, 5)
    first, again = fitted_on(data), fitted_on(PairData(data.info, changed))
    assert not torch.equal(first.network.weights.factors, again.network.weights.factors)
