"""Resolve settings: check every key of every file, and write what each stage reads to a file of its own.

A stage depends on its resolved file, whose content alone decides whether it reruns: changing a default in code
matters, changing a comment in ``params.yaml`` does not.
"""

from __future__ import annotations

import importlib
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from lecdsr.config.load import SHARED, TRAIN, load_block, load_pair, load_selection, pair_names
from lecdsr.config.names import model_names, stage_names
from lecdsr.config.pair import Pair
from lecdsr.config.resolved import FACTS
from lecdsr.config.schema import Block
from lecdsr.core.files import write_json
from lecdsr.core.paths import Artefacts

#: Setting of ``train.shared`` that the stage ``refit`` reads. The first training must not run again because of it.
REFIT = "refit"
#: Settings of ``train.shared`` that choose epochs and schedule; the stage ``refit`` is given what they chose.
CHOOSING = ("epochs", "patience", "lr_decays")


def check_all() -> tuple[int, int]:
    """Check `active`, `models`, every pair and every block; return the number of pairs and of models.

    Stages are checked before models, because importing the files of models takes a second.

    Raises:
        UserError: a key is wrong; the first one found is reported.
    """
    active, models = load_selection()
    for name in (*active, *pair_names()):
        load_pair(name)
        for stage in stage_names():
            load_stage(stage, name)
    from lecdsr.models.registry import find_model

    for model in models:
        find_model(model)
    for name in pair_names():
        for model in model_names():
            load_block(TRAIN, find_model(model).settings, name, model)
    return len(pair_names()), len(model_names())


def load_stage(stage: str, pair: str) -> Block:
    """Read the settings of a stage for one pair; for ``train``, the settings shared by all models.

    Raises:
        UserError: a key is unknown or has the wrong type; the message names it.
    """
    keys = (SHARED,) if stage == TRAIN else ()
    return load_block(stage, settings_class(stage), pair, *keys)


def settings_class(stage: str) -> type[Block]:
    """Import the class of a stage's settings, which is ``lecdsr.STAGE.settings.Settings``."""
    module = importlib.import_module(f"lecdsr.{stage}.settings")
    found: type[Block] = module.TrainSettings if stage == TRAIN else module.Settings
    return found


def write_resolved(pair: str) -> list[Path]:
    """Write the resolved settings of every stage and every selected model for one pair.

    Files of models that are no longer selected are removed.

    Raises:
        UserError: a key is unknown or has the wrong type; nothing is written then.
    """
    artefacts = Artefacts(pair)
    files = dict(_resolved(artefacts))
    shutil.rmtree(artefacts.settings, ignore_errors=True)
    for path, values in files.items():
        write_json(path, values)
    return list(files)


def _resolved(artefacts: Artefacts) -> Iterator[tuple[Path, dict[str, Any]]]:
    from lecdsr.models.registry import find_model

    pair, (_, models) = load_pair(artefacts.pair), load_selection()
    for stage in stage_names():
        facts, settings = _facts(stage, pair, models), load_stage(stage, pair.name).model_dump(mode="json")
        if stage != TRAIN:
            yield artefacts.stage_settings(stage), {"facts": facts, "settings": settings}
            continue
        for model in models:
            own = load_block(TRAIN, find_model(model).settings, pair.name, model).model_dump(mode="json")
            shared = {name: value for name, value in settings.items() if name != REFIT}
            yield artefacts.model_settings(model), {"facts": facts, "settings": own, "shared": shared}
            again = {name: value for name, value in settings.items() if name not in CHOOSING}
            yield artefacts.refit_settings(model), {"facts": facts, "settings": own, "shared": again}


def _facts(stage: str, pair: Pair, models: Sequence[str]) -> dict[str, Any]:
    known = {**pair.model_dump(mode="json"), "synthetic": pair.synthetic, "models": list(models)}
    return {name: known[name] for name in ("name", *FACTS.get(stage, ()))}
