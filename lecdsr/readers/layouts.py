"""File names and columns of the three releases of the Amazon reviews (2014, 2018, 2023), and of a custom catalogue."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from pathlib import Path

from lecdsr.config.pair import Custom, Pair
from lecdsr.core.errors import UserError


@dataclass(frozen=True)
class Layout:
    """Layout of a release: file names, columns and units of its raw files.

    Args:
        ratings: relative paths to try for the interactions, preferred first; ``{domain}`` is a placeholder.
        metadata: relative paths to try for the metadata.
        columns: order of the columns of a ratings CSV.
        header: whether that CSV has a header line.
        time_unit: units of its times per second.
        python_dicts: metadata lines are Python dictionaries, not JSON.
        last_time: end of the release in seconds since 1970; interactions at or after it are malformed.
        custom: files and columns of a custom catalogue.
    """

    ratings: tuple[str, ...]
    metadata: tuple[str, ...]
    columns: tuple[str, str, str, str]
    header: bool
    time_unit: int
    python_dicts: bool
    last_time: int
    custom: Custom | None = None


def _end_of(year: int) -> int:
    return int(datetime.datetime(year + 1, 1, 1, tzinfo=datetime.UTC).timestamp())


LAYOUTS = {
    2014: Layout(
        ratings=(
            "ratings_{domain}.csv", "ratings_{domain}.csv.gz",
            "reviews_{domain}.json.gz", "reviews_{domain}_5.json.gz",
        ),
        metadata=("meta_{domain}.json.gz", "meta_{domain}.json"),
        columns=("reviewer", "asin", "rating", "time"),
        header=False,
        time_unit=1,
        python_dicts=True,
        last_time=_end_of(2014),
    ),
    2018: Layout(
        ratings=(
            "categoryFilesSmall/{domain}.csv", "{domain}.csv", "{domain}.csv.gz",
            "categoryFiles/{domain}.json.gz", "{domain}.json.gz", "{domain}_5.json.gz",
        ),
        metadata=("metaFiles2/meta_{domain}.json.gz", "meta_{domain}.json.gz", "meta_{domain}.json"),
        columns=("asin", "reviewer", "rating", "time"),
        header=False,
        time_unit=1,
        python_dicts=False,
        last_time=_end_of(2018),
    ),
    2023: Layout(
        ratings=(
            "benchmark/0core/rating_only/{domain}.csv.gz",
            "{domain}.csv.gz", "{domain}.csv", "{domain}.jsonl.gz", "{domain}.jsonl",
        ),
        metadata=("raw/meta_categories/meta_{domain}.jsonl.gz", "meta_{domain}.jsonl.gz", "meta_{domain}.jsonl"),
        columns=("reviewer", "asin", "rating", "time"),
        header=True,
        time_unit=1000,
        python_dicts=False,
        last_time=_end_of(2023),
    ),
}  # fmt: skip


def layout_of(pair: Pair) -> Layout:
    """Return the layout of a pair's raw files; for a custom catalogue it is read from the pair's settings."""
    if pair.release != "custom":
        return LAYOUTS[pair.release]
    assert pair.custom is not None
    items = pair.custom.items
    return Layout(
        ratings=(pair.custom.interactions.file,),
        metadata=() if items is None else (items.file,),
        columns=("reviewer", "asin", "rating", "time"),
        header=True,
        time_unit=1,
        python_dicts=False,
        # Times are stored as 32-bit seconds.
        last_time=_end_of(2099),
        custom=pair.custom,
    )


def find(folder: Path, names: tuple[str, ...], domain: str) -> Path:
    """Return the first of ``names`` that exists for ``domain``, in its subfolder or directly in ``folder``.

    Raises:
        UserError: none exists; the message lists the names tried and the files in the folder.
    """
    for name in names:
        for path in (folder / name.format(domain=domain), folder / Path(name.format(domain=domain)).name):
            if path.is_file():
                return path
    there = sorted(path.name for path in folder.iterdir() if path.is_file()) if folder.is_dir() else []
    listing = f"; the folder holds {', '.join(there[:8])}{' …' if len(there) > 8 else ''}" if there else ""
    wanted = ", ".join(dict.fromkeys(flat(names, domain)))
    raise UserError(
        f"there is no file for the domain {domain!r}: looked for {wanted}{listing}",
        where=str(folder),
        do="check `domains` and `release` in the pair's file, or put the file there",
        code="missing-file",
    )


def flat(names: tuple[str, ...], domain: str) -> list[str]:
    """Return the file names without their subfolders."""
    return [Path(name.format(domain=domain)).name for name in names]
