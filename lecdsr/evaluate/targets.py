"""Tables of ranks side by side: the same targets on both sides."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lecdsr.core.errors import UserError
from lecdsr.core.schemas import SPLITS

#: What makes two targets the same; the last two also betray ids that were numbered anew.
TARGET = ("user", "target", "domain", "train_count", "day_tied", "history_own")
#: In ranks of an earlier version, which did not know it.
UNKNOWN = -1


def held_out(ranks: pa.Table, split: int) -> pa.Table:
    """The targets of one split, in an order that does not depend on that of the file."""
    return ranks.filter(pc.equal(ranks["split"], split)).sort_by([(name, "ascending") for name in TARGET])


def knows_history(ranks: pa.Table) -> bool:
    """Whether the ranks say what users had in the target's domain; those of an earlier version do not."""
    return not (ranks["history_own"].to_numpy() == UNKNOWN).any()


def check_same(first: pa.Table, second: pa.Table, names: tuple[str, str], split: int) -> None:
    """Refuse to compare ranks of different targets.

    Args:
        first, second: as :func:`held_out` gives them.
        names: what to call them.
        split: whose targets they are.

    Raises:
        UserError: the targets differ; the message says in what.
    """
    differing = _numbers(first, second, names, split) or _pairs(first, second, names) or _facts(first, second)
    if differing:
        raise UserError(
            f"{names[0]} and {names[1]} do not rank the same {SPLITS[split]} targets: {differing}",
            do="compare what rests on the same `sequences`: the same raw files, filters and split",
        )


def _numbers(first: pa.Table, second: pa.Table, names: tuple[str, str], split: int) -> str | None:
    if len(first) == len(second):
        return None
    return f"{names[0]} has {len(first):,} of them, {names[1]} {len(second):,} (another split?)"


def _pairs(first: pa.Table, second: pa.Table, names: tuple[str, str]) -> str | None:
    codes = [table["user"].to_numpy().astype(np.int64) << 32 | table["target"].to_numpy() for table in (first, second)]
    if np.array_equal(*codes):
        return None
    alone, count = np.unique(codes[0], return_counts=True)
    other, others = np.unique(codes[1], return_counts=True)
    known = dict(zip(other.tolist(), others.tolist(), strict=True))
    missing = [code for code, times in zip(alone.tolist(), count.tolist(), strict=True) if times > known.get(code, 0)]
    example = f"user {missing[0] >> 32} with item {missing[0] & 0xFFFFFFFF}"
    return f"{len(missing):,} of {names[0]} are not in {names[1]}, for example {example} (another split?)"


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
    return f"users and items are the same, but not {', '.join(differing)} (another preparation)" if differing else None
