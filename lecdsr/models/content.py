"""Content-based ranking without training: items whose texts are similar to those of the history.

The simplest use of text (Lops, de Gemmis and Semeraro, *Recommender Systems Handbook*, 2011), and so a baseline for
models that are trained on texts.
"""

from __future__ import annotations

from typing import Literal, cast

from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from lecdsr.data.batch import Histories
from lecdsr.data.info import DatasetInfo
from lecdsr.models.base import Contract, HistoryDecay, ModelSettings, Recommender
from lecdsr.models.layers.text import content_queries, control, whiten


class Settings(ModelSettings):
    """Content-based ranking without training: text similarity to the history (Lops, de Gemmis and Semeraro, 2011)."""

    item_text: Literal["vectors", "random", "shuffled"] = Field(
        default="vectors",
        description="Text vectors of items: the real `vectors`, or a control: `random` noise of the same size, or "
        "`shuffled` among the items.",
    )
    whitening: bool = Field(
        default=True, description="Whiten the vectors first: all principal components, scaled to the same variance."
    )
    decay: HistoryDecay = 0.9


class Content(Recommender):
    """Content-based model: the score is the cosine of the item's text and Σ over the history of decay^(steps) · text.

    An item without text has score 0: neither similar to the history nor dissimilar.
    """

    objective = "counts"
    contract = Contract(
        settings={"decay": 0.7},
        variants={
            "whitened": {},
            "as it comes": {"whitening": False, "decay": 1.0},
            "random text": {"item_text": "random"},
            "shuffled text": {"item_text": "shuffled"},
            "length 1": {"history_length": 1},
        },
        toys={},  # the texts of the toy dataset are random
    )

    def __init__(self, settings: Settings, info: DatasetInfo, seed: int) -> None:
        super().__init__()
        self.settings, self.info = settings, info
        vectors = cast(Tensor, control(info.item_vectors, settings.item_text, seed))
        if settings.whitening:
            vectors = whiten(vectors, vectors.shape[1])
        self.register_buffer("item_text", F.normalize(vectors, dim=1), persistent=False)  # [N+1, D]

    def queries(self, histories: Histories) -> Tensor:
        """Compute queries ``[B, D]`` of length 1, zero where the history has no text."""
        return content_queries(cast(Tensor, self.item_text), histories.sequence, self.settings.decay)

    def keys(self) -> tuple[Tensor, Tensor]:
        """Return keys ``[N, D]`` of length 1, zero for items without text; no bias."""
        keys = cast(Tensor, self.item_text)[: self.info.n_items]
        return keys, keys.new_zeros(len(keys))

    def score_note(self) -> str:
        """Explain that the model has no ids."""
        return "it reads texts only"
