"""`lecdsr export`: write the vectors of a two-tower model to files."""

from __future__ import annotations

from pathlib import Path

from lecdsr.config.load import load_pair
from lecdsr.core.console import say, summary
from lecdsr.core.device import choose_device
from lecdsr.core.paths import Artefacts
from lecdsr.core.schemas import DOMAINS
from lecdsr.recommend.export import export as write
from lecdsr.recommend.onnx import check_installed
from lecdsr.recommend.recommender import best_model, open_recommender


def export(
    artefacts: Artefacts,
    model: str | None,
    out: Path,
    device: str = "auto",
    evaluated: bool = False,
    onnx: bool = False,
) -> None:
    """Export a two-tower model with the tables of its pair; the one trained on everything where there is one.

    Raises:
        UserError: the pair or the model does not exist, it is not a two-tower model, or ``onnx`` is not installed.
    """
    if onnx:
        check_installed()
    names = load_pair(artefacts.pair).domains
    model = model or best_model(artefacts)
    recommender = open_recommender(artefacts, model, choose_device(device, "--device"), evaluated)
    facts = {"pair": artefacts.pair, "domains": dict(zip(DOMAINS, names, strict=True)), "model": model}
    found = write(recommender, facts, out, onnx)
    parts, graph = found.pop("parts"), "query.onnx" if found.pop("onnx") else "none"
    size = sum(part["bytes"] for part in parts.values())
    shown = {**found, "graph": graph, "parts": len(parts), "MB": round(size / 1e6, 1)}
    summary(f"{model} of {artefacts.pair} as an export", shown)
    say(f"written: {out}/facts.json, which lists the parts")
    say(f"to serve it: lecdsr serve {out}")
    say(f"to build an index from them: python examples/ann.py {out}")
