"""Price table of models: the table of this package, overridden by the user's own."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from lecdsr.ask.types import Usage
from lecdsr.core.errors import UserError

PRICES = "LECDSR_LLM_PRICES"
COLUMNS = ("model", "input", "output", "batch_share", "as_of")


@dataclass(frozen=True, slots=True)
class Price:
    """Prices of a model in US dollars per million tokens; the batch API costs the fraction ``batch_share`` of them.

    ``as_of`` is the month (YYYY-MM) of the figures. Prices change, so costs computed from them are estimates.
    """

    input: float
    output: float
    batch_share: float
    as_of: str

    def of(self, usage: Usage) -> float:
        """Return the dollars for the tokens of ``usage``, asked one by one."""
        return (usage.prompt_tokens * self.input + usage.completion_tokens * self.output) / 1e6

    def batched(self) -> Price:
        """Return the price through the batch API."""
        return Price(self.input * self.batch_share, self.output * self.batch_share, 1.0, self.as_of)


def read_price(model: str, environment: Mapping[str, str]) -> Price | None:
    """Look up the price of a model in the file that LECDSR_LLM_PRICES names, then in the table of this package.

    A dated name such as ``gpt-4o-mini-2024-07-18`` has the price of ``gpt-4o-mini``.

    Raises:
        UserError: the user's file is missing or is not a price table.
    """
    prices = _parse((files(__package__) / "prices.csv").read_text(encoding="utf-8"), "prices.csv")
    if own := environment.get(PRICES):
        prices.update(_parse(_read(Path(own).expanduser()), own))
    if model in prices:
        return prices[model]
    undated = model[:-11] if len(model) > 11 and model[-11] == "-" and model[-10:].replace("-", "").isdigit() else model
    return prices.get(undated)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(
            f"the price table cannot be read: {error}", where=PRICES, do="set it to the path of a CSV file, or unset it"
        ) from error


def _parse(text: str, name: str) -> dict[str, Price]:
    reader = csv.DictReader(io.StringIO(text))
    if tuple(reader.fieldnames or ()) != COLUMNS:
        what = f"the columns of the price table are {', '.join(reader.fieldnames or ())}; expected {', '.join(COLUMNS)}"
        raise UserError(what, where=f"{PRICES}: {name}", do="rename the columns", code="wrong-columns")
    prices = {}
    for row in reader:
        try:
            price = Price(float(row["input"]), float(row["output"]), float(row["batch_share"]), row["as_of"])
        except (TypeError, ValueError) as error:
            raise _wrong_price(name, reader.line_num, str(error)) from error
        if not all(math.isfinite(value) and value >= 0 for value in (price.input, price.output, price.batch_share)):
            raise _wrong_price(name, reader.line_num, "a price is negative or not finite")
        prices[row["model"]] = price
    return prices


def _wrong_price(name: str, line: int, reason: str) -> UserError:
    what = f"line {line} of the price table cannot be used: {reason}"
    return UserError(what, where=f"{PRICES}: {name}", do="correct that line", code="wrong-price")
