"""All that decides a run, as a short hash: settings and seed, the tables read, the code that trains and ranks."""

from __future__ import annotations

import ast
import hashlib
import importlib.metadata
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from lecdsr.core.files import require, sha256_file
from lecdsr.core.paths import Artefacts
from lecdsr.embed.base import MADE_OF
from lecdsr.models.registry import model_names

DOORS = (Path("stages/train.py"), Path("stages/evaluate.py"))
#: Imports every model; of its imports only the model in question decides.
REGISTRY = Path("lecdsr/models/registry.py")
#: Written beside a trained model; decides no number.
CARD = Path("lecdsr/report/model_card.py")
DIGITS = 12


def fingerprint(*parts: Any) -> str:
    """Hash of anything that JSON can hold."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:DIGITS]


def tables(artefacts: Artefacts) -> list[Path]:
    """What training and ranking read of a pair."""
    return [*exact_tables(artefacts), *vector_tables(artefacts)]


def exact_tables(artefacts: Artefacts) -> list[Path]:
    """The tables that are the same bytes on every machine."""
    return [artefacts.items, artefacts.users, artefacts.interactions, artefacts.windows, artefacts.candidates]


def vector_tables(artefacts: Artefacts) -> list[Path]:
    """The tables whose last bits depend on the processor that made them."""
    return [artefacts.item_vectors, artefacts.user_vectors]


def hash_of_data(artefacts: Artefacts) -> str:
    """Hash of the tables of a pair; of vectors, of what they are made of, so that two machines agree on it.

    Raises:
        UserError: one is missing.
    """
    exact = [sha256_file(require(path)) for path in exact_tables(artefacts)]
    return fingerprint(exact + [_origin(path) for path in vector_tables(artefacts)])


def _origin(path: Path) -> str:
    schema = pq.read_schema(require(path))
    made_of = (schema.metadata or {}).get(MADE_OF)
    # Vectors from elsewhere say nothing of it.
    return sha256_file(path) if made_of is None else fingerprint(made_of.decode(), str(schema.remove_metadata()))


def hash_of_code(model: str, root: Path = Path()) -> str:
    """Hash of the code that training and ranking this model run; comments and docstrings do not count.

    Other models do not count either, nor do other versions of anything but PyTorch.
    """
    files = closure([root / door for door in DOORS], root, model)
    read = [(str(path.relative_to(root)), _said(path)) for path in sorted(files)]
    return fingerprint(read, importlib.metadata.version("torch"))


def closure(doors: Sequence[Path], root: Path, model: str) -> set[Path]:
    """The doors, and all files of this project that they import, and so on; of the models only what ``model`` needs."""
    models = {name: root / "lecdsr" / "models" / f"{name}.py" for name in model_names()}
    others = set(models.values()) - {models[model]}
    done: set[Path] = set()
    todo = set(doors)
    while todo:
        file = todo.pop()
        done.add(file)
        found = _imports(file, root) - {root / CARD}
        todo |= (found - others if file == root / REGISTRY else found) - done
    return done - {root / REGISTRY}


def _file_of(module: str, root: Path) -> Path:
    return root.joinpath(*module.split(".")).with_suffix(".py")


def _imports(file: Path, root: Path) -> set[Path]:
    names: list[str] = []
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    places = [root.joinpath(*name.split(".")) for name in names]
    return {file for place in places for file in (place.with_suffix(".py"), place / "__init__.py") if file.is_file()}


def _said(file: Path) -> str:
    """The code of a file without comments and docstrings."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and ast.get_docstring(
            node, clean=False
        ):
            node.body = node.body[1:]
    return ast.dump(tree)
