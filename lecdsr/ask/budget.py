"""Limit what a run may spend: requests and dollars, with requests in flight counted at their worst case."""

from __future__ import annotations

from dataclasses import dataclass, field

from lecdsr.ask.access import MAX_COST, MAX_REQUESTS
from lecdsr.ask.errors import KEPT
from lecdsr.ask.prices import PRICES, Price
from lecdsr.ask.types import Usage
from lecdsr.core.errors import UserError

#: Exit code of a run that stopped because its cap was reached.
EXIT_CODE = 3
# Tokens of role markers and other formatting around the two messages of a request.
_FRAME_TOKENS = 16
# Rounding error of adding and subtracting floats; a remainder below it does not mean a request in flight.
_ROUNDING = 1e-12


class BudgetReached(UserError):
    """A cap was reached before all questions were asked; the answers so far are kept."""

    exit_code = EXIT_CODE
    code = "limit-reached"


@dataclass
class Budget:
    """Counter of requests and dollars that refuses a request whose worst case would exceed the cap.

    Raises:
        UserError: dollars are capped and the model has no price.
    """

    model: str
    price: Price | None
    max_requests: int | None = None
    max_cost: float | None = None
    requests: int = 0
    spent: float = 0.0
    reserved: float = field(default=0.0, init=False)

    def __post_init__(self) -> None:
        if self.max_cost is not None and self.price is None:
            raise UserError(
                f"the limit {MAX_COST} cannot be kept, because no price is known for the model {self.model!r}",
                where=PRICES,
                do=f"set this variable to a price table with the model (price 0 if it is free), or unset {MAX_COST}",
                code="no-price",
            )

    def worst_cost(self, body: bytes, max_tokens: int) -> float:
        """Return the most dollars that a request can cost; byte-level tokenizers never make more tokens than bytes."""
        return self.price.of(Usage(len(body) + _FRAME_TOKENS, max_tokens)) if self.price else 0.0

    def has_room(self, worst_cost: float) -> bool:
        """Return whether a request may be sent now; if not, there may be room once the requests in flight are settled.

        Raises:
            BudgetReached: no further request can be sent.
        """
        if self.requests == self.max_requests:
            raise BudgetReached(
                f"the limit of {self.requests:,} requests is reached, and some questions remain",
                where=MAX_REQUESTS,
                do=f"raise or unset it; {KEPT}",
            )
        if self.max_cost is None or self.spent + self.reserved + worst_cost <= self.max_cost:
            return True
        if self.reserved == 0.0:
            raise BudgetReached(
                f"the limit of {self.max_cost:g} USD is reached: {self.spent:.4f} USD are spent, the next request may "
                f"cost {worst_cost:.4f} USD, and some questions remain",
                where=MAX_COST,
                do=f"raise or unset it; {KEPT}",
            )
        return False

    def reserve(self, worst_cost: float) -> None:
        """Count a request that is about to be sent."""
        self.requests += 1
        self.reserved += worst_cost

    def settle(self, worst_cost: float, cost: float) -> None:
        """Replace the reserved worst case of a request by its actual cost."""
        left = self.reserved - worst_cost
        self.reserved = left if left > _ROUNDING else 0.0
        self.spent += cost

    def cost(self, usage: Usage, worst_cost: float) -> float:
        """Return the cost of a reply in dollars; the worst case if the server reported no tokens."""
        if self.price is None:
            return 0.0
        return self.price.of(usage) if usage != Usage() else worst_cost
