"""Curves of training as an SVG that needs no script."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure

from lecdsr.ranking.metrics import MONITOR


def curves(logs: dict[str, Path]) -> str:
    """Validation score by epoch, one line a model; empty without logs of more than one epoch.

    Args:
        logs: training log of each model.
    """
    lines = {name: _read(path) for name, path in logs.items() if path.exists()}
    if not any(len(rows) > 1 for rows in lines.values()):
        return ""
    # A fixed salt and no date: the same figures give the same bytes.
    with mpl.rc_context({"svg.hashsalt": "lecdsr", "font.size": 9}):
        figure = Figure(figsize=(7, 3))
        axes = figure.subplots()
        for name, rows in lines.items():
            epochs, scores = [row[0] for row in rows], [row[1] for row in rows]
            if len(rows) > 1:
                axes.plot(epochs, scores, marker=".", label=name)
            else:
                axes.axhline(scores[0], linestyle=":", color="grey", label=name)
        axes.set_xlabel("epoch")
        axes.set_ylabel(f"validation {MONITOR.upper()}, full ranking")
        axes.grid(alpha=0.3)
        axes.legend()
        figure.tight_layout()
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    return text[text.index("<svg") :]


def _read(path: Path) -> list[tuple[int, float]]:
    with open(path, encoding="utf-8", newline="") as handle:
        return [(int(row["epoch"]), float(row[f"valid_{MONITOR}"])) for row in csv.DictReader(handle)]
