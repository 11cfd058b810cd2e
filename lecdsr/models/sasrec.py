"""SASRec (Kang and McAuley, ICDM 2018): causal self-attention over the sequence.

Differences from the paper: both domains are mixed in one sequence, the loss is a softmax over all items of the target's
domain instead of one negative, input and output embeddings are tied, and text is optional: either text vectors are
added to the item embeddings on both sides of the score, or item embeddings are initialised from text vectors and then
trained as usual (Harte et al., RecSys 2023).
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
from lecdsr.models.base import AttentionSettings, Contract, SharedNegatives, SoftmaxItems
from lecdsr.models.layers.attention import Layer, Packing, encode
from lecdsr.models.layers.item_softmax import ItemSoftmax
from lecdsr.models.layers.sampling import domain_shares
from lecdsr.models.layers.sharded import look_up
from lecdsr.models.layers.text import TextMode, control, whiten


class Settings(AttentionSettings):
    """SASRec (Kang and McAuley, ICDM 2018): self-attention over the sequence, trained with a softmax loss."""

    layers: int = Field(default=2, ge=1, description="Number of attention layers.")
    loss: SoftmaxItems = "full"
    negatives: SharedNegatives = 1024
    start: Literal["random", "text"] = Field(
        default="random",
        description="Initial item embeddings: `random`, or `text`, the first principal components of the text vectors, "
        "scaled to the same variance. Both are trained from there.",
    )
    item_text: TextMode = Field(
        default="none",
        description="Text vectors of items, added to the item embeddings on both sides of the score: the real "
        "`vectors`, `none`, or a control: `random` noise of the same size, or `shuffled` among the items.",
    )


class SASRec(ItemSoftmax):
    """SASRec: a causal transformer whose query is the state at the last item."""

    contract = Contract(
        settings={"layers": 2},
        variants={
            "ids": {},
            "text": {"item_text": "vectors"},
            "started from text": {"start": "text"},
            "sampled softmax": {"loss": "sampled"},
            "random text": {"item_text": "random"},
            "shuffled text": {"item_text": "shuffled"},
            "no dropout": {"dropout": 0.0},
            "one layer, one head": {"layers": 1, "heads": 1},
            "length 1": {"history_length": 1},
        },
        toys={"default": {}, "started from text": {"start": "text", "width": 16}},
    )

    def __init__(self, settings: Settings, info: DatasetInfo, seed: int) -> None:
        super().__init__()
        self.settings, self.info = settings, info
        d = settings.width
        text = control(info.item_vectors, settings.item_text, seed)
        self.register_buffer("item_text", None if text is None else standardise(text), persistent=False)
        self.register_buffer("shares", domain_shares(info), persistent=False)
        self.item_embeddings = nn.Embedding(info.n_items + 1, d, padding_idx=info.padding)
        self.text_projection = None if text is None else nn.Linear(text.shape[1], d, bias=False)
        self.position_embeddings = nn.Embedding(settings.history_length, d)
        self.dropout = nn.Dropout(settings.dropout)
        self.blocks = nn.ModuleList(Layer(d, settings.heads, settings.dropout) for _ in range(settings.layers))
        self.norm = nn.LayerNorm(d)
        nn.init.normal_(self.item_embeddings.weight, std=0.02)
        nn.init.normal_(self.position_embeddings.weight, std=0.02)
        if self.text_projection is not None:
            # Standardised vectors have length √D, so this scale makes texts as large as ids.
            nn.init.normal_(self.text_projection.weight, std=0.02 / self.text_projection.in_features**0.5)
        with torch.no_grad():
            if settings.start == "text":
                _start_from_text(self.item_embeddings.weight, info.item_vectors)
            self.item_embeddings.weight[info.padding] = 0

    def addends(self, items: Tensor | slice | None = None) -> tuple[Tensor, Tensor | None]:
        """``[R, d]`` ids and projected texts, which add up to :meth:`table`.

        Args:
            items: ``[R]`` item ids, or a range of them; ``None`` is all of them and padding, R = N+1.
        """
        ids = look_up(self.item_embeddings, items)
        if self.text_projection is None:
            return ids, None
        text = cast(Tensor, self.item_text)
        return ids, self.text_projection(text if items is None else text[items])

    def table(self, items: Tensor | slice | None = None) -> Tensor:
        """``[R, d]`` id plus projected text; arguments as for :meth:`addends`."""
        ids, texts = self.addends(items)
        return ids if texts is None else ids + texts

    def queries(self, histories: Histories) -> Tensor:
        """Return the state at the last position as the query, ``[B, d]``."""
        return self.query_encoder()(histories)

    def query_encoder(self) -> Callable[[Histories], Tensor]:
        """As in the base class, with the item table built once and not once per batch."""
        if self._own_items() is not None:
            return lambda histories: self._states(histories, *self._history_rows(histories))[:, -1]
        table = self.table()
        return lambda histories: self._states(histories, table)[:, -1]

    def keys(self) -> tuple[Tensor, Tensor]:
        """Return the item table as keys, ``[N, d]``, without biases."""
        table = self.table()[: self.info.n_items]
        return table, table.new_zeros(len(table))

    def keys_of(self, items: slice) -> tuple[Tensor, Tensor]:
        """As :meth:`keys`, of a range of items."""
        table = self.table(items)
        return table, table.new_zeros(len(table))

    def key_parts(self) -> dict[str, Tensor] | None:
        """Split the keys into ``id`` and ``text``; ``None`` if the model reads no text."""
        ids, text = self.addends()
        n = self.info.n_items
        return None if text is None else {"id": ids[:n], "text": text[:n]}

    def score_note(self) -> str:
        """Explain that the model reads no text."""
        return "it reads ids only"

    def _states(self, histories: Histories, table: Tensor, rows: Tensor | None = None) -> Tensor:
        """``[B, L, d]`` states, each of its own and earlier items.

        Args:
            histories: B of them.
            table: ``[R, d]`` vectors of items.
            rows: ``[B, L]`` row of each item in ``table``; ``None`` if these are the item ids.
        """
        rows = histories.sequence if rows is None else rows
        packing = Packing(histories.sequence != self.info.padding, histories.items)
        # √d scales item embeddings to the size of the trained positions, as in the paper's code base.
        x = F.embedding(packing.pack(rows), table) * self.settings.width**0.5  # [T, d], T items of the batch
        x = x + packing.positions(self.position_embeddings.weight)
        return encode(self.dropout(x), packing, self.blocks, self.norm)


def _start_from_text(table: Tensor, vectors: Tensor | None) -> None:
    """Replace the random rows of a table by whitened text vectors at the same scale; items without text stay random."""
    if vectors is None:
        raise ValueError("start 'text' needs text vectors, and the data has none")
    whitened = whiten(vectors, table.shape[1])
    known = vectors.norm(dim=1) > 0
    table[known, : whitened.shape[1]] = 0.02 * whitened[known]


def standardise(vectors: Tensor) -> Tensor:
    """Centre and scale each dimension over the known (non-zero) rows; unknown rows stay zero.

    Sentence vectors share a large common component, which would otherwise hide their differences.
    """
    known = vectors.norm(dim=1) > 0
    if known.sum() < 2:
        return vectors
    rows = vectors[known]
    scaled = torch.zeros_like(vectors)
    scaled[known] = (rows - rows.mean(dim=0)) / rows.std(dim=0).clamp(min=1e-6)
    return scaled
