"""The tiny demo, built once by dvc for all tests and all processes that run them."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from filelock import FileLock

from tests.repository import Copy, Repository, copy_repository, shrink


def once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], None]) -> Path:
    """Let the first process that asks create a folder, and share it with all processes of this test run.

    Args:
        factory: pytest's fixture ``tmp_path_factory``.
        name: Name of the folder.
        make: Fills the new, empty folder.

    Returns:
        The folder, which tests only read.
    """
    base = factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        base = base.parent  # each worker has its own folder in that of the run
    folder, made = base / name, base / f"{name}.made"
    with FileLock(base / f"{name}.lock"):
        if not made.exists():
            shutil.rmtree(folder, ignore_errors=True)  # another process failed to make it
            folder.mkdir()
            make(folder)
            made.touch()
    return folder


def build(folder: Path) -> None:
    """Clone the repository and run `dvc repro`, in ``folder``/repository; vectors go to ``folder``/vectors."""
    repository = Repository(folder / "repository", folder / "vectors")
    repository.folder.mkdir()
    copy_repository(repository.folder)
    shrink(repository.folder)
    repository.init()
    repository.commit("as cloned")
    repository.run("dvc", "repro")
    repository.commit("built")


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    """A clone in which `dvc repro` has run once and everything is committed; read-only."""
    folder = once(tmp_path_factory, "built", build)
    return Repository(folder / "repository", folder / "vectors")


@pytest.fixture(scope="session")
def prepared(built: Repository, tmp_path_factory: pytest.TempPathFactory) -> Copy:
    """The content of the clone without Git and without DVC's cache and lock; read-only."""

    def make(folder: Path) -> None:
        left_out = shutil.ignore_patterns(".git", "cache", "tmp", "dvc.lock")
        shutil.copytree(built.folder, folder, dirs_exist_ok=True, ignore=left_out)

    return Copy(once(tmp_path_factory, "prepared", make), built.store)


@pytest.fixture
def copy(prepared: Copy, tmp_path: Path) -> Copy:
    """A copy of this content that a test may change."""
    folder = tmp_path / "repository"
    shutil.copytree(prepared.folder, folder)
    changed = Copy(folder, tmp_path / "vectors")
    changed.environment["LECDSR_LLM_STORE"] = str(tmp_path / "answers")
    return changed
