"""Profiles of users in a score: what a user is likely to need next in each domain, a list of phrases as text vectors.

Two ways to read a list, which add up (docs/model.md):

- :class:`Needs` pools the phrases into one vector that is added to the query; trained, and still two towers.
- :class:`PhraseSimilarity` is the largest cosine of an item to a phrase; untrained, and no product of a query and a
  key, so it is a term of its own (:meth:`~lecdsr.models.base.Recommender.rerank_term`).

Shape legend: M queries, B histories, P profiles, V distinct phrases, K phrases of a list, D width of a text vector,
d width of a query, N items.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Literal, NamedTuple, cast

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from lecdsr.core.arrays import IntArray
from lecdsr.data.batch import Histories, distinct
from lecdsr.data.profiles import Profiles
from lecdsr.models.layers.text import TextMode

ProfileForm = Literal["phrases", "whole"]

# Settings of models that read phrases; each model sets its own defaults.
PhraseTexts = Annotated[
    TextMode,
    Field(
        description="Phrases of the profiles, what a user is likely to need next: the real `vectors`, `none`, or a "
        "control: `random` noise, or the lists `shuffled` among the users.",
    ),
]
PhraseForm = Annotated[
    ProfileForm,
    Field(
        description="Profile as separate `phrases` for each domain, or the `whole` text as one vector, as a control.",
    ),
]


class Asked(NamedTuple):
    """What is asked of a profile: the phrases for one domain, as of a time.

    Args:
        profile: ``[M]`` rows of profiles.
        age: ``[M]`` interactions since the profile was written.
        domain: ``[M]`` domain of the candidates, or one for all.
    """

    profile: Tensor
    age: Tensor
    domain: Tensor | int


def asked_at(histories: Histories, places: Tensor, domain: Tensor | int) -> Asked | None:
    """What the items after some places of a batch may read; ``None`` without profiles.

    Args:
        histories: B of them.
        places: ``[M]`` places in the flattened ``[B * L]``.
        domain: domain of these items.
    """
    if histories.profile is None:
        return None
    return Asked(histories.profile.row.flatten()[places], histories.profile.age.flatten()[places], domain)


def asked_next(histories: Histories) -> Asked | None:
    """What the next items after the histories may read; ``None`` without profiles.

    Raises:
        ValueError: the batch does not say which domain its candidates are from.
    """
    if histories.profile is None:
        return None
    if histories.domain is None:
        raise ValueError("a query that reads profiles depends on the domain of the candidates; set Histories.domain")
    return Asked(histories.profile.row[:, -1], histories.profile.age[:, -1], histories.domain)


class Lists(NamedTuple):
    """Lists of phrases as a model reads them.

    Args:
        phrases: ``[V+1, D]`` text vectors; the last row is zero.
        rows: ``[P+1, 2, K]`` rows of ``phrases`` for each domain, filled up with V.
    """

    phrases: Tensor
    rows: Tensor

    @property
    def empty(self) -> bool:
        """Whether no profile has a phrase, such as portraits alone."""
        return bool((self.rows == len(self.phrases) - 1).all())

    def unit(self) -> Lists:
        """The same lists, of phrases as vectors of length 1."""
        return self._replace(phrases=F.normalize(self.phrases, dim=1))

    def named(self, module: str) -> dict[str, Tensor]:
        """The lists as the buffers of a submodule :class:`Needs` or :class:`PhraseSimilarity`."""
        return {f"{module}.{name}": table for name, table in self._asdict().items()}


def lists_of(profiles: Profiles, form: ProfileForm, mode: TextMode, seed: int) -> Lists:
    """Take the lists of phrases from profiles, or replace them by a control.

    Args:
        profiles: of the users.
        form: the ``phrases``, or the ``whole`` profile as a list of one.
        mode: ``vectors``, or ``random`` phrases, or the lists ``shuffled`` among the users.
        seed: of the control.
    """
    rows, phrases = profiles.lists, profiles.vectors
    if form == "whole":
        rows = profiles.whole.view(-1, 1, 1).expand(-1, 2, 1)
    generator = torch.Generator().manual_seed(seed)
    if mode == "shuffled":
        other = _of_other_users(profiles.user, generator).to(rows.device)
        rows = torch.cat([rows[:-1][other], rows[-1:]])
    if mode == "random":
        noise = F.normalize(torch.randn(phrases.shape, generator=generator, device=phrases.device), dim=1)
        phrases = noise * phrases.norm(dim=1, keepdim=True)
    return Lists(phrases, rows.contiguous())


def _of_other_users(user: IntArray, generator: torch.Generator) -> Tensor:
    """Draw another user for each user, and return the row ``[P]`` of that one's version with the same number.

    A user with fewer versions lends its last one. With a single user there is no other, so the rows stay.

    Args:
        user: ``[P]`` users of the profiles, ascending.
        generator: draws the users.
    """
    _, first, place, count = np.unique(user, return_index=True, return_inverse=True, return_counts=True)
    order = torch.randperm(len(first), generator=generator).numpy()
    other = np.empty_like(order)
    other[order] = np.roll(order, 1)  # one cycle through all users, so no user keeps its own
    number = np.minimum(np.arange(len(user)) - first[place], count[other[place]] - 1)
    return torch.from_numpy(first[other[place]] + number)


def given_lists(vectors: Tensor) -> Lists:
    """Turn given phrases into lists: row b is the list of history b, the same for both domains.

    Args:
        vectors: ``[B, K, D]`` text vectors, zero where there is no phrase.
    """
    batch, count, width = vectors.shape
    place = torch.arange(batch * count, device=vectors.device).view(batch, count)
    rows = torch.where((vectors != 0).any(dim=2), place, batch * count)  # [B, K]
    phrases = torch.cat([vectors.reshape(batch * count, width), vectors.new_zeros(1, width)])
    return Lists(phrases, rows.unsqueeze(1).expand(-1, 2, -1))


class Needs(nn.Module):
    """An addition to a query: the phrases of a profile, pooled by attention, times a gate that falls with their age.

    For a query q and the projected phrases p_1 … p_K for the domain of the candidates, all of length 1::

        a = softmax(s · q·p_k + b_k)            s learned, b_k a learned bias of the position in the list
        addition = gate(domain, age) · Σ a_k p_k
        gate = g_domain · exp(-softplus(r_domain) · log(1 + age))

    An unknown profile or an empty list adds zero.
    """

    def __init__(self, lists: Lists, dropout: float) -> None:
        super().__init__()
        self.dropout = dropout
        self.register_buffer("phrases", lists.phrases, persistent=False)  # [V+1, D]
        self.register_buffer("rows", lists.rows, persistent=False)  # [P+1, 2, K]
        self.sharpness = nn.Parameter(torch.tensor(4.0))
        self.position = nn.Parameter(torch.zeros(lists.rows.shape[2]))
        self.gate = nn.Parameter(torch.full((2,), 0.3))
        self.fading = nn.Parameter(torch.full((2,), -2.0))

    def forward(self, queries: Tensor, asked: Asked, projection: nn.Module) -> Tensor:
        """Compute the addition ``[M, d]`` to queries ``[M, d]`` of length 1.

        Args:
            queries: ``[M, d]``.
            asked: of each query.
            projection: maps text vectors ``[…, D]`` to ``[…, d]``.
        """
        rows = cast(Tensor, self.rows)[asked.profile, asked.domain]  # [M, K]
        phrases = cast(Tensor, self.phrases)
        found, place = distinct(rows)
        vectors = F.embedding(place, F.normalize(projection(phrases[found]), dim=1))  # [M, K, d]
        known = rows != phrases.shape[0] - 1  # [M, K]
        if self.training and self.dropout:
            # Leave out the whole list of some queries, so that the model also learns to do without.
            known = known & (torch.rand(len(rows), 1, device=rows.device) >= self.dropout)
        logits = self.sharpness * (vectors @ queries.unsqueeze(2)).squeeze(2) + self.position  # [M, K]
        weights = logits.masked_fill(~known, -1e9).softmax(dim=1) * known
        pooled = (weights.unsqueeze(1) @ vectors).squeeze(1)  # [M, d]
        fading = F.softplus(self.fading)[asked.domain] * torch.log1p(asked.age.float())
        gate = self.gate[asked.domain] * torch.exp(-fading)  # [M], or one number for all without an age
        return gate.unsqueeze(-1) * pooled


def largest_similarity(lists: Lists, asked: Asked, texts: Tensor) -> Tensor:
    """Compute the largest weighted cosine of items to the phrases of a list; position k has the weight 1 / √k.

    ``max(0, max_k cos(item, p_k) / √k)``, so that an item unlike all phrases scores as if there were none.

    Args:
        lists: phrases as vectors of length 1.
        asked: of B histories, for one domain.
        texts: ``[N, D]`` text vectors of items, of length 1; zero without text.

    Returns:
        ``[B, N]``, 0 where the profile is unknown or the list empty, and for items without text.
    """
    best = texts.new_zeros(len(asked.profile), len(texts))
    for phrases in weighted_phrases(lists, asked).unbind(1):  # [B, D]
        best = torch.maximum(best, phrases @ texts.T)
    return best


def weighted_phrases(lists: Lists, asked: Asked) -> Tensor:
    """``[B, K, D]`` phrases for one domain, each divided by the root of its position; zero where there is none."""
    rows = lists.rows[asked.profile, asked.domain]  # [B, K]
    position = torch.arange(1, rows.shape[1] + 1, device=rows.device)
    return lists.phrases[rows] / position.sqrt().unsqueeze(1)


class PhraseSimilarity(nn.Module):
    """The term ``weight · max(0, max_k cos(item, p_k) / √k)`` of a score, see :func:`largest_similarity`; untrained.

    Args:
        lists: phrases as vectors of any length.
        weight: of the term.
    """

    def __init__(self, lists: Lists, weight: float) -> None:
        super().__init__()
        self.weight = weight
        lists = lists.unit()
        self.register_buffer("phrases", lists.phrases, persistent=False)  # [V+1, D]
        self.register_buffer("rows", lists.rows, persistent=False)  # [P+1, 2, K]

    @property
    def lists(self) -> Lists:
        """Phrases as vectors of length 1."""
        return Lists(cast(Tensor, self.phrases), cast(Tensor, self.rows))

    def term(self, texts: Tensor) -> Callable[[Histories, slice], Tensor]:
        """Return a function for the term ``[B, N_slice]``, or a zero without profiles.

        Args:
            texts: ``[N, D]`` of all items, of length 1.
        """

        def of(histories: Histories, items: slice) -> Tensor:
            asked = asked_next(histories)
            if asked is None:
                return texts.new_zeros(())
            return self.weight * largest_similarity(self.lists, asked, texts[items])

        return of

    def vectors(self, histories: Histories) -> Tensor:
        """``[B, K, D]`` phrases times their weights; the term is the largest product of an item and one of them."""
        asked, (phrases, rows) = asked_next(histories), self.lists
        if asked is None:
            return phrases.new_zeros(len(histories.user), rows.shape[2], phrases.shape[1])
        return self.weight * weighted_phrases(self.lists, asked)
