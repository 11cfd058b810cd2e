"""Names of runs change exactly if something changes that affects their results."""

import ast
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lecdsr.core.files import write_table
from lecdsr.core.paths import Artefacts
from lecdsr.embed.base import to_table
from lecdsr.experiments.fingerprint import (
    code_files,
    dump,
    exact_tables,
    fingerprint,
    hash_of_code,
    hash_of_data,
    tables,
    vector_tables,
)
from lecdsr.models.registry import model_names
from tests.errors import refused

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    folder = tmp_path_factory.mktemp("code")
    for name in ("lecdsr", "stages"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


@pytest.fixture(scope="module")
def before(copy):
    """Return the hashes of two models in the unchanged copy."""
    return [hash_of_code(model, copy) for model in ("sasrec", "popularity")]


@pytest.fixture
def changed(copy):
    """Return the hashes of two models after text was added to a file."""

    def hashes(name: str, text: str):
        path = copy / name
        before = path.read_text(encoding="utf-8")
        path.write_text(before + text, encoding="utf-8")
        try:
            return [hash_of_code(model, copy) for model in ("sasrec", "popularity")]
        finally:
            path.write_text(before, encoding="utf-8")

    return hashes


CODE = "\nSOMETHING = 1\n"
NAMES = {
    "lecdsr/models/sasrec.py": (True, False),
    "lecdsr/models/layers/attention.py": (True, False),
    "lecdsr/models/popularity.py": (False, True),
    "lecdsr/models/hgn.py": (False, False),
    "lecdsr/train/trainer.py": (True, True),
    "lecdsr/evaluate/ranks.py": (True, True),
    "stages/evaluate.py": (True, True),
    "lecdsr/experiments/runner.py": (False, False),
    "lecdsr/experiments/plan.py": (False, False),
    "lecdsr/report/html.py": (False, False),
    "lecdsr/report/model_card.py": (False, False),
    "lecdsr/evaluate/beyond.py": (False, False),
    "lecdsr/evaluate/lists.py": (False, False),
    "lecdsr/core/memory.py": (False, False),
    "lecdsr/train/memory_estimate.py": (False, False),
    "lecdsr/train/live_memory.py": (False, False),
}


@pytest.mark.parametrize("name", NAMES)
def test_code_that_decides(before, changed, name):
    after = changed(name, CODE)
    assert tuple(a != b for a, b in zip(before, after, strict=True)) == NAMES[name]


WORDS = {
    "comment": ("lecdsr/train/trainer.py", lambda text: text + "\n# A comment.\n"),
    "docstring": ("lecdsr/models/sasrec.py", lambda text: text.replace('"""SASRec (', '"""The SASRec (', 1)),
    "message": ("lecdsr/models/layers/text.py", lambda text: text.replace("needs vectors", "wants vectors", 1)),
    "contract": (
        "lecdsr/models/sasrec.py",
        lambda text: text.replace("contract = Contract(", "contract = Contract(0, ", 1),
    ),
    "description": ("lecdsr/models/base.py", lambda text: text.replace('description="', 'description="Really: ', 1)),
}


@pytest.mark.parametrize("kind", WORDS)
def test_words_decide_nothing(copy, before, kind):
    name, change = WORDS[kind]
    path = copy / name
    text = path.read_text(encoding="utf-8")
    assert change(text) != text
    path.write_text(change(text), encoding="utf-8")
    assert [hash_of_code(model, copy) for model in ("sasrec", "popularity")] == before
    path.write_text(text, encoding="utf-8")


@pytest.mark.parametrize("model", model_names())
def test_every_model_has_its_own_file_in_the_closure(model):
    files = {str(path) for path in code_files(model, Path())}
    assert f"lecdsr/models/{model}.py" in files
    assert {"lecdsr/train/trainer.py", "lecdsr/evaluate/evaluate.py", "lecdsr/evaluate/metrics.py"} <= files


def write_vectors(path, value=0.5, made_of="texts", width=2):
    table = to_table(np.full((4, width), value, np.float32), made_of)
    write_table(path, table, table.schema)


def write_rows(path, value, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table({"name": [value, None], "ids": [[1], [2, 3]]}), path, **options)


def test_how_a_table_is_written_decides_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    artefacts = Artefacts("toy")
    for path in vector_tables(artefacts):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_vectors(path)
    hashes = set()
    for options in ({}, {"compression": "zstd", "row_group_size": 1, "store_schema": False}):
        for path in exact_tables(artefacts):
            write_rows(path, "a", **options)
        hashes.add(hash_of_data(artefacts))
    assert len(hashes) == 1


def test_the_last_bits_of_vectors_decide_nothing_unless_nobody_knows_what_they_are_made_of(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    artefacts = Artefacts("toy")
    for path in tables(artefacts):
        write_rows(path, "a table")
    for path in vector_tables(artefacts):
        write_vectors(path)
    here = hash_of_data(artefacts)
    for path in vector_tables(artefacts):
        write_vectors(path, value=0.5000001)
    assert hash_of_data(artefacts) == here
    hashes = {here}
    for value in (0.5, 0.5000001):
        rows = to_table(np.full((4, 2), value, np.float32), "").replace_schema_metadata(None)
        write_table(artefacts.item_vectors, rows, rows.schema)
        hashes.add(hash_of_data(artefacts))
    assert len(hashes) == 3


def test_data(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    artefacts = Artefacts("toy")
    exact = exact_tables(artefacts)
    for path in exact:
        write_rows(path, path.name)
    for path in vector_tables(artefacts):
        write_vectors(path)
    hashes = {hash_of_data(artefacts)}
    assert hash_of_data(artefacts) in hashes
    for path in exact:
        write_rows(path, "other")
        hashes.add(hash_of_data(artefacts))
    for path in vector_tables(artefacts):
        write_vectors(path, made_of="other texts")
        hashes.add(hash_of_data(artefacts))
        write_vectors(path, made_of="other texts", width=3)
        hashes.add(hash_of_data(artefacts))
    assert len(hashes) == 1 + len(exact) + 2 * 2
    artefacts.candidates.unlink()
    with refused("missing-file", artefacts.candidates):
        hash_of_data(artefacts)


def test_fingerprint():
    assert fingerprint({"a": 1, "b": 2}) == fingerprint({"b": 2, "a": 1})
    assert len({fingerprint(value) for value in ({"a": 1}, {"a": 1.5}, {"a": "1"}, [1], None)}) == 5


def test_the_tree_of_code_has_one_text_under_every_version_of_python():
    """Python 3.12 added the field ``type_params``, and 3.13 leaves empty lists out of ``ast.dump``."""
    assert dump(ast.parse("def f(a=None): return [-a, 1.5, 'b']\n")) == (
        "Module(body=[FunctionDef(name='f', args=arguments(args=[arg(arg='a')], defaults=[Constant()]), "
        "body=[Return(value=List(elts=[UnaryOp(op=USub(), operand=Name(id='a', ctx=Load())), Constant(value=1.5), "
        "Constant(value='b')], ctx=Load()))])])"
    )
