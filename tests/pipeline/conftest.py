"""A copy of the repository with a tiny demo, built once by dvc for all tests of the pipeline."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from ruamel.yaml import YAML

ROOT = Path(__file__).parents[2]
SMALL = {
    "download": {
        "synthetic": {"users": 120, "items_x": 80, "items_y": 80, "interactions_per_user": 14, "bad_lines": 0}
    },
    "train": {
        "shared": {"epochs": 1},
        "sasrec": {"width": 8, "history_length": 10},
        "lecdsr": {"width": 8, "hidden": 8},
    },
}


class Repository:
    """Runs commands in a folder, with this environment's programs."""

    def __init__(self, folder: Path, store: Path) -> None:
        self.folder = folder
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("DVC_", "GIT_", "OPENAI_"))}
        self.environment = {
            **kept,
            "PATH": path,
            "LECDSR_VECTOR_STORE": str(store),
            "OMP_NUM_THREADS": "1",
            "COLUMNS": "200",
        }

    def run(self, *command: str, check: bool = True, **environment: str) -> str:
        """Standard output and error of a command; fails if it does, unless told not to check."""
        done = subprocess.run(
            command,
            cwd=self.folder,
            env={**self.environment, **environment},
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        assert not check or done.returncode == 0, done.stdout
        assert check or done.returncode != 0, f"expected to fail: {done.stdout}"
        return done.stdout

    def stages_run(self, *command: str) -> set[str]:
        """Names of the stages that a dvc command ran, for real: not skipped, not taken from the run cache."""
        lines = self.run(*command).splitlines()
        return {line.split("'")[1] for line in lines if line.startswith("Running stage")}

    def commit(self, message: str) -> None:
        self.run("git", "add", "-A")
        self.run("git", "commit", "-q", "--allow-empty", "-m", message)


def copy_repository(folder: Path) -> None:
    """What Git tracks, and what is new and not ignored; no data, no lock, no metrics."""
    names = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    for name in names.stdout.decode().split("\0"):
        if name and (ROOT / name).is_file() and not name.startswith(("metrics/", "tests/", "dvc.lock")):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)


def shrink(folder: Path) -> None:
    """Make the demo tiny in its pair file."""
    yaml, path = YAML(), folder / "pairs" / "demo.yaml"
    pair = yaml.load(path.read_text(encoding="utf-8"))
    pair["download"] = SMALL["download"]
    for block, values in SMALL["train"].items():
        pair["train"][block].update(values)
    with open(path, "w", encoding="utf-8") as file:
        yaml.dump(pair, file)


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    """A clone in which `dvc repro` has run once and everything is committed."""
    folder = tmp_path_factory.mktemp("repository")
    copy_repository(folder)
    shrink(folder)
    repository = Repository(folder, tmp_path_factory.mktemp("vectors"))
    repository.run("git", "init", "-q", "-b", "main")
    repository.run("git", "config", "user.name", "tests")
    repository.run("git", "config", "user.email", "tests@example.org")
    repository.commit("as cloned")
    repository.run("dvc", "repro")
    repository.commit("built")
    return repository


@pytest.fixture
def repository(built: Repository):
    """The built clone; left as it was found."""
    yield built
    built.run("git", "reset", "-q", "--hard", "main")
    built.run("git", "clean", "-fdq")
    built.run("dvc", "checkout", "-q")
