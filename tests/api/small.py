"""Two hand-made frames, and the pair ``toy`` as the pipeline would have built it in a clone."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import lecdsr
from lecdsr.candidates.draw import Settings, draw_candidates
from lecdsr.core.files import read_table, write_table
from lecdsr.core.paths import Artefacts
from lecdsr.core.schemas import CANDIDATES, INTERACTIONS, ITEMS, WINDOWS
from tests.train.toy import write_pair

DOMAINS = ("food", "kitchen")
DAY = 86_400
WORDS = ("green", "red", "sweet", "small", "sharp", "round")


def interactions(users: int = 24, length: int = 9, items: int = 10, seed: int = 0) -> pd.DataFrame:
    """Make frames of users ``u0`` …, items ``food-0`` … and ``kitchen-0`` …, with one interaction per day."""
    draw = np.random.default_rng(seed)
    rows = []
    for user in range(users):
        for place in range(length):
            domain = DOMAINS[place % 2]
            item = f"{domain}-{draw.integers(items)}"
            rows.append((f"u{user}", item, domain, 1_400_000_000 + (user + 20 * place) * DAY))
    return pd.DataFrame(rows, columns=["user", "item", "domain", "time"])


def items(count: int = 10) -> pd.DataFrame:
    rows = [
        (f"{domain}-{place}", domain, f"{WORDS[place % len(WORDS)]} thing {place}")
        for domain in DOMAINS
        for place in range(count)
    ]
    return pd.DataFrame(rows, columns=["item", "domain", "title"])


def dataset(**changed: Any) -> lecdsr.Dataset:
    """Build a dataset of the two frames, with random vectors instead of encoded texts."""
    frame = items()
    vectors = np.random.default_rng(1).standard_normal((len(frame), 6))
    given = {"items": frame, "item_vectors": vectors, "encoder": None, "domains": DOMAINS, "quiet": True, **changed}
    return lecdsr.Dataset.from_frames(interactions(), **given)


def clone(folder: Path) -> Artefacts:
    """Write the pair ``toy`` and the files that make ``folder`` a clone; change into it."""
    write_pair(folder)
    artefacts = Artefacts("toy")
    tables = (
        read_table(folder / path, schema)
        for path, schema in (
            (artefacts.interactions, INTERACTIONS),
            (artefacts.windows, WINDOWS),
            (artefacts.items, ITEMS),
        )
    )
    drawn = draw_candidates(*tables, Settings(negatives=5, exclude="history", seed=3))
    write_table(folder / artefacts.candidates, drawn, CANDIDATES)
    for name in ("dvc.yaml", "params.yaml"):
        (folder / name).write_text("{}\n")
    (folder / "pairs").mkdir()
    (folder / "pairs" / "toy.yaml").write_text("domains: [Food, Kitchen]\nrelease: 2018\nsource: here\n")
    return artefacts
