"""Resolve settings: check every key of every file, and write what each stage reads to a file of its own.

A stage depends on its resolved file, whose content alone decides whether it reruns: changing a default in code
matters, changing a comment in ``params.yaml`` does not.
"""

from __future__ import annotations

import importlib
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
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
CHOOSING = ("epochs", "patience", "validation_targets", "lr_decays", "lr_decay_factor")


@dataclass
class PairSettings:
    """A pair, and its resolved settings by stage and by model; those of ``train`` hold for every model."""

    pair: Pair
    stages: dict[str, Block]
    models: dict[str, Block] = field(default_factory=dict)


def check_all() -> dict[str, PairSettings]:
    """Check the selection, every pair and every block; return the resolved settings of every stage and model by pair.

    Stages are checked before models, because importing the files of models takes a second.

    Raises:
        UserError: a key is wrong; the first one found is reported.
    """
    active, selected = load_selection()
    found = {name: _stages_of(name) for name in dict.fromkeys((*active, *pair_names()))}
    from lecdsr.models.registry import find_model

    for model in (*selected, *model_names()):
        find_model(model)
    for settings in found.values():
        settings.models = _models_of(settings.pair.name, model_names())
    return found


def _stages_of(pair: str) -> PairSettings:
    return PairSettings(load_pair(pair), {stage: load_stage(stage, pair) for stage in stage_names()})


def _models_of(pair: str, models: Sequence[str]) -> dict[str, Block]:
    from lecdsr.models.registry import find_model

    return {model: load_block(TRAIN, find_model(model).settings, pair, model) for model in models}


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


def write_resolved(pair: str, resolved: PairSettings | None = None) -> list[Path]:
    """Write the resolved settings of every stage, and of every selected model, of one pair.

    Files of models that are no longer selected are removed.

    Args:
        pair: name of the pair.
        resolved: what :func:`check_all` found for it; None resolves the settings here.

    Raises:
        UserError: a key is unknown or has the wrong type; nothing is written then.
    """
    artefacts = Artefacts(pair)
    _, models = load_selection()
    if resolved is None:
        resolved = _stages_of(pair)
        resolved.models = _models_of(pair, models)
    files = dict(_contents(artefacts, resolved, models))
    shutil.rmtree(artefacts.settings, ignore_errors=True)
    for path, values in files.items():
        write_json(path, values)
    return list(files)


def _contents(
    artefacts: Artefacts, resolved: PairSettings, models: Sequence[str]
) -> Iterator[tuple[Path, dict[str, Any]]]:
    for stage, block in resolved.stages.items():
        facts, settings = _facts(stage, resolved.pair, models), block.model_dump(mode="json")
        if stage != TRAIN:
            yield artefacts.stage_settings(stage), {"facts": facts, "settings": settings}
            continue
        for model in models:
            own = resolved.models[model].model_dump(mode="json")
            shared = {name: value for name, value in settings.items() if name != REFIT}
            yield artefacts.model_settings(model), {"facts": facts, "settings": own, "shared": shared}
            again = {name: value for name, value in settings.items() if name not in CHOOSING}
            yield artefacts.refit_settings(model), {"facts": facts, "settings": own, "shared": again}


def _facts(stage: str, pair: Pair, models: Sequence[str]) -> dict[str, Any]:
    known = {**pair.model_dump(mode="json"), "synthetic": pair.synthetic, "models": list(models)}
    return {name: known[name] for name in ("name", *FACTS.get(stage, ()))}
