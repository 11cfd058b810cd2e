"""ABXI (Bian, de Carvalho, Li, Xu, Fang, Ke, WWW 2025), a model of item ids only.

Implemented from the formulas that its authors' refactored code computes (github.com/DiMarzioBian/ABXI, commit
3239e14). Numbers in comments are the steps of docs/model.md, which also lists the differences.
"""

from __future__ import annotations

from typing import Literal, cast

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from lecdsr.data.batch import Histories, SequenceBatch, distinct, recency, true_places
from lecdsr.data.info import DatasetInfo
from lecdsr.data.negatives import Draws, draw_unseen
from lecdsr.models.base import AttentionSettings, Contract, Dropout, LossTerm, Recommender, StopBy
from lecdsr.models.layers.attention import attend, causal, or_itself
from lecdsr.models.layers.scores import candidate_scores
from lecdsr.models.layers.softmax import cross_entropy

MIXED = 2  # index of the adapter and norm of the mixed sequence; 0 and 1 are those of X and Y


class Settings(AttentionSettings):
    """ABXI (Bian et al., WWW 2025): one encoder for the sequences of X, of Y and of both, on item ids only.

    Low-rank adapters specialise the shared encoder for each domain. The settings of the authors for Food–Kitchen are
    those of the method ``abxi-published`` in ``experiments.yaml``.
    """

    dropout: Dropout = 0.5
    hidden: int | None = Field(
        default=None,
        ge=1,
        description="Hidden width of the feed-forward network and of the projectors; null is 8/3 of `width`, rounded "
        "down to a multiple of eight.",
    )
    domain_rank: int = Field(
        default=8,
        ge=1,
        description="Rank of the three adapters of the encoder: for X, for Y and for both domains mixed.",
    )
    invariant_rank: int = Field(
        default=8, ge=1, description="Rank of the adapters of the invariant projector, one for each domain."
    )
    loss: Literal["softmax", "sampled_softmax"] = Field(
        default="softmax",
        description="Training loss: `softmax` over all items of the target's domain, or `sampled_softmax` over the "
        "negatives, as in the paper.",
    )
    temperature: float = Field(default=0.75, gt=0, description="Temperature of the softmax in the loss.")
    negatives: int = Field(
        default=128,
        ge=1,
        description="`sampled_softmax`: negatives per domain, drawn for every position, excluding the items of the "
        "sequence.",
    )
    mask_padding: bool = Field(
        default=True,
        description="Whether attention ignores padding; `false` lets it attend to padding as to zero vectors, as in "
        "the authors' code.",
    )
    min_history: int | None = Field(
        default=None,
        ge=1,
        description="Minimum number of history items in front of a training target; null leaves it to "
        "`sequences.min_history`. The authors train on every item but the first, which is 1.",
    )
    stop_by: StopBy = Field(
        default="ndcg@10",
        description="Validation metric that selects the best epoch: `ndcg@10` under full ranking, as for all models, "
        "or `sampled_mrr`, the MRR among 999 negatives as in the authors' code, here its expected value.",
    )
    lr_schedule: Literal["steps", "linear", "plateau"] = Field(  # type: ignore[assignment]
        default="steps",
        description="How the learning rate falls: in `steps` or `linear`, as in other models; or, as in the authors' "
        "code, at every `plateau`: after `plateau_patience` epochs without a better score, without a return to the "
        "best epoch. Training then stops after twice as many.",
    )
    plateau_epochs: int = Field(default=500, ge=1, description="Maximum number of epochs with `lr_schedule: plateau`.")
    plateau_patience: int = Field(
        default=31, ge=1, description="Epochs without a better score before a decay with `lr_schedule: plateau`."
    )
    plateau_decay_factor: float = Field(
        default=0.3162, gt=0, lt=1, description="Factor of each decay with `lr_schedule: plateau`."
    )


class ABXI(Recommender):
    """ABXI: one encoder for the sequences of X, of Y and of both, an invariant projector, and low-rank adapters.

    Shape legend: B sequences, L history length, M positions at which an item is predicted, d width.
    """

    objective = "sequence"
    contract = Contract(
        settings={"domain_rank": 2, "invariant_rank": 3},
        variants={
            "ids": {},
            "sampled softmax": {"loss": "sampled_softmax", "negatives": 3},
            "one head, no dropout, a hidden width": {"heads": 1, "dropout": 0.0, "hidden": 12},
            "length 1": {"history_length": 1},
            "padding in attention": {"mask_padding": False},
        },
        # Negatives exclude all items of the sequence, so later items change the negatives of earlier positions.
        exceptions={"causal_loss": ("sampled softmax",), "any_length": ("padding in attention",)},
    )

    def __init__(self, settings: Settings, info: DatasetInfo, seed: int) -> None:
        super().__init__()
        self.settings, self.info = settings, info
        d, hidden = settings.width, settings.hidden or hidden_width(settings.width)
        self.item_embeddings = nn.Embedding(info.n_items + 1, d, padding_idx=info.padding)
        self.position_embeddings = nn.Embedding(settings.history_length + 1, d, padding_idx=0)
        self.dropout = nn.Dropout(settings.dropout)
        self.qkv = nn.Linear(d, 3 * d)
        self.output = nn.Linear(d, d)
        self.attention_norm = nn.LayerNorm(d)
        self.feed_forward = SwiGLU(d, hidden)
        self.domain_adapters = nn.ModuleList(Adapter(d, settings.domain_rank) for _ in range(3))
        self.encoder_norms = nn.ModuleList(nn.LayerNorm(d) for _ in range(3))
        self.invariant_projector = SwiGLU(d, hidden)
        self.invariant_adapters = nn.ModuleList(Adapter(d, settings.invariant_rank) for _ in range(2))
        self.invariant_norms = nn.ModuleList(nn.LayerNorm(d) for _ in range(2))
        self.own_projectors = nn.ModuleList(SwiGLU(d, hidden) for _ in range(2))
        self.own_norms = nn.ModuleList(nn.LayerNorm(d) for _ in range(2))
        self._initialise()

    def _initialise(self) -> None:
        for table, padding in ((self.item_embeddings, self.info.padding), (self.position_embeddings, 0)):
            nn.init.trunc_normal_(table.weight, std=0.02, a=-0.04, b=0.04)
            with torch.no_grad():
                table.weight[padding] = 0
        nn.init.xavier_uniform_(self.qkv.weight)
        nn.init.normal_(self.output.weight, std=0.02)
        for linear in (self.qkv, self.output):
            nn.init.zeros_(linear.bias)

    def queries(self, histories: Histories) -> Tensor:
        """Compute queries ``[B, 2d]``: the query for items of X next to the query for items of Y."""
        sequence = histories.sequence
        end = torch.full_like(sequence, sequence.shape[1])
        mixed, own = self._attended(sequence, histories.position, end)
        row = torch.arange(sequence.shape[0], device=sequence.device)
        last = torch.full_like(row, sequence.shape[1] - 1)
        interests = [
            self._interests(sequence, mixed, own, row, last, self._columns(sequence, domain).amax(dim=1), domain)
            for domain in (0, 1)
        ]
        return torch.cat(interests, dim=1)

    def keys(self) -> tuple[Tensor, Tensor]:
        """Return keys ``[N, 2d]``, with the item's embedding in its domain's half and zeros in the other; no bias."""
        table = self.item_embeddings.weight[: self.info.n_items]
        in_x = (torch.arange(len(table), device=table.device) < self.info.n_x).unsqueeze(1)
        return torch.cat([table * in_x, table * ~in_x], dim=1), table.new_zeros(len(table))

    def score_note(self) -> str:
        """Explain that the model has no texts."""
        return "it reads ids only"

    @torch.no_grad()
    def item_directions(self) -> Tensor:
        """Return normalised item embeddings ``[N, d]``, summed over both halves so that domains can be compared."""
        keys = self.keys()[0]
        return F.normalize((keys[:, : self.settings.width] + keys[:, self.settings.width :]).float(), dim=1)

    def row_tables(self) -> list[nn.Embedding]:
        """Return the table of items, unless the loss scores every item."""
        return [] if self.settings.loss == "softmax" else [self.item_embeddings]

    def compute_loss(self, batch: object, draws: Draws) -> dict[str, LossTerm]:
        """Average the loss per domain: over the targets of a sequence, then over sequences. (6)"""
        samples = cast(SequenceBatch, batch)
        sequence, targets = samples.histories.sequence, samples.targets
        mixed, own = self._attended(sequence, self._followed(sequence, targets), self._read_at(sequence, targets))
        negatives = self._negatives(sequence, targets, draws) if self.settings.loss == "sampled_softmax" else None
        terms = {}
        for domain, name in enumerate("xy"):
            wanted = self._of(domain, targets)  # [B, L]
            found = true_places(wanted, samples.in_domain and samples.in_domain[domain])  # [M]
            row, place = found // targets.shape[1], found % targets.shape[1]  # [M] both
            target = targets.flatten()[found]  # [M]
            latest = self._latest(sequence, domain)[row, place]  # [M]
            states = self._interests(sequence, mixed, own, row, place, latest, domain)  # [M, d]
            states = states / self.settings.temperature
            weight = 1 / wanted.sum(dim=1)[row]  # [M]
            if negatives is None:
                items = self.info.items_of(domain)
                keys = self.item_embeddings.weight[items]
                total = cross_entropy(states, keys, target - items.start, weight=weight)
            else:
                candidates = torch.cat([target.unsqueeze(1), negatives.flatten(0, 1)[found]], dim=1)  # [M, 1 + 2K]
                logits = self._scores(states, candidates)
                total = (weight * F.cross_entropy(logits, torch.zeros_like(row), reduction="none")).sum()
            terms[name] = LossTerm(total, len(sequence))
        return terms

    def _of(self, domain: int, items: Tensor) -> Tensor:
        """Mark the items that belong to the domain and are not padding."""
        if domain == 0:
            return items < self.info.n_x
        return (items >= self.info.n_x) & (items != self.info.padding)

    def _followed(self, sequence: Tensor, targets: Tensor) -> Tensor:
        """Number the items of each domain from its last target backwards, ``[B, L]``.

        The latest item that is followed by a target of its domain has number 1. Items after it are only in the mixed
        sequence and have number 0.
        """
        followed = torch.zeros_like(sequence, dtype=torch.bool)
        for domain in (0, 1):
            to_come = self._of(domain, targets).flip(1).cumsum(dim=1).flip(1) > 0
            followed |= self._of(domain, sequence) & to_come
        padding = self.info.padding
        return recency(sequence.masked_fill(~followed, padding), self.info.n_x, padding)

    def _read_at(self, sequence: Tensor, targets: Tensor) -> Tensor:
        """Number, from 1, the position of the next target of each item's domain, where its state is read; ``[B, L]``.

        An item that no target of its domain follows gets the last position.
        """
        length = sequence.shape[1]
        place = torch.arange(1, length + 1, device=sequence.device).expand_as(sequence)
        following = [
            place.masked_fill(~self._of(domain, targets), length).flip(1).cummin(dim=1).values.flip(1)
            for domain in (0, 1)
        ]
        return torch.where(sequence >= self.info.n_x, following[1], following[0])

    def _attended(self, sequence: Tensor, numbers: Tensor, read_at: Tensor) -> tuple[Tensor, Tensor]:
        """Apply attention to the mixed sequence and to the sequences of each domain, ``[B, L, d]`` each. (1, 2)

        ``numbers [B, L]`` are the positions in the domain sequences, ``read_at [B, L]`` the number of the position at
        which an item's state is read there. X and Y share no item, so one pass in which items attend only to items of
        their own domain encodes both domain sequences.
        """
        n, padding = self.info.n_items, self.info.padding
        real = sequence != padding  # [B, L]
        in_y = sequence >= self.info.n_x
        before = causal(real)  # [B, L, L]
        # Both passes form one batch of 2B; in the mixed pass all items count as one domain.
        seen = torch.cat([before, before & (in_y.unsqueeze(1) == in_y.unsqueeze(2))])
        positions = self.position_embeddings(torch.cat([recency(sequence, n, padding), numbers]))  # [2B, L, d]
        mask = real.unsqueeze(-1).repeat(2, 1, 1)  # [2B, L, 1]
        x = self.dropout((self.item_embeddings(sequence).repeat(2, 1, 1) + positions) * mask)
        if self.settings.mask_padding:
            attended = self.output(attend(self.qkv(x), self.settings.heads, or_itself(seen)))
        else:
            place = torch.arange(1, sequence.shape[1] + 1, device=sequence.device).expand_as(sequence)
            padding_seen = torch.cat([place, read_at]) - seen.sum(dim=2)  # [2B, L]
            attended = self.output(self._attend_with_padding(x, or_itself(seen), padding_seen))
        states = self.attention_norm(x + self.dropout(attended)) * mask
        mixed, own = states.unflatten(0, (2, sequence.shape[0])).unbind()
        return mixed, own

    def _attend_with_padding(self, x: Tensor, allowed: Tensor, padding: Tensor) -> Tensor:
        """Apply attention in which each position also sees so many zero vectors, ``padding [B, L]``; ``[B, L, d]``.

        Zero vectors have one key and one value, those of the biases. So all of them are one more position, with the
        logarithm of their number added to its logit.
        """
        batch, length = x.shape[:2]
        bias = x.new_zeros(batch, 1, length + 1, length + 1)
        bias[:, :, :length, :length].masked_fill_(~allowed, float("-inf"))
        bias[:, 0, :length, length] = padding.clamp(min=0).to(x.dtype).log()
        return attend(self.qkv(F.pad(x, (0, 0, 0, 1))), self.settings.heads, bias)[:, :length]

    def _encoded(self, attended: Tensor, real: Tensor, which: int) -> Tensor:
        """Compute states ``[M, d]`` in the sequence ``which`` after attention, zero where ``real [M]`` is false. (3)"""
        adapted = self.dropout(self.domain_adapters[which](attended))
        x = attended + self.dropout(self.feed_forward(attended)) + adapted
        return cast(Tensor, self.encoder_norms[which](x) * real.unsqueeze(-1))

    def _interests(
        self, sequence: Tensor, mixed: Tensor, own: Tensor, row: Tensor, place: Tensor, latest: Tensor, k: int
    ) -> Tensor:
        """Compute states ``[M, d]`` to predict an item of domain ``k`` after ``place [M]`` of ``row [M]``. (4, 5)

        ``latest [M]`` is the column of the latest item of this domain up to there, -1 before its first. Everything
        after the attention is computed only at these positions.
        """
        m = self._encoded(mixed[row, place], sequence[row, place] != self.info.padding, MIXED)
        o = self._encoded(own[row, latest.clamp(min=0)], latest >= 0, k)
        adapted = self.dropout(self.invariant_adapters[k](m))
        invariant = self.invariant_norms[k](m + self.dropout(self.invariant_projector(m)) + adapted)
        return cast(Tensor, invariant + self.own_norms[k](o + self.dropout(self.own_projectors[k](o))))

    def _columns(self, sequence: Tensor, domain: int) -> Tensor:
        """Number the columns that hold an item of the domain, ``[B, L]``; -1 elsewhere."""
        column = torch.arange(sequence.shape[1], device=sequence.device)
        return column.expand_as(sequence).masked_fill(~self._of(domain, sequence), -1)

    def _latest(self, sequence: Tensor, domain: int) -> Tensor:
        """Find the column of the domain's latest item up to each position, ``[B, L]``; -1 before its first item."""
        return self._columns(sequence, domain).cummax(dim=1).values

    def _scores(self, states: Tensor, candidates: Tensor) -> Tensor:
        """Score ``candidates [M, K]`` for each state, ``[M, K]``."""
        table, place = self.item_embeddings.weight, candidates
        if self.item_embeddings.sparse:  # a gradient of the rows that are looked up, and of no others
            found, place = distinct(candidates)
            table = self.item_embeddings(found)
        return candidate_scores(states, table, place)

    def _negatives(self, sequence: Tensor, targets: Tensor, draws: Draws) -> Tensor:
        """Draw K items of each domain per position, ``[B, L, 2K]``, none of them in the sequence or its targets."""
        (batch, length), k = sequence.shape, self.settings.negatives
        seen = torch.cat([sequence, targets], dim=1)
        drawn = [draw_unseen(self.info.items_of(domain), length * k, seen, draws) for domain in (0, 1)]
        return torch.cat([items.view(batch, length, k) for items in drawn], dim=2)


def hidden_width(width: int) -> int:
    """Return the default hidden width of a SwiGLU network: the largest multiple of eight up to 8/3 of the width.

    Its three matrices then have as many weights as the two matrices of a plain network with four times the width
    (Shazeer, GLU Variants Improve Transformer, 2020); 680 for width 256, as in ABXI.
    """
    return max(8, 8 * (width // 3))


class SwiGLU(nn.Module):
    """SwiGLU feed-forward network ``W_3 (silu(W_2 x) ⊙ W_1 x)`` (Shazeer, 2020), ``[…, d]`` -> ``[…, d]``."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.up = nn.Linear(width, hidden, bias=False)
        self.gate = nn.Linear(width, hidden, bias=False)
        self.down = nn.Linear(hidden, width, bias=False)
        for linear in (self.up, self.gate, self.down):
            nn.init.normal_(linear.weight, std=0.02)

    def forward(self, x: Tensor) -> Tensor:
        """Multiply gate and value, and project back to the width."""
        return cast(Tensor, self.down(F.silu(self.gate(x)) * self.up(x)))


class Adapter(nn.Module):
    """Low-rank adapter ``A B x`` (Hu et al., ICLR 2022), ``[…, d]`` -> ``[…, d]``.

    ``B`` starts at zero, so that every adapter starts as zero. Here ``B`` maps down to the rank, as in ABXI's code.
    """

    def __init__(self, width: int, rank: int) -> None:
        super().__init__()
        self.down = nn.Linear(width, rank, bias=False)
        self.up = nn.Linear(rank, width, bias=False)
        nn.init.zeros_(self.down.weight)
        nn.init.normal_(self.up.weight, std=0.02)

    def forward(self, x: Tensor) -> Tensor:
        """Project down to the rank and up again."""
        return cast(Tensor, self.up(self.down(x)))
