"""LeCDSR as published (Wang, Zhu, Wang, Ruan, Information Fusion 2025).

It builds on the gates of HGN (Ma et al., KDD 2019), the spectral fusion of TedRec (Xu et al., CIKM 2024) and the
alignment of LLM4CDSR (Liu et al., SIGIR 2025). Numbers in comments are the steps of docs/model.md.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, cast

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional as F

from lecdsr.data.batch import Histories, PrefixBatch, distinct
from lecdsr.data.info import DatasetInfo
from lecdsr.data.negatives import Draws, draw_negatives
from lecdsr.data.profiles import Profiles
from lecdsr.models.base import (
    BatchSize,
    Contract,
    GivenPhrases,
    HistoryLength,
    LearningRate,
    LossTerm,
    Recommender,
    TrainedSettings,
    WeightDecay,
    WhichProfile,
    Width,
)
from lecdsr.models.layers.losses import (
    Align,
    Surrogate,
    align,
    binary_cross_entropy,
    hinge,
    psl,
    sampled_softmax,
    softmax_by_domain,
)
from lecdsr.models.layers.scores import candidate_scores
from lecdsr.models.layers.spectrum import Spectrum, irfft, rfft
from lecdsr.models.layers.text import MixtureOfExperts, TextMode, control, mlp, project_distinct

#: Items whose texts are projected at once for a ranking, which bounds the memory of intermediate results.
BLOCK = 1 << 16


class Settings(TrainedSettings):
    """LeCDSR as published (Wang et al., Information Fusion 2025), without the errors in its training code."""

    batch_size: BatchSize = 1024
    learning_rate: LearningRate = 0.0001
    weight_decay: WeightDecay = 0.000001
    history_length: HistoryLength = 15  # determines the shape of the convolution
    width: Width = 512
    hidden: int = Field(default=768, ge=1, description="Hidden width of the text projections.")
    item_text: TextMode = Field(
        default="vectors",
        description="Text vectors of the items in the history: the real `vectors`, `none`, or a control: `random` "
        "noise of the same size, or `shuffled` among the items.",
    )
    user_text: TextMode = Field(
        default="vectors",
        description="Text vectors of the user profiles: the real `vectors`, `none` (a learned vector per user), or a "
        "control: `random` or `shuffled`.",
    )
    profile_time: WhichProfile = "before_target"
    convolution: bool = Field(default=True, description="Use the contextual convolution over the sequence.")
    projection: Literal["mlp", "moe"] = Field(
        default="mlp", description="Projection of text vectors: `mlp`, or `moe`, a mixture of experts."
    )
    experts: int = Field(default=8, ge=1, description="`moe`: number of experts.")
    expert_dropout: float = Field(default=0.2, ge=0, lt=1, description="`moe`: dropout rate of the text vector.")
    mask_padding: bool = Field(
        default=True,
        description="Exclude padding from convolution, gates, means and alignment; the published code does not.",
    )
    negatives: int = Field(
        default=99,
        ge=1,
        description="Negatives of the ranking loss, drawn from the target's domain in every training step.",
    )
    exclude_history: bool = Field(
        default=False, description="Never draw an item of the sample's own history as a negative."
    )
    tau: float = Field(default=9.0, gt=0, description="Temperature of the ranking loss; `bce` does not use it.")
    tau2: float = Field(default=7.0, gt=0, description="Temperature of the alignment loss.")
    alignment: float = Field(default=0.6, ge=0, description="Weight of the alignment loss; 0 disables it.")
    reduction: Literal["sum", "mean"] = Field(
        default="sum", description="`hinge`: `sum` over samples and negatives as published, or their `mean`."
    )
    loss: Literal["hinge", "psl", "sampled_softmax", "softmax", "bce"] = Field(
        default="hinge",
        description="Ranking loss: `hinge` as published; `psl`, the pairwise softmax loss as defined in its own paper "
        "(with `tau: 2`, `score: cosine` and 1,000 negatives there); `sampled_softmax` or `bce` over the negatives; "
        "`softmax` over all items of the domain.",
    )
    score: Literal["dot", "cosine"] = Field(
        default="dot",
        description="Score: the `dot` product plus a bias as published, or the `cosine`, which `psl` needs.",
    )
    surrogate: Surrogate = Field(default="relu", description="`psl`: function applied to the score differences.")
    tau_outer: float = Field(default=1.0, gt=0, description="`psl`: temperature of the sum over negatives.")
    align: Align = Field(
        default="sequence",
        description="What ids and texts are aligned over: the positions of one `sequence` as published, or the samples "
        "of the `batch`.",
    )

    @model_validator(mode="after")
    def _psl_on_cosines(self) -> Settings:
        if self.loss == "psl" and self.score != "cosine":
            raise ValueError("score: cosine with loss: psl, which is defined on cosines")
        return self


class LeCDSR(Recommender):
    """LeCDSR, the published network: contextual convolution, feature gate, instance gate, linear score."""

    objective = "prefix"
    contract = Contract(
        settings={"negatives": 3},
        variants={
            "masked": {},
            "as published": {"mask_padding": False},
            "moe": {"projection": "moe", "experts": 3},
            "moe as published": {"projection": "moe", "experts": 3, "mask_padding": False},
            "no convolution": {"convolution": False},
            "no item text": {"item_text": "none"},
            "no user text": {"user_text": "none"},
            "ids only": {"item_text": "none", "user_text": "none", "convolution": False},
            "unmasked ids": {"item_text": "none", "user_text": "none", "convolution": False, "mask_padding": False},
            "random text": {"item_text": "random", "user_text": "random"},
            "shuffled text": {"item_text": "shuffled", "user_text": "shuffled"},
            "mean, no history": {"reduction": "mean", "exclude_history": True},
            "even length": {"history_length": 4},
            "length 1": {"history_length": 1},
            "psl": {"loss": "psl", "score": "cosine", "tau": 0.5, "surrogate": "tanh"},
            "sampled softmax": {"loss": "sampled_softmax", "align": "batch"},
            "softmax of cosines": {"loss": "softmax", "score": "cosine", "tau": 0.1},
            "bce": {"loss": "bce"},
        },
        exceptions={
            # These variants keep the arithmetic of the published code, including what it computes on padding.
            "ignores_padding": ("as published", "moe as published", "unmasked ids"),
            # Convolution and instance gate depend on a fixed length.
            "any_length": ("all",),
            # With a single item the instance gate has no effect.
            "trains_all": ("length 1",),
        },
        toys={"default": {"batch_size": 16, "negatives": 10, "tau": 1.0, "alignment": 0.01}},
    )

    def __init__(self, settings: Settings, info: DatasetInfo, seed: int) -> None:
        super().__init__()
        self.settings, self.info = settings, info
        d, length = settings.width, settings.history_length
        items = control(info.item_vectors, settings.item_text, seed)
        # A different seed, so that item i and user i do not get the same noise.
        users = control(_whole(info.profiles), settings.user_text, seed + 1)
        # Frozen vectors are data, not weights: they are neither saved with the model nor updated.
        self.register_buffer("item_vectors", items, persistent=False)
        self.register_buffer("profile_vectors", users, persistent=False)
        # Padding rows are read but get no gradient, as in the published code.
        self.item_embeddings = nn.Embedding(info.n_items + 1, d, padding_idx=info.padding)
        self.W2 = nn.Embedding(info.n_items + 1, d)
        # A cosine has no bias.
        self.b2 = nn.Embedding(info.n_items + 1, 1) if settings.score == "dot" else None
        self.position_embeddings = nn.Embedding(length + 1, d, padding_idx=0)
        self.user_embeddings = nn.Embedding(info.n_users, d) if users is None else None
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
        # The spectral fusion multiplies the spectra of ids and texts, so it needs texts.
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
        if self.b2 is not None:
            nn.init.zeros_(self.b2.weight)
        for gate in (self.instance_gate_item, self.instance_gate_user, self.instance_gate_position):
            nn.init.xavier_uniform_(gate)
        if self._convolves:
            nn.init.normal_(self.complex_weight, std=0.02)
        with torch.no_grad():  # padding rows are zero unless weights are loaded
            for table in (self.item_embeddings, self.W2):
                table.weight[self.info.padding] = 0
            self.position_embeddings.weight[0] = 0

    @classmethod
    def user_input(cls, settings: Settings) -> Literal["profile", "embedding"]:
        """Return ``profile``, or ``embedding`` if the model does not read profiles."""
        return "embedding" if settings.user_text == "none" else "profile"

    def queries(self, histories: Histories) -> Tensor:
        """Compute queries ``[B, d]``, the history's side of the two-tower score: ``u + z + mean_l h_l``."""
        return self._forward(histories)[0]

    def query_encoder(self) -> Callable[[Histories], Tensor]:
        """As in the base class, with the text of every item projected once and not once per batch."""
        texts = None
        if self.adapter_text is not None:
            blocks = torch.split(cast(Tensor, self.item_vectors), BLOCK)
            texts = torch.cat([self.adapter_text(block) for block in blocks])  # [N+1, d]
        return lambda histories: self._forward(histories, texts)[0]

    def given_phrases(self) -> GivenPhrases | None:
        """As in the base class: one vector, of the whole profile."""
        if self.adapter_user is None:
            return None
        width = cast(Tensor, self.profile_vectors).shape[1]
        return GivenPhrases(1, width, True, lambda vectors: {"profile_vectors": vectors.squeeze(1)})

    def keys(self) -> tuple[Tensor, Tensor]:
        """Return output vectors ``[N, d]`` and biases ``[N]``; where the score is a cosine, unit vectors and zeros."""
        n = self.info.n_items
        if self.b2 is None:
            return F.normalize(self.W2.weight[:n], dim=1), self.W2.weight.new_zeros(n)
        return self.W2.weight[:n], self.b2.weight[:n, 0]

    def score_note(self) -> str:
        """Explain that texts enter the score through the query."""
        if self.adapter_text is None and self.adapter_user is None:
            return "it reads ids only"
        return "items are scored by their ids; texts enter the score through the history and the profile"

    def score(self, histories: Histories, candidates: Tensor) -> Tensor:
        """Score ``candidates [B, K]`` for each history, ``[B, K]``. (5)"""
        return self._score(self.queries(histories), candidates)

    def row_tables(self) -> list[nn.Embedding]:
        """Return all tables of items and users, unless the loss scores every item."""
        tables = (self.item_embeddings, self.W2, self.b2, self.user_embeddings)
        return [] if self.settings.loss == "softmax" else [table for table in tables if table is not None]

    def _score(self, queries: Tensor, candidates: Tensor) -> Tensor:
        table, place = self.W2.weight, candidates
        if self.W2.sparse:  # a gradient of the rows that are looked up, and of no others
            found, place = distinct(candidates)
            table = self.W2(found)  # [M, d]
        if self.b2 is None:
            return candidate_scores(queries, F.normalize(table, dim=1), place)
        bias: Tensor = self.b2(candidates).squeeze(-1)  # [B, K]
        return candidate_scores(queries, table, place) + bias

    def compute_loss(self, batch: object, draws: Draws) -> dict[str, LossTerm]:
        """Compute ranking and alignment loss with newly drawn negatives of the target's domain."""
        samples = cast(PrefixBatch, batch)
        histories, target, chosen = samples.histories, samples.target, self.settings
        n_x, n_y = self.info.n_x, self.info.n_y
        if chosen.loss != "softmax":
            excluded = histories.sequence if chosen.exclude_history else None
            negatives = draw_negatives(target, chosen.negatives, n_x, n_y, draws, excluded)
            return self.losses(histories, torch.cat([target.unsqueeze(1), negatives], dim=1))  # [B, 1 + K]
        queries, e, t = self._forward(histories)
        keys, bias = self.keys()
        ranking = softmax_by_domain(queries / chosen.tau, keys, bias / chosen.tau, target, n_x, samples.in_domain)
        return {"ranking": ranking} | self._alignment(histories, e, t)

    def losses(self, histories: Histories, candidates: Tensor) -> dict[str, LossTerm]:
        """Compute ranking and alignment loss of candidates ``[B, 1 + K]``: the target first, then its negatives."""
        queries, e, t = self._forward(histories)
        return {"ranking": self._ranking(self._score(queries, candidates))} | self._alignment(histories, e, t)

    def _ranking(self, scores: Tensor) -> LossTerm:
        target, negatives, chosen = scores[:, 0], scores[:, 1:], self.settings
        if chosen.loss == "psl":
            return psl(target, negatives, chosen.tau, chosen.tau_outer, chosen.surrogate)
        if chosen.loss == "sampled_softmax":
            return sampled_softmax(target, negatives, chosen.tau)
        if chosen.loss == "bce":
            return binary_cross_entropy(target, negatives)
        return hinge(target, negatives, chosen.tau, chosen.reduction)

    def _alignment(self, histories: Histories, e: Tensor, t: Tensor | None) -> dict[str, LossTerm]:
        chosen = self.settings
        if t is None or chosen.alignment == 0:
            return {}
        mask = self._real(histories.sequence) if chosen.mask_padding else None
        return {"alignment": align(e, t, chosen.tau2, mask, chosen.align).times(chosen.alignment)}

    def _real(self, sequence: Tensor) -> Tensor:
        return sequence != self.info.padding  # [B, L]

    def _forward(self, histories: Histories, texts: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor | None]:
        """Return query ``[B, d]``, ids and projected texts ``[B, L, d]``; ``texts [N+1, d]`` if already projected."""
        e, t = self._items(histories.sequence, texts)  # (1) [B, L, d]
        u = self._user(histories)  # [B, d]
        h = self._convolve(e, t) if self._convolves and t is not None else e  # (2)
        counted = self._counted(histories.sequence)  # [B, L]
        f = self._feature_gate(h, t, u)  # (3) [B, L, d]
        z = self._instance_gate(f, u, histories.position, counted)  # (4) [B, d]
        queries = u + z + _weighted_mean(h, counted)
        return F.normalize(queries, dim=1) if self.settings.score == "cosine" else queries, e, t

    def _counted(self, sequence: Tensor) -> Tensor:
        """Return 1 where a position counts and 0 where it is excluded padding, ``[B, L]``."""
        mask = self._real(sequence) if self.settings.mask_padding else torch.ones_like(sequence)
        return mask.to(self.item_embeddings.weight.dtype)

    def _items(self, sequence: Tensor, texts: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Return ids and projected texts ``[B, L, d]``; each distinct item is looked up, projected and masked once."""
        found, inverse = distinct(sequence)  # [M], [B, L]
        counted = self._counted(found).unsqueeze(-1)  # [M, 1]
        e = F.embedding(inverse, self.item_embeddings(found) * counted)
        if self.adapter_text is None:
            return e, None
        vectors = cast(Tensor, self.item_vectors)
        t = self.adapter_text(vectors[found]) if texts is None else texts[found]  # [M, d]
        return e, F.embedding(inverse, t * counted)

    def _user(self, histories: Histories) -> Tensor:
        if self.user_embeddings is not None:
            return cast(Tensor, self.user_embeddings(histories.user))
        read = histories.profile
        profile = torch.full_like(histories.user, self.info.unknown_profile) if read is None else read.row[:, -1]
        return project_distinct(cast(nn.Module, self.adapter_user), cast(Tensor, self.profile_vectors), profile)

    def _convolve(self, e: Tensor, t: Tensor) -> Tensor:
        length = e.shape[1]
        spectrum, text = rfft(e), rfft(t)  # [B, L//2 + 1, d]
        weight = Spectrum(*self.complex_weight.unbind(-1))  # [1, L//2 + 1, d]
        a = irfft(spectrum.times(weight), length)  # [B, L, d]
        b = irfft(text.times(spectrum), length)
        h: Tensor = a * torch.sigmoid(self.item_gating(a)) + b * torch.sigmoid(self.fusion_gating(b))
        return h

    def _feature_gate(self, h: Tensor, t: Tensor | None, u: Tensor) -> Tensor:
        gate = self.feature_gate_item(h) + self.feature_gate_user(u).unsqueeze(1)  # [B, L, d]
        if t is not None and not self._convolves:
            gate = gate + self.feature_gate_item(t)  # the bias counts twice, as published
        gated: Tensor = h * torch.sigmoid(gate)
        return gated

    def _instance_gate(self, f: Tensor, u: Tensor, position: Tensor, counted: Tensor) -> Tensor:
        table = self.position_embeddings.weight
        # Row 0 is padding: its value is used, but it gets no gradient.
        places = torch.cat([table[:1].detach(), table[1:]]) @ self.instance_gate_position  # [L+1, 1]
        logits = f @ self.instance_gate_item + F.embedding(position, places)  # [B, L, 1]
        s = torch.sigmoid(logits.squeeze(-1) + u @ self.instance_gate_user)  # [B, L]
        return _weighted_mean(f, s * counted)


def _whole(profiles: Profiles | None) -> Tensor | None:
    """``[P+1, D]`` each profile as one vector."""
    return None if profiles is None else profiles.vectors[profiles.whole]


def _weighted_mean(x: Tensor, weights: Tensor) -> Tensor:
    """Compute ``Σ_l w_l x_l / Σ_l w_l``, zero where no position counts; ``[B, L, d]``, ``[B, L]`` -> ``[B, d]``."""
    shares = weights / weights.sum(dim=1, keepdim=True).clamp(min=1e-12)
    return (shares.unsqueeze(1) @ x).squeeze(1)
