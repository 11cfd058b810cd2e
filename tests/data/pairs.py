"""Random users, interactions and windows for the property tests."""

from typing import NamedTuple

import pyarrow as pa
from hypothesis import strategies as st

from lecdsr.core.schemas import TEST, TRAIN, VALID
from tests.tiny import interactions, windows_table


class RandomPair(NamedTuple):
    """A random pair: interactions and windows as tables, and as the plain lists they were built from."""

    n_x: int
    n_y: int
    histories: list[list[int]]
    rows: list[tuple[int, int, int, int, int]]

    @property
    def items(self) -> list[int]:
        """List the item of every row."""
        return [item for history in self.histories for item in history]

    @property
    def first_row(self) -> list[int]:
        """List the first row of every user."""
        return [sum(len(history) for history in self.histories[:user]) for user in range(len(self.histories))]

    @property
    def tables(self) -> tuple[pa.Table, pa.Table]:
        """Build the tables of interactions and windows."""
        return interactions(self.histories, self.n_x), windows_table(self.rows)

    def domain(self, item: int) -> int:
        """Return 0 for an item of X, 1 for an item of Y."""
        return int(item >= self.n_x)


@st.composite
def random_pairs(draw, most_items: int = 8):
    """Draw a pair with any windows that the schema allows: ``start`` < ``first_target`` < ``end``."""
    n_x, n_y = draw(st.integers(1, most_items)), draw(st.integers(1, most_items))
    history = st.lists(st.integers(0, n_x + n_y - 1), min_size=2, max_size=14)
    histories = draw(st.lists(history, min_size=1, max_size=5))
    rows, first_row = [], 0
    for user, items in enumerate(histories):
        for split in draw(st.lists(st.sampled_from([TRAIN, VALID, TEST]), max_size=4)):
            start = draw(st.integers(0, len(items) - 2))
            end = draw(st.integers(start + 2, len(items)))
            first = draw(st.integers(start + 1, end - 1)) if split == TRAIN else end - 1
            rows.append((split, user, first_row + start, first_row + first, first_row + end))
        first_row += len(items)
    return RandomPair(n_x, n_y, histories, sorted(rows))
