"""Content-based ranking without training: items whose texts are similar to those of the history.

The simplest use of text (Lops, de Gemmis and Semeraro, *Recommender Systems Handbook*, 2011), and so a baseline for
models that are trained on texts.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, cast

from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from lecdsr.data.batch import Histories
from lecdsr.data.info import DatasetInfo
from lecdsr.models.base import Contract, GivenPhrases, HistoryDecay, ModelSettings, Recommender, Scorer, WhichProfile
from lecdsr.models.layers.profiles import PhraseForm, PhraseSimilarity, PhraseTexts, given_lists, lists_of
from lecdsr.models.layers.text import content_queries, control, whitening_of


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
    profile_text: PhraseTexts = "none"
    profile_time: WhichProfile = "before_target"
    profile_form: PhraseForm = "phrases"
    profile_weight: float = Field(
        default=0.25,
        ge=0,
        description="Weight of the largest similarity of an item to a phrase, relative to the similarity to the "
        "history.",
    )


class Content(Recommender):
    """Content-based model: the score is the cosine of the item's text and Σ over the history of decay^(steps) · text.

    An item without text has score 0: neither similar to the history nor dissimilar. With profiles, the largest cosine
    of the item and a phrase of what the user is likely to need next is added.
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
            "profile": {"profile_text": "vectors"},
        },
        toys={},  # the texts of the toy dataset are random
    )

    def __init__(self, settings: Settings, info: DatasetInfo, seed: int) -> None:
        super().__init__()
        self.settings, self.info = settings, info
        vectors = cast(Tensor, control(info.item_vectors, settings.item_text, seed))
        whitening = whitening_of(vectors, vectors.shape[1], info.text_widths) if settings.whitening else None
        if whitening is not None:
            vectors = whitening(vectors)
        self.register_buffer("item_text", F.normalize(vectors, dim=1), persistent=False)  # [N+1, D]
        self.whitening = whitening
        self.phrases: PhraseSimilarity | None = None
        if info.profiles and self.user_input(settings) == "profile":
            lists = lists_of(info.profiles, settings.profile_form, settings.profile_text, seed)
            if whitening is not None:
                lists = lists._replace(phrases=whitening(lists.phrases))
            self.phrases = PhraseSimilarity(lists, settings.profile_weight)

    @classmethod
    def user_input(cls, settings: Settings) -> Literal["none", "profile"]:
        """Return ``profile`` where the score reads one."""
        return "profile" if settings.profile_text != "none" and settings.profile_weight else "none"

    def queries(self, histories: Histories) -> Tensor:
        """Compute queries ``[B, D]`` of length 1, zero where the history has no text."""
        return content_queries(cast(Tensor, self.item_text), histories.sequence, self.settings.decay)

    def keys(self) -> tuple[Tensor, Tensor]:
        """Return keys ``[N, D]`` of length 1, zero for items without text; no bias."""
        keys = cast(Tensor, self.item_text)[: self.info.n_items]
        return keys, keys.new_zeros(len(keys))

    def rerank_term(self) -> Scorer | None:
        """The largest similarity of an item to a phrase of the user's profile, times its weight."""
        return None if self.phrases is None else self.phrases.term(cast(Tensor, self.item_text))

    def rerank_vectors(self) -> tuple[Tensor, Callable[[Histories], Tensor]] | None:
        """As in the base class: texts of items, and weighted phrases of the profile."""
        if self.phrases is None:
            return None
        return cast(Tensor, self.item_text)[: self.info.n_items], self.phrases.vectors

    def given_phrases(self) -> GivenPhrases | None:
        """As in the base class: phrases, whitened as the items are."""
        if self.phrases is None or self.info.profiles is None:
            return None

        def tables(vectors: Tensor) -> dict[str, Tensor]:
            lists = given_lists(vectors)
            if self.whitening is not None:
                lists = lists._replace(phrases=self.whitening.masked(lists.phrases))
            return lists.unit().named("phrases")

        count, width = self.phrases.lists.rows.shape[2], self.info.profiles.vectors.shape[1]
        return GivenPhrases(count, width, self.settings.profile_form == "whole", tables)

    def score_note(self) -> str:
        """Explain that the model has no ids."""
        return "it reads texts only"
