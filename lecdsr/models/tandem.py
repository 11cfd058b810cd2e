"""Tandem, this project's own model: causal self-attention over both domains, text and id on both sides of a cosine.

docs/model.md has the formulas; the ablations in experiments.yaml measure each part. Differences from ``sasrec``:

- An item is its whitened text plus an id whose weight grows with its training interactions, so an unseen item is
  ranked by its text.
- Scores are cosines at a temperature.
- The state contains the calendar day, because demand shifts over the years.
- An untrained text similarity is added to the learned score, so unseen items still rank sensibly.
- What the user's profile expects next is read twice: pooled into the query, and as the largest similarity to a phrase.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, cast

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from lecdsr.data.batch import Histories
from lecdsr.data.info import DatasetInfo
from lecdsr.data.sequences import Sequences
from lecdsr.models.base import (
    AttentionSettings,
    BatchSize,
    Contract,
    Dropout,
    GivenPhrases,
    LearningRate,
    LearningRateSchedule,
    Scorer,
    SharedNegatives,
    SoftmaxItems,
    WhichProfile,
    Width,
)
from lecdsr.models.layers.attention import Layer, Packing, encode
from lecdsr.models.layers.item_softmax import ItemSoftmax
from lecdsr.models.layers.profiles import (
    Asked,
    Needs,
    PhraseForm,
    PhraseSimilarity,
    PhraseTexts,
    asked_next,
    given_lists,
    lists_of,
)
from lecdsr.models.layers.sampling import domain_shares
from lecdsr.models.layers.sharded import look_up
from lecdsr.models.layers.terms import TermWeighting, TermWeights
from lecdsr.models.layers.text import TextMode, Whitening, content_queries, control, whitening_of

#: Terms of the score whose weights are fitted.
TERMS = ("learned", "content", "profile", "recency")


class Settings(AttentionSettings):
    """Tandem, this project's model: self-attention over both domains, on text and item ids.

    Scores are cosines, and the model knows the calendar (docs/model.md).
    """

    batch_size: BatchSize = 64
    learning_rate: LearningRate = 0.002
    lr_schedule: LearningRateSchedule = "linear"
    width: Width = 256
    dropout: Dropout = 0.3
    layers: int = Field(default=1, ge=1, description="Number of attention layers.")
    item_text: TextMode = Field(
        default="vectors",
        description="Text vectors of items: the real `vectors`, `none`, or a control: `random` noise of the same size, "
        "or `shuffled` among the items.",
    )
    loss: SoftmaxItems = "sampled_then_full"
    negatives: SharedNegatives = 1024
    id_shrinkage: float = Field(
        default=5.0,
        ge=0,
        description="Shrinkage s of item embeddings: an item with n training interactions has the weight n / (n + s) "
        "on its embedding and 1 on its text; 0 sets both to 1.",
    )
    id_dropout: float = Field(
        default=0.1,
        ge=0,
        lt=1,
        description="Dropout rate of whole item embeddings in a training step, so that the model learns to rank by "
        "text alone.",
    )
    calendar_days: int = Field(
        default=90, ge=0, description="Days between two vectors of the calendar; 0 disables the calendar."
    )
    temperature: float = Field(default=0.1, gt=0, description="Temperature of the softmax over cosines.")
    content_weight: float = Field(
        default=0.5,
        ge=0,
        description="Weight of the untrained text similarity (as in the model `content`) relative to the learned "
        "score; 0 disables it.",
    )
    content_decay: float = Field(
        default=0.8,
        gt=0,
        le=1,
        description="Weight of a history item relative to the next later one in the untrained text similarity; 1 "
        "weights all equally.",
    )
    profile_text: PhraseTexts = "vectors"
    profile_time: WhichProfile = "before_target"
    profile_form: PhraseForm = "phrases"
    profile_query: bool = Field(
        default=True, description="Add the phrases, pooled by trained attention, to the query (docs/model.md)."
    )
    profile_dropout: float = Field(
        default=0.3, ge=0, lt=1, description="Share of training targets that do not read their profile."
    )
    profile_weight: float = Field(
        default=0.2,
        ge=0,
        description="Weight of the largest text similarity of an item to a phrase, untrained, relative to the learned "
        "score; 0 disables it.",
    )
    term_weights: TermWeighting = "fitted"


class Tandem(ItemSoftmax):
    """Tandem: the query is the state at the latest item, the key is the item's text plus id; the score is their cosine.

    The cosine of the item's frozen text and the texts of the history, as in ``content``, is added as D more columns of
    queries and keys. It is not part of the training loss.
    """

    settings: Settings
    bias_name = "recency"
    contract = Contract(
        settings={"calendar_days": 2},
        variants={
            "default": {},
            "ids": {"item_text": "none"},
            "random text": {"item_text": "random"},
            "shuffled text": {"item_text": "shuffled"},
            "full softmax": {"loss": "full"},
            "sampled softmax": {"loss": "sampled"},
            "no content": {"content_weight": 0.0},
            "no calendar": {"calendar_days": 0},
            "ids whole": {"id_shrinkage": 0.0, "id_dropout": 0.0},
            "ids dropped": {"id_dropout": 0.5},
            "two layers, one head": {"layers": 2, "heads": 1},
            "length 1": {"history_length": 1},
            "no profile": {"profile_text": "none"},
            "profile whole": {"profile_form": "whole"},
            "profile in the query only": {"profile_weight": 0.0},
            "profile untrained": {"profile_query": False},
            "another user's profile": {"profile_text": "shuffled"},
        },
        # In a list of one text nothing is weighted against anything.
        exceptions={"trains_all": ("profile whole",)},
    )

    def __init__(self, settings: Settings, info: DatasetInfo, seed: int) -> None:
        super().__init__()
        self.settings, self.info = settings, info
        d = settings.width
        text = control(info.item_vectors, settings.item_text, seed)
        whitening = None if text is None else whitening_of(text, text.shape[1], info.text_widths)
        item_text = None if text is None or whitening is None else _unit_variance(whitening(text))
        self.register_buffer("item_text", item_text, persistent=False)
        self.register_buffer("trust", _trust(info.train_counts, settings.id_shrinkage), persistent=False)
        self.register_buffer("shares", domain_shares(info), persistent=False)
        self.item_embeddings = nn.Embedding(info.n_items + 1, d, padding_idx=info.padding)
        self.position_embeddings = nn.Embedding(settings.history_length, d)
        self.calendar = Calendar(info.train_days, settings.calendar_days, d) if settings.calendar_days else None
        self.layers = nn.ModuleList(Layer(d, settings.heads, settings.dropout) for _ in range(settings.layers))
        self.dropout, self.norm = nn.Dropout(settings.dropout), nn.LayerNorm(d)
        nn.init.normal_(self.position_embeddings.weight, std=0.02)
        self.text_projection = None
        # Without text, ids start at the scale that the sum with texts would have.
        ids = d**-0.5
        if text is not None:
            self.text_projection = nn.Linear(cast(Tensor, self.item_text).shape[1], d, bias=False)
            nn.init.normal_(self.text_projection.weight, std=d**-0.5)
            ids *= 0.1
        self._read_profiles(whitening, seed)
        self.weights = TermWeights(TERMS, (1, 1, 1, 0), info)
        nn.init.normal_(self.item_embeddings.weight, std=ids)
        with torch.no_grad():
            self.item_embeddings.weight[info.padding] = 0

    def _read_profiles(self, whitening: Whitening | None, seed: int) -> None:
        """Take the phrases of the profiles through the whitening of the items, for the parts that are switched on."""
        settings, profiles = self.settings, self.info.profiles
        self.needs: Needs | None = None
        self.phrases: PhraseSimilarity | None = None
        self.whitening = whitening
        if whitening is None or not profiles or settings.profile_text == "none":
            return
        lists = lists_of(profiles, settings.profile_form, settings.profile_text, seed)
        if lists.empty:
            return
        lists = lists._replace(phrases=_unit_variance(whitening(lists.phrases)))
        if settings.profile_query:
            self.needs = Needs(lists, settings.profile_dropout)
        if settings.profile_weight:
            self.phrases = PhraseSimilarity(lists, settings.profile_weight / settings.temperature)

    @classmethod
    def user_input(cls, settings: Settings) -> Literal["none", "profile"]:
        """Return ``profile`` where a part of the score reads one."""
        reads = settings.item_text != "none" and settings.profile_text != "none"
        return "profile" if reads and (settings.profile_query or settings.profile_weight) else "none"

    def addends(self, items: Tensor | slice | None = None) -> tuple[Tensor, Tensor | None]:
        """``[R, d]`` weighted ids and projected texts, before their sum is normalised.

        Args:
            items: ``[R]`` item ids, or a range of them; ``None`` is all of them and padding, R = N+1.
        """
        trust, text = cast(Tensor, self.trust), cast(Tensor | None, self.item_text)
        if items is not None:
            trust, text = trust[items], None if text is None else text[items]
        ids = trust * look_up(self.item_embeddings, items)
        if self.training and self.settings.id_dropout:
            # Drop the whole embedding of some items, so that the model learns to rank by text alone.
            drawn = torch.rand(len(ids), device=ids.device)
            if isinstance(items, Tensor) and items.device.type != "cpu":
                # There an item can occur in several rows, of which it must be dropped in all or in none.
                drawn = drawn[torch.searchsorted(items.sort().values, items)]
            ids = ids * (drawn >= self.settings.id_dropout).unsqueeze(1)
        return ids, None if self.text_projection is None else self.text_projection(text)

    def table(self, items: Tensor | slice | None = None) -> Tensor:
        """``[R, d]`` items as unit vectors; one with neither text nor training interactions is zero.

        Args:
            items: ``[R]`` item ids, or a range of them; ``None`` is all of them and padding, R = N+1.
        """
        ids, texts = self.addends(items)
        return F.normalize(ids if texts is None else ids + texts, dim=1)

    def queries(self, histories: Histories) -> Tensor:
        """Compute queries ``[B, d]`` of length 1 / temperature; content adds D columns (weight / temperature)."""
        return self.query_encoder()(histories)

    def query_encoder(self) -> Callable[[Histories], Tensor]:
        """As in the base class, with the tables of items and texts built once and not once per batch."""
        table = self.table() if self._own_items() is None else None
        texts, settings = self._unit_texts() if self.has_content else None, self.settings

        def encode(histories: Histories) -> Tensor:
            rows = self._history_rows(histories) if table is None else (table, None)
            asked = None if self.needs is None else asked_next(histories)
            learned = self._directions(self._states(histories, *rows)[:, -1], asked)
            if texts is None:
                return learned
            content = content_queries(texts, histories.sequence, settings.content_decay)
            return torch.cat([learned, settings.content_weight / settings.temperature * content], dim=1)

        return encode

    def keys(self) -> tuple[Tensor, Tensor]:
        """Return keys ``[N, d]`` and biases; content adds D columns. Both parts have the length of their factor."""
        return self.keys_of(slice(0, self.info.n_items))

    def keys_of(self, items: slice) -> tuple[Tensor, Tensor]:
        """As :meth:`keys`, of a range of items."""
        parts = [
            self.weights.of(name, items).unsqueeze(1) * part
            for name, part in zip(TERMS, self._unit_keys(items), strict=False)
        ]
        return torch.cat(parts, dim=1), self.weights.bias(items)

    def _unit_keys(self, items: slice) -> list[Tensor]:
        """The learned part of the keys ``[n, d]`` and, if the score has it, that of content ``[n, D]``; of length 1."""
        learned = self.table(items)
        return [learned, F.normalize(cast(Tensor, self.item_text)[items], dim=1)] if self.has_content else [learned]

    def key_parts(self) -> dict[str, Tensor] | None:
        """Split the keys into ``id`` and ``text``, both divided by the length of their sum; content counts as text."""
        ids, text = self.addends()
        if text is None:
            return None
        n, keys = self.info.n_items, self.keys()[0]
        length = (ids + text).norm(dim=1, keepdim=True).clamp(min=1e-12)[:n]
        factor = self.weights.of("learned").unsqueeze(1) / length
        untrained = keys[:, ids.shape[1] :]  # [N, D], or no columns
        return {
            "id": torch.cat([factor * ids[:n], torch.zeros_like(untrained)], dim=1),
            "text": torch.cat([factor * text[:n], untrained], dim=1),
        }

    @property
    def term_weights(self) -> TermWeights | None:
        """As in the base class, unless the settings fix them."""
        return None if self.settings.term_weights == "fixed" else self.weights

    def score_terms(self) -> Callable[[Histories, slice], Tensor]:
        """As in the base class: what is learned, content, profile and the recency of items."""
        encode, width = self.query_encoder(), self.settings.width
        rerank = None if self.phrases is None else self.phrases.term(self._unit_texts())

        def terms(histories: Histories, items: slice) -> Tensor:
            queries = torch.split(encode(histories), [width, self._content_width()], dim=1)
            zero = queries[0].new_zeros(len(queries[0]), items.stop - items.start)
            products = [query @ keys.T for query, keys in zip(queries, self._unit_keys(items), strict=False)]
            products += [zero] * (2 - len(products))
            profile = zero if rerank is None else rerank(histories, items).expand_as(zero)
            return torch.stack([*products, profile, self.weights.recency_of(items).expand_as(zero)])

        return terms

    def count(self, training: Sequences) -> None:
        """Note how recently items were seen."""
        self.weights.count(training)

    def score_note(self) -> str:
        """Explain that the model reads no text."""
        return "it reads ids only"

    @property
    def has_content(self) -> bool:
        """Whether the untrained text similarity is part of the score."""
        return self.text_projection is not None and self.settings.content_weight > 0

    def _unit_texts(self) -> Tensor:
        return F.normalize(cast(Tensor, self.item_text), dim=1)  # [N+1, D]

    def _content_width(self) -> int:
        return cast(Tensor, self.item_text).shape[1] if self.has_content else 0

    @property
    def queries_by_domain(self) -> bool:
        """Whether a profile is pooled into the query: its phrases are those for one domain."""
        return self.needs is not None

    def rerank_term(self) -> Scorer | None:
        """The largest similarity of an item to a phrase of the profile, times weight / temperature and its factor."""
        return None if self.phrases is None else self.phrases.term(self._weighted_texts())

    def rerank_vectors(self) -> tuple[Tensor, Callable[[Histories], Tensor]] | None:
        """As in the base class: texts of items times their factor, and weighted phrases of the profile."""
        if self.phrases is None:
            return None
        return self._weighted_texts()[: self.info.n_items], self.phrases.vectors

    def _weighted_texts(self) -> Tensor:
        """``[N+1, D]`` unit texts, times the factor of the profile."""
        factors = F.pad(self.weights.of("profile"), (0, 1), value=1.0)
        return factors.unsqueeze(1) * self._unit_texts()

    def given_phrases(self) -> GivenPhrases | None:
        """As in the base class: phrases, whitened as the items are, for each part that reads them."""
        part, whitening, profiles = self.needs or self.phrases, self.whitening, self.info.profiles
        if part is None or whitening is None or profiles is None:
            return None

        def tables(vectors: Tensor) -> dict[str, Tensor]:
            lists = given_lists(vectors)
            lists = lists._replace(phrases=_unit_variance(whitening.masked(lists.phrases)))
            pooled = {} if self.needs is None else lists.named("needs")
            compared = {} if self.phrases is None else lists.unit().named("phrases")
            return pooled | compared

        count, width = cast(Tensor, part.rows).shape[2], profiles.vectors.shape[1]
        return GivenPhrases(count, width, self.settings.profile_form == "whole", tables)

    def _directions(self, states: Tensor, asked: Asked | None) -> Tensor:
        directions = F.normalize(states.float(), dim=-1)
        if self.needs is not None and asked is not None:
            needs = self.needs(directions, asked, self.text_projection)
            directions = F.normalize(directions + needs, dim=-1)
        return directions / self.settings.temperature

    def _states(self, histories: Histories, table: Tensor, rows: Tensor | None = None) -> Tensor:
        """``[B, L, d]``, each of its own and earlier items; zero for padding.

        Args:
            histories: B of them.
            table: ``[R, d]`` unit vectors of items.
            rows: ``[B, L]`` row of each item in ``table``; ``None`` if these are the item ids.
        """
        rows = histories.sequence if rows is None else rows
        packing = Packing(histories.sequence != self.info.padding, histories.items)
        x = F.embedding(packing.pack(rows), table)  # [T, d], T items of the batch
        x = x + packing.positions(self.position_embeddings.weight)
        if self.calendar is not None:
            x = x + self.calendar(packing.pack(histories.day))
        return encode(self.dropout(x * self.settings.width**0.5), packing, self.layers, self.norm)


class Calendar(nn.Module):
    """A vector for every day, interpolated between learned vectors ``step`` days apart; ``[T]`` -> ``[T, d]``.

    Days outside the training period have the vector of the nearest day of training.
    """

    def __init__(self, days: tuple[int, int], step: int, width: int) -> None:
        super().__init__()
        self.first, self.last, self.step = *days, step
        self.knots = nn.Embedding((self.last - self.first) // step + 2, width)
        nn.init.normal_(self.knots.weight, std=0.02)

    def forward(self, day: Tensor) -> Tensor:
        """Interpolate between the two learned vectors around each day."""
        place = (day.clamp(self.first, self.last) - self.first) / self.step
        before = place.floor().long()
        after = (place - before).unsqueeze(-1)
        return torch.lerp(self.knots(before), self.knots(before + 1), after)


def _trust(counts: Tensor, shrinkage: float) -> Tensor:
    """Compute n / (n + shrinkage) for n training interactions, ``[N+1, 1]``; 0 for padding, 1 if shrinkage is 0."""
    n = torch.cat([counts, counts.new_zeros(1)]).float().unsqueeze(1)
    trust: Tensor = n / (n + shrinkage) if shrinkage else torch.ones_like(n)
    return trust


def _unit_variance(whitened: Tensor) -> Tensor:
    """Scale whitened texts such that rows of items have a mean square length of 1."""
    scaled: Tensor = whitened / max(1, whitened.shape[1]) ** 0.5
    return scaled
