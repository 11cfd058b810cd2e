"""Filters, ids, leave-one-out split and texts in plain pandas, as in a notebook."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pandas as pd

from lecdsr.readers.metadata import to_item
from lecdsr.sequences.settings import Settings

COLUMNS = ["asin", "reviewer", "rating", "time"]


def prepare(raw: Path, domains: tuple[str, str], settings: Settings, folder: Path) -> dict[str, int]:
    """Read, filter, number, split and write; return the counts after filtering."""
    rows = pd.concat([_ratings(raw / f"{name}.csv.gz", code) for code, name in enumerate(domains)], ignore_index=True)
    rows = rows[rows.groupby("reviewer")["domain"].transform("nunique") == 2]
    rows = rows.sort_values(["time", "row"], kind="stable").drop_duplicates(["reviewer", "domain", "asin"])
    rows = _core(rows, settings)
    rows = rows.sort_values(["reviewer", "time", "domain", "row"], kind="stable")
    if settings.max_length is not None:
        rows = rows.groupby("reviewer").tail(settings.max_length)
    items = rows[["domain", "asin"]].drop_duplicates().sort_values(["domain", "asin"], ignore_index=True)
    items["item"] = items.index
    rows = rows.merge(items, on=["domain", "asin"])
    rows["user"] = rows["reviewer"].rank(method="dense").astype(int) - 1
    rows = rows.sort_values(["user", "time", "domain", "row"], kind="stable", ignore_index=True)
    from_end = rows.groupby("user").cumcount(ascending=False)
    rows["split"] = 0
    rows.loc[from_end == 1, "split"] = 1
    rows.loc[from_end == 0, "split"] = 2
    items = items.merge(_texts(raw, domains, items, settings.text_length), on=["domain", "asin"], how="left")
    items["train_count"] = rows[rows["split"] == 0].groupby("item").size().reindex(items["item"], fill_value=0)
    folder.mkdir(parents=True, exist_ok=True)
    items.to_parquet(folder / "items.parquet", index=False)
    rows[["user", "item", "domain", "time", "rating", "split"]].to_parquet(folder / "interactions.parquet", index=False)
    rows[["user", "reviewer"]].drop_duplicates().to_parquet(folder / "users.parquet", index=False)
    return {"users": rows["user"].nunique(), "items": len(items), "interactions": len(rows)}


def _ratings(path: Path, domain: int) -> pd.DataFrame:
    rows = pd.read_csv(path, names=COLUMNS, on_bad_lines="skip", dtype={"asin": str, "reviewer": str})
    rows["rating"] = pd.to_numeric(rows["rating"], errors="coerce")
    rows["time"] = pd.to_numeric(rows["time"], errors="coerce")
    rows["domain"] = domain
    rows["row"] = range(len(rows))
    return rows.dropna().astype({"time": "int64"})


def _core(rows: pd.DataFrame, settings: Settings) -> pd.DataFrame:
    while True:
        before = len(rows)
        rows = rows[rows.groupby(["domain", "asin"])["reviewer"].transform("size") >= settings.min_item]
        each = rows.groupby(["reviewer", "domain"]).size().unstack(fill_value=0)
        enough = each.index[(each >= settings.min_user_domain).all(axis=1) & (each.shape[1] == 2)]
        rows = rows[rows["reviewer"].isin(enough)]
        rows = rows[rows.groupby("reviewer")["asin"].transform("size") >= settings.min_user_total]
        if len(rows) == before or not settings.until_stable:
            return rows


def _texts(raw: Path, domains: tuple[str, str], items: pd.DataFrame, length: int) -> pd.DataFrame:
    """Load the whole metadata as a table, as the dataset's web page suggests, then select the items."""
    metadata = pd.concat([_metadata(raw / f"meta_{name}.json.gz", code) for code, name in enumerate(domains)])
    metadata = metadata.merge(items[["domain", "asin"]], on=["domain", "asin"])
    metadata = metadata.replace({float("nan"): None})
    texts = pd.DataFrame([to_item(fields, length)._asdict() for fields in metadata.to_dict("records")])
    texts[["domain", "asin"]] = metadata[["domain", "asin"]].to_numpy()
    texts["domain"] = texts["domain"].astype(int)
    texts["untitled"] = texts["title"] == ""
    texts = texts.sort_values("untitled", kind="stable").drop_duplicates(["domain", "asin"])
    return texts.drop(columns="untitled")


def _metadata(path: Path, domain: int) -> pd.DataFrame:
    lines = []
    with gzip.open(path, "rt", encoding="utf-8") as file:
        for line in file:
            try:
                lines.append(json.loads(line))
            except ValueError:
                continue
    return pd.DataFrame(lines).assign(domain=domain)
