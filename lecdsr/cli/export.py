"""`lecdsr export`: write the vectors of a two-tower model to files."""

from __future__ import annotations

from pathlib import Path

from lecdsr.config.load import load_pair
from lecdsr.core.console import say, summary
from lecdsr.core.device import choose_device
from lecdsr.core.paths import Artefacts
from lecdsr.core.schemas import DOMAINS
from lecdsr.recommend.export import export as write
from lecdsr.recommend.recommender import best_model, open_recommender


def export(artefacts: Artefacts, model: str | None, out: Path, device: str = "auto") -> None:
    """Export the vectors of a two-tower model.

    Raises:
        UserError: the pair or the model does not exist, or it is not a two-tower model.
    """
    names = load_pair(artefacts.pair).domains
    model = model or best_model(artefacts)
    recommender = open_recommender(artefacts, model, choose_device(device, "--device"))
    facts = {"pair": artefacts.pair, "domains": dict(zip(DOMAINS, names, strict=True)), "model": model}
    found = write(recommender, facts, out)
    summary(f"{model} of {artefacts.pair} as vectors", found)
    reranks = "rerank-items.parquet, rerank-users.parquet, " if found["rerank_term"] else ""
    say(f"written: {out}/items.parquet, users.parquet, {reranks}facts.json")
    say(f"to build an index from them: python examples/ann.py {out}")
