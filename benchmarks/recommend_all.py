"""Users per second of recommending to all users at once, against a loop of calls for one user each.

All sides run in this process by turns, with the same untrained model on the same drawn data, and their recommendations
are compared. The plain loop keeps nothing between two calls: each scores the catalogue as for the first time. The loop
with kept tables computes once what does not depend on the user. The loops serve a sample of the users.

    python -m benchmarks.recommend_all --users 20000 --items 15000
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from rich.table import Table

from benchmarks.common.profiles import one_profile_each
from lecdsr.core.arrays import IntArray
from lecdsr.core.console import console
from lecdsr.core.device import choose_device
from lecdsr.core.exit import exit_on_user_error
from lecdsr.core.memory import keep_freed_memory, peak_memory
from lecdsr.core.schemas import INTERACTIONS, ITEMS, SECONDS_PER_DAY, USERS
from lecdsr.core.threads import prepare_environment
from lecdsr.data.info import DatasetInfo
from lecdsr.models.registry import find_model
from lecdsr.models.saved import build
from lecdsr.recommend.batch import Options, batch_recommender
from lecdsr.recommend.recommender import PairRecommender

HISTORY, K = 20, 10


def recommender_of(model: str, users: int, items: int, vectors: int) -> PairRecommender:
    """An untrained model over drawn histories of ``HISTORY`` items, half of them in each domain."""
    random = np.random.default_rng(0)
    n = 2 * items
    item = random.integers(0, items, users * HISTORY) + items * (random.random(users * HISTORY) < 0.5)
    interactions = {
        "user": np.repeat(np.arange(users), HISTORY),
        "item": item,
        "domain": (item >= items).astype(np.int8),
        "time": np.tile(np.arange(HISTORY), users) * SECONDS_PER_DAY,
        "rating": np.full(len(item), 5.0),
        "split": np.zeros(len(item)),
    }
    generator = torch.Generator().manual_seed(0)
    item_vectors, texts = (torch.randn(size + 1, vectors, generator=generator) for size in (n, users))
    item_vectors[-1] = texts[-1] = 0  # padding
    counts = torch.from_numpy(np.bincount(item, minlength=n))
    info = DatasetInfo(items, items, users, item_vectors, one_profile_each(texts[:-1]), counts, (0, HISTORY - 1))
    settings = find_model(model).settings.model_validate({})
    names = {"asin": [f"B{number:09d}" for number in range(n)], "categories": pa.array([[]] * n, pa.list_(pa.string()))}
    numbers = {"item": np.arange(n), "domain": np.arange(n) >= items, "train_count": counts.numpy()}
    rest = {name: [""] * n for name in ("title", "brand", "description")}
    columns = {**names, **numbers, **rest}
    people = {"user": np.arange(users), "reviewer": [f"U{number}" for number in range(users)]}
    people |= {"n_x": np.zeros(users), "n_y": np.zeros(users)}
    return PairRecommender(
        items=pa.table({name: columns[name] for name in ITEMS.names}).cast(ITEMS),
        users=pa.table(people).cast(USERS),
        interactions=pa.table(interactions).cast(INTERACTIONS),
        profiles={},
        info=info,
        network=build(model, settings, info, 1).eval(),
        trained=settings,
    )


def loop(one: PairRecommender, users: IntArray, keep: bool) -> tuple[float, list[list[int]]]:
    """Seconds and items of calls for one user each; with or without the tables of the call before."""
    begin = time.perf_counter()
    found = []
    for user in users.tolist():
        if not keep:
            for name in ("_scorer", "query_encoder"):
                one.__dict__.pop(name, None)
        history, times = one.history(user)
        lines = [line for domain in (0, 1) for line in one.recommend(user, history, times, domain, K)]
        found.append([line.item for line in lines])
    return time.perf_counter() - begin, found


def batch(one: PairRecommender, users: IntArray, device: torch.device) -> tuple[float, list[list[int]]]:
    """Seconds and items of all users at once, what is computed once for all of them included."""
    begin = time.perf_counter()
    recommender = batch_recommender(one.network, one.trained, one.info, one.interactions, Options(K), device)
    blocks = list(recommender.blocks(users))
    seconds = time.perf_counter() - begin
    one.network.cpu()
    items = np.concatenate([block.item for block in blocks])
    return seconds, [row.tolist() for row in items.reshape(len(users), -1)]


@exit_on_user_error()
def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=["popularity", "sasrec", "tandem"], help="models to measure")
    parser.add_argument("--users", type=int, default=7144, help="users recommended to at once (7144, Food–Kitchen)")
    parser.add_argument("--items", type=int, default=14_000, help="items of each domain (14000)")
    parser.add_argument("--loop-users", type=int, default=100, help="users of the loop (100)")
    parser.add_argument("--vectors", type=int, default=384, help="width of the text vectors (384)")
    parser.add_argument("--rounds", type=int, default=3, help="turns of both sides (3)")
    arguments = parser.parse_args()
    device = choose_device()
    head = (
        "model", "plain loop, users/s", "tables kept, users/s", "all at once, users/s", "ratio to plain",
        "ratio to kept", "equal rows", "peak GB",
    )  # fmt: skip
    table = Table(*head, title=f"Top {K} of each domain, {arguments.items:,} items in each, on {device}")
    for model in arguments.models:
        table.add_row(model, *row_of(model, arguments, device))
    console.print(table)


def row_of(model: str, arguments: Any, device: torch.device) -> tuple[str, ...]:
    """Medians over the rounds of one model."""
    one = recommender_of(model, arguments.users, arguments.items, arguments.vectors)
    all_users = np.arange(arguments.users)
    some = np.sort(np.random.default_rng(1).permutation(arguments.users)[: arguments.loop_users])
    loop(one, some[:3], True)  # builds what is kept
    rates, equal = [], 0.0
    for _ in range(arguments.rounds):
        plain, _ = loop(one, some[: max(1, len(some) // 4)], False)
        kept, wanted = loop(one, some, True)
        fast, found = batch(one, all_users, device)
        rates.append((max(1, len(some) // 4) / plain, len(some) / kept, len(all_users) / fast))
        equal = float(np.mean([found[user] == row for user, row in zip(some.tolist(), wanted, strict=True)]))
    alone, tables, together = np.median(rates, axis=0)
    ratios = [float(np.median([row[2] / row[side] for row in rates])) for side in (0, 1)]
    figures = (f"{alone:,.1f}", f"{tables:,.1f}", f"{together:,.0f}", *(f"{ratio:,.0f}" for ratio in ratios))
    return *figures, f"{equal:.1%}", f"{peak_memory() / 1e9:.2f}"


if __name__ == "__main__":
    prepare_environment()
    keep_freed_memory()
    main()
