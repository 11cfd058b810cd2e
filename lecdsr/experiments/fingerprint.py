"""Fingerprint of a run: a short hash of its settings, its seed, the tables it reads, and the code that runs."""

from __future__ import annotations

import ast
import hashlib
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from lecdsr.core.files import require, sha256_file
from lecdsr.core.paths import Artefacts
from lecdsr.embed.base import MADE_OF

STAGES = (Path("stages/train.py"), Path("stages/evaluate.py"))
#: Modules that change neither a trained model nor a rank: the model card, the metrics of lists, the memory that is
#: estimated, measured and released, and the version.
NO_RESULT = frozenset(
    Path(f"lecdsr/{name}.py")
    for name in (
        "__init__", "report/model_card", "evaluate/beyond", "evaluate/lists",
        "core/memory", "train/memory_estimate", "train/live_memory",
    )
)  # fmt: skip
DIGITS = 12


def fingerprint(*parts: Any) -> str:
    """Hash any JSON value to a short hexadecimal string."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:DIGITS]


def tables(artefacts: Artefacts) -> list[Path]:
    """List the tables that training and ranking read."""
    return [*exact_tables(artefacts), *vector_tables(artefacts)]


def exact_tables(artefacts: Artefacts) -> list[Path]:
    """List the tables that have the same bytes on every machine."""
    sequences = [artefacts.items, artefacts.users, artefacts.interactions, artefacts.windows]
    return [*sequences, artefacts.candidates, artefacts.profiles]


def vector_tables(artefacts: Artefacts) -> list[Path]:
    """List the tables whose last bits depend on the processor that computed them."""
    return [artefacts.item_vectors, artefacts.phrase_vectors]


def hash_of_data(artefacts: Artefacts) -> str:
    """Hash the tables of a pair; vectors by their encoder and texts, so that two machines get the same hash.

    Raises:
        UserError: a table is missing.
    """
    exact = [_content(require(path)) for path in exact_tables(artefacts)]
    return fingerprint(exact + [_origin(path) for path in vector_tables(artefacts)])


def _content(path: Path) -> str:
    """Hash the rows of a table, since the bytes of a Parquet file depend on the version of pyarrow that wrote it."""
    table, sink = pq.read_table(path).replace_schema_metadata(None), pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        for batch in table.combine_chunks().to_batches():
            stream.write_batch(batch)
    return hashlib.sha256(sink.getvalue()).hexdigest()


def _origin(path: Path) -> str:
    schema = pq.read_schema(require(path))
    made_of = (schema.metadata or {}).get(MADE_OF)
    # Vectors from other tools do not record how they were made, so hash their bytes.
    return sha256_file(path) if made_of is None else fingerprint(made_of.decode(), str(schema.remove_metadata()))


def hash_of_code(model: str, root: Path = Path()) -> str:
    """Hash the code that trains and ranks with this model, without comments, docstrings and messages.

    Other models do not count, nor do the versions of Python, PyTorch and other packages: a run made on another machine
    has the same name. The version of PyTorch is recorded with the run.
    """
    return fingerprint([(str(path.relative_to(root)), _code(path)) for path in sorted(code_files(model, root))])


def code_files(model: str, root: Path) -> set[Path]:
    """Find the project's files that training and ranking with a model import, directly or indirectly."""
    done: set[Path] = set()
    todo = {root / stage for stage in STAGES} | {root / "lecdsr" / "models" / f"{model}.py"}
    while todo:
        file = todo.pop()
        done.add(file)
        todo |= imported_files(file, root) - done - {root / path for path in NO_RESULT}
    return done


def imported_files(file: Path, root: Path) -> set[Path]:
    """Files of the project at ``root`` that a file imports by absolute imports, anywhere in it."""
    names: list[str] = []
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    places = [root.joinpath(*name.split(".")) for name in names]
    return {file for place in places for file in (place.with_suffix(".py"), place / "__init__.py") if file.is_file()}


#: Calls that print or raise a message, whose wording changes no result.
MESSAGES = frozenset({"UserError", "SettingsError", "DataError", "ValueError", "say", "warn", "summary"})


def _code(file: Path) -> str:
    """Dump a file's syntax tree without comments, docstrings, messages, descriptions of settings and test variants."""
    return dump(_WithoutWords().visit(ast.parse(file.read_text(encoding="utf-8"))))


def dump(node: object) -> str:
    """Format a syntax tree as text that is the same under every version of Python.

    ``ast.dump`` is not: 3.12 added a field, and 3.13 leaves out empty lists.
    """
    if isinstance(node, ast.AST):
        given = [f"{name}={dump(value)}" for name, value in ast.iter_fields(node) if value is not None and value != []]
        return f"{type(node).__name__}({', '.join(given)})"
    if isinstance(node, list):
        return f"[{', '.join(map(dump, node))}]"
    return repr(node)


class _WithoutWords(ast.NodeTransformer):
    """Transformer that removes text meant for readers from a syntax tree."""

    def generic_visit(self, node: ast.AST) -> ast.AST:
        super().generic_visit(node)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and ast.get_docstring(
            node, clean=False
        ):
            node.body = node.body[1:]
        if isinstance(node, ast.ClassDef):  # settings of the contract tests change no result
            node.body = [part for part in node.body if not _assigns(part, "contract")]
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            if node.func.id in MESSAGES:
                node.args, node.keywords = [], []
            elif node.func.id == "Field":
                node.keywords = [keyword for keyword in node.keywords if keyword.arg != "description"]
        return node


def _assigns(node: ast.stmt, name: str) -> bool:
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
    return any(isinstance(target, ast.Name) and target.id == name for target in targets)
