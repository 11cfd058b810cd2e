"""Importing the package is fast and has no side effects; its names are loaded at first use."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import lecdsr
from lecdsr.models.registry import find_model, model_names

ROOT = Path(lecdsr.__file__).parent


def run(code: str, folder: Path) -> str:
    command = [sys.executable, "-c", code]
    environment = {"PYTHONPATH": str(ROOT.parent), "PATH": "/usr/bin", "HOME": str(folder)}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


@pytest.mark.slow
def test_importing_loads_nothing_and_changes_nothing(tmp_path):
    code = (
        "import os, sys; before = dict(os.environ); import lecdsr, lecdsr.models; assert dict(os.environ) == before;"
        "heavy = {'torch', 'pandas', 'duckdb', 'pyarrow', 'pydantic', 'rich', 'numpy'} & set(sys.modules);"
        "assert not heavy, heavy; assert 'Dataset' in dir(lecdsr)"
    )
    assert run(code, tmp_path) == ""
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_threads_sleep_once_a_name_is_used(tmp_path):
    code = (
        "import os, lecdsr; lecdsr.Dataset; import sys; assert 'torch' in sys.modules;"
        "print(os.environ['OMP_WAIT_POLICY'])"
    )
    assert run(code, tmp_path).strip() == "passive"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("variable", "value"), [("OMP_WAIT_POLICY", "passive"), ("CUBLAS_WORKSPACE_CONFIG", ":4096:8")]
)
def test_stages_set_the_environment_before_torch_is_loaded(tmp_path, variable, value):
    code = f"import os, sys, stages; assert 'torch' not in sys.modules; print(os.environ['{variable}'])"
    assert run(code, tmp_path).strip() == value


def test_stub_names_what_the_package_has():
    tree = ast.parse((ROOT / "__init__.pyi").read_text())
    names = {alias.asname for node in tree.body if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert names == set(lecdsr.__all__)
    for name in lecdsr.__all__:
        assert getattr(lecdsr, name) is not None


def test_every_model_has_a_class_of_its_name():
    for model in model_names():
        name = find_model(model).recommender.__name__
        made = getattr(lecdsr.models, name)
        assert issubclass(made, lecdsr.Model)
        assert made is getattr(lecdsr.models, name)
        assert made().model == model
        assert name in dir(lecdsr.models)


@pytest.mark.parametrize("name", ["Tanden", "SASREC", "Sasrec", "nothing"])
def test_other_names_are_no_models(name):
    with pytest.raises(AttributeError, match=name):
        getattr(lecdsr.models, name)


def test_models_are_still_modules():
    from lecdsr.models import hgn, tandem

    assert hgn.Settings is not tandem.Settings
