"""Train RecTools' SASRec on a pair of this project, one epoch at a time, and rank the validation targets after each.

Runs in an environment of its own, with `pip install 'rectools[torch]' pyarrow`, and reads only the Parquet files of
data/PAIR/sequences. NDCG@10 over all items of the target's domain, without those of the history, is the mean of both
domains, as in our training log. Writes one JSON line per epoch.

    python benchmarks/peers/rectools_sasrec.py --pair food_kitchen --epochs 30 --out rectools.jsonl
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import torch
from numpy.typing import NDArray

warnings.filterwarnings("ignore")
TRAIN, VALID = 0, 1
K = 10


def read(folder: Path) -> tuple[pd.DataFrame, pd.DataFrame, NDArray[np.int8]]:
    """Training interactions, validation targets, and the domain of every item."""
    rows = pq.read_table(folder / "interactions.parquet").to_pandas()
    domain = pq.read_table(folder / "items.parquet", columns=["domain"])["domain"].to_numpy()
    # Interactions of one second keep their order.
    rows["datetime"] = pd.to_datetime(rows["time"], unit="s") + pd.to_timedelta(np.arange(len(rows)) % 10**6, unit="us")
    rows = rows.rename(columns={"user": "user_id", "item": "item_id"}).assign(weight=1)
    training = rows[rows["split"] == TRAIN][["user_id", "item_id", "weight", "datetime"]]
    valid = rows[rows["split"] == VALID].groupby("user_id").last().reset_index()
    return training, valid[valid["user_id"].isin(training["user_id"])], domain


def ndcg(model: Any, dataset: Any, valid: pd.DataFrame, domain: NDArray[np.int8]) -> float:
    """Mean over the domains of NDCG@10 among all items of the domain."""
    known = set(dataset.item_id_map.external_ids)
    scores = []
    for code in (0, 1):
        wanted = valid[domain[valid["item_id"]] == code]
        items = np.array([item for item in np.flatnonzero(domain == code) if item in known])
        found = model.recommend(
            wanted["user_id"].to_numpy(), dataset, k=K, filter_viewed=True, items_to_recommend=items
        )
        hits = found.merge(wanted[["user_id", "item_id"]], on=["user_id", "item_id"])
        scores.append(float((1 / np.log2(1 + hits["rank"])).sum() / len(wanted)))
    return float(np.mean(scores))


def main() -> None:
    """Train and validate epoch by epoch."""
    from rectools.dataset import Dataset  # type: ignore[import-not-found]
    from rectools.models import SASRecModel  # type: ignore[import-not-found]

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("data"))
    parser.add_argument("--pair", default="food_kitchen")
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--patience", type=int, default=4)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--blocks", type=int, default=2)
    parser.add_argument("--heads", type=int, default=2)
    parser.add_argument("--length", type=int, default=50)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--dropout", type=float, default=0.2)
    parser.add_argument("--rate", type=float, default=0.001)
    parser.add_argument("--loss", default="softmax")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("rectools.jsonl"))
    a = parser.parse_args()
    torch.set_num_threads(a.threads)
    training, valid, domain = read(a.data / a.pair / "sequences")
    dataset = Dataset.construct(training)
    model = SASRecModel(
        n_factors=a.width,
        n_blocks=a.blocks,
        n_heads=a.heads,
        session_max_len=a.length,
        dropout_rate=a.dropout,
        lr=a.rate,
        batch_size=a.batch,
        loss=a.loss,
        epochs=1,
        train_min_user_interactions=2,
        dataloader_num_workers=0,
        recommend_torch_device="cpu",
        verbose=0,
    )
    seconds = cpu = 0.0
    best, waited = 0.0, 0
    for epoch in range(1, a.epochs + 1):
        begin, used = time.perf_counter(), time.process_time()
        if epoch == 1:
            model.fit(dataset)
        else:
            model.fit_partial(dataset, min_epochs=1, max_epochs=1)
        seconds, cpu = seconds + time.perf_counter() - begin, cpu + time.process_time() - used
        score = ndcg(model, dataset, valid, domain)
        row = {"epoch": epoch, "seconds": round(seconds, 1), "cpu": round(cpu, 1), "ndcg@10": round(score, 5)}
        with open(a.out, "a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        print(row, flush=True)
        waited = 0 if score > best else waited + 1
        best = max(best, score)
        if waited >= a.patience:
            break


if __name__ == "__main__":
    main()
