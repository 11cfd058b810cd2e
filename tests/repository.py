"""Copies of the repository, and commands that run in them."""

import io
import os
import shutil
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from lecdsr.core.console import console, stderr
from tests.programs import search_path

ROOT = Path(__file__).parents[1]
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
#: Program that runs several `MODULE ARGUMENT…` in one process, because imports take most of a stage's time.
CALLS = "import importlib, sys\nfor call in sys.argv[1:]:\n n, *a = call.split()\n importlib.import_module(n).main(*a)"


class Repository:
    """A folder in which commands run with this environment's programs.

    :meth:`run` starts ``python``, ``dvc`` and ``lecdsr``, and DVC its stages, as forks of one process that has
    imported the packages of others; what is started with :attr:`environment` is a plain process, which may be killed.
    """

    def __init__(self, folder: Path, store: Path) -> None:
        self.folder, self.store = folder, store
        #: The user mistake that ended the last :meth:`lecdsr`; None if there was none.
        self.error: BaseException | None = None
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
        """Run a command and return its output and errors; fail if it fails, unless told not to check."""
        done = subprocess.run(
            command,
            cwd=self.folder,
            env={**self.environment, "PATH": search_path(), **environment},
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        assert not check or done.returncode == 0, done.stdout
        assert check or done.returncode != 0, f"expected to fail: {done.stdout}"
        return done.stdout

    def lecdsr(self, *arguments: str, check: bool = True) -> str:
        """Run ``lecdsr`` like :meth:`run`, but in this process, because imports take longer than the work."""
        from lecdsr.cli.main import run

        out = io.StringIO()
        with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(out):
            patch.chdir(self.folder)
            patch.setattr(sys, "argv", ["lecdsr", *arguments])
            for name in os.environ.keys() - self.environment.keys():
                patch.delenv(name)
            for name, value in self.environment.items():
                patch.setenv(name, value)
            for one in (console, stderr):
                patch.setattr(one, "_width", 200)
            with pytest.raises(SystemExit) as ended:
                run()
        self.error = ended.value.__context__
        shown = out.getvalue()
        assert (ended.value.code in (0, None)) == check, shown
        return shown

    def stages_run(self, *command: str) -> set[str]:
        """List the stages that a dvc command really ran: not skipped, not taken from the run cache."""
        lines = self.run(*command).splitlines()
        return {line.split("'")[1] for line in lines if line.startswith("Running stage")}

    def change(self, key: str, value: object) -> None:
        """Set a key of ``params.yaml``, such as ``train.shared.patience``, as `dvc exp run -S` does before it runs."""
        yaml, path = YAML(), self.folder / "params.yaml"
        values = block = yaml.load(path.read_text(encoding="utf-8"))
        *blocks, last = key.split(".")
        for name in blocks:
            block = block.setdefault(name, {})
        block[last] = value
        with open(path, "w", encoding="utf-8") as handle:
            yaml.dump(values, handle)

    def init(self) -> None:
        """Make the folder a Git repository."""
        self.run("git", "init", "-q", "-b", "main")
        self.run("git", "config", "user.name", "tests")
        self.run("git", "config", "user.email", "tests@example.org")

    def commit(self, message: str) -> None:
        self.run("git", "add", "-A")
        self.run("git", "commit", "-q", "--allow-empty", "-m", message)


class Copy(Repository):
    """A copy in which stages are called directly, and whose code runs instead of the installed code."""

    def __init__(self, folder: Path, store: Path) -> None:
        super().__init__(folder, store)
        self.environment["PYTHONPATH"] = os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")])

    def stages(self, *calls: str, **environment: str) -> str:
        """Run stages, each as ``NAME PAIR [MODEL]``, in one process; return their output."""
        return self.run("python", "-c", CALLS, *(f"stages.{call}" for call in calls), **environment)

    def extend(self, name: str, source: str, target: str) -> None:
        """Follow the page of an example: copy its file, and apply its patch if there is one."""
        shutil.copy(self.folder / "examples" / name / source, self.folder / target)
        if (self.folder / "examples" / name / "wiring.patch").exists():
            self.run("git", "apply", f"examples/{name}/wiring.patch")

    def set(self, file: str, **blocks: object) -> None:
        """Set top-level keys of a YAML file; keys of a block are merged."""
        yaml, path = YAML(), self.folder / file
        values = yaml.load(path.read_text(encoding="utf-8"))
        for name, value in blocks.items():
            if isinstance(value, dict):
                values.setdefault(name, {}).update(value)
            else:
                values[name] = value
        with open(path, "w", encoding="utf-8") as handle:
            yaml.dump(values, handle)

    def replace(self, file: str, old: str, new: str) -> None:
        path = self.folder / file
        text = path.read_text(encoding="utf-8")
        assert text.count(old) == 1, f"{old!r} is {text.count(old)} times in {file}"
        path.write_text(text.replace(old, new), encoding="utf-8")


def copy_repository(folder: Path) -> None:
    """List what Git tracks and what is new and not ignored; no data, no lock, no metrics."""
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
    """Make the demo tiny in the file of its pair."""
    yaml, path = YAML(), folder / "pairs" / "demo.yaml"
    pair = yaml.load(path.read_text(encoding="utf-8"))
    for block, values in SMALL["train"].items():
        pair.setdefault("train", {}).setdefault(block, {}).update(values)
    pair["download"] = SMALL["download"]
    with open(path, "w", encoding="utf-8") as file:
        yaml.dump(pair, file)
