"""Write the review page of a pull request: changed settings and metrics, and training curves before and after."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import accumulate
from typing import NamedTuple

#: First line of the page, by which a later run finds and updates the comment.
MARK = "<!-- lecdsr review -->"
#: Metrics that are always shown; all others are collapsed.
FIRST = re.compile(r"^test\.[xy]\.(full|sampled)\.(ndcg@10|mrr)$")
ANY = re.compile("")
#: Maximum number of characters of a comment on GitHub.
LONGEST = 65_000
TRAINING = """\
Best validation NDCG@10 so far (mean of both domains) by epoch; the saved model is that of the best epoch. The first
line is before the change, the second after it. The line of a training that ended earlier continues at its last
value."""
_CUT = "\n\nThe rest is in the summary of the job.\n"


class Curve(NamedTuple):
    """Validation scores of one model by epoch, before and after a change; empty where it was not trained."""

    title: str
    before: Sequence[float]
    after: Sequence[float]


def page(base: str, params: str, metrics: str, curves: Sequence[Curve]) -> str:
    """Write the review as Markdown.

    Args:
        base: name of the revision that the change is compared with.
        params: output of ``dvc params diff --md``; empty, or a table without rows, if no setting changed.
        metrics: output of ``dvc metrics diff --md``; empty, or a table without rows, if no metric changed.
        curves: training of the models whose curve changed.
    """
    metrics = rows_of(metrics, ANY).strip()
    first = rows_of(metrics, FIRST)
    parts = [MARK, f"## Changes relative to `{base}`", "### Settings", rows_of(params, ANY) or "No setting changed."]
    parts += ["### Metrics", first or ("No main metric changed." if metrics else "No metric changed.")]
    if metrics:
        parts.append(f"<details><summary>All metrics that changed</summary>\n\n{metrics}\n\n</details>")
    if curves:
        parts.append("### Training")
        parts.append(TRAINING)
        parts += [chart(curve) for curve in curves]
    return "\n\n".join(parts) + "\n"


def rows_of(table: str, wanted: re.Pattern[str]) -> str:
    """Return the head of a Markdown table and the rows whose second cell matches; empty if no row does."""
    head, rows = table.strip().splitlines()[:2], table.strip().splitlines()[2:]
    chosen = [row for row in rows if wanted.match(row.split("|")[2].strip())]
    return "\n".join([*head, *chosen]) if chosen else ""


def chart(curve: Curve) -> str:
    """Make a line chart in Mermaid, which GitHub renders in summaries and comments without image files."""
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
    """List the best score up to each epoch, padded with the last value, because Mermaid stretches shorter lines."""
    best = list(accumulate(scores, max))
    return best + best[-1:] * (length - len(best))


def comment(text: str, most: int = LONGEST) -> str:
    """Shorten the page to the maximum length of a comment: cut it at a line end and close its collapsed part."""
    if len(text) <= most:
        return text
    closing = "\n\n</details>"
    kept = text[: most - len(_CUT) - len(closing)]
    kept = kept[: kept.rfind("\n")]
    return kept + (closing if kept.count("<details>") > kept.count("</details>") else "") + _CUT
