"""`lecdsr export`."""

from __future__ import annotations

from pathlib import Path

from lecdsr.base.console import say, summary
from lecdsr.base.paths import Artefacts
from lecdsr.base.schemas import DOMAINS
from lecdsr.base.settings import load_pair
from lecdsr.recommend.shop import best_model, open_shop
from lecdsr.recommend.towers import export as write


def export(artefacts: Artefacts, model: str | None, out: Path) -> None:
    """Write the vectors of a model.

    Raises:
        UserError: the pair or the model does not exist, or the model has no two towers.
    """
    names = load_pair(artefacts.pair).domains
    model = model or best_model(artefacts)
    shop = open_shop(artefacts, model)
    facts = {"pair": artefacts.pair, "domains": dict(zip(DOMAINS, names, strict=True)), "model": model}
    summary(f"{model} of {artefacts.pair} as vectors", write(shop, facts, out))
    say(f"written: {out}/items.parquet, users.parquet, facts.json")
    say(f"into an index: python examples/ann.py {out}")
