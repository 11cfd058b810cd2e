"""A model in the style of ABXI, on item ids alone.

ABXI: Bian, de Carvalho, Li, Xu, Fang, Ke, Invariant Interest Adaptation for Task-Guided Cross-Domain
Sequential Recommendation, WWW 2025. It is named after ABXI and not ABXI itself: it was written from
the paper's abstract, not its equations nor its code, and no figure of the paper is claimed for it.

From the abstract: three sequences of a user, that of X, that of Y and both mixed, go through one
shared encoder, each with a low-rank adapter (domain LoRA) of its own; an invariant projector takes
from the mixed states what both domains share, and a low-rank adapter (invariant LoRA) for each
domain fits that to the domain; at every position the domain-specific state is that of the domain of
the item to predict (task-guided), not that of the item just read.

A reading, the abstract being silent: where the adapters sit (beside the feed-forward network, and
beside the projector), the shape of the projector (linear, GELU, linear), the sum of the two states,
a pre-norm encoder, and the loss: a softmax over all items of the target's domain, as all models
here have it. A position has the same number in the mixed sequence and in that of its domain.
"""

from __future__ import annotations

from typing import cast

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from lecdsr.models.attention import attend, causal, or_itself
from lecdsr.models.losses import softmax_by_domain
from lecdsr.models.settings import AttentionSettings
from lecdsr.ranking.frame import Catalogue, Histories, Recommender, Term
from lecdsr.ranking.histories import SequenceBatch
from lecdsr.ranking.negatives import Draws

MIXED = 2  # which adapter of a layer; 0 and 1 are those of X and Y


class Settings(AttentionSettings):
    """Block ``train.abxi_style``; every key is explained in params.yaml."""

    domain_rank: int = Field(ge=1)
    invariant_rank: int = Field(ge=1)


class ABXIStyle(Recommender):
    """Shared encoder over three sequences, invariant projector, low-rank adapters by domain."""

    objective = "sequence"

    def __init__(self, settings: Settings, catalogue: Catalogue, seed: int) -> None:
        super().__init__()
        self.settings, self.catalogue = settings, catalogue
        d = settings.width
        self.item_embeddings = nn.Embedding(catalogue.n_items + 1, d, padding_idx=catalogue.padding)
        self.position_embeddings = nn.Embedding(settings.history_length, d)
        self.dropout = nn.Dropout(settings.dropout)
        self.blocks = nn.ModuleList(
            Layer(d, settings.heads, settings.dropout, settings.domain_rank) for _ in range(settings.layers)
        )
        self.norm = nn.LayerNorm(d)
        self.projector = nn.Sequential(nn.Linear(d, d), nn.GELU(), nn.Linear(d, d))
        self.invariant_adapters = Adapters(d, settings.invariant_rank, 2)
        self.output_norm = nn.LayerNorm(d)
        nn.init.normal_(self.item_embeddings.weight, std=0.02)
        nn.init.normal_(self.position_embeddings.weight, std=0.02)
        with torch.no_grad():
            self.item_embeddings.weight[catalogue.padding] = 0

    def queries(self, histories: Histories) -> Tensor:
        """``[B, 2d]``, the query for items of X beside that for items of Y."""
        mixed, own = self._states(histories.sequence)
        batch, length = histories.sequence.shape
        towers = []
        for domain in (0, 1):
            wanted = torch.full((batch, length), domain, device=mixed.device)
            towers.append(self._interests(histories.sequence, mixed, own, wanted)[:, -1])
        return torch.cat(towers, dim=1)

    def keys(self) -> tuple[Tensor, Tensor]:
        """``[N, 2d]``: the embedding of an item in its domain's half, zeros in the other; no bias."""
        table = self.item_embeddings.weight[: self.catalogue.n_items]
        in_x = (torch.arange(len(table), device=table.device) < self.catalogue.n_x).unsqueeze(1)
        return torch.cat([table * in_x, table * ~in_x], dim=1), table.new_zeros(len(table))

    def terms(self, batch: object, draws: Draws) -> dict[str, Term]:
        """Softmax over all items of the target's domain, at every position with a target."""
        samples = cast(SequenceBatch, batch)
        mixed, own = self._states(samples.histories.sequence)
        domain = (samples.targets >= self.catalogue.n_x).long()  # padding falls to Y and is left out below
        states = self._interests(samples.histories.sequence, mixed, own, domain)
        wanted = samples.targets != self.catalogue.padding  # [B, L]
        keys = self.item_embeddings.weight[: self.catalogue.n_items]
        bias = keys.new_zeros(len(keys))
        return {"softmax": softmax_by_domain(states[wanted], keys, bias, samples.targets[wanted], self.catalogue.n_x)}

    def _states(self, sequence: Tensor) -> tuple[Tensor, Tensor]:
        """``[B, L]`` items -> states of the mixed sequence and of each item's own, ``[B, L, d]`` both.

        The sequences of X and Y share no item, so one pass in which an item attends to its own
        domain alone encodes both.
        """
        length, padding = sequence.shape[1], self.catalogue.padding
        real = sequence != padding  # [B, L]
        domain = (sequence >= self.catalogue.n_x).long()  # [B, L]
        same = domain.unsqueeze(1) == domain.unsqueeze(2)  # [B, L, L]
        before = causal(real)  # [B, L, L]
        x = self.item_embeddings(sequence) * self.settings.width**0.5
        x = (x + self.position_embeddings.weight[-length:]) * real.unsqueeze(-1)
        # Both passes as one batch of 2B.
        allowed = or_itself(torch.cat([before, before & same]))  # [2B, 1, L, L]
        adapter = torch.cat([torch.full_like(domain, MIXED), domain])  # [2B, L]
        x = self.dropout(torch.cat([x, x]))
        for block in self.blocks:
            x = block(x, allowed, adapter)
        mixed, own = self.norm(x).chunk(2)
        return mixed, own

    def _interests(self, sequence: Tensor, mixed: Tensor, own: Tensor, domain: Tensor) -> Tensor:
        """States ``[B, L, d]`` for predicting an item of ``domain [B, L]`` after each position.

        The latest state of that domain's sequence up to the position, zero before its first item,
        plus the invariant part of the mixed state.
        """
        column = torch.arange(sequence.shape[1], device=sequence.device)
        latest = []
        for items in (sequence < self.catalogue.n_x, self._in_y(sequence)):
            latest.append(torch.where(items, column, -1).cummax(dim=1).values)
        at = torch.where(domain == 0, latest[0], latest[1]).unsqueeze(-1)  # [B, L, 1]
        specific = own.gather(1, at.clamp(min=0).expand_as(own)) * (at >= 0)
        invariant = self.projector(mixed) + self.invariant_adapters(mixed, domain)
        return cast(Tensor, self.output_norm(specific + invariant))

    def _in_y(self, sequence: Tensor) -> Tensor:
        return (sequence >= self.catalogue.n_x) & (sequence != self.catalogue.padding)


class Adapters(nn.Module):
    """Low-rank maps ``B_a A_a`` side by side (Hu et al., ICLR 2022), chosen at every position.

    ``B`` starts at zero, so that every adapter starts as nothing.
    """

    def __init__(self, width: int, rank: int, count: int) -> None:
        super().__init__()
        self.count, self.rank = count, rank
        self.down = nn.Linear(width, count * rank, bias=False)
        self.up = nn.Linear(count * rank, width, bias=False)
        nn.init.zeros_(self.up.weight)

    def forward(self, x: Tensor, chosen: Tensor) -> Tensor:
        """``[B, L, d]`` through the adapter ``chosen [B, L]`` -> ``[B, L, d]``."""
        # All adapters as one product, the columns of those not chosen set to zero: [B, L, count · rank].
        mask = F.one_hot(chosen, self.count).to(x).repeat_interleave(self.rank, dim=-1)
        return cast(Tensor, self.up(self.down(x) * mask))


class Layer(nn.Module):
    """Pre-norm attention and feed-forward layer with adapters beside the latter, ``[B, L, d]`` -> the same."""

    def __init__(self, width: int, heads: int, dropout: float, rank: int) -> None:
        super().__init__()
        self.heads = heads
        self.attention_norm = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.output = nn.Linear(width, width)
        self.feed_forward_norm = nn.LayerNorm(width)
        self.feed_forward = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))
        self.adapters = Adapters(width, rank, 3)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, allowed: Tensor, adapter: Tensor) -> Tensor:
        """Attend where ``allowed [B, 1, L, L]`` is true; ``adapter [B, L]`` chooses the low-rank map."""
        attended = attend(self.qkv(self.attention_norm(x)), self.heads, allowed)
        x = x + self.dropout(self.output(attended))
        normed = self.feed_forward_norm(x)
        return cast(Tensor, x + self.dropout(self.feed_forward(normed) + self.adapters(normed, adapter)))
