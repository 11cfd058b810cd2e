"""Train a model on every interaction, with the settings and the schedule that validation chose."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lecdsr.core.files import read_table
from lecdsr.core.paths import Artefacts
from lecdsr.core.schemas import INTERACTIONS, WINDOWS
from lecdsr.data.everything import ALL, TRAINED_ON, info_of_everything, windows_of_everything
from lecdsr.data.load import PairData, load_info, read_sequences
from lecdsr.train.checkpoint import Checkpoints
from lecdsr.train.fit import Fitted, fit_model, hash_tables, prepare_process
from lecdsr.train.schedule import check_schedule
from lecdsr.train.settings import SharedSettings
from lecdsr.train.state import Rates


def refit(artefacts: Artefacts, config: dict[str, Any], settings: Any, shared: SharedSettings) -> Fitted:
    """Train a model on everything; a killed training resumes from its checkpoint.

    The checkpoint remains: call :meth:`Fitted.remove_checkpoint` once the model is saved.

    Args:
        artefacts: paths of the pair.
        config: ``config.json`` of the evaluated model, with its schedule.
        settings: settings of the model.
        shared: settings of all models.

    Raises:
        UserError: the config has no chosen epoch, a table is missing, or the training fails.
    """
    name = config["model"]
    schedule = chosen_schedule(config, artefacts.model(name) / "config.json")
    weights = config.get("term_weights")
    prepare_process()
    data = load_everything(artefacts, settings, shared.seed)
    checkpoints = Checkpoints(artefacts.pair, f"refit-{name}", {"data": hash_tables(artefacts), TRAINED_ON: ALL})
    label = f"{name} on everything of {artefacts.pair}"
    return fit_model(
        name, settings, shared, data, checkpoints=checkpoints, label=label, schedule=schedule, term_weights=weights
    )


def load_everything(artefacts: Artefacts, settings: Any, seed: int) -> PairData:
    """Load a pair with every interaction in the training part.

    Raises:
        UserError: a file is missing, or the vectors are not those of the sequences.
    """
    interactions = read_table(artefacts.interactions, INTERACTIONS)
    info = info_of_everything(load_info(artefacts, interactions), interactions)
    windows = windows_of_everything(interactions, read_table(artefacts.windows, WINDOWS))
    reading = (settings.domains, settings.order, seed, settings.profiles_read)
    sequences = read_sequences(interactions, windows, info, *reading)
    return PairData(info, sequences)


def chosen_schedule(config: dict[str, Any], where: Path | None = None) -> list[Rates]:
    """Return the schedule that led to the best epoch of a trained model.

    Args:
        config: ``config.json`` of the model.
        where: path of that file, for the message.

    Raises:
        UserError: none is recorded, so there is no number of epochs to train for.
    """
    schedule, best_epoch = config.get("schedule"), config.get("best_epoch")
    whole = isinstance(best_epoch, int) and bool(best_epoch) == bool(schedule)
    path = None if where is None else str(where)
    return check_schedule(schedule if whole else None, f"the model {config.get('model')!r}", path)


def production_config(config: dict[str, Any], fitted: Fitted) -> dict[str, Any]:
    """Describe the model for its ``config.json``: without a score, since nothing was left to validate it on."""
    known = ("model", "seed", "settings", "n_x", "n_y", "n_users", "best_epoch", "schedule", "term_weights")
    parameters = sum(parameter.numel() for parameter in fitted.network.parameters())
    return {**{key: config[key] for key in known}, TRAINED_ON: ALL, "parameters": parameters}
