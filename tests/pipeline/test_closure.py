"""The code that a stage imports is a dependency of the stage, and nothing else is."""

import ast
from pathlib import Path

import pytest
from ruamel.yaml import YAML

ROOT = Path(__file__).parents[2]
STAGES = YAML(typ="safe").load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]


def imported(path: Path) -> set[Path]:
    """Files of this project that a file imports, wherever in it the import stands."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path}: relative import"
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        else:
            continue
        for name in names:
            place = ROOT.joinpath(*name.split("."))
            found |= {file for file in (place.with_suffix(".py"), place / "__init__.py") if file.is_file()}
    return found


def closure(path: Path) -> set[Path]:
    done: set[Path] = set()
    todo = {path}
    while todo:
        file = todo.pop()
        done.add(file)
        todo |= imported(file) - done
    return done


@pytest.mark.parametrize("stage", STAGES)
def test_imports_are_dependencies(stage):
    code = [ROOT / dep for dep in STAGES[stage]["deps"] if dep.startswith(("stages/", "lecdsr"))]
    files = closure(ROOT / "stages" / f"{stage}.py") - {ROOT / "lecdsr" / "__init__.py"}
    missing = sorted(str(file.relative_to(ROOT)) for file in files if not any(file.is_relative_to(dep) for dep in code))
    assert not missing, f"{stage} imports what it does not list: {missing}"
    unused = sorted(str(dep.relative_to(ROOT)) for dep in code if not any(file.is_relative_to(dep) for file in files))
    assert not unused, f"{stage} lists what it does not import: {unused}"


@pytest.mark.parametrize("stage", STAGES)
def test_one_name(stage):
    """The stage, its script and its block in params.yaml have one name; it reads its own block and its pair's."""
    params = YAML(typ="safe").load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    assert stage in params
    assert (ROOT / "stages" / f"{stage}.py").is_file()
    listed = STAGES[stage]["params"]
    names = [name for name in listed if isinstance(name, str)]
    assert any(name.split(".")[0] == stage for name in names)
    (pair,) = [entry for entry in listed if isinstance(entry, dict)]
    ((file, keys),) = pair.items()
    assert file == "pairs/${item.pair}.yaml"
    assert any(key.split(".")[0] == stage for key in keys)
    assert len(STAGES[stage]["desc"]) > 20
