"""Settings of the stage ``ask``."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator, model_validator

from lecdsr.config.schema import Block

#: Endings of the files that a table of texts may have.
FORMATS = (".csv", ".csv.gz", ".tsv", ".tsv.gz", ".parquet")


class TextTable(Block):
    """A table of texts that were written elsewhere."""

    path: str | None = Field(
        default=None,
        min_length=1,
        description="Table of the texts, relative to the repository's root, ending with `.csv`, `.csv.gz`, `.tsv`, "
        "`.tsv.gz` or `.parquet`; null if there is none.",
    )
    sha256: str | None = Field(
        default=None,
        pattern="^[0-9a-f]{64}$",
        description="SHA-256 of the file. Another file is refused; without a checksum the stage prints that of the "
        "file and stops.",
    )
    written_by: str | None = Field(
        default=None, description="Who or what wrote the texts, such as the name of a model; shown with the metrics."
    )
    written_on: str | None = Field(
        default=None, description="When the texts were written, in quotes; shown with the metrics."
    )
    instruction: str | None = Field(
        default=None, description="Instruction that the texts were written to; shown with the metrics."
    )

    @field_validator("path")
    @classmethod
    def _known_format(cls, path: str | None) -> str | None:
        if path is not None and not path.endswith(FORMATS):
            raise ValueError(f"a file that ends with {', '.join(FORMATS[:-1])} or {FORMATS[-1]}")
        return path


class ItemTexts(TextTable):
    """Table with a description of each item, one row per item."""

    id: str = Field(default="asin", min_length=1, description="Column with the item, as in the raw files.")
    text: str = Field(default="text", min_length=1, description="Column with the text.")
    domain: str | None = Field(
        default=None,
        min_length=1,
        description="Column with the domain of the item: the name of a domain, a part of it that the other lacks, or "
        "`x` or `y`. Null if the column of the item is enough to tell items apart.",
    )
    domains: dict[str, str] | None = Field(
        default=None, description="Names of the domains by other values of the column of the domain."
    )


class ProfileTexts(TextTable):
    """Table with profiles of users, one row per user and version."""

    user: str = Field(default="user", min_length=1, description="Column with the user, as in the raw files.")
    as_of: str = Field(
        default="as_of",
        min_length=1,
        description="Column with the time of the last interaction that the profile was written from, in seconds since "
        "1970. A target may read the profile only if this time lies before the target.",
    )
    text: str | None = Field(
        default=None, min_length=1, description="Column with the whole answer, instead of `portrait` and `next`."
    )
    portrait: str | None = Field(default=None, min_length=1, description="Column with the portrait of the user.")
    next: tuple[str, str] | None = Field(
        default=None,
        description="Columns with what the user is likely to buy next in domain X and in domain Y: phrases separated "
        "by commas or semicolons, most likely first.",
    )

    @model_validator(mode="after")
    def _some_text(self) -> ProfileTexts:
        parts = self.portrait is not None or self.next is not None
        if self.path is not None and parts == (self.text is not None):
            raise ValueError("the column `text`, or the columns `next` and `portrait`, and not both")
        return self


class Settings(Block):
    """Answer the questions, from the answer store or through a provider.

    Address, key, concurrency and spending limits of a server do not change an answer. They are therefore not
    settings but environment variables (:mod:`lecdsr.ask.access`).
    """

    provider: Literal["offline", "openai", "table"] = Field(
        default="offline",
        description="Source of the answers: `offline` composes texts from titles, brands and categories by rules, "
        "without a language model; `openai` is any server with an OpenAI-compatible API; `table` takes texts that "
        "were written elsewhere from the tables `items` and `profiles`.",
    )
    offline_lists: bool = Field(
        default=False,
        description="With `offline`, also list the kinds of products that a user is likely to need next. Lists by "
        "rules repeat the history, and models rank worse with them (docs/llm-text.md): they serve to try the parts of "
        "a model that read lists.",
    )
    max_failed_share: float = Field(
        default=0.01, ge=0, le=1, description="Share of questions that may fail for good before the stage stops."
    )
    items: ItemTexts = Field(
        default=ItemTexts(), description="Table of descriptions for `provider: table`; ignored by other providers."
    )
    profiles: ProfileTexts = Field(
        default=ProfileTexts(), description="Table of profiles for `provider: table`; ignored by other providers."
    )
