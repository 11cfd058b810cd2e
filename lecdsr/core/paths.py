"""Paths of all files that stages read and write, relative to the root of the repository."""

from __future__ import annotations

import os
import re
from pathlib import Path

from lecdsr.core.errors import UserError

#: Environment variable that names another folder for the work of interrupted runs.
CHECKPOINTS = "LECDSR_CHECKPOINTS"
PAIR_NAME = r"^[a-z0-9][a-z0-9_]*$"


class Artefacts:
    """Paths of one pair's files."""

    def __init__(self, pair: str) -> None:
        self.pair = check_pair_name(pair)
        self.root = Path("data") / pair
        self.metrics = Path("metrics") / pair
        # Resolved settings of each stage and model, defaults included.
        self.settings = self.root / "settings"
        self.raw = self.root / "raw"
        # Rejected lines of raw files are not an output of DVC, which would delete them when the stage fails.
        self.rejected = self.root / "rejected"
        self.sequences = self.root / "sequences"
        self.items = self.sequences / "items.parquet"
        self.users = self.sequences / "users.parquet"
        self.interactions = self.sequences / "interactions.parquet"
        self.windows = self.sequences / "windows.parquet"
        self.card = self.root / "card"
        self.candidates = self.root / "candidates.parquet"
        self.questions = self.root / "questions.parquet"
        self.answers = self.root / "answers.parquet"
        self.item_vectors = self.root / "vectors" / "items.parquet"
        self.profiles = self.root / "vectors" / "profiles.parquet"
        self.phrase_vectors = self.root / "vectors" / "phrases.parquet"
        self.report = self.root / "report.html"

    @property
    def experiments(self) -> Path:
        """Table of the runs of the experiments, in Git."""
        return self.metrics / "experiments.csv"

    @property
    def experiment_slices(self) -> Path:
        """Table of the test metrics of these runs by slice, in Git."""
        return self.metrics / "experiments-slices.csv"

    @property
    def experiment_tests(self) -> Path:
        """Comparisons of the best method with the other methods, in Git."""
        return self.metrics / "experiments-tests.json"

    @property
    def experiment_ranks(self) -> Path:
        """Folder in Git with the test ranks of these runs, one file each, from which comparisons can be recomputed."""
        return self.metrics / "experiments-ranks"

    def stage_settings(self, stage: str) -> Path:
        """File of the resolved settings of a stage."""
        return self.settings / f"{stage}.json"

    def model_settings(self, model: str) -> Path:
        """File of the resolved settings of a model, together with those shared by all models."""
        return self.settings / "train" / f"{model}.json"

    def model(self, model: str) -> Path:
        """Folder of a trained model, with ``model.safetensors`` and ``config.json``."""
        return self.root / "models" / model

    def production(self, model: str) -> Path:
        """Folder of the model that was trained on everything; it has a ``config.json`` only if it was."""
        return self.root / "production" / model

    def refit_settings(self, model: str) -> Path:
        """Resolved settings of the stage ``refit`` for a model."""
        return self.settings / "refit" / f"{model}.json"

    def recommendations(self, model: str) -> Path:
        """Recommendations to every user."""
        return self.root / "recommendations" / f"{model}.parquet"

    def times(self, model: str) -> Path:
        """File of training time and device; it is not in the model's folder, whose bytes are reproducible."""
        return self.root / "times" / f"{model}.json"

    def ranks(self, model: str) -> Path:
        """File of the ranks of all targets under a model."""
        return self.root / "ranks" / f"{model}.parquet"

    def lists(self, model: str) -> Path:
        """File of the best items of every test target under a model."""
        return self.root / "lists" / f"{model}.parquet"

    def stage_metrics(self, stage: str) -> Path:
        """File of the metrics of a stage, in Git."""
        return self.metrics / "stages" / f"{stage}.json"

    def model_metrics(self, model: str) -> Path:
        """All metrics of a model, in Git."""
        return self.metrics / f"{model}.json"

    def model_summary(self, model: str) -> Path:
        """The few metrics of a model that DVC shows, in Git."""
        return self.metrics / "summary" / f"{model}.json"

    def training_log(self, model: str) -> Path:
        """Training log of a model with one row per epoch, in Git."""
        return self.metrics / "training" / f"{model}.csv"


def enter_repository() -> Path:
    """Change to the folder of :func:`find_repository`, and return it.

    Raises:
        UserError: there is no such folder.
    """
    folder = find_repository(Path.cwd())
    os.chdir(folder)
    return folder


def find_repository(start: Path) -> Path:
    """Find the nearest folder at or above ``start`` that holds ``dvc.yaml`` and ``params.yaml``.

    Raises:
        UserError: there is none.
    """
    for folder in (start, *start.parents):
        if (folder / "dvc.yaml").exists() and (folder / "params.yaml").exists():
            return folder
    raise UserError(
        "no lecdsr repository here",
        where=str(start),
        do="change to the folder that holds dvc.yaml and params.yaml",
        code="no-repository",
    )


def store_root() -> Path:
    """Return the folder of the answer and vector stores: the root of the user's repository, which no rebuild deletes.

    In ``dvc exp run --temp`` the working copy is a temporary clone, but ``DVC_ROOT`` names the user's repository.
    """
    return Path(os.environ.get("DVC_ROOT") or Path.cwd())


def checkpoint_folder(pair: str) -> Path:
    """Return the folder of a pair's interrupted runs, outside the outputs of DVC, which deletes those first."""
    return Path(os.environ.get(CHECKPOINTS) or store_root() / ".checkpoints") / pair


def check_pair_name(name: str) -> str:
    """Return ``name`` if it is a valid name of a pair, which is also a folder name.

    Raises:
        UserError: it is not valid; a name such as ``../x`` would be a path outside ``data/``.
    """
    if not re.fullmatch(PAIR_NAME.strip("^$"), name):
        raise UserError(
            f"{name!r} is not a valid pair name",
            where="name of the pair",
            do="use lower-case letters, digits and _, starting with a letter or digit",
            code="wrong-pair-name",
        )
    return name
