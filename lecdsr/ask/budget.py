"""How much a run may spend: requests and dollars, those under way counted at their worst."""

from __future__ import annotations

from dataclasses import dataclass, field

from lecdsr.ask.access import MAX_COST, MAX_REQUESTS
from lecdsr.ask.errors import KEPT
from lecdsr.ask.prices import PRICES, Price
from lecdsr.ask.types import Usage
from lecdsr.core.errors import UserError

#: Exit code of a run that stopped because its cap was reached.
EXIT_CODE = 3
# Role marks and the like around every message, of which a request has two.
_FRAME_TOKENS = 16
# Sums of floats taken apart again leave a rest, which must not pass for a request under way.
_ROUNDING = 1e-12


class BudgetReached(UserError):
    """A cap was reached before all was asked; what came so far is kept."""

    exit_code = EXIT_CODE


@dataclass
class Budget:
    """Counts what was spent. With a cap on dollars nothing is sent whose worst case might break it.

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
                f"no price is known for the model {self.model!r}, so that {MAX_COST} cannot be kept",
                where=PRICES,
                do=f"name a price table there that holds it (0 where it is free), or unset {MAX_COST}",
            )

    def worst(self, body: bytes, max_tokens: int) -> float:
        """Dollars that a request can cost at most: no tokenizer of bytes makes more tokens than bytes."""
        return self.price.of(Usage(len(body) + _FRAME_TOKENS, max_tokens)) if self.price else 0.0

    def has_room(self, worst: float) -> bool:
        """Whether a request may be sent now. A cap on cost may have room later, when others came cheaper.

        Raises:
            BudgetReached: no request can be sent any more.
        """
        if self.requests == self.max_requests:
            raise BudgetReached(
                f"the cap of {self.requests:,} requests is reached and not all is asked",
                where=MAX_REQUESTS,
                do=f"raise or unset it; {KEPT}",
            )
        if self.max_cost is None or self.spent + self.reserved + worst <= self.max_cost:
            return True
        if self.reserved == 0.0:
            raise BudgetReached(
                f"{self.spent:.4f} USD are spent, and the next request may cost {worst:.4f}: "
                f"the cap of {self.max_cost:g} USD is reached and not all is asked",
                where=MAX_COST,
                do=f"raise or unset it; {KEPT}",
            )
        return False

    def reserve(self, worst: float) -> None:
        """Count a request that is about to be sent."""
        self.requests += 1
        self.reserved += worst

    def settle(self, worst: float, cost: float) -> None:
        """Replace the worst case of a request by what it cost."""
        left = self.reserved - worst
        self.reserved = left if left > _ROUNDING else 0.0
        self.spent += cost

    def cost(self, usage: Usage, worst: float) -> float:
        """Dollars of a reply; its worst case where the server counted no tokens."""
        if self.price is None:
            return 0.0
        return self.price.of(usage) if usage != Usage() else worst
