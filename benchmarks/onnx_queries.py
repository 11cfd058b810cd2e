"""Time of queries in ONNX Runtime against PyTorch, one thread each, with the same model, histories and numbers.

Both sides run in this process by turns; their queries are compared. PyTorch gets its batch of histories ready made, and
ONNX Runtime the plain inputs that a service has. The models are untrained and their data drawn, which changes no time;
with --pair they are the trained models and the histories of a pair.

    python -m benchmarks.onnx_queries --items 15000
    python -m benchmarks.onnx_queries --pair demo
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnxruntime
import torch
from rich.table import Table

from benchmarks.recommend_all import recommender_of
from lecdsr.core.console import console
from lecdsr.core.exit import exit_on_user_error
from lecdsr.core.paths import Artefacts
from lecdsr.core.schemas import SECONDS_PER_DAY
from lecdsr.core.threads import prepare_environment
from lecdsr.data.batch import Histories
from lecdsr.recommend.onnx import GRAPH, write_graph
from lecdsr.recommend.recommender import PairRecommender, open_recommender

BATCHES = (1, 64)
MODELS = ["popularity", "content", "hgn", "sasrec", "abxi", "tandem", "lecdsr"]


class Sides(NamedTuple):
    """One batch of queries on both sides."""

    torch: Callable[[], Any]
    onnx: Callable[[], Any]


def session_of(folder: Path) -> Any:
    """Open the graph of a folder on one thread."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(folder / GRAPH, options, providers=["CPUExecutionProvider"])


def sides_of(one: PairRecommender, session: Any, users: list[int]) -> Sides:
    """The same queries for items of X, for the users of a pair without their profiles."""
    rows = [one.history(user) for user in users]
    read = [(items[one.reads(items, 0)], times[one.reads(items, 0)]) for items, times in rows]
    unknown = [one.info.anonymous_user if one.user_input != "embedding" else user for user in users]
    histories, encode = one.histories(unknown, read, 0, [times for _, times in rows]), one.network.query_encoder()
    inputs = inputs_of(one, rows, users, {entry.name: entry.shape for entry in session.get_inputs()})
    return Sides(lambda: encode_without_gradients(encode, histories), lambda: session.run(["query"], inputs)[0])


@torch.no_grad()
def encode_without_gradients(encode: Callable[[Histories], torch.Tensor], histories: Histories) -> Any:
    """Queries as an array."""
    return encode(histories).numpy()


def inputs_of(one: PairRecommender, rows: list[Any], users: list[int], shapes: dict[str, Any]) -> dict[str, Any]:
    """Inputs of the graph; histories are padded to the longest of the batch."""
    length = max(1, *(min(len(items), one.trained.history_length) for items, _ in rows))
    history, days = np.full((len(rows), length), -1), np.zeros((len(rows), length), np.int64)
    for place, (items, times) in enumerate(rows):
        latest = items[-length:]
        history[place, : len(latest)], days[place, : len(latest)] = latest, times[-length:] // SECONDS_PER_DAY
    zeros = np.zeros(len(rows), np.int64)
    found = {"history": history, "days": days, "domain": zeros, "age": zeros, "user": np.array(users)}
    if "phrases" in shapes:
        found["phrases"] = np.zeros((len(rows), 1, shapes["phrases"][2]), np.float32)
    return {name: found[name] for name in shapes}


def seconds(work: Callable[[], Any], least: float) -> float:
    """Median time of a call, over calls that take at least ``least`` seconds together."""
    times: list[float] = []
    while sum(times) < least or len(times) < 5:
        begin = time.perf_counter()
        work()
        times.append(time.perf_counter() - begin)
    return float(np.median(times))


def rows_of(name: str, one: PairRecommender, arguments: Any) -> list[tuple[str, ...]]:
    """Compare one model, one row for each size of a batch."""
    rows: list[tuple[str, ...]] = []
    with tempfile.TemporaryDirectory() as folder:
        write_graph(one, Path(folder))
        session, size = session_of(Path(folder)), (Path(folder) / GRAPH).stat().st_size
        for batch in BATCHES:
            users = np.random.default_rng(0).integers(0, one.info.n_users, batch).tolist()
            sides = sides_of(one, session, users)
            found, wanted = sides.onnx(), sides.torch()
            off = float(np.abs(found - wanted).max())
            turns = [[seconds(side, arguments.seconds) for side in sides] for _ in range(arguments.rounds)]
            slow, fast = np.median(turns, axis=0) * 1e3
            ratio = float(np.median([ours / theirs for ours, theirs in turns]))
            figures = (f"{slow:.3f}", f"{fast:.3f}", f"{ratio:.2f}", f"{off:.0e}", f"{size / 1e6:.1f}")
            rows.append((name, str(batch), *figures))
    return rows


@exit_on_user_error()
def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=MODELS, help="models to measure")
    parser.add_argument("--pair", help="measure the trained models and users of this pair")
    parser.add_argument("--users", type=int, default=1000, help="drawn users (1000)")
    parser.add_argument("--items", type=int, default=14_000, help="drawn items of each domain (14000)")
    parser.add_argument("--vectors", type=int, default=384, help="width of the drawn text vectors (384)")
    parser.add_argument("--rounds", type=int, default=5, help="turns of both sides (5)")
    parser.add_argument("--seconds", type=float, default=0.2, help="time that a side runs in a turn (0.2)")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    head = ("model", "batch", "PyTorch, ms", "ONNX Runtime, ms", "ratio", "largest difference", "graph, MB")
    table = Table(*head, title=f"Queries of {arguments.pair or 'drawn users'}, one thread; median of the turns")
    for name in arguments.models:
        if arguments.pair:
            one = open_recommender(Artefacts(arguments.pair), name)
        else:
            one = recommender_of(name, arguments.users, arguments.items, arguments.vectors)
        for row in rows_of(name, one, arguments):
            table.add_row(*row)
    console.print(table)


if __name__ == "__main__":
    prepare_environment()
    main()
