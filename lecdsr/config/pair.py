"""Settings of a domain pair: its two domains, the layout of their raw files, and where these come from."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal

import pydantic
from pydantic import Field

from lecdsr.config.schema import Block
from lecdsr.core.paths import PAIR_NAME

PAIR_KEYS = ("domains", "release", "source", "custom")
SYNTHETIC = "synthetic"
DOMAIN_NAME = r"[A-Za-z0-9][A-Za-z0-9_&,.-]*"
# Placeholder for the name of the domain in a file name.
PLACEHOLDER = "{domain}"


def _file_pattern(pattern: str) -> str:
    path = PurePosixPath(pattern)
    if path.is_absolute() or ".." in path.parts or "\\" in pattern:
        raise ValueError("a file inside the source: no leading / and no ..")
    if PLACEHOLDER not in path.name:
        raise ValueError(f"a file name with {PLACEHOLDER} in it, since each domain has a file of its own")
    if not path.name.endswith((".csv", ".csv.gz", ".parquet")):
        raise ValueError("a file that ends with .csv, .csv.gz or .parquet")
    return pattern


FilePattern = Annotated[str, pydantic.AfterValidator(_file_pattern)]
Column = Annotated[str, Field(min_length=1)]


class CustomInteractions(Block):
    """Files of interactions, one per domain, as CSV with a header or as Parquet, and their columns."""

    file: FilePattern = Field(
        description="File of the interactions, ending with `.csv`, `.csv.gz` or `.parquet`; `{domain}` in its name "
        "stands for the name of the domain."
    )
    user: Column = Field(description="Column with the user.")
    item: Column = Field(description="Column with the item.")
    time: Column = Field(description="Column with the time.")
    time_unit: Literal["seconds", "milliseconds", "microseconds", "datetime"] = Field(
        description="Unit of the time since 1970, or `datetime` for a column of dates or timestamps or ISO text; "
        "without a time zone it is UTC."
    )
    rating: Column | None = Field(
        default=None, description="Column with the rating; without it every interaction has the rating 5."
    )


class CustomItems(Block):
    """Files of items, one per domain, as CSV with a header or as Parquet, and their columns."""

    file: FilePattern = Field(description="File of the items, named like that of the interactions.")
    item: Column = Field(description="Column with the item, as in the interactions.")
    title: Column | None = Field(default=None, description="Column with the title.")
    brand: Column | None = Field(default=None, description="Column with the brand.")
    categories: Column | None = Field(default=None, description="Column with the categories: a list (Parquet) or text.")
    category_separator: Column | None = Field(
        default=None, description="Separator at which the text of the categories is split; null keeps it whole."
    )
    description: Column | None = Field(default=None, description="Column with the description.")


class Custom(Block):
    """Layout of a catalogue that is not a release of the Amazon reviews."""

    interactions: CustomInteractions = Field(description="Files of interactions, one per domain, and their columns.")
    items: CustomItems | None = Field(
        default=None, description="Files of items, one per domain, and their columns; null if items have no texts."
    )
    delimiter: str = Field(
        default=",", min_length=1, max_length=1, description="Separator of the columns of CSV files."
    )


class Pair(Block):
    """A domain pair: the keys of ``pairs/PAIR.yaml`` other than the blocks of the stages."""

    name: str = Field(pattern=PAIR_NAME, description="Name of the pair: that of its file.")
    domains: tuple[str, str] = Field(description="The two domains, X and Y, named as in the raw files.")
    release: Literal[2014, 2018, 2023, "custom"] = Field(
        description="Layout of the raw files: an Amazon release, or `custom` for any other catalogue."
    )
    source: tuple[str, ...] = Field(
        min_length=1,
        description="Origin of the raw files: `synthetic` generates them; otherwise a folder, relative to the "
        "repository's root, or one or several base URLs of mirrors, tried in this order.",
    )
    custom: Custom | None = Field(
        default=None, description="Files and columns of a catalogue with `release: custom`; null for all others."
    )

    @pydantic.field_validator("source", mode="before")
    @classmethod
    def _one_or_many(cls, source: Any) -> Any:
        return (source,) if isinstance(source, str) else source

    @pydantic.field_validator("source")
    @classmethod
    def _several_are_mirrors(cls, source: tuple[str, ...]) -> tuple[str, ...]:
        local = [name for name in source if not is_url(name)]
        if len(source) > 1 and local:
            raise ValueError(f"one folder, or a list of base URLs; {local[0]!r} is not a URL")
        return source

    @pydantic.field_validator("domains")
    @classmethod
    def _two_different_names(cls, domains: tuple[str, str]) -> tuple[str, str]:
        for domain in domains:
            if not re.fullmatch(DOMAIN_NAME, domain):
                raise ValueError(f"names of letters, digits and _ & , . - only, got {domain!r}")
        if domains[0] == domains[1]:
            raise ValueError(f"two different domains, got {domains[0]!r} twice")
        return domains

    @pydantic.model_validator(mode="after")
    def _mapping_where_needed(self) -> Pair:
        if (self.release == "custom") != (self.custom is not None):
            raise ValueError("the block `custom` if `release` is custom, and no such block otherwise")
        return self

    @property
    def synthetic(self) -> bool:
        """Whether the raw files are generated instead of downloaded or copied."""
        return self.source == (SYNTHETIC,)


def is_url(source: str) -> bool:
    """Return whether a source is a base URL, and not a folder."""
    return source.startswith(("http://", "https://"))
