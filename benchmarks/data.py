"""Benchmark of raw files to sequences, against a mere DuckDB scan of the same files and against plain pandas.

Generates a pair similar to real ones: a share `--shared` of the ratings (0.4) comes from users of both domains, the
others from users of one domain with a few ratings each, whom `overlap: only` drops. With `--shared 1` nothing is
dropped before the k-core filter, which is the hardest case. Every step is measured in a separate process, one after
another: wall time, processor time and peak memory. `--full` uses 50 million ratings and 5 million metadata lines (4 GB
of disk, about ten minutes). `--folder` keeps the generated files for the next run.
"""

from __future__ import annotations

import argparse
import gzip
import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyarrow import csv
from rich.table import Table

from benchmarks.common.measure import Cost, measure
from benchmarks.plain.sequences import prepare
from lecdsr.config.load import load_block
from lecdsr.config.pair import Pair
from lecdsr.core.console import console, say
from lecdsr.core.exit import exit_on_user_error
from lecdsr.core.paths import enter_repository
from lecdsr.core.schemas import SECONDS_PER_DAY
from lecdsr.download.synthetic import Settings as Synthetic
from lecdsr.download.synthetic import generate
from lecdsr.readers.layouts import LAYOUTS
from lecdsr.readers.lines import read_lines
from lecdsr.readers.ratings import scan_csv
from lecdsr.sequences.build import build
from lecdsr.sequences.settings import Settings

DOMAINS = ("A", "B")
MEAN_LENGTH = 20
FULL = 50_000_000
# Fewer than generated: one rating in a hundred occurs twice in its file.
TWICE = 1.01
# Ratings of users of one domain that are generated at once.
CHUNK = 1_000_000
# The generated files contain malformed lines.
_LENIENT = csv.ParseOptions(invalid_row_handler=lambda _: "skip")


def scan(raw: Path) -> dict[str, int]:
    """Read every column of all four files with DuckDB in its default settings."""
    counts = {}
    with duckdb.connect() as db:
        db.execute("SET enable_progress_bar = false")
        for name in DOMAINS:
            ratings = scan_csv(raw / f"{name}.csv.gz", LAYOUTS[2018])
            query = f"SELECT count(asin), count(reviewer), sum(rating), max(time) FROM {ratings}"
            counts[name] = db.execute(query).fetchall()[0][0]
            query = f"SELECT count(*), sum(length(line)) FROM {read_lines(raw / f'meta_{name}.json.gz')}"
            counts[f"meta_{name}"] = db.execute(query).fetchall()[0][0]
    return counts


def ours(raw: Path, settings: Settings, folder: Path) -> dict[str, Any]:
    """Do the whole work of the stage `sequences`."""
    pair = Pair(name="benchmark", domains=DOMAINS, release=2018, source=(str(raw),))
    facts = build(pair, settings, raw, folder, folder / "rejected")
    return {
        "users": facts["users"],
        "items": facts["items_x"] + facts["items_y"],
        "interactions": facts["interactions"],
    }


def plain(raw: Path, settings: Settings, folder: Path) -> dict[str, int]:
    """Do the same work in plain pandas."""
    return prepare(raw, DOMAINS, settings, folder)


def make(folder: Path, ratings: int, shared: float) -> Path:
    """Generate a gzipped pair with this many ratings and a tenth as many items, unless the files exist."""
    raw = folder / f"raw-{ratings}-{shared:g}"
    note = raw.with_suffix(".json")
    if note.exists():
        return raw
    shutil.rmtree(raw, ignore_errors=True)
    raw.mkdir(parents=True)
    say(f"generating {ratings:,} ratings and {ratings // 10:,} items")
    items = ratings // 20
    users = round(ratings * shared / TWICE / MEAN_LENGTH)
    sizes = {"users": users, "items_x": items, "items_y": items, "interactions_per_user": MEAN_LENGTH}
    generate(raw, DOMAINS, Synthetic(seed=7, bad_lines=3, **sizes))
    for code, name in enumerate(DOMAINS):
        plain_path = raw / f"{name}.csv"
        with gzip.open(raw / f"{name}.csv.gz", "wb", 4) as packed:
            with open(plain_path, "rb") as file:
                shutil.copyfileobj(file, packed, 1 << 20)
            for lines in _one_domain(plain_path, code, round(ratings * (1 - shared) / 2)):
                packed.write(lines)
        plain_path.unlink()
    note.write_text(json.dumps(sizes))
    return raw


def _one_domain(path: Path, domain: int, ratings: int) -> Iterator[bytes]:
    """Yield rating lines of users of one domain, 2.5 per user on average; items are drawn from the file's own lines."""
    lines = csv.read_csv(path, csv.ReadOptions(column_names=["asin", "reviewer", "rating", "time"]), _LENIENT)
    rng = np.random.default_rng([domain, ratings])
    for start in range(0, ratings, CHUNK):
        rows = min(CHUNK, ratings - start)
        drawn = lines["asin"].combine_chunks().take(pa.array(rng.integers(len(lines), size=rows)))
        user = pc.cast(pa.array(2 * rng.integers(max(int(ratings / 2.5), 1), size=rows) + domain), pa.string())
        user = pc.binary_join_element_wise("Z", pc.utf8_lpad(user, 12, "0"), "")
        day = pc.cast(pa.array(rng.integers(16_071, 17_804, rows) * SECONDS_PER_DAY), pa.string())
        yield ("\n".join(pc.binary_join_element_wise(drawn, user, "5.0", day, ",").to_pylist()) + "\n").encode()


def same(one: Path, other: Path) -> None:
    """Stop if the users, items or interactions of both implementations differ."""
    for name, columns in (
        ("users", ["reviewer"]),
        ("items", ["domain", "asin", "title", "description", "train_count"]),
        ("interactions", ["user", "item", "time", "split"]),
    ):
        tables = [pq.read_table(folder / f"{name}.parquet", columns=columns).to_pandas() for folder in (one, other)]
        tables = [table.fillna("").astype(str) for table in tables]
        if not tables[0].equals(tables[1]):
            raise SystemExit(f"{name} differ between plain pandas and lecdsr")


@exit_on_user_error()
def main() -> None:
    """Parse the sizes, measure, and print the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ratings", type=int, default=2_000_000, help="ratings of the pair that is scanned")
    parser.add_argument("--pandas-ratings", type=int, default=2_000_000, help="ratings of the pair for pandas; 0: none")
    parser.add_argument("--shared", type=float, default=0.4, help="share of ratings from users of both domains")
    parser.add_argument("--full", action="store_true", help=f"{FULL:,} ratings")
    parser.add_argument("--folder", type=Path, help="folder for the files; a temporary folder by default")
    arguments = parser.parse_args()
    kept = arguments.folder and arguments.folder.absolute()
    enter_repository()
    settings = load_block("sequences", Settings, "demo").model_copy(update={"min_item": 5})
    with tempfile.TemporaryDirectory(prefix="lecdsr-benchmark-") as temporary:
        folder = kept or Path(temporary)
        table = Table(
            "step", "wall s", "CPU s", "peak GB", "ratio", title="Raw files to sequences", title_justify="left"
        )
        _against_scan(table, folder, FULL if arguments.full else arguments.ratings, arguments.shared, settings)
        if arguments.pandas_ratings:
            _against_pandas(table, folder, arguments.pandas_ratings, arguments.shared, settings)
        console.print(table)


def _against_scan(table: Table, folder: Path, ratings: int, shared: float, settings: Settings) -> None:
    raw = make(folder, ratings, shared)
    scanned = measure(scan, raw)
    built = measure(ours, raw, settings, folder / "ours")
    say(f"read: {scanned.result}; left: {built.result}")
    _row(table, f"DuckDB scans {ratings:,} ratings", scanned, "")
    _row(table, "lecdsr makes their sequences", built, f"{built.wall / scanned.wall:.2f} × the scan")


def _against_pandas(table: Table, folder: Path, ratings: int, shared: float, settings: Settings) -> None:
    raw = make(folder, ratings, shared)
    built = measure(ours, raw, settings, folder / "ours")
    pandas = measure(plain, raw, settings, folder / "plain")
    say(f"left: {built.result}")
    same(folder / "plain", folder / "ours")
    _row(table, f"plain pandas, {ratings:,} ratings", pandas, "")
    ratio = f"{pandas.wall / built.wall:.1f} × faster, {built.memory_gb / pandas.memory_gb:.2f} of the memory"
    _row(table, "lecdsr, the same", built, ratio)


def _row(table: Table, name: str, cost: Cost, ratio: str) -> None:
    table.add_row(name, f"{cost.wall:.1f}", f"{cost.cpu:.1f}", f"{cost.memory_gb:.2f}", ratio)


if __name__ == "__main__":
    main()
