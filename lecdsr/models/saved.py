"""Save and load models: weights in ``model.safetensors``; name, settings and seed in ``config.json``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from lecdsr.core.errors import UserError
from lecdsr.core.files import REBUILD, atomic_path, read_json, require, write_json
from lecdsr.data.info import DatasetInfo
from lecdsr.models.base import Recommender
from lecdsr.models.registry import find_model


def build(name: str, settings: Any, info: DatasetInfo, seed: int) -> Recommender:
    """Build a model by name, with weights drawn from ``seed``."""
    torch.manual_seed(seed)
    model: Recommender = find_model(name).recommender(settings, info, seed)
    return model


def save(folder: Path, model: Recommender, config: dict[str, Any]) -> None:
    """Write weights and config; ``config`` names the model, its settings and its seed."""
    weights = {name: value.detach().cpu().contiguous() for name, value in model.state_dict().items()}
    with atomic_path(folder / "model.safetensors") as temporary:
        save_file(weights, temporary)
    write_json(folder / "config.json", config)


def read_config(folder: Path) -> tuple[dict[str, Any], Any]:
    """Read the config of a saved model; return it together with its settings in the model's own type.

    Raises:
        UserError: the file is missing or broken, or names a model that does not exist.
    """
    path = folder / "config.json"
    config = read_json(path)
    try:
        name, values, _ = (config[key] for key in ("model", "settings", "seed"))
        settings = find_model(name).settings.model_validate(values)
        # A setting that is missing here must not silently get today's default.
        missing = type(settings).model_fields.keys() - settings.model_fields_set
        if missing:
            raise KeyError(f"settings without {', '.join(sorted(missing))}")
        return config, settings
    except (KeyError, ValueError) as error:
        problem = str(error).splitlines()[0]
        raise UserError(
            f"this version of lecdsr cannot read the config of the model ({problem})",
            where=str(path),
            do=REBUILD,
            code="wrong-config",
        ) from error


def load(folder: Path, info: DatasetInfo) -> Recommender:
    """Load a saved model and switch it to evaluation mode.

    Raises:
        UserError: a file is missing or broken, or the sizes of the dataset are not those of training.
    """
    config, settings = read_config(folder)
    for name in ("n_x", "n_y", "n_users"):
        if config.get(name) != getattr(info, name):
            raise UserError(
                f"the model was trained with {name} = {config.get(name)}, the data has {name} = {getattr(info, name)}",
                where=str(folder / "config.json"),
                do="load the data that it was trained on, or run `dvc repro` to train it again",
                code="other-data",
            )
    model = build(config["model"], settings, info, config["seed"])
    path = require(folder / "model.safetensors")
    try:
        model.load_state_dict(load_file(path))
    except (SafetensorError, RuntimeError) as error:
        what = f"the weights do not fit the config beside them: {str(error)[:200]}"
        raise UserError(what, where=str(path), do=REBUILD, code="broken-file") from error
    return model.eval()
