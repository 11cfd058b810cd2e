"""What there is to download: the domains of every Amazon release, how large they are and where they lie."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from importlib.resources import files
from typing import NamedTuple

from lecdsr.readers.layouts import LAYOUTS

#: Base URLs of each release, usable as `source` of a pair; several are mirrors of one another.
BASES = {
    2014: ("http://snap.stanford.edu/data/amazon/productGraph/categoryFiles",),
    2018: (
        "https://mcauleylab.ucsd.edu/public_datasets/data/amazon_v2",
        "https://jmcauley.ucsd.edu/data/amazon_v2",
        "https://datarepo.eng.ucsd.edu/mcauley_group/data/amazon_v2",
    ),
    2023: (
        "https://mcauleylab.ucsd.edu/public_datasets/data/amazon_2023",
        "https://datarepo.eng.ucsd.edu/mcauley_group/data/amazon_2023",
    ),
}

#: Releases whose figures are published rounded, to one decimal of thousands or millions.
ROUNDED = (2023,)


class Entry(NamedTuple):
    """One domain of one release; a size that is not known is None.

    ``items`` have at least one interaction, ``metadata`` is the number of items in the metadata file.
    """

    release: int
    domain: str
    interactions: int | None
    users: int | None
    items: int | None
    metadata: int | None


def catalogue() -> list[Entry]:
    """Every domain, by release and name; the sources of the figures stand in catalogue.csv."""
    text = (files("lecdsr.readers") / "amazon_index.csv").read_text(encoding="utf-8")
    lines = (line for line in text.splitlines() if not line.startswith("#"))
    return list(_entries(lines))


def _entries(lines: Iterator[str]) -> Iterator[Entry]:
    for row in csv.DictReader(lines):
        sizes = (int(row[name]) if row[name] else None for name in Entry._fields[2:])
        yield Entry(int(row["release"]), row["domain"], *sizes)


def wanted_files(release: int) -> tuple[str, str]:
    """Ratings and metadata of a domain, relative to a base URL; ``{domain}`` stands for its name."""
    layout = LAYOUTS[release]
    return layout.ratings[0], layout.metadata[0]
