"""A pair on disk as the stages write it, with a small model of every kind."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from lecdsr.core.files import write_table
from lecdsr.core.paths import Artefacts
from lecdsr.core.schemas import ANSWERS, INTERACTIONS, ITEMS, USERS, vectors
from lecdsr.data.load import load_info
from lecdsr.models.saved import build, save
from lecdsr.recommend.recommender import PairRecommender, open_recommender
from tests import tiny
from tests.models import zoo
from tests.train.toy import write_profiles

ROOT = Path(__file__).parents[2]
TITLES = [
    "Crème Brûlée Mix", "Olive Oil, Extra Virgin, 1 l", "Green Tea", "Green Tea", "", "[bold]Salt[/bold] <script> \\",
    "Tea Kettle", "Cast Iron Pan", "Pan, Small", "Oil Bottle", "Whisk",
]  # fmt: skip
USER_IDS = ["ANNA", "BERT", "CARL", "DORA"]
#: A variant of each two-tower model.
TWO_TOWERS = {
    "popularity": "counts", "content": "whitened", "hgn": "ids", "sasrec": "text", "abxi": "ids",
    "tandem": "default", "lecdsr": "masked",
}  # fmt: skip
#: Validation scores, so that the best model is known: hgn cannot recommend to an anonymous user, tandem can.
BEST = {"hgn": 0.9, "tandem": 0.5}


def settings_of(model: str, variant: str, domains: str = "both") -> Any:
    """Return the settings of a variant; popularity has no choice of domains."""
    settings = zoo.settings_of(model, variant)
    return settings if model == "popularity" else settings.model_copy(update={"domains": domains})


def recommender_of(model: str, variant: str, domains: str = "both") -> PairRecommender:
    """Build a recommender for the users and histories of the zoo, with weights of a trained size."""
    users = {"user": range(4), "reviewer": USER_IDS, "n_x": [0] * 4, "n_y": [0] * 4}
    network = zoo.perturb(zoo.make(model, variant))
    return PairRecommender(
        items=tiny.items_table(zoo.N_X, zoo.N_Y),
        users=pa.table({name: list(column) for name, column in users.items()}).cast(USERS),
        interactions=tiny.interactions(zoo.HISTORIES, zoo.N_X),
        profiles={0: "likes tea"},
        info=network.info,
        network=network,
        trained=(trained := settings_of(model, variant, domains)),
        config=zoo.config_of(model, trained),
    )


def written_recommender(folder: Path, model: str, variant: str, domains: str = "both") -> PairRecommender:
    """Write the pair ``demo`` to ``folder``, the working directory, and open a model of it."""
    write_pair(folder, {model: variant}, domains)
    recommender = open_recommender(Artefacts("demo"), model)
    with torch.no_grad():
        if model == "lecdsr":  # as training would leave it, so that a lost bias is seen
            recommender.network.b2.weight.uniform_(-2, 2)
    return recommender


def write_pair(folder: Path, variants: dict[str, str], domains: str = "both") -> None:
    """Write the pair ``demo`` to ``folder`` and change into it; ``variants`` names a variant for each model."""
    shutil.copytree(ROOT / "pairs", folder / "pairs")
    for name in ("params.yaml", "dvc.yaml"):
        shutil.copy(ROOT / name, folder / name)
    artefacts, n, users = Artefacts("demo"), zoo.PADDING, np.arange(zoo.USERS)
    items = tiny.items_table(zoo.N_X, zoo.N_Y)
    items = items.set_column(items.column_names.index("title"), "title", pa.array(TITLES))
    items = items.set_column(items.column_names.index("train_count"), "train_count", pa.array(np.arange(n)))
    write_table(artefacts.items, items.cast(ITEMS), ITEMS)
    users_table = pa.table({"user": users, "reviewer": USER_IDS, "n_x": users, "n_y": users})
    write_table(artefacts.users, users_table, USERS)
    write_table(artefacts.interactions, tiny.interactions(zoo.HISTORIES, zoo.N_X), INTERACTIONS)
    profile = {"kind": ["user"], "id": [0], "as_of": [0], "key": ["k"]}
    profile |= {"text": ["likes [red]tea[/red]"], "reason": [None]}
    write_table(artefacts.answers, pa.table(profile).cast(ANSWERS), ANSWERS)
    random = np.random.default_rng(0)
    rows = pa.FixedSizeListArray.from_arrays(random.normal(size=n * 8).astype(np.float32), 8)
    table = pa.table({"id": np.arange(n), "known": [True] * n, "vector": rows})
    write_table(artefacts.item_vectors, table, vectors(8))
    write_profiles(
        artefacts, tiny.profiles(zoo.USERS, torch.from_numpy(random.normal(size=(17, 8)).astype(np.float32)))
    )
    info = load_info(artefacts)
    for model, variant in variants.items():
        settings = settings_of(model, variant, domains)
        network = build(model, settings, info, 0)
        network.count(tiny.sequences(zoo.HISTORIES, zoo.N_X).of_split(0))
        config = {**zoo.config_of(model, settings), "valid_ndcg@10": BEST.get(model, 0.1)}
        save(artefacts.model(model), zoo.perturb(network), config)
