"""A stage's dependencies are exactly the code that it imports."""

import ast
import functools
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from lecdsr.config.names import model_names, stage_names
from lecdsr.experiments.fingerprint import imported_files

ROOT = Path(__file__).parents[2]
STAGES = YAML(typ="safe").load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
MODEL = "${item.model}"
#: A stage, and the model that it runs where it runs once for each.
CASES = [
    (stage, model)
    for stage, entry in STAGES.items()
    for model in (model_names() if "model" in entry["matrix"] else [""])
]


@functools.cache
def imported(path: Path) -> frozenset[Path]:
    """Files of this project that a file imports, wherever in it the import stands."""
    return frozenset(imported_files(path, ROOT))


def test_no_import_is_relative():
    """The closure and the fingerprint of a run follow absolute imports only."""
    for path in (*(ROOT / "lecdsr").rglob("*.py"), *(ROOT / "stages").glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            assert not isinstance(node, ast.ImportFrom) or node.level == 0, path


def by_name(stage: str, model: str) -> set[Path]:
    """List the files that a stage imports by name: ``settings`` all stages and models, ``train`` its model."""
    if model:
        return {ROOT / "lecdsr" / "models" / f"{model}.py"}
    if stage == "settings":
        settings = {ROOT / "lecdsr" / name / "settings.py" for name in stage_names()}
        return settings | {ROOT / "lecdsr" / "models" / f"{name}.py" for name in model_names()}
    return set()


def closure(files: set[Path]) -> set[Path]:
    done: set[Path] = set()
    todo = set(files)
    while todo:
        file = todo.pop()
        done.add(file)
        todo |= imported(file) - done
    return done


def relative(files: set[Path]) -> list[str]:
    return sorted(str(file.relative_to(ROOT)) for file in files)


def imports_of(stage: str, model: str) -> set[Path]:
    """List all project files that a stage runs with a model; packages have no code of their own."""
    files = closure({ROOT / "stages" / f"{stage}.py"} | by_name(stage, model))
    return {file for file in files if file.name != "__init__.py" or file.parents[1] not in (ROOT, ROOT / "lecdsr")}


def listed(stage: str, model: str) -> set[Path]:
    deps = (dep.replace(MODEL, model) for dep in STAGES[stage]["deps"])
    return {ROOT / dep for dep in deps if dep.startswith(("stages/", "lecdsr"))}


@pytest.mark.parametrize(("stage", "model"), CASES)
def test_imports_are_dependencies(stage, model):
    code = listed(stage, model)
    missing = {file for file in imports_of(stage, model) if not any(file.is_relative_to(dep) for dep in code)}
    assert not missing, f"{stage} imports what it does not list: {relative(missing)}"


@pytest.mark.parametrize("stage", STAGES)
def test_dependencies_are_imports(stage):
    models = [model for name, model in CASES if name == stage]
    files = {file for model in models for file in imports_of(stage, model)}
    code = {dep for model in models for dep in listed(stage, model)}
    unused = {dep for dep in code if not any(file.is_relative_to(dep) for file in files)}
    assert not unused, f"{stage} lists what it does not import: {relative(unused)}"


def test_packages_hold_no_code():
    """Importing one module of a package must not run another one that no stage lists."""
    for path in (ROOT / "lecdsr").glob("*/__init__.py"):
        allowed = (ast.Expr, ast.FunctionDef) if path.parent.name == "models" else (ast.Expr,)
        body = ast.parse(path.read_text(encoding="utf-8")).body
        assert all(isinstance(node, (*allowed, ast.ImportFrom)) for node in body), path
        assert not imported(path), path


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_reads_its_own_settings(stage):
    """A stage, its script and its settings have one name; training reads those of its model."""
    entry = STAGES[stage]
    assert (ROOT / "stages" / f"{stage}.py").is_file()
    assert entry["desc"]
    read = [dep for dep in entry["deps"] if dep.startswith("data/${item.pair}/settings")]
    if stage == "settings":
        assert entry["outs"] == ["data/${item.pair}/settings"]
        assert [*entry["params"][0]] == ["params.yaml"]
        assert "pairs" in entry["deps"]
        return
    name = f"{stage}/{MODEL}" if stage in ("train", "refit") else stage
    assert read == [f"data/${{item.pair}}/settings/{name}.json"]
    assert "params" not in entry
    assert stage in (*stage_names(), "refit")  # whose setting is in the block of train
