"""Ranks of all validation and test targets of one model, as a table and as metrics."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import torch

from lecdsr.core.errors import UserError
from lecdsr.core.schemas import DOMAINS, RANKS, SPLITS, TEST, TRAIN, VALID
from lecdsr.data.info import DatasetInfo
from lecdsr.data.sequences import Sequences, before_in_domain
from lecdsr.evaluate.metrics import mean_over_users
from lecdsr.evaluate.ranks import rank_targets
from lecdsr.evaluate.settings import Settings
from lecdsr.models.base import Recommender


def rank_held_out(
    model: Recommender,
    sequences: Sequences,
    info: DatasetInfo,
    candidates: pa.Table,
    history_length: int,
    settings: Settings,
    device: torch.device,
) -> pa.Table:
    """Rank every validation and test target; see ``RANKS``.

    Raises:
        UserError: the candidates are not those of the windows, or a score is NaN.
    """
    held_out = sequences.take(sequences.split != TRAIN)
    if not np.array_equal(candidates["row"].to_numpy(), held_out.target_row):
        raise UserError(
            "the candidates were drawn for other windows than those of the sequences",
            where="candidates",
            do="run `dvc repro` to draw them again",
            code="other-windows",
        )
    column = candidates["negatives"].combine_chunks()
    values, offsets = column.values.to_numpy().astype(np.int64), column.offsets.to_numpy()
    negatives = np.split(values, offsets[1:-1])
    ranks = rank_targets(
        model,
        held_out,
        info,
        history_length,
        settings.batch_size,
        device,
        settings.exclude_history,
        negatives,
    )
    return pa.table(
        {
            "split": held_out.split,
            "user": held_out.user,
            "domain": (held_out.target >= info.n_x).astype(np.int8),
            "target": held_out.target,
            "day_tied": held_out.tied,
            "train_count": info.train_counts.numpy()[held_out.target],
            "history": held_out.end - 1 - held_out.start,
            "history_own": before_in_domain(held_out, info.n_x),
            "rank_sampled": ranks.sampled,
            "rank_full": ranks.full,
        }
    ).cast(RANKS)


def metrics_of(ranks: pa.Table) -> dict[str, Any]:
    """Metrics nested as ``split.domain.protocol.metric``, with users and targets beside the protocols.

    ``untied`` repeats the protocols on targets that do not share a day with the item before them.
    A domain without targets is left out.
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
    return metrics


def _protocols(column: dict[str, Any], chosen: Any) -> dict[str, Any]:
    users = column["user"][chosen].astype(np.int64)
    block: dict[str, Any] = {
        protocol: mean_over_users(column[f"rank_{protocol}"][chosen], users) for protocol in ("sampled", "full")
    }
    block["users"] = len(np.unique(users))
    block["targets"] = int(chosen.sum())
    return block
