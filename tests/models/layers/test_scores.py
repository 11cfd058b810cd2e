"""Scores of a few candidates: values and gradients equal those of the obvious implementation."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from lecdsr.models.layers.scores import candidate_scores


@settings(deadline=None)
@given(st.integers(1, 7), st.integers(1, 9), st.integers(1, 12), st.integers(1, 6), st.integers(0, 10_000))
def test_values_and_gradients(samples, count, items, width, seed):
    source = torch.Generator().manual_seed(seed)
    queries = torch.randn(samples, width, generator=source, requires_grad=True)
    table = torch.randn(items, width, generator=source, requires_grad=True)
    candidates = torch.randint(items, (samples, count), generator=source)  # rows repeat
    weight = torch.randn(samples, count, generator=source)
    plain = (F.embedding(candidates, table) @ queries.unsqueeze(-1)).squeeze(-1)
    found = candidate_scores(queries, table, candidates)
    torch.testing.assert_close(found, plain)
    expected = torch.autograd.grad((plain * weight).sum(), (queries, table))
    torch.testing.assert_close(torch.autograd.grad((found * weight).sum(), (queries, table)), expected)


def test_a_frozen_side_gets_no_gradient():
    table = torch.randn(5, 3, requires_grad=True)
    candidate_scores(torch.randn(2, 3), table, torch.tensor([[0, 4], [4, 4]])).sum().backward()
    assert table.grad is not None
    assert not table.grad[1:4].any()


def test_no_samples():
    table = torch.randn(5, 3, requires_grad=True)
    found = candidate_scores(torch.randn(0, 3), table, torch.zeros(0, 4, dtype=torch.long))
    assert found.shape == (0, 4)
    found.sum().backward()
    assert table.grad is not None
    assert not table.grad.any()


@pytest.mark.parametrize("kind", ["queries", "table"])
def test_gradients_numerically(kind):
    queries, table = torch.randn(3, 4, dtype=torch.double), torch.randn(6, 4, dtype=torch.double)
    candidates = torch.tensor([[0, 1, 1], [5, 2, 3], [4, 4, 0]])

    def scores(changed):
        return candidate_scores(*((changed, table) if kind == "queries" else (queries, changed)), candidates)

    assert torch.autograd.gradcheck(scores, ((queries if kind == "queries" else table).requires_grad_(),))
