"""Phrases of profiles in a query and in a score, against plain loops."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from lecdsr.data.batch import Histories, HistoryProfiles
from lecdsr.data.profiles import Profiles
from lecdsr.models.layers.profiles import (
    Asked,
    Lists,
    Needs,
    PhraseSimilarity,
    asked_next,
    largest_similarity,
    lists_of,
    weighted_phrases,
)
from tests.tiny import info

WIDTH, D, V = 5, 4, 6
#: Rows of phrases by profile and domain; V is none. The last profile is the unknown one.
ROWS = torch.tensor([[[0, 1, 2], [3, V, V]], [[4, 2, V], [V, V, V]], [[V, V, V], [V, V, V]]])
UNKNOWN = 2


def source(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def lists() -> Lists:
    phrases = torch.randn(V + 1, D, generator=source(), dtype=torch.float64)
    phrases[V] = 0
    return Lists(phrases, ROWS)


def needs(dropout: float = 0.0) -> Needs:
    """A layer of trained size."""
    layer = Needs(lists(), dropout).double().eval()
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter += 0.4 * torch.randn(parameter.shape, generator=source(1), dtype=torch.float64)
    return layer


def asked() -> Asked:
    return Asked(
        torch.tensor([0, 0, 1, 1, 0, UNKNOWN]), torch.tensor([0, 2, 5, 1, 0, 0]), torch.tensor([0, 1, 0, 1, 0, 1])
    )


def queries_and_projection():
    queries = F.normalize(torch.randn(6, WIDTH, generator=source(2), dtype=torch.float64), dim=1).requires_grad_()
    projection = nn.Linear(D, WIDTH, bias=False).double()
    with torch.no_grad():
        projection.weight.copy_(torch.randn(WIDTH, D, generator=source(3)))
    return queries, projection


def by_loop(layer, queries, one, projection):
    """The formulas of the docstring, one query and one phrase at a time."""
    additions = []
    for query, profile, age, domain in zip(queries, *(part.tolist() for part in one), strict=True):
        phrases = [F.normalize(projection(lists().phrases[row]), dim=0) for row in ROWS[profile, domain] if row != V]
        if not phrases:
            additions.append(torch.zeros(WIDTH, dtype=torch.float64))
            continue
        exponents = [layer.sharpness * (query @ p) + layer.position[k] for k, p in enumerate(phrases)]
        shares = torch.stack(exponents).softmax(dim=0)
        pooled = sum(share * p for share, p in zip(shares, phrases, strict=True))
        fading = torch.log1p(torch.exp(layer.fading[domain])) * math.log(1 + age)
        additions.append(layer.gate[domain] * torch.exp(-fading) * pooled)
    return torch.stack(additions)


def test_needs_and_their_gradients_by_a_loop():
    layer, (queries, projection) = needs(), queries_and_projection()
    wanted = [queries, projection.weight, *layer.parameters()]
    found, expected = layer(queries, asked(), projection), by_loop(layer, queries, asked(), projection)
    torch.testing.assert_close(found, expected)
    weights = torch.randn(found.shape, generator=source(4), dtype=torch.float64)
    ours, theirs = (torch.autograd.grad((weights * one).sum(), wanted) for one in (found, expected))
    for one, other in zip(ours, theirs, strict=True):
        assert other.abs().sum() > 0
        torch.testing.assert_close(one, other)


def test_one_domain_for_all_is_the_same():
    layer, (queries, projection) = needs(), queries_and_projection()
    for domain in (0, 1):
        alike = asked()._replace(domain=torch.full((6,), domain))
        both = [layer(queries, one, projection) for one in (alike, asked()._replace(domain=domain))]
        torch.testing.assert_close(*both)


def test_an_unknown_profile_and_an_empty_list_add_exactly_zero():
    layer, (queries, projection) = needs(), queries_and_projection()
    found = layer(queries, asked(), projection)
    assert not found[[3, 5]].any()
    assert found[[0, 1, 2, 4]].any(dim=1).all()


def test_an_older_profile_adds_less():
    layer, (queries, projection) = needs(), queries_and_projection()
    ages = torch.tensor([0, 1, 3, 10, 100, 1000])
    one = Asked(torch.zeros(6, dtype=torch.long), ages, 0)
    sizes = layer(queries[:1].expand(6, -1), one, projection).norm(dim=1)
    assert (sizes.diff() < 0).all()
    power = -F.softplus(layer.fading[0])
    torch.testing.assert_close(sizes / sizes[0], (1 + ages).double() ** power)


def test_lists_are_dropped_whole_and_in_training_alone():
    layer, (queries, projection) = needs(dropout=0.5), queries_and_projection()
    many = Asked(torch.zeros(400, dtype=torch.long), torch.zeros(400, dtype=torch.long), 0)
    query = queries[:1].expand(400, -1)
    whole = layer(query, many, projection)
    torch.manual_seed(0)
    kept = layer.train()(query, many, projection).any(dim=1)
    assert 150 < kept.sum() < 250
    torch.manual_seed(0)
    torch.testing.assert_close(layer(query, many, projection), whole * kept.unsqueeze(1))


def unit_lists() -> Lists:
    """Phrases along axes, so that cosines are read off."""
    phrases = torch.zeros(V + 1, V)
    phrases[:V] = torch.eye(V)
    return Lists(phrases, ROWS)


def test_the_largest_similarity_by_hand():
    # Items: phrase 0; between phrases 1 and 2; opposite to 0; without text; between 0 and 2.
    half = math.sqrt(0.5)
    items = torch.tensor([
        [1, 0, 0, 0, 0, 0], [0, half, half, 0, 0, 0], [-1, 0, 0, 0, 0, 0], [0] * 6, [0.6, 0, 0.8, 0, 0, 0],
    ])  # fmt: skip
    profiles = torch.tensor([0, 1, UNKNOWN])
    found = largest_similarity(unit_lists(), Asked(profiles, torch.zeros(3), 0), items)
    # Of profile 0 the phrases 0, 1, 2 weigh 1, 1/√2 and 1/√3; of profile 1 phrase 4 weighs 1, and 2 weighs 1/√2.
    expected = [[1, 0.5, 0, 0, 0.6], [0, 0.5, 0, 0, 0.8 * half], [0] * 5]
    torch.testing.assert_close(found, torch.tensor(expected))
    other = largest_similarity(unit_lists(), Asked(profiles, torch.zeros(3), 1), items)
    assert not other.any()  # phrase 3 is like none of them; the list of profile 1 is empty


def test_phrases_carry_the_weight_of_their_position():
    found = weighted_phrases(unit_lists(), Asked(torch.tensor([0, UNKNOWN]), torch.zeros(2), 0))
    torch.testing.assert_close(found[0].norm(dim=1), torch.tensor([1, 2**-0.5, 3**-0.5]))
    assert not found[1].any()


def histories(domain: int | None) -> Histories:
    """Three histories of two items; the next item may read profile 0, profile 1 or none."""
    sequence = torch.zeros(3, 2, dtype=torch.long)
    row = torch.tensor([[1, 0], [UNKNOWN, 1], [0, UNKNOWN]])
    profile = HistoryProfiles(row, torch.zeros_like(row))
    return Histories(sequence, sequence, torch.arange(3), sequence, profile=profile, domain=domain)


@pytest.mark.parametrize("domain", [0, 1])
def test_the_vectors_give_the_term(domain):
    layer = PhraseSimilarity(Lists(3 * unit_lists().phrases, ROWS), 2.5)
    texts = F.normalize(torch.randn(7, V, generator=source(5)), dim=1)
    texts[6] = 0
    term = layer.term(texts)(histories(domain), slice(1, 7))
    wanted = Asked(torch.tensor([0, 1, UNKNOWN]), torch.zeros(3), domain)
    torch.testing.assert_close(term, 2.5 * largest_similarity(unit_lists(), wanted, texts[1:]))
    products = texts[1:] @ layer.vectors(histories(domain)).flatten(0, 1).T  # [N, B * K]
    torch.testing.assert_close(term, products.view(6, 3, 3).amax(dim=2).clamp(min=0).T)
    assert term[0].any() or domain
    assert not term[2].any()


def test_the_domain_must_be_known_where_a_profile_is_read():
    with pytest.raises(ValueError, match="domain"):
        asked_next(histories(None))
    without = Histories(*[torch.zeros(3, 2, dtype=torch.long)] * 4)
    assert asked_next(without) is None
    assert PhraseSimilarity(unit_lists(), 1.0).term(torch.eye(V))(without, slice(0, 2)) == 0
    assert not PhraseSimilarity(unit_lists(), 1.0).vectors(without).any()


def test_controls_of_the_lists():
    profiles = info().profiles
    real, other, noise = (lists_of(profiles, "phrases", mode, 1) for mode in ("vectors", "shuffled", "random"))
    assert real.rows is profiles.lists
    assert torch.equal(other.rows[-1], real.rows[-1])  # the unknown profile stays unknown
    assert not torch.equal(other.rows, real.rows)
    torch.testing.assert_close(noise.phrases.norm(dim=1), real.phrases.norm(dim=1))
    assert not torch.isclose(noise.phrases[:-1], real.phrases[:-1]).all(dim=1).any()
    whole = lists_of(profiles, "whole", "vectors", 1)
    assert whole.rows.shape == (len(profiles) + 1, 2, 1)
    assert torch.equal(whole.phrases[whole.rows[:, 0, 0]], profiles.vectors[profiles.whole])


@settings(max_examples=50)
@given(st.lists(st.integers(1, 4), min_size=1, max_size=6), st.integers(0, 9))
def test_shuffled_lists_are_those_of_another_user_and_the_same_version(versions, seed):
    user = np.repeat(np.arange(len(versions)) * 3, versions)
    number = np.concatenate([np.arange(count) for count in versions])
    rows = torch.arange(len(user)).view(-1, 1, 1).expand(-1, 2, 1)
    lists = torch.cat([rows, torch.full((1, 2, 1), len(user))])
    profiles = Profiles(user, number, torch.zeros(len(user) + 1, D), torch.arange(len(user) + 1), lists)
    source = lists_of(profiles, "phrases", "shuffled", seed).rows[:-1, 0, 0].numpy()
    if len(versions) == 1:
        assert source.tolist() == list(range(len(user)))
        return
    assert (user[source] != user).all()
    assert len(set(user[source])) == len(versions)  # every user lends once
    last = np.array([versions[u // 3] - 1 for u in user[source]])
    assert (number[source] == np.minimum(number, last)).all()
