"""Beyond-accuracy metrics of RecTools against ours, from the lists that the stage `evaluate` wrote.

Runs in an environment of its own, with `pip install rectools pyarrow`, and reads only Parquet and JSON files: the
lists, items, interactions and vectors of a pair, and the recorded metrics. RecTools has four of the metrics. Its
novelty (mean inverse user frequency) divides by the number of users and ours by the number of training interactions of
the domain, so the logarithm of their ratio is added. A user with several test targets counts once for each here.

    python benchmarks/peers/rectools_beyond.py --root CLONE --pair demo
"""

from __future__ import annotations

import argparse
import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
from numpy.typing import NDArray

warnings.filterwarnings("ignore")
TRAIN = 0
K = 10
DOMAINS = ("x", "y")


def recommendations(path: Path, domain: int) -> pd.DataFrame:
    """One row per item of a list, with its rank; every test target is a user."""
    lists = pq.read_table(path).to_pandas()
    own = lists[lists["domain"] == domain]["items"].reset_index(drop=True)
    rows = own.explode().dropna().astype(int)
    return pd.DataFrame(
        {"user_id": rows.index, "item_id": rows.to_numpy(), "rank": rows.groupby(level=0).cumcount().to_numpy() + 1}
    )


def cosine_distance(vectors: NDArray[np.float32]) -> Any:
    """RecTools' calculator of distances, for text vectors; not a number where an item has no text."""
    from rectools.metrics.distances import PairwiseDistanceCalculator

    length = np.linalg.norm(vectors.astype(np.float64), axis=1, keepdims=True)
    unit = vectors / np.where(length > 0, length, np.nan)

    class Cosine(PairwiseDistanceCalculator):  # type: ignore[misc]
        def _get_distances_for_item_pairs(self, items_0: Any, items_1: Any) -> NDArray[np.float64]:
            pairs = (np.asarray(items, np.int64) for items in (items_0, items_1))
            first, second = (unit[items] for items in pairs)
            return np.asarray(1 - (first * second).sum(axis=1))

    return Cosine()


def theirs(reco: pd.DataFrame, before: pd.DataFrame, items: NDArray[np.int64], distance: Any) -> dict[str, float]:
    """Compute RecTools' metrics of one domain under our names.

    Args:
        reco: recommendations.
        before: training interactions of the domain.
        items: items of the domain.
        distance: from :func:`cosine_distance`; None without vectors.
    """
    from rectools.metrics import (
        AvgRecPopularity,
        CatalogCoverage,
        IntraListDiversity,
        MeanInvUserFreq,
    )

    ratio = np.log2(len(before) / before["user_id"].nunique())
    found = {
        "coverage@10": CatalogCoverage(k=K, normalize=True).calc(reco, items),
        "popularity@10": AvgRecPopularity(k=K).calc(reco, before),
        "novelty@10": MeanInvUserFreq(k=K).calc(reco, before) + ratio,
    }
    if distance is not None:
        found["diversity@10"] = IntraListDiversity(k=K, distance_calculator=distance).calc(reco)
    return {name: float(value) for name, value in found.items()}


def main() -> None:
    """Print one line per model, domain and metric, and the largest difference."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, default=Path())
    parser.add_argument("--pair", default="demo")
    a = parser.parse_args()
    data, metrics = a.root / "data" / a.pair, a.root / "metrics" / a.pair
    rows = pq.read_table(data / "sequences/interactions.parquet").to_pandas()
    training = rows[rows["split"] == TRAIN].rename(columns={"user": "user_id", "item": "item_id"})
    domain = pq.read_table(data / "sequences/items.parquet", columns=["domain"])["domain"].to_numpy()
    vectors = pq.read_table(data / "vectors/items.parquet")["vector"].combine_chunks()
    distance = cosine_distance(vectors.values.to_numpy().reshape(len(vectors), -1))
    largest = 0.0
    for path in sorted((data / "lists").glob("*.parquet")):
        ours = json.loads((metrics / f"{path.stem}.json").read_text())["test"]
        for code, key in enumerate(DOMAINS):
            before = training[training["domain"] == code]
            found = theirs(recommendations(path, code), before, np.flatnonzero(domain == code), distance)
            for name, value in found.items():
                own = ours[key]["full"][name]
                largest = max(largest, abs(own - value))
                print(f"{path.stem:12} {key} {name:14} ours {own:.10f} RecTools {value:.10f} {own - value:+.1e}")
    print(f"largest difference: {largest:.1e}")


if __name__ == "__main__":
    main()
