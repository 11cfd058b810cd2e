"""Write the four raw files of a synthetic pair."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import IO, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from lecdsr.core.files import atomic_path
from lecdsr.core.schemas import SECONDS_PER_DAY
from lecdsr.download.synthetic.events import Interactions, interaction_chunks
from lecdsr.download.synthetic.ids import item_ids, reviewer_ids
from lecdsr.download.synthetic.metadata import PART, metadata_lines
from lecdsr.download.synthetic.settings import Settings, stream
from lecdsr.download.synthetic.texts import join, pick
from lecdsr.download.synthetic.world import World, make_world

# Function from valid lines and a running number of malformed lines to malformed lines.
Spoil: TypeAlias = Callable[[pa.Array, pa.Array], pa.Array]

# Rows converted to text at a time.
BATCH = 500_000
# Share of rating lines that occur twice in the file.
TWICE = 0.01
# Higher compression levels take twice the time and save a tenth of the size.
LEVEL = 4


def generate(folder: Path, domains: tuple[str, str], settings: Settings) -> None:
    """Write ``DOMAIN.csv`` and ``meta_DOMAIN.json.gz`` for both domains; the same settings give the same bytes.

    Args:
        folder: folder to write to.
        domains: names of the two domains; any names, because the first always sells groceries and the second tools.
        settings: size and random seed.
    """
    world = make_world(settings)
    asins = [item_ids(settings, domain) for domain in (0, 1)]
    for domain, name in enumerate(domains):
        _write_metadata(folder / f"meta_{name}.json.gz", world, settings, domain, name, asins[domain])
    reviewers = reviewer_ids(settings)
    ratings = _by_domain(world, settings)
    for domain, name in enumerate(domains):
        _write_ratings(folder / f"{name}.csv", settings, domain, ratings[domain], asins[domain], reviewers)


def _write_metadata(path: Path, world: World, settings: Settings, domain: int, name: str, asin: pa.Array) -> None:
    places = _places(len(asin), settings.bad_lines)
    with (
        atomic_path(path) as temporary,
        open(temporary, "wb") as raw,
        # The gzip header holds no name and no time, so that the same content gives the same bytes.
        gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=0, compresslevel=LEVEL) as file,
    ):
        for part in range(-(-len(asin) // PART)):
            lines = metadata_lines(settings, world.domains[domain], domain, name, asin, part)
            inside = (places >= part * PART) & (places < (part + 1) * PART)
            at = np.minimum(places[inside] - part * PART, len(lines) - 1)
            _write_lines(file, _mix_in(lines, at, np.flatnonzero(inside), _cut_off))


def _by_domain(world: World, settings: Settings) -> list[Interactions]:
    """Collect all interactions of each domain in compact columns."""
    chunks: list[list[Interactions]] = [[], []]
    for chunk in interaction_chunks(world, settings):
        for domain in (0, 1):
            chunks[domain].append(chunk.take(np.flatnonzero(chunk.domain == domain)))
    return [Interactions.concatenate(parts) for parts in chunks]


def _write_ratings(
    path: Path, settings: Settings, domain: int, ratings: Interactions, asin: pa.Array, reviewer: pa.Array
) -> None:
    rng = stream(settings.seed, "ratings", domain)
    # Sort as in the real files: by item, latest first.
    key = (ratings.item.astype(np.int64) << 16) - ratings.day
    order = np.argsort(key, kind="stable")
    del key
    order = order[np.repeat(np.arange(len(order)), 1 + (rng.random(len(order)) < TWICE))]
    places = _places(len(order), settings.bad_lines)
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        for start in range(0, len(order), BATCH):
            lines = _rating_lines(ratings.take(order[start : start + BATCH]), asin, reviewer)
            inside = (places >= start) & (places < start + BATCH)
            _write_lines(file, _mix_in(lines, places[inside] - start, np.flatnonzero(inside), _garble))


def _rating_lines(ratings: Interactions, asin: pa.Array, reviewer: pa.Array) -> pa.Array:
    time = pc.cast(pa.array(ratings.day.astype(np.int64) * SECONDS_PER_DAY), pa.string())
    stars = pick(["1.0", "2.0", "3.0", "4.0", "5.0"], ratings.rating.astype(np.int64) - 1)
    return join(asin.take(pa.array(ratings.item)), reviewer.take(pa.array(ratings.user)), stars, time, separator=",")


def _places(rows: int, count: int) -> NDArray[np.int64]:
    """Choose ``[count]`` evenly spaced rows before which a malformed line is inserted."""
    return np.arange(1, count + 1) * rows // (count + 1)


def _mix_in(lines: pa.Array, places: NDArray[np.int64], numbers: NDArray[np.int64], spoil: Spoil) -> pa.Array:
    """Insert a malformed copy of a line before each of ``places``; ``numbers`` is their running number."""
    if not len(places):
        return lines
    spoilt = spoil(lines.take(pa.array(places)), pa.array(numbers))
    order = np.insert(np.arange(len(lines)), places, len(lines) + np.arange(len(places)))
    return pa.concat_arrays([lines, spoilt]).take(pa.array(order))


def _garble(lines: pa.Array, numbers: pa.Array) -> pa.Array:
    """Make malformed rating lines: too few columns, a rating in words, a time in words, and empty, in turn."""
    fates = [
        pc.replace_substring_regex(lines, pattern, replacement)
        for pattern, replacement in (
            (r"^([^,]*,[^,]*),.*$", r"\1"),
            (r"^([^,]*,[^,]*),[^,]*,", r"\1,five,"),
            (r",[^,]*$", ",yesterday"),
            (r"^.*$", ""),
        )
    ]
    return pc.choose(pa.array(numbers.to_numpy() % len(fates)), *fates)


def _cut_off(lines: pa.Array, numbers: pa.Array) -> pa.Array:
    """Cut metadata lines off in the middle of a value."""
    return pc.utf8_slice_codeunits(lines, 0, 60)


def _write_lines(file: IO[bytes] | gzip.GzipFile, lines: pa.Array) -> None:
    """Write a column of lines, each with a line feed, directly from Arrow's memory."""
    ended = pc.binary_join_element_wise(lines, "", "\n")
    _, offsets, data = ended.buffers()
    ends = np.frombuffer(offsets, dtype=np.int32)[ended.offset :][: len(ended) + 1]
    file.write(memoryview(data)[ends[0] : ends[-1]])
