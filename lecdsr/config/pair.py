"""A domain pair: which two domains, in which layout their raw files are, and where they come from."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal

import pydantic

from lecdsr.config.schema import Block
from lecdsr.core.paths import PAIR_NAME

PAIR_KEYS = ("domains", "release", "source", "custom")
SYNTHETIC = "synthetic"
DOMAIN_NAME = r"[A-Za-z0-9][A-Za-z0-9_&,.-]*"
# Where a file's name holds the name of the domain.
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
Column = Annotated[str, pydantic.Field(min_length=1)]


class CustomInteractions(Block):
    """A file of interactions for each domain, CSV with a header or Parquet, and its columns."""

    file: FilePattern
    user: Column
    item: Column
    time: Column
    #: ``datetime``: a date or timestamp column, or ISO text; without a zone it is UTC.
    time_unit: Literal["seconds", "milliseconds", "microseconds", "datetime"]
    #: Without a column of ratings every interaction counts as 5.
    rating: Column | None = None


class CustomItems(Block):
    """A file of items for each domain, CSV with a header or Parquet, and its columns."""

    file: FilePattern
    item: Column
    title: Column | None = None
    brand: Column | None = None
    #: A list (Parquet) or text; text is split at ``category_separator`` where that is given.
    categories: Column | None = None
    category_separator: Annotated[str, pydantic.Field(min_length=1)] | None = None
    description: Column | None = None


class Custom(Block):
    """Layout of a catalogue that is no release of the Amazon reviews."""

    interactions: CustomInteractions
    items: CustomItems | None = None
    #: Separator of the columns of CSV files.
    delimiter: str = pydantic.Field(default=",", min_length=1, max_length=1)


class Pair(Block):
    """A domain pair, as ``pairs/NAME.yaml`` has it."""

    name: str = pydantic.Field(pattern=PAIR_NAME)
    domains: tuple[str, str]
    release: Literal[2014, 2018, 2023, "custom"]
    #: One source, or several mirrors in the order in which they are tried.
    source: tuple[str, ...] = pydantic.Field(min_length=1)
    custom: Custom | None = None

    @pydantic.field_validator("source", mode="before")
    @classmethod
    def _one_or_many(cls, source: Any) -> Any:
        return (source,) if isinstance(source, str) else source

    @pydantic.field_validator("source")
    @classmethod
    def _several_are_mirrors(cls, source: tuple[str, ...]) -> tuple[str, ...]:
        local = [name for name in source if not is_url(name)]
        if len(source) > 1 and local:
            raise ValueError(f"a list of base URLs; {local[0]!r} is none, and only mirrors can be several")
        return source

    @pydantic.field_validator("domains")
    @classmethod
    def _two_different_names(cls, domains: tuple[str, str]) -> tuple[str, str]:
        for domain in domains:
            if not re.fullmatch(DOMAIN_NAME, domain):
                raise ValueError(f"{domain!r} is not a domain name: letters, digits and _ & , . - only")
        if domains[0] == domains[1]:
            raise ValueError("the two domains of a pair differ")
        return domains

    @pydantic.model_validator(mode="after")
    def _mapping_where_needed(self) -> Pair:
        if (self.release == "custom") != (self.custom is not None):
            raise ValueError("a mapping of columns under `custom` where `release` is custom, and `null` elsewhere")
        return self

    @property
    def synthetic(self) -> bool:
        """Whether the raw files are generated."""
        return self.source == (SYNTHETIC,)


def is_url(source: str) -> bool:
    """Whether a source is a base URL and no folder."""
    return source.startswith(("http://", "https://"))
