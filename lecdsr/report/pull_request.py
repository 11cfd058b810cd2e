"""The page of a review: settings and metrics that changed, and how training went on both sides."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import accumulate
from typing import NamedTuple

#: First line of the page, by which the comment of an earlier run is found and updated.
MARK = "<!-- lecdsr review -->"
#: Metrics that are shown at once; all others are folded away.
FIRST = re.compile(r"^test\.[xy]\.(full|sampled)\.(ndcg@10|mrr)$")
#: Characters that a comment on GitHub may have.
LONGEST = 65_000
TRAINING = """\
NDCG@10 on validation, mean of both domains, of the best epoch so far: that of the model that is saved. The first line
is before, the second after; a training that has ended goes on level."""
_CUT = "\n\nThe rest is in the summary of the job.\n"


class Curve(NamedTuple):
    """Validation of one model, epoch by epoch, before and after; empty where there is no such training."""

    title: str
    before: Sequence[float]
    after: Sequence[float]


def page(base: str, params: str, metrics: str, curves: Sequence[Curve]) -> str:
    """Markdown of a review.

    Args:
        base: name of the revision that the change is held against.
        params: what ``dvc params diff --md`` writes; empty where no setting changed.
        metrics: what ``dvc metrics diff --md`` writes; empty where no metric changed.
        curves: training of the models whose curve changed.
    """
    first = rows_of(metrics, FIRST)
    parts = [MARK, f"## Against `{base}`", "### Settings", params.strip() or "No setting changed."]
    parts += ["### Metrics", first or ("None of the first rank changed." if metrics.strip() else "No metric changed.")]
    if metrics.strip():
        parts.append(f"<details><summary>All metrics that changed</summary>\n\n{metrics.strip()}\n\n</details>")
    if curves:
        parts.append("### Training")
        parts.append(TRAINING)
        parts += [chart(curve) for curve in curves]
    return "\n\n".join(parts) + "\n"


def rows_of(table: str, wanted: re.Pattern[str]) -> str:
    """The head of a Markdown table and those of its rows whose second cell matches; empty where none does."""
    head, rows = table.strip().splitlines()[:2], table.strip().splitlines()[2:]
    chosen = [row for row in rows if wanted.match(row.split("|")[2].strip())]
    return "\n".join([*head, *chosen]) if chosen else ""


def chart(curve: Curve) -> str:
    """A line chart in Mermaid, which GitHub draws in summaries and comments without any file beside them."""
    top = max([*curve.before, *curve.after], default=0.0) or 1.0
    epochs = max(len(curve.before), len(curve.after)) - 1
    sides = [best_so_far(side, epochs + 1) for side in (curve.before, curve.after) if side]
    lines = [f"    line [{', '.join(f'{value:.4f}' for value in side)}]" for side in sides]
    body = [
        "xychart-beta",
        f'    title "{curve.title}"',
        f'    x-axis "epoch" 0 --> {max(1, epochs)}',
        f'    y-axis "NDCG@10" 0 --> {top * 1.05:.4f}',
    ]
    return "\n".join(["```mermaid", *body, *lines, "```"])


def best_so_far(scores: Sequence[float], length: int) -> list[float]:
    """The best up to every epoch, going on level: Mermaid would stretch a shorter line over the whole axis."""
    best = list(accumulate(scores, max))
    return best + best[-1:] * (length - len(best))


def comment(text: str, most: int = LONGEST) -> str:
    """The page as a comment: cut at a paragraph where it is too long, its folded part closed."""
    if len(text) <= most:
        return text
    closing = "\n\n</details>"
    kept = text[: most - len(_CUT) - len(closing)]
    kept = kept[: kept.rfind("\n")]
    return kept + (closing if kept.count("<details>") > kept.count("</details>") else "") + _CUT
