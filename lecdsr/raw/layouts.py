"""File names and columns of the three releases of the Amazon reviews (2014, 2018, 2023)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lecdsr.base.errors import UserError


@dataclass(frozen=True)
class Layout:
    """How one release stores a domain.

    Args:
        ratings: relative paths to try for the interactions, best first; ``{d}`` is the domain.
        metadata: relative paths to try for the metadata.
        columns: order of the columns of a ratings CSV.
        header: whether that CSV has a header line.
        time_unit: units of its times in a second.
        python_dicts: metadata lines are Python dictionaries, not JSON.
    """

    ratings: tuple[str, ...]
    metadata: tuple[str, ...]
    columns: tuple[str, str, str, str]
    header: bool
    time_unit: int
    python_dicts: bool


LAYOUTS = {
    2014: Layout(
        ratings=("ratings_{d}.csv", "ratings_{d}.csv.gz", "reviews_{d}.json.gz", "reviews_{d}_5.json.gz"),
        metadata=("meta_{d}.json.gz", "meta_{d}.json"),
        columns=("reviewer", "asin", "rating", "time"),
        header=False,
        time_unit=1,
        python_dicts=True,
    ),
    2018: Layout(
        ratings=(
            "categoryFilesSmall/{d}.csv", "{d}.csv", "{d}.csv.gz",
            "categoryFiles/{d}.json.gz", "{d}.json.gz", "{d}_5.json.gz",
        ),
        metadata=("metaFiles2/meta_{d}.json.gz", "meta_{d}.json.gz", "meta_{d}.json"),
        columns=("asin", "reviewer", "rating", "time"),
        header=False,
        time_unit=1,
        python_dicts=False,
    ),
    2023: Layout(
        ratings=("benchmark/0core/rating_only/{d}.csv.gz", "{d}.csv.gz", "{d}.csv", "{d}.jsonl.gz", "{d}.jsonl"),
        metadata=("raw/meta_categories/meta_{d}.jsonl.gz", "meta_{d}.jsonl.gz", "meta_{d}.jsonl"),
        columns=("reviewer", "asin", "rating", "time"),
        header=True,
        time_unit=1000,
        python_dicts=False,
    ),
}  # fmt: skip


def find(folder: Path, names: tuple[str, ...], domain: str) -> Path:
    """The first of ``names`` that exists for ``domain``, in its subfolder or directly in ``folder``.

    Raises:
        UserError: none exists; the message lists the names and the domains that are there.
    """
    for name in names:
        for path in (folder / name.format(d=domain), folder / Path(name.format(d=domain)).name):
            if path.is_file():
                return path
    there = sorted(path.name for path in folder.iterdir() if path.is_file()) if folder.is_dir() else []
    listing = f"; the folder holds {', '.join(there[:8])}{' …' if len(there) > 8 else ''}" if there else ""
    raise UserError(
        f"no file of the domain {domain!r} here: looked for {', '.join(dict.fromkeys(flat(names, domain)))}{listing}",
        where=str(folder),
        do="check the names under `domains` and the `release` in the pair's file, or put the file there",
    )


def flat(names: tuple[str, ...], domain: str) -> list[str]:
    """File names without subfolders."""
    return [Path(name.format(d=domain)).name for name in names]
