"""LeCDSR as published (Wang, Zhu, Wang, Ruan, Information Fusion 2025).

Lineage: gates of HGN (Ma et al., KDD 2019), spectral fusion of TedRec (Xu et al., CIKM 2024),
alignment of LLM4CDSR (Liu et al., SIGIR 2025). Numbers in comments are the steps of docs/model.md.
"""

from __future__ import annotations

from typing import Literal, cast

import torch
from pydantic import Field
from torch import Tensor, nn

from lecdsr.models.losses import alignment, hinge
from lecdsr.models.settings import TrainedSettings
from lecdsr.models.text import MixtureOfExperts, TextMode, control, mlp, project_distinct
from lecdsr.ranking.frame import Catalogue, Histories, Recommender
from lecdsr.ranking.histories import PrefixBatch
from lecdsr.ranking.negatives import draw_negatives


class Settings(TrainedSettings):
    """Block ``train.published``; every key is explained in params.yaml."""

    width: int = Field(ge=1)
    hidden: int = Field(ge=1)
    item_text: TextMode
    user_text: TextMode
    convolution: bool
    projection: Literal["mlp", "moe"]
    experts: int = Field(ge=1)
    expert_dropout: float = Field(ge=0, lt=1)
    mask_padding: bool
    negatives: int = Field(ge=1)
    exclude_history: bool
    tau: float = Field(gt=0)
    tau2: float = Field(gt=0)
    alignment: float = Field(ge=0)
    reduction: Literal["sum", "mean"]


class Published(Recommender):
    """The published network: contextual convolution, feature gate, instance gate, linear score."""

    objective = "prefix"

    def __init__(self, settings: Settings, catalogue: Catalogue, seed: int) -> None:
        super().__init__()
        self.settings, self.catalogue = settings, catalogue
        d, length = settings.width, settings.history_length
        items = control(catalogue.item_vectors, settings.item_text, seed)
        # Another seed, lest item i and user i get the same noise.
        users = control(catalogue.user_vectors, settings.user_text, seed + 1)
        # Frozen vectors are data, not weights: they are not saved with the model nor ever updated.
        self.register_buffer("item_vectors", items, persistent=False)
        self.register_buffer("user_vectors", users, persistent=False)
        # Padding rows are read as they stand but get no gradient, as in the published code.
        self.item_embeddings = nn.Embedding(catalogue.n_items + 1, d, padding_idx=catalogue.padding)
        self.W2 = nn.Embedding(catalogue.n_items + 1, d)
        self.b2 = nn.Embedding(catalogue.n_items + 1, 1)
        self.position_embeddings = nn.Embedding(length + 1, d, padding_idx=0)
        self.user_embeddings = nn.Embedding(catalogue.n_users, d) if users is None else None
        self.adapter_text = None if items is None else self._projection(items.shape[1])
        self.adapter_user = None if users is None else self._projection(users.shape[1])
        if self._convolves:
            self.complex_weight = nn.Parameter(torch.empty(1, length // 2 + 1, d, 2))
            self.item_gating = nn.Linear(d, 1)
            self.fusion_gating = nn.Linear(d, 1)
        self.feature_gate_item = nn.Linear(d, d)
        self.feature_gate_user = nn.Linear(d, d)
        self.instance_gate_item = nn.Parameter(torch.empty(d, 1))
        self.instance_gate_user = nn.Parameter(torch.empty(d, length))
        self.instance_gate_position = nn.Parameter(torch.empty(d, 1))
        self._initialise()

    @property
    def _convolves(self) -> bool:
        # The spectral fusion multiplies the spectrum of ids with that of texts: without text there is none.
        return self.settings.convolution and self.item_vectors is not None

    def _projection(self, width_in: int) -> nn.Module:
        chosen = self.settings
        if chosen.projection == "moe":
            return MixtureOfExperts(width_in, chosen.width, chosen.experts, chosen.expert_dropout)
        return mlp(width_in, chosen.hidden, chosen.width)

    def _initialise(self) -> None:
        d = self.settings.width
        for table in (self.item_embeddings, self.W2, self.position_embeddings, self.user_embeddings):
            if table is not None:
                nn.init.normal_(table.weight, std=1.0 / d)
        nn.init.zeros_(self.b2.weight)
        for gate in (self.instance_gate_item, self.instance_gate_user, self.instance_gate_position):
            nn.init.xavier_uniform_(gate)
        if self._convolves:
            nn.init.normal_(self.complex_weight, std=0.02)
        with torch.no_grad():  # padding rows hold nothing unless weights are loaded
            for table in (self.item_embeddings, self.W2):
                table.weight[self.catalogue.padding] = 0
            self.position_embeddings.weight[0] = 0

    def queries(self, histories: Histories) -> Tensor:
        """``[B, d]``: ``u + z + mean_l h_l``, the history's side of the two-tower score."""
        return self._forward(histories)[0]

    def keys(self) -> tuple[Tensor, Tensor]:
        """``[N, d]`` output vectors and ``[N]`` biases."""
        n = self.catalogue.n_items
        return self.W2.weight[:n], self.b2.weight[:n, 0]

    def score(self, histories: Histories, candidates: Tensor) -> Tensor:
        """``[B, K]`` scores of ``candidates [B, K]``. (5)"""
        return self._score(self.queries(histories), candidates)

    def _score(self, queries: Tensor, candidates: Tensor) -> Tensor:
        # [B, K, d] @ [B, d, 1] -> [B, K]
        scores: Tensor = (self.W2(candidates) @ queries.unsqueeze(-1)).squeeze(-1) + self.b2(candidates).squeeze(-1)
        return scores

    def loss(self, batch: object, generator: torch.Generator) -> tuple[Tensor, dict[str, float]]:
        """Ranking + weight × alignment over freshly drawn negatives of the target's domain."""
        samples = cast(PrefixBatch, batch)
        histories, target = samples.histories, samples.target
        excluded = histories.sequence if self.settings.exclude_history else None
        count = self.settings.negatives
        negatives = draw_negatives(target, count, self.catalogue.n_x, self.catalogue.n_y, generator, excluded)
        candidates = torch.cat([target.unsqueeze(1), negatives], dim=1)  # [B, 1 + K]
        ranking, aligned = self.losses(histories, candidates)
        parts = {"ranking": ranking.item()}
        total = ranking
        if aligned is not None:
            total = total + self.settings.alignment * aligned
            parts["alignment"] = self.settings.alignment * aligned.item()
        return total, parts

    def losses(self, histories: Histories, candidates: Tensor) -> tuple[Tensor, Tensor | None]:
        """Ranking and alignment loss of a batch.

        Args:
            histories: the batch.
            candidates: ``[B, 1 + K]``, the target first, then its negatives.

        Returns:
            The ranking loss, and the alignment loss before its weight (``None`` without item text).
        """
        queries, e, t = self._forward(histories)
        scores = self._score(queries, candidates)
        ranking = hinge(scores[:, 0], scores[:, 1:], self.settings.tau, self.settings.reduction)
        if t is None or self.settings.alignment == 0:
            return ranking, None
        mask = self._real(histories.sequence) if self.settings.mask_padding else None
        return ranking, alignment(e, t, self.settings.tau2, mask)

    def _real(self, sequence: Tensor) -> Tensor:
        return sequence != self.catalogue.padding  # [B, L]

    def _forward(self, histories: Histories) -> tuple[Tensor, Tensor, Tensor | None]:
        """Query ``[B, d]``, id embeddings and projected texts ``[B, L, d]``."""
        mask = self._real(histories.sequence).unsqueeze(-1) if self.settings.mask_padding else None
        e = self.item_embeddings(histories.sequence)  # (1) [B, L, d]
        t = self._item_text(histories.sequence)
        u = self._user(histories.user)  # [B, d]
        if mask is not None:
            e = e * mask
            t = None if t is None else t * mask
        h = self._convolve(e, t) if self._convolves and t is not None else e  # (2)
        if mask is not None:
            h = h * mask
        f = self._feature_gate(h, t, u)  # (3) [B, L, d]
        z = self._instance_gate(f, u, histories.position, mask)  # (4) [B, d]
        length = h.shape[1] if mask is None else mask.sum(dim=1).clamp(min=1)
        return u + z + h.sum(dim=1) / length, e, t

    def _item_text(self, sequence: Tensor) -> Tensor | None:
        if self.adapter_text is None:
            return None
        return project_distinct(self.adapter_text, cast(Tensor, self.item_vectors), sequence)

    def _user(self, user: Tensor) -> Tensor:
        if self.user_embeddings is not None:
            return cast(Tensor, self.user_embeddings(user))
        return project_distinct(cast(nn.Module, self.adapter_user), cast(Tensor, self.user_vectors), user)

    def _convolve(self, e: Tensor, t: Tensor) -> Tensor:
        length = e.shape[1]
        spectrum = torch.fft.rfft(e, dim=1, norm="ortho")  # [B, L//2 + 1, d]
        text = torch.fft.rfft(t, dim=1, norm="ortho")
        weight = torch.view_as_complex(self.complex_weight)
        a = torch.fft.irfft(spectrum * weight, n=length, dim=1, norm="ortho")  # [B, L, d]
        b = torch.fft.irfft(text * spectrum, n=length, dim=1, norm="ortho")
        h: Tensor = a * torch.sigmoid(self.item_gating(a)) + b * torch.sigmoid(self.fusion_gating(b))
        return h

    def _feature_gate(self, h: Tensor, t: Tensor | None, u: Tensor) -> Tensor:
        gate = self.feature_gate_item(h) + self.feature_gate_user(u).unsqueeze(1)  # [B, L, d]
        if t is not None and not self._convolves:
            gate = gate + self.feature_gate_item(t)  # the bias counts twice, as published
        gated: Tensor = h * torch.sigmoid(gate)
        return gated

    def _instance_gate(self, f: Tensor, u: Tensor, position: Tensor, mask: Tensor | None) -> Tensor:
        p = self.position_embeddings(position)  # [B, L, d]
        logits = f @ self.instance_gate_item + p @ self.instance_gate_position  # [B, L, 1]
        s = torch.sigmoid(logits + (u @ self.instance_gate_user).unsqueeze(-1))
        if mask is not None:
            s = s * mask
        summary: Tensor = (s * f).sum(dim=1) / s.sum(dim=1).clamp(min=1e-12)
        return summary
