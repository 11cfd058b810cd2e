"""Sides of the comparison by name, with the module that trains each."""

from __future__ import annotations

import importlib
from typing import Any

SIDES = {
    "sasrec": "ours",
    "tandem": "ours",
    "rectools-sasrec": "rectools_id",
    "rectools-hstu": "rectools_id",
    "rectools-unisrec": "rectools_unisrec",
}
OURS = tuple(side for side, module in SIDES.items() if module == "ours")
PEERS = tuple(side for side in SIDES if side not in OURS)


def grid_of(side: str, pair: str, most: int) -> list[dict[str, Any]]:
    """List the settings to try: those of a peer, or the one that the experiments of this pair chose for our model."""
    if side in OURS:
        from benchmarks.peers.ours import grid

        return grid(side, pair)
    points: list[dict[str, Any]] = importlib.import_module(f"benchmarks.peers.{SIDES[side]}").GRIDS[side]
    return points[:most]
