"""A small run, from tables to page: two models, two domains, and hostile texts if wanted."""

from functools import cache

import numpy as np
import pyarrow as pa
import torch

from lecdsr.core.schemas import LISTS, TEST, USERS
from lecdsr.data.sequences import from_tables
from lecdsr.evaluate.metrics_table import BEYOND
from lecdsr.models.sasrec import SASRec
from lecdsr.recommend.recommender import PairRecommender
from lecdsr.report.disagreement import Disagreement, Names, disagreement
from lecdsr.report.estimates import METRICS
from lecdsr.report.experiments import Recorded
from lecdsr.report.figures import Curve
from lecdsr.report.html import Browser, Content, render
from lecdsr.report.sections import Measured, sections
from lecdsr.report.tables import Training
from lecdsr.report.users import Wanted, browse
from tests import tiny
from tests.evaluate import rank_tables as tables
from tests.models.settings import sasrec_settings

EVIL = "</script><script>alert('x')</script> & \"more\" <img src=http://evil.example/x.png> \u2028 $x$"
N_X, N_Y = 6, 5
HISTORIES = [[0, 6, 1, 7, 2], [3, 8, 9, 4], [5, 10], []]
# The last interaction of the first two users is their test target; the others have none.
TARGETS = [(TEST, 0, 0, 4, 5), (TEST, 1, 5, 8, 9)]
WINDOWS = tiny.windows_table(TARGETS)
RANKS = tables.ranks([(0, 0, 2, 1, 3.0), (1, 0, 4, 1, 7.5)])
# As many as there are, so that the next item is among them.
WANTED = Wanted(users=4, top_k=6, nearest=2)


def recommender(network=None, settings=None, text: str = "") -> PairRecommender:
    torch.manual_seed(0)
    settings = settings or sasrec_settings(width=8, history_length=4)
    network = network or SASRec(settings, tiny.info(N_X, N_Y), 0)
    items = tiny.items_table(N_X, N_Y)
    if text:
        for name in ("title", "asin"):
            place = items.column_names.index(name)
            items = items.set_column(
                place, items.schema.field(name), pa.array([f"{text} {i}" for i in range(len(items))])
            )
        place = items.column_names.index("categories")
        items = items.set_column(place, items.schema.field(place), pa.array([[text]] * len(items)))
    users = pa.table(
        {"user": np.arange(4), "reviewer": [f"{text}{name}" for name in ("ANNA", "BERT", "CARL", "DORA")],
         "n_x": [3, 2, 1, 0], "n_y": [2, 2, 1, 0]}
    ).cast(USERS)  # fmt: skip
    return PairRecommender(
        items=items,
        users=users,
        interactions=tiny.interactions(HISTORIES, N_X),
        profiles={0: f"likes tea{text}", 1: "likes pots"},
        info=network.info,
        network=network.eval(),
        trained=settings,
    )


#: Lists of the two test targets, of X and both of the first two users.
LISTS_A = pa.table({"user": [0, 1], "domain": [0, 0], "target": [2, 4], "items": [[3, 2, 4], [0, 1, 5]]}).cast(LISTS)
LISTS_B = pa.table({"user": [0, 1], "domain": [0, 0], "target": [2, 4], "items": [[2, 3, 5], [4, 2, 3]]}).cast(LISTS)


def block(value: float, **more: float) -> dict:
    metrics = dict.fromkeys(METRICS, value)
    return {"sampled": metrics, "full": dict.fromkeys(METRICS, value / 2) | more, "users": 1234, "targets": 1500}


def beyond(value: float) -> dict[str, float]:
    """Beyond-accuracy metrics; the pair has no categories."""
    return {name: value for name in BEYOND if name != "miscalibration@10"}


def disagreeing(text: str = "") -> Disagreement:
    name, own = f"sasrec{text}", recommender(text=text)
    targets = from_tables(own.interactions, WINDOWS).of_split(TEST)
    names = Names(own.items, own.users)
    others = tables.ranks([(0, 0, 2, 1, 8.0), (1, 0, 4, 1, 1.0)])
    lists, ranks = {"popularity": LISTS_A, name: LISTS_B}, {"popularity": RANKS, name: others}
    return disagreement(lists, ranks, [name, "popularity"], targets, names)


def measured(text: str = "", **changed) -> Measured:
    name = f"sasrec{text}"
    values = {
        "pair": f"toy{text}",
        "domains": {"x": f"Food{text}", "y": "Kitchen"},
        "metrics": {
            "popularity": {"valid": {"x": block(0.1), "y": block(0.2)}, "test": {"x": block(0.1, **beyond(0.125))}},
            name: {"valid": {"x": block(0.3), "y": block(0.1)}, "test": {"x": block(0.3, **beyond(0.75))}},
        },
        "ranks": {"popularity": tables.random_ranks(1, 1, 40), name: tables.random_ranks(4, 2, 40)},
        "trained": {name: Training({"valid_ndcg@10": 0.25, "best_epoch": 2}, {"seconds": 1.5, "device": "cpu"}, 3)},
        "curves": {"popularity": Curve([0], [0.05]), name: Curve([0, 1, 2, 3], [0.0, 0.1, 0.25, 0.2])},
        "stages": {
            "candidates": {"negatives_mean": 98.4},
            # `items` and `keys` are names of facts here, and of methods of a mapping.
            f"sequences{text}": {"items": {"x": 5, "y": 6}, "keys": f"k{text}"},
            "ask": {"provider": "openai", "model": f"gpt-4.1-mini{text}", "questions": 5, "answered": 4, "failed": 1,
                    "prompt_tokens": 2_000_000, "completion_tokens": 500_000},
        },
        "card": None,
        "recorded": Recorded([], []),
        "disagreement": disagreeing(text),
    }  # fmt: skip
    return Measured(**{**values, **changed})


def content(text: str = "", given: Measured | None = None) -> Content:
    given = given or measured(text)
    browser = Browser(f"sasrec{text}", browse(recommender(text=text), WINDOWS, RANKS, WANTED), 4)
    return Content(given.pair, given.domains, True, sections(given, 200), browser)


@cache
def page(text: str = "") -> str:
    """The page, rendered once for all tests that only read it."""
    return render(content(text))
