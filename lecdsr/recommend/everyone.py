"""Recommend to all users of a pair, or to some of them by their ids, with a trained model on disk."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch

from lecdsr.core.arrays import IntArray
from lecdsr.core.errors import UserError
from lecdsr.core.files import read_table, sha256_file
from lecdsr.core.paths import Artefacts
from lecdsr.core.schemas import INTERACTIONS, ITEMS, USERS
from lecdsr.data.everything import info_for
from lecdsr.data.load import load_info
from lecdsr.models.saved import load, read_config
from lecdsr.recommend.batch import BatchRecommender, Options, batch_recommender, check_domains
from lecdsr.recommend.parts import Ids, Parts, Written, write_recommendations

#: Columns of the interactions that recommending reads.
_READ = ["user", "item", "time", "split"]
#: Unknown users that a message names.
_NAMED = 5


def recommend_to_everyone(
    artefacts: Artefacts,
    folder: Path,
    path: Path,
    options: Options,
    device: torch.device,
    reviewers: Sequence[str] | None = None,
) -> Written:
    """Write the recommendations of a model to users of a pair; the same call goes on after a kill.

    Args:
        artefacts: paths of the pair.
        folder: of the model, see :func:`model_folder`.
        path: Parquet file to write, see ``RECOMMENDATIONS``.
        options: what to recommend.
        device: where to compute.
        reviewers: original ids of the users; ``None`` is all of them.

    Raises:
        UserError: a file is missing, a user is unknown, a domain has no items, or a score is NaN.
    """
    config, trained = read_config(folder)
    interactions = read_table(artefacts.interactions, INTERACTIONS, _READ)
    info = info_for(config, load_info(artefacts, interactions), interactions)
    check_domains(info, options.domains)
    ids = Ids(
        read_table(artefacts.users, USERS, ["reviewer"])["reviewer"],
        read_table(artefacts.items, ITEMS, ["asin"])["asin"],
    )
    users = np.arange(info.n_users) if reviewers is None else find_users(ids.reviewer, reviewers)

    def recommender() -> BatchRecommender:
        return batch_recommender(load(folder, info), trained, info, interactions, options, device)

    inputs = {
        "files": _hashes(artefacts, folder),
        "options": {**vars(options), "domains": list(options.domains)},
        "users": "all" if reviewers is None else users.tolist(),
        "device": device.type,
        "torch": torch.__version__,
    }
    parts = Parts(artefacts.pair, config["model"], inputs)
    return write_recommendations(path, users, recommender, ids, parts, options.users_per_block)


def model_folder(artefacts: Artefacts, model: str, evaluated: bool = False) -> Path:
    """Folder of the model to recommend with: the one that was trained on everything where there is one.

    Args:
        artefacts: paths of the pair.
        model: name of the model.
        evaluated: take the evaluated model in any case.
    """
    production = artefacts.production(model)
    return production if not evaluated and (production / "config.json").exists() else artefacts.model(model)


def find_users(known: pa.ChunkedArray, reviewers: Sequence[str]) -> IntArray:
    """Return the numbers of users by their original ids, ascending, each once.

    Raises:
        UserError: no user is given, or some are unknown; one message counts and names them.
    """
    given = list(dict.fromkeys(reviewers))
    if not given:
        raise UserError("there is no user to recommend to", do="give at least one user id")
    found = pc.index_in(pa.array(given, pa.string()), value_set=known.combine_chunks())
    unknown = [name for name, number in zip(given, found.to_pylist(), strict=True) if number is None]
    if unknown:
        more = f" and {len(unknown) - _NAMED:,} more" if len(unknown) > _NAMED else ""
        raise UserError(
            f"{len(unknown):,} of {len(given):,} users are not in this pair: {', '.join(unknown[:_NAMED])}{more}",
            do="remove them; filters of `sequences` may have removed them from the pair",
        )
    return np.sort(found.to_numpy(zero_copy_only=False).astype(np.int64))


def _hashes(artefacts: Artefacts, folder: Path) -> dict[str, str]:
    """SHA-256 of all files that decide the recommendations."""
    paths = [
        *(folder / name for name in ("model.safetensors", "config.json")),
        *(artefacts.interactions, artefacts.users, artefacts.items),
        *(artefacts.item_vectors, artefacts.profiles, artefacts.phrase_vectors),
    ]
    return {f"{path.parent.name}/{path.name}": sha256_file(path) for path in paths if path.exists()}
