"""Write the review page of a pull request: changed settings and metrics, and training curves before and after."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import accumulate
from typing import NamedTuple

#: First line of the page, by which the comment of an earlier run is found for updating.
MARK = "<!-- lecdsr review -->"
#: Metrics that are always shown; all others are collapsed.
FIRST = re.compile(r"^test\.[xy]\.(full|sampled)\.(ndcg@10|mrr)$")
ANY = re.compile("")
#: Maximum number of characters of a comment on GitHub.
LONGEST = 65_000
TRAINING = """\
NDCG@10 on validation, mean of both domains, of the best epoch so far: that of the model that is saved. The first line
is before, the second after; a training that has ended goes on level."""
_CUT = "\n\nThe rest is in the summary of the job.\n"


class Curve(NamedTuple):
    """Validation scores of one model by epoch, before and after; empty if there is no such training."""

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
    parts = [MARK, f"## Against `{base}`", "### Settings", rows_of(params, ANY) or "No setting changed."]
    parts += ["### Metrics", first or ("None of the first rank changed." if metrics else "No metric changed.")]
    if metrics:
        parts.append(f"<details><summary>All metrics that changed</summary>\n\n{metrics}\n\n</details>")
    if curves:
        parts.append("### Training")
        parts.append(TRAINING)
        parts += [chart(curve) for curve in curves]
    return "\n\n".join(parts) + "\n"


def rows_of(table: str, wanted: re.Pattern[str]) -> str:
    """Return the head of a Markdown table and the rows whose second cell matches; empty if none does."""
    head, rows = table.strip().splitlines()[:2], table.strip().splitlines()[2:]
    chosen = [row for row in rows if wanted.match(row.split("|")[2].strip())]
    return "\n".join([*head, *chosen]) if chosen else ""


def chart(curve: Curve) -> str:
    """Make a line chart in Mermaid, which GitHub renders in summaries and comments without further files."""
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
    """Return the best score up to every epoch, padded with the last value, because Mermaid stretches shorter lines."""
    best = list(accumulate(scores, max))
    return best + best[-1:] * (length - len(best))


def comment(text: str, most: int = LONGEST) -> str:
    """Shorten the page to a comment: cut it at a line end if it is too long, and close its collapsed part."""
    if len(text) <= most:
        return text
    closing = "\n\n</details>"
    kept = text[: most - len(_CUT) - len(closing)]
    kept = kept[: kept.rfind("\n")]
    return kept + (closing if kept.count("<details>") > kept.count("</details>") else "") + _CUT
