"""Index of the Amazon releases: domains, sizes and base URLs."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from importlib.resources import files
from typing import NamedTuple

from lecdsr.readers.layouts import LAYOUTS

#: Base URLs of each release, usable as `source` of a pair; the URLs of one release are mirrors.
BASE_URLS = {
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

#: Releases whose sizes are published rounded, to one decimal of thousands or millions.
ROUNDED = (2023,)


class AmazonDomain(NamedTuple):
    """One domain of one Amazon release; an unknown size is None.

    ``items`` counts the items with at least one interaction, ``metadata`` the items in the metadata file.
    """

    release: int
    domain: str
    interactions: int | None
    users: int | None
    items: int | None
    metadata: int | None


def amazon_domains() -> list[AmazonDomain]:
    """List all domains, sorted by release and name; amazon_index.csv names the sources of the sizes."""
    text = (files("lecdsr.readers") / "amazon_index.csv").read_text(encoding="utf-8")
    lines = (line for line in text.splitlines() if not line.startswith("#"))
    return list(_read_rows(lines))


def _read_rows(lines: Iterator[str]) -> Iterator[AmazonDomain]:
    for row in csv.DictReader(lines):
        sizes = (int(row[name]) if row[name] else None for name in AmazonDomain._fields[2:])
        yield AmazonDomain(int(row["release"]), row["domain"], *sizes)


def wanted_files(release: int) -> tuple[str, str]:
    """Return the paths of the ratings and metadata files below a base URL, with ``{domain}`` as a placeholder."""
    layout = LAYOUTS[release]
    return layout.ratings[0], layout.metadata[0]
