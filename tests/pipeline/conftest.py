"""A built clone that a test may change."""

import shutil

import pytest

from tests.repository import Repository


@pytest.fixture(scope="session")
def clone(built: Repository, tmp_path_factory: pytest.TempPathFactory) -> Repository:
    """Copy the built clone for this process."""
    folder = tmp_path_factory.mktemp("clone")
    for source, name in ((built.folder, "repository"), (built.store, "vectors")):
        shutil.copytree(source, folder / name, symlinks=True)
    return Repository(folder / "repository", folder / "vectors")


@pytest.fixture
def repository(clone: Repository):
    """Provide the clone, and restore it afterwards."""
    yield clone
    clone.run("git", "reset", "-q", "--hard", "main")
    clone.run("git", "clean", "-fdq")
    clone.run("dvc", "checkout", "-q")
