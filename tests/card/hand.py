"""A pair small enough to count by hand: three users, three items in X and two in Y.

    user 0   X0  Y3  X1  Y4     days 0, 0, 2, 70   of both domains
    user 1   X0  X1  X0         days 1, 5, 6       takes X0 twice
    user 2   X2  X0             days 3, 3          test target tied with what was before

The last interaction is test, the last but one validation where there are three. Day 0 is 2018-01-01.
"""

import contextlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from lecdsr.config.resolve import write_resolved
from lecdsr.core.files import write_table
from lecdsr.core.paths import Artefacts
from lecdsr.core.schemas import INTERACTIONS, ITEMS, USERS, WINDOWS
from lecdsr.sequences.split import leave_one_out
from tests.tiny import interactions

FIRST_DAY = 17_532
HISTORIES = [[0, 3, 1, 4], [0, 1, 0], [2, 0]]
DAYS = [[0, 0, 2, 70], [1, 5, 6], [3, 3]]
RATINGS = [5, 4, 3, 5, 5, 5, 1, 2, 5]

STEP = {"interactions": 9, "users": 3, "items": 5}
FACTS: dict[str, Any] = {
    "first_day": "2018-01-01",
    "last_day": "2018-03-12",
    "after_filter": {"raw": {"interactions": 1_234_567, "users": 30, "items": 50}, "dates": STEP, "max_length": STEP},
    "users_of_both": 1,
    "one_domain_share": 2 / 3,
    "valid_tied_share": 0.0,
    "test_tied_share": 1 / 3,
    "training_later_than_test_share": 0.125,
    "bad_lines": {"ratings_x": 3, "ratings_y": 0},
    "repeated_metadata_lines": 7,
}

PAIR = """\
domains: [{x}, {y}]
release: 2018
source: {source}
custom: null
card: {{}}
"""


def items() -> pa.Table:
    columns = {
        "item": range(5),
        "domain": [0, 0, 0, 1, 1],
        "asin": [f"B{item}" for item in range(5)],
        "title": ["abc", "", "abcdef", "", None],
        "brand": ["", "b", "", "", ""],
        "categories": [["a", "b"], [], None, [], []],
        "description": [""] * 5,
        "train_count": [2, 0, 1, 1, 0],
    }
    return pa.table({field.name: pa.array(columns[field.name], field.type) for field in ITEMS})


def write(artefacts: Artefacts, histories: list[list[int]] = HISTORIES, days: list[list[int]] = DAYS) -> None:
    """Write the tables of the pair, or of other histories over the same items."""
    table = interactions(histories, 3, [[FIRST_DAY + day for day in row] for row in days])
    split = leave_one_out(table["user"].to_numpy(), table["time"].to_numpy(), min_history=1)
    rating = RATINGS if histories == HISTORIES else np.full(len(table), 5)
    table = table.set_column(4, "rating", pa.array(rating, pa.float32()))
    table = table.set_column(5, "split", pa.array(split.part))
    of_y = np.array([sum(item >= 3 for item in history) for history in histories])
    users = {
        "user": range(len(histories)),
        "reviewer": [f"U{user}" for user in range(len(histories))],
        "n_x": np.array([len(history) for history in histories]) - of_y,
        "n_y": of_y,
    }
    write_table(artefacts.items, items(), ITEMS)
    write_table(artefacts.users, pa.table(users), USERS)
    write_table(artefacts.interactions, table, INTERACTIONS)
    write_table(artefacts.windows, split.windows, WINDOWS)
    path = artefacts.stage_metrics("sequences")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(FACTS), encoding="utf-8")


def repository(folder: Path, x: str = "Food", y: str = "Kitchen", source: str = "synthetic") -> None:
    """Write the settings of a repository with the pair ``toy``."""
    (folder / "dvc.yaml").write_text("stages: {}\n", encoding="utf-8")
    params = "active: [toy]\nmodels: [popularity]\ncard:\n  plot_dpi: 60\n"
    (folder / "params.yaml").write_text(params, encoding="utf-8")
    (folder / "pairs").mkdir()
    (folder / "pairs" / "toy.yaml").write_text(PAIR.format(x=x, y=y, source=source), encoding="utf-8")
    with contextlib.chdir(folder):
        write_resolved("toy")
