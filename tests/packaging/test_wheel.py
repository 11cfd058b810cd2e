"""The built wheel works in an empty folder outside any clone, and holds what it needs beside code."""

import os
import subprocess
import sys
import sysconfig
import zipfile
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.pipeline.conftest import copy_repository

ROOT = Path(__file__).parents[2]


def run(*command: str, folder: Path) -> str:
    """Run a command outside the clone, with nothing of it on the path."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "LECDSR", "DVC"))}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    if not find_spec("setuptools"):
        pytest.skip("setuptools is not installed")
    folder = tmp_path_factory.mktemp("wheel")
    copy_repository(folder / "copy")
    build = ("wheel", "--quiet", "--no-deps", "--no-index", "--no-build-isolation", "--wheel-dir", str(folder), "copy/")
    run(sys.executable, "-m", "pip", *build, folder=folder)
    (found,) = folder.glob("lecdsr-*.whl")
    return found


@pytest.mark.slow
def test_every_file_of_the_package_is_in_the_wheel(wheel):
    tracked = subprocess.run(["git", "ls-files", "lecdsr"], cwd=ROOT, capture_output=True, text=True, check=True)
    wanted = {name for name in tracked.stdout.splitlines() if not name.endswith(".md")}
    inside = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert inside == wanted
    assert {"lecdsr/py.typed", "lecdsr/__init__.pyi"} <= inside


@pytest.mark.slow
def test_the_interface_outside_a_clone(wheel, tmp_path):
    environment, empty = tmp_path / "environment", tmp_path / "empty"
    empty.mkdir()
    run(sys.executable, "-m", "venv", str(environment), folder=tmp_path)
    python = str(environment / "bin" / "python")
    # The other packages are those of this environment: what is new is lecdsr alone.
    own = Path(run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", folder=empty).strip())
    (own / "shared.pth").write_text(sysconfig.get_path("purelib"))
    run(python, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", str(wheel), folder=empty)
    place = run(python, "-c", "import lecdsr; print(lecdsr.__file__)", folder=empty).strip()
    assert Path(place).is_relative_to(own)
    printed = run(python, str(ROOT / "examples" / "interface.py"), folder=empty)
    assert "ndcg@10" in printed
    assert "spicy-" in printed
    assert {path.name for path in empty.iterdir()} == {"tandem"}
    failed = subprocess.run(
        [python, "-c", "import lecdsr; lecdsr.load_pair('demo')"],
        cwd=empty,
        capture_output=True,
        text=True,
        check=False,
    )
    assert failed.returncode
    assert "root=" in failed.stderr
