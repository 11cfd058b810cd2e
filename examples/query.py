"""Recommend from an export in ONNX Runtime alone: neither this project nor PyTorch is imported.

    lecdsr export --pair demo --model tandem --onnx --out data/demo/export
    python examples/query.py data/demo/export B002M4W9H4 B0AGBI4ROV

Needs onnxruntime and pyarrow. The ids are items of the user's history, the latest one last.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pyarrow.parquet as pq
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]


def vectors(path: Path) -> Floats:
    """Read the column of vectors of a table, ``[rows, d]``."""
    table = pq.read_table(path, columns=["vector"])
    return np.asarray(table["vector"].combine_chunks().flatten().to_numpy()).reshape(len(table), -1)


def inputs_of(items: Ints, domain: int, wanted: dict[str, Any]) -> dict[str, Any]:
    """Inputs of the graph for one history whose items were all bought today, by a user without a profile."""
    if "user" in wanted:
        sys.exit("error: this model learned an embedding for every user\n  do: export a model that needs no user")
    found = {
        "history": items.reshape(1, -1),
        "days": np.full((1, len(items)), int(time.time()) // 86_400),
        "domain": np.array([domain]),
        "age": np.zeros(1, np.int64),
    }
    if "phrases" in wanted:
        found["phrases"] = np.zeros((1, 1, wanted["phrases"]["shape"][2]), np.float32)
    return {name: found[name] for name in wanted}


def main() -> int:
    """Print the best items of both domains."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="folder that lecdsr export wrote")
    parser.add_argument("items", nargs="+", help="ids of the items of the history, the latest last")
    parser.add_argument("-k", type=int, default=5, help="recommendations for each domain (default 5)")
    arguments = parser.parse_args()
    facts = json.loads((arguments.folder / "facts.json").read_text(encoding="utf-8"))
    if not facts.get("onnx"):
        sys.exit(f"error: {arguments.folder} holds no graph\n  do: write it with lecdsr export --onnx")
    items = pq.read_table(arguments.folder / "items.parquet", columns=["domain", "asin", "bias"])
    numbers = {asin: number for number, asin in enumerate(items["asin"].to_pylist())}
    history = np.array([numbers[asin] for asin in arguments.items])
    keys, bias = vectors(arguments.folder / "items.parquet"), items["bias"].to_numpy()
    session = onnxruntime.InferenceSession(arguments.folder / "query.onnx", providers=["CPUExecutionProvider"])
    for domain, key in enumerate(("x", "y")):
        (query,) = session.run(["query"], inputs_of(history, domain, facts["onnx"]["inputs"]))
        scores = keys @ query[0] + bias
        inside = np.asarray(items["domain"].to_numpy(zero_copy_only=False) == key)
        scores[~inside] = -np.inf
        scores[history] = -np.inf
        for number in np.argsort(-scores, kind="stable")[: arguments.k]:
            if scores[number] > -np.inf:
                print(key, items["asin"][int(number)], f"{scores[number]:.4f}", sep="\t")
    return 0


if __name__ == "__main__":
    sys.exit(main())
