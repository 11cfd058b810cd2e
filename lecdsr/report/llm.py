"""What the language model was asked, and what that costs by the price table of this repository."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lecdsr.ask.prices import read_price
from lecdsr.ask.types import Usage

OFFLINE = "offline"


def llm_facts(ask: Mapping[str, Any]) -> dict[str, object]:
    """What to show of the metrics of the stage `ask`, in the order in which it is read."""
    facts: dict[str, object] = {
        "provider": ask["provider"],
        "model": ask["model"],
        "questions": ask["questions"],
        "answered": ask["answered"],
        "failed for good": ask["failed"],
        "tokens of the questions": ask["prompt_tokens"],
        "tokens of the answers": ask["completion_tokens"],
    }
    if ask["provider"] == OFFLINE:
        return facts | {"cost": "nothing: rules wrote the texts, no language model was asked"}
    return facts | {"cost": _cost(ask)}


def _cost(ask: Mapping[str, Any]) -> str:
    # The repository's own table and no other: the page may not depend on the environment.
    price = read_price(str(ask["model"]), {})
    if price is None:
        return f"no price known for {ask['model']}"
    usage = Usage(int(ask["prompt_tokens"]), int(ask["completion_tokens"]))
    one, batched = price.of(usage), price.batched().of(usage)
    return (
        f"{one:.2f} USD asked one by one, {batched:.2f} USD by batch, at the prices of {price.as_of}; the bill counts"
    )
