"""A copy of the repository with a tiny demo, built in one process without DVC."""

import os
import shutil
import sys
from pathlib import Path

import pytest

from tests.pipeline.conftest import Repository, copy_repository, shrink

ROOT = Path(__file__).parents[2]
#: Runs `MODULE ARGUMENT…` one after another: most of the time of a stage is its imports.
CALLS = "import importlib, sys\nfor call in sys.argv[1:]:\n n, *a = call.split()\n importlib.import_module(n).main(*a)"
PREPARED = ("download", "sequences", "card", "candidates", "prompts", "ask", "embed")


class Copy(Repository):
    """A copy in which stages are called directly, and whose code is the one that runs, not that of the install."""

    def __init__(self, folder: Path, store: Path) -> None:
        super().__init__(folder, store)
        self.environment["PYTHONPATH"] = os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")])

    def stages(self, *calls: str, **environment: str) -> str:
        """Run stages, each as ``NAME PAIR [MODEL]``, in one process; give what they print."""
        return self.run(sys.executable, "-c", CALLS, *(f"stages.{call}" for call in calls), **environment)

    def extend(self, name: str, source: str, target: str) -> None:
        """Do what the page of an example says: copy its file, apply its patch."""
        shutil.copy(self.folder / "examples" / name / source, self.folder / target)
        self.run("git", "apply", f"examples/{name}/wiring.patch")

    def replace(self, file: str, old: str, new: str) -> None:
        path = self.folder / file
        text = path.read_text(encoding="utf-8")
        assert text.count(old) == 1, f"{old!r} is {text.count(old)} times in {file}"
        path.write_text(text.replace(old, new), encoding="utf-8")


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Copy:
    """The tiny demo, with popularity and sasrec trained and evaluated."""
    folder = tmp_path_factory.mktemp("copy")
    copy_repository(folder)
    shrink(folder)
    copy = Copy(folder, tmp_path_factory.mktemp("vectors"))
    trained = [f"{stage} demo {model}" for model in ("popularity", "sasrec") for stage in ("train", "evaluate")]
    copy.stages(*(f"{stage} demo" for stage in PREPARED), *trained)
    return copy


@pytest.fixture
def copy(prepared: Copy, tmp_path: Path) -> Copy:
    """A copy of that copy, to be changed."""
    folder = tmp_path / "repository"
    shutil.copytree(prepared.folder, folder)
    changed = Copy(folder, tmp_path / "vectors")
    changed.environment["LECDSR_LLM_STORE"] = str(tmp_path / "answers")
    return changed
