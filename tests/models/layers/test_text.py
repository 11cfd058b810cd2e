"""Text vectors: controls, whitening, projections."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from lecdsr.models.layers.text import MixtureOfExperts, control, mlp, project_distinct, whiten
from tests.models.zoo import generator


def test_control_none_and_vectors():
    vectors = torch.randn(5, 3, generator=generator())
    assert control(vectors, "none", 0) is None
    assert control(None, "none", 0) is None
    assert torch.equal(control(vectors, "vectors", 0), vectors)
    for mode in ("vectors", "random", "shuffled"):
        with pytest.raises(ValueError, match="vectors"):
            control(None, mode, 0)


@pytest.fixture
def vectors():
    rows = torch.randn(40, 6, generator=generator(4)) * torch.linspace(0.1, 9, 40).unsqueeze(1)
    rows[[3, 17, 39]] = 0
    return rows


def test_random_control_keeps_the_size_of_every_vector(vectors):
    before = vectors.clone()
    replaced = control(vectors, "random", 1)
    assert torch.equal(vectors, before)
    torch.testing.assert_close(replaced.norm(dim=1), vectors.norm(dim=1))
    assert not replaced[[3, 17, 39]].any()
    known = vectors.norm(dim=1) > 0
    assert (F.cosine_similarity(replaced[known], vectors[known]).abs() < 0.999).all()


def test_shuffled_control_permutes_the_known_vectors(vectors):
    before = vectors.clone()
    replaced = control(vectors, "shuffled", 1)
    assert torch.equal(vectors, before)
    assert not replaced[[3, 17, 39]].any()
    known = vectors.norm(dim=1) > 0
    assert sorted(replaced[known].tolist()) == sorted(vectors[known].tolist())
    assert (replaced[known] != vectors[known]).any(dim=1).sum() > 30


@pytest.mark.parametrize("mode", ["random", "shuffled"])
def test_controls_repeat(vectors, mode):
    assert torch.equal(control(vectors, mode, 1), control(vectors, mode, 1))
    assert not torch.equal(control(vectors, mode, 1), control(vectors, mode, 2))


@pytest.mark.parametrize("projection", [mlp(6, 7, 5), MixtureOfExperts(6, 5, 3, 0.2)], ids=["mlp", "moe"])
def test_projecting_distinct_rows_is_projecting_every_row(projection, vectors):
    projection.eval()
    for parameter in projection.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    ids = torch.tensor([[0, 39, 39, 5], [5, 5, 0, 12]])
    found = project_distinct(projection, vectors, ids)
    torch.testing.assert_close(found, projection(vectors[ids]))
    assert torch.equal(found[0, 1], found[0, 2])
    torch.testing.assert_close(project_distinct(projection, vectors, ids[0]), projection(vectors[ids[0]]))


def test_mixture_of_experts_by_loop():
    moe = MixtureOfExperts(4, 3, 5, dropout=0.5).eval()
    for parameter in moe.parameters():
        torch.nn.init.normal_(parameter)
    x = torch.randn(2, 4, generator=generator())
    for place in range(2):
        weights = torch.softmax(moe.gate.weight @ x[place], 0)
        expected = sum(weights[e] * ((x[place] - moe.bias[e]) @ moe.weight[e]) for e in range(5))
        torch.testing.assert_close(moe(x)[place], expected)


def test_mixture_of_experts_is_noisy_in_training_only():
    moe = MixtureOfExperts(4, 3, 5, dropout=0.0)
    x = torch.randn(2, 4, generator=generator())
    assert not torch.equal(moe(x), moe(x))
    moe.eval()
    assert torch.equal(moe(x), moe(x))


@pytest.mark.parametrize("width", [2, 6, 9])
def test_whitened_vectors_are_the_first_components_at_variance_one(vectors, width):
    known = vectors.norm(dim=1) > 0
    found = whiten(vectors, width)
    rows = vectors[known].double().numpy()
    left, sizes, axes = np.linalg.svd(rows - rows.mean(axis=0), full_matrices=False)
    expected = left[:, :width] * np.sqrt(len(rows) - 1) * np.sign(axes[range(6), np.abs(axes).argmax(axis=1)])[:width]
    assert (np.diff(sizes) < 0).all()
    np.testing.assert_allclose(found[known], expected, atol=1e-4)
    assert not found[~known].any()
    torch.testing.assert_close(found[known].T.cov(), torch.eye(min(width, 6)), atol=1e-4, rtol=0)


def test_dimensions_that_do_not_differ_are_not_whitened():
    vectors = torch.randn(9, 3, generator=generator()) @ torch.randn(3, 7, generator=generator(1))
    assert whiten(vectors, 7).shape == (9, 3)
    assert whiten(torch.ones(4, 7), 7).shape == (4, 0)
    assert whiten(torch.zeros(4, 7), 7).shape == (4, 0)
