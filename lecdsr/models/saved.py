"""Save and load models: weights in ``model.safetensors``, what they are made of in ``config.json``.

The config is written last and holds the SHA-256 of the weights, of the model with its settings, and of the data. So a
folder that was written only in part, or put together from several, is refused and not misread.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from lecdsr import __version__
from lecdsr.core.errors import UserError
from lecdsr.core.files import REBUILD, atomic_path, read_json, require, sha256_file, write_json, write_text
from lecdsr.data.info import DatasetInfo
from lecdsr.models.base import Recommender
from lecdsr.models.registry import find_model

#: Version of the layout of a model's folder; no other is read.
FORMAT = 2
WEIGHTS, CONFIG, CARD = "model.safetensors", "config.json", "card.md"
#: What a model belongs to, by the name of its fingerprint.
_DATA = {
    "items": "the model was trained on other items",
    "users": "the model was trained on other users",
    "training": "the model was trained on other interactions",
    "texts": "the model was trained with other text vectors of the items",
}
_OTHER_DATA = "load the data that it was trained on, or run `dvc repro` to train it again"


def build(name: str, settings: Any, info: DatasetInfo, seed: int) -> Recommender:
    """Build a model by name, with weights drawn from ``seed``."""
    torch.manual_seed(seed)
    model: Recommender = find_model(name).recommender(settings, info, seed)
    return model


def save(
    folder: Path,
    model: Recommender,
    config: Mapping[str, Any],
    card: Callable[[Mapping[str, Any]], str] | None = None,
) -> dict[str, Any]:
    """Write weights, model card and, last, the config.

    Args:
        folder: where to write.
        model: the model, with the dataset info that it was built for.
        config: names the model, its settings, its seed and the sizes of the data. The version of lecdsr, unless it is
            there, the format and the fingerprints are added.
        card: writes the model card from the complete config; ``None`` writes none.

    Returns:
        The complete config.
    """
    weights = {name: value.detach().cpu().contiguous() for name, value in model.state_dict().items()}
    with atomic_path(folder / WEIGHTS) as temporary:
        save_file(weights, temporary)
    data = model.info.fingerprints()
    fingerprints = {"weights": sha256_file(folder / WEIGHTS), "settings": _hash_settings(config), **data}
    complete = {"lecdsr": __version__, **config, "format": FORMAT, "sha256": fingerprints}
    if card is not None:
        write_text(folder / CARD, card(complete))
    write_json(folder / CONFIG, complete)
    return complete


def _hash_settings(config: Mapping[str, Any]) -> str:
    """SHA-256 of what decides, with the data and the weights, what a model computes."""
    made_of = [config["model"], config["settings"], config["seed"]]
    return hashlib.sha256(json.dumps(made_of, sort_keys=True).encode()).hexdigest()


def read_config(folder: Path) -> tuple[dict[str, Any], Any]:
    """Read the config of a saved model; return it together with its settings in the model's own type.

    Raises:
        UserError: the file is missing, broken, of another format or was changed, or names a model that does not exist.
    """
    path = folder / CONFIG
    if not path.exists() and (folder / WEIGHTS).exists():
        what = f"the folder of the model is incomplete: it has no {CONFIG}, which is written last"
        raise UserError(what, where=str(folder), do=REBUILD, code="incomplete-model")
    config = read_json(path)
    found = config.get("format", 1)
    if found != FORMAT:
        raise UserError(
            f"the folder of the model has the format {found}, and this version of lecdsr reads {FORMAT}",
            where=str(path),
            do=f"{REBUILD}, or load it with the version that wrote it ({config.get('lecdsr', 'before 0.1.0')})",
            code="wrong-format",
        )
    try:
        name, values, _ = (config[key] for key in ("model", "settings", "seed"))
        settings = find_model(name).settings.model_validate(values)
        # A setting that is missing here must not silently get today's default.
        missing = type(settings).model_fields.keys() - settings.model_fields_set
        if missing:
            raise KeyError(f"settings without {', '.join(sorted(missing))}")
        unchanged = config["sha256"]["settings"] == _hash_settings(config)
    except (KeyError, TypeError, ValueError) as error:
        problem = str(error).splitlines()[0]
        raise UserError(
            f"this version of lecdsr cannot read the config of the model ({problem})",
            where=str(path),
            do=REBUILD,
            code="wrong-config",
        ) from error
    if not unchanged:
        what = "the model, its settings or its seed were changed after the config was written"
        raise UserError(what, where=str(path), do=f"undo the change, or {REBUILD}", code="changed-config")
    return config, settings


def load(folder: Path, info: DatasetInfo) -> Recommender:
    """Load a saved model and switch it to evaluation mode.

    Raises:
        UserError: a file is missing or broken, the weights are not those of the config, or the data is not that of
            training.
    """
    config, settings = read_config(folder)
    _check_data(config, info, folder / CONFIG)
    path = require(folder / WEIGHTS)
    if sha256_file(path) != config["sha256"].get("weights"):
        raise UserError(
            f"the weights are not those that {CONFIG} describes: the file is damaged, from another folder, or was "
            "replaced without the config",
            where=str(path),
            do=REBUILD,
            code="other-weights",
        )
    model = build(config["model"], settings, info, config["seed"])
    try:
        model.load_state_dict(load_file(path))
    except (SafetensorError, RuntimeError) as error:
        what = f"the weights do not fit the config beside them: {str(error)[:200]}"
        raise UserError(what, where=str(path), do=REBUILD, code="broken-file") from error
    return model.eval()


def _check_data(config: Mapping[str, Any], info: DatasetInfo, path: Path) -> None:
    """Refuse data that a model was not trained on.

    Raises:
        UserError: the sizes or the fingerprints differ.
    """
    for name in ("n_x", "n_y", "n_users"):
        if config.get(name) != getattr(info, name):
            raise UserError(
                f"the model was trained with {name} = {config.get(name)}, the data has {name} = {getattr(info, name)}",
                where=str(path),
                do=_OTHER_DATA,
                code="other-data",
            )
    for name, found in info.fingerprints().items():
        wanted = config["sha256"].get(name)
        if wanted is not None and wanted != found:
            what = f"{_DATA[name]} than this data has"
            raise UserError(what, where=str(path), do=_OTHER_DATA, code="other-data")
