"""Align tables of ranks, and check that they rank the same targets."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lecdsr.core.errors import UserError
from lecdsr.core.schemas import SPLITS

#: Columns that identify a target; the last three differ if the ids come from another preparation of the data.
TARGET = ("user", "target", "domain", "train_count", "day_tied", "history_own")
#: Value of ``history_own`` in ranks of an earlier version that has no such column.
UNKNOWN = -1


def held_out(ranks: pa.Table, split: int) -> pa.Table:
    """Return the targets of one split, in an order that does not depend on the file."""
    return ranks.filter(pc.equal(ranks["split"], split)).sort_by([(name, "ascending") for name in TARGET])


def knows_history(ranks: pa.Table) -> bool:
    """Return whether the ranks have history lengths in the target's domain; those of an earlier version lack them."""
    return not (ranks["history_own"].to_numpy() == UNKNOWN).any()


def check_same(first: pa.Table, second: pa.Table, names: tuple[str, str], split: int) -> None:
    """Check that two tables rank the same targets.

    Args:
        first, second: tables from :func:`held_out`.
        names: their names in messages.
        split: the split of the targets.

    Raises:
        UserError: the targets differ; the message says how.
    """
    differing = _numbers(first, second, names, split) or _pairs(first, second, names) or _facts(first, second)
    if differing:
        raise UserError(
            f"{names[0]} and {names[1]} do not rank the same {SPLITS[split]} targets: {differing}",
            do="compare ranks that were computed with the same raw files and the same settings of `sequences`",
            code="other-targets",
        )


def _numbers(first: pa.Table, second: pa.Table, names: tuple[str, str], split: int) -> str | None:
    if len(first) == len(second):
        return None
    return f"{names[0]} has {len(first):,} of them, {names[1]} has {len(second):,}"


def _pairs(first: pa.Table, second: pa.Table, names: tuple[str, str]) -> str | None:
    codes = [table["user"].to_numpy().astype(np.int64) << 32 | table["target"].to_numpy() for table in (first, second)]
    if np.array_equal(*codes):
        return None
    alone, count = np.unique(codes[0], return_counts=True)
    other, others = np.unique(codes[1], return_counts=True)
    known = dict(zip(other.tolist(), others.tolist(), strict=True))
    missing = [code for code, times in zip(alone.tolist(), count.tolist(), strict=True) if times > known.get(code, 0)]
    example = f"user {missing[0] >> 32} with item {missing[0] & 0xFFFFFFFF}"
    return f"{len(missing):,} targets of {names[0]} are not in {names[1]}, for example {example}"


def _facts(first: pa.Table, second: pa.Table) -> str | None:
    words = {
        "domain": "the domain of the target",
        "history_own": "the length of the history in the target's domain",
        "train_count": "the training interactions of the item",
        "day_tied": "whether the target shares a day with the item before",
    }
    if not (knows_history(first) and knows_history(second)):
        del words["history_own"]
    differing = [text for name, text in words.items() if not first[name].equals(second[name])]
    return f"users and items are the same, but not {', '.join(differing)}" if differing else None
