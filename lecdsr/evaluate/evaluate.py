"""Rank all validation and test targets of one model, and compute metrics from the ranks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray

from lecdsr.core.errors import UserError
from lecdsr.core.schemas import DOMAINS, RANKS, SPLITS, TEST, TRAIN, VALID
from lecdsr.data.info import DatasetInfo
from lecdsr.data.sequences import Sequences, before_in_domain
from lecdsr.evaluate.metrics import MONITOR, mean_over_users
from lecdsr.evaluate.ranks import Observer, Ranks, rank_targets
from lecdsr.evaluate.settings import Settings
from lecdsr.models.base import Recommender

#: Metrics of the summary, by split: models are chosen on validation and reported on test.
SUMMARY = {SPLITS[VALID]: (MONITOR,), SPLITS[TEST]: (MONITOR, "hr@10")}
#: Targets whose negatives are unpacked at once: half a gigabyte for a thousand of each.
BLOCK = 65_536


def held_out(sequences: Sequences) -> Sequences:
    """Select the windows of validation and test."""
    return sequences.take(sequences.split != TRAIN)


def rank_held_out(
    model: Recommender,
    sequences: Sequences,
    info: DatasetInfo,
    candidates: pa.Table,
    history_length: int,
    settings: Settings,
    device: torch.device,
    observe: Observer | None = None,
) -> pa.Table:
    """Rank every validation and test target, and return the table ``RANKS``.

    ``observe`` reads the scores of the full ranking (:func:`~lecdsr.evaluate.ranks.rank_targets`), with the numbers of
    the windows among :func:`held_out`.

    Raises:
        UserError: the candidates are not those of the windows, or a score is NaN.
    """
    windows = held_out(sequences)
    if not np.array_equal(candidates["row"].to_numpy(), windows.target_row):
        raise UserError(
            "the candidates were drawn for other windows than those of the sequences",
            where="candidates",
            do="run `dvc repro` to draw them again",
            code="other-windows",
        )
    parts = [
        rank_targets(
            model,
            windows.take(np.arange(first, min(first + BLOCK, len(windows)))),
            info,
            history_length,
            settings.batch_size,
            device,
            settings.exclude_history,
            _negatives(candidates.slice(first, BLOCK)),
            observe=_from(first, observe),
        )
        for first in range(0, max(1, len(windows)), BLOCK)
    ]
    return _ranks_table(windows, info, parts)


def _from(first: int, observe: Observer | None) -> Observer | None:
    """Return the observer of a block whose first window has the number ``first``."""
    return None if observe is None else lambda windows, scores: observe(windows + first, scores)


def _ranks_table(windows: Sequences, info: DatasetInfo, parts: Sequence[Ranks]) -> pa.Table:
    return pa.table(
        {
            "split": windows.split,
            "user": windows.user,
            "domain": (windows.target >= info.n_x).astype(np.int8),
            "target": windows.target,
            "day_tied": windows.tied,
            "train_count": info.train_counts.numpy()[windows.target],
            "history": windows.end - 1 - windows.start,
            "history_own": before_in_domain(windows, info.n_x),
            "rank_sampled": np.concatenate([part.sampled for part in parts if part.sampled is not None]),
            "rank_full": np.concatenate([part.full for part in parts]),
        }
    ).cast(RANKS)


def _negatives(candidates: pa.Table) -> list[NDArray[np.int64]]:
    """The negatives of every target of a block, as arrays of their own."""
    rows = (
        pa.concat_arrays(candidates["negatives"].chunks)
        if len(candidates)
        else candidates["negatives"].combine_chunks()
    )
    offsets = rows.offsets.to_numpy()
    values = rows.values.to_numpy()[offsets[0] : offsets[-1]].astype(np.int64)
    return np.split(values, offsets[1:-1] - offsets[0]) if len(rows) else []


def metrics_of(ranks: pa.Table, beyond: Mapping[str, Mapping[str, float]] | None = None) -> dict[str, Any]:
    """Compute metrics from a table of ranks, nested as ``split.domain.protocol.metric``.

    Args:
        ranks: table ``RANKS``.
        beyond: metrics of the lists of each domain (:func:`lecdsr.evaluate.beyond.beyond_accuracy`), which are added
            to the full ranking of the test targets.

    Numbers of users and targets are listed next to the protocols. ``untied`` repeats the protocols for the targets that
    are not on the same day as the item before them. A domain without targets is left out.
    """
    column = {name: ranks[name].to_numpy() for name in ranks.column_names if name != "day_tied"}
    untied = ~ranks["day_tied"].to_numpy(zero_copy_only=False)
    metrics: dict[str, Any] = {}
    for split in (VALID, TEST):
        for code, domain in enumerate(DOMAINS):
            chosen = (column["split"] == split) & (column["domain"] == code)
            if not chosen.any():
                continue
            block = _protocols(column, chosen)
            if (chosen & untied).any():
                block["untied"] = _protocols(column, chosen & untied)
            metrics.setdefault(SPLITS[split], {})[domain] = block
    for domain, found in (beyond or {}).items():
        metrics[SPLITS[TEST]][domain]["full"] |= found
    return metrics


def summary_of(model: str, metrics: dict[str, Any]) -> dict[str, Any]:
    """Pick the metrics by which models are compared at a glance, in the full ranking of each domain.

    DVC shows every figure of a metrics file as a column of its own, hence the short list. The name of the model comes
    first, so that no two columns of `dvc exp show` have the same name.

    Args:
        model: name of the model.
        metrics: what :func:`metrics_of` returned.

    Returns:
        ``{model: {split: {domain: {metric: value}}}}``: NDCG@10 on validation, NDCG@10 and HR@10 on test.
    """
    return {
        model: {
            split: {domain: {name: block["full"][name] for name in SUMMARY[split]} for domain, block in blocks.items()}
            for split, blocks in metrics.items()
            if split in SUMMARY
        }
    }


def _protocols(column: dict[str, Any], chosen: Any) -> dict[str, Any]:
    users = column["user"][chosen].astype(np.int64)
    block: dict[str, Any] = {
        protocol: mean_over_users(column[f"rank_{protocol}"][chosen], users) for protocol in ("sampled", "full")
    }
    block["users"] = len(np.unique(users))
    block["targets"] = int(chosen.sum())
    return block
