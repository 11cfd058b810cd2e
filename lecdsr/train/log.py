"""The training log as CSV, one row per epoch."""

from __future__ import annotations


def to_csv(log: list[dict[str, float]]) -> str:
    """CSV with the columns of the fullest row; empty where a row lacks one, as epoch 0 lacks a loss."""
    fullest: dict[str, float] = max(log, key=lambda row: len(row))
    columns = list(fullest)
    lines = [",".join(columns)]
    for row in log:
        lines.append(",".join(_format(row[name]) if name in row else "" for name in columns))
    return "\n".join(lines) + "\n"


def _format(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:.6g}"
