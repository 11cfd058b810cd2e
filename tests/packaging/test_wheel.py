"""The built wheel works in an empty folder outside any clone, and contains all data files it needs."""

import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def run(*command: str, folder: Path) -> str:
    """Run a command outside the clone, without the clone on the path."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "LECDSR", "DVC"))}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def package_files() -> list[str]:
    """List the files of the package, including uncommitted ones."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "lecdsr"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    return [name for name in listed if (ROOT / name).is_file()]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    if not find_spec("setuptools"):
        pytest.skip("setuptools is not installed")
    folder = tmp_path_factory.mktemp("wheel")
    for name in (*package_files(), "pyproject.toml", "README.md", "LICENSE"):
        (folder / "copy" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, folder / "copy" / name)
    build = ("wheel", "--quiet", "--no-deps", "--no-index", "--no-build-isolation", "--wheel-dir", str(folder), "copy/")
    run(sys.executable, "-m", "pip", *build, folder=folder)
    (found,) = folder.glob("lecdsr-*.whl")
    return found


@pytest.mark.slow
def test_every_file_of_the_package_is_in_the_wheel(wheel):
    inside = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert inside == set(package_files())
    assert {"lecdsr/py.typed", "lecdsr/__init__.pyi"} <= inside


@pytest.mark.slow
def test_the_interface_outside_a_clone(wheel, tmp_path):
    environment, empty = tmp_path / "environment", tmp_path / "empty"
    empty.mkdir()
    run(sys.executable, "-m", "venv", "--without-pip", str(environment), folder=tmp_path)
    python = str(environment / "bin" / "python")
    # The other packages are those of this environment: what is new is lecdsr alone.
    own = Path(run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", folder=empty).strip())
    (own / "shared.pth").write_text(sysconfig.get_path("purelib"))
    pip = (sys.executable, "-m", "pip", "--python", python)
    run(*pip, "install", "--quiet", "--no-deps", "--no-index", str(wheel), folder=empty)
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
