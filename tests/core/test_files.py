"""Files are complete or absent; the same table gives the same bytes; errors name the broken file."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lecdsr.core.files import (
    atomic_path,
    read_json,
    read_table,
    require,
    sha256_file,
    write_json,
    write_table,
    write_text,
)
from lecdsr.core.schemas import CANDIDATES, vectors
from tests.errors import refused

SCHEMA = pa.schema([("id", pa.int32()), ("name", pa.string()), ("numbers", pa.list_(pa.int32()))])


def table(rows: int = 5) -> pa.Table:
    columns = {
        "id": np.arange(rows),
        "name": [f"name {i}" if i % 3 else None for i in range(rows)],
        "numbers": [list(range(i % 4)) for i in range(rows)],
    }
    return pa.table(columns).cast(SCHEMA)


def test_an_exception_leaves_the_old_file_and_no_other(tmp_path):
    path = tmp_path / "a.txt"
    write_text(path, "old")

    def write():
        with atomic_path(path) as temporary:
            temporary.write_text("half of the n")
            raise KeyError

    with pytest.raises(KeyError):
        write()
    assert path.read_text() == "old"
    assert [file.name for file in tmp_path.iterdir()] == ["a.txt"]


def test_an_exception_before_the_first_byte(tmp_path):
    with pytest.raises(KeyError), atomic_path(tmp_path / "new" / "a.txt"):
        raise KeyError
    assert list((tmp_path / "new").iterdir()) == []


def test_the_old_file_stays_until_the_new_one_is_whole(tmp_path):
    path = tmp_path / "deep" / "er" / "a.txt"
    write_text(path, "old")
    with atomic_path(path) as temporary:
        temporary.write_text("new")
        assert temporary.parent == path.parent  # one file system, so that the renaming is atomic
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert [file.name for file in path.parent.iterdir()] == ["a.txt"]


def test_a_table_that_cannot_be_written_leaves_the_old_one(tmp_path, monkeypatch):
    path = tmp_path / "t.parquet"
    write_table(path, table(), SCHEMA)
    before = path.read_bytes()

    def fail(*_, **__):
        raise OSError("no space left")

    monkeypatch.setattr(pq.ParquetWriter, "write_table", fail)
    with pytest.raises(OSError, match="no space"):
        write_table(path, table(9), SCHEMA)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["t.parquet"]


def test_same_table_same_bytes(tmp_path):
    whole = table(1000)
    pieces = pa.concat_tables([whole.slice(0, 10), whole.slice(10, 700), whole.slice(710)])
    described = whole.replace_schema_metadata({"written": "today"})
    wide = whole.set_column(0, "id", whole["id"].cast(pa.int64()))
    for number, variant in enumerate((whole, pieces, described, wide)):
        write_table(tmp_path / str(number), variant, SCHEMA)
    assert len({(tmp_path / str(number)).read_bytes() for number in range(4)}) == 1
    write_table(tmp_path / "other", whole.slice(1), SCHEMA)
    assert sha256_file(tmp_path / "other") != sha256_file(tmp_path / "0")


def test_a_table_comes_back_as_it_was(tmp_path):
    path = tmp_path / "t.parquet"
    write_table(path, table(), SCHEMA)
    assert read_table(path, SCHEMA).equals(table())
    assert read_table(path, SCHEMA, ["name"]).equals(table().select(["name"]))
    assert read_table(path, SCHEMA).schema == SCHEMA
    write_table(path, table(0), SCHEMA)
    assert len(read_table(path, SCHEMA)) == 0


def test_vectors_come_back_bit_for_bit(tmp_path):
    schema = vectors(3)
    rows = np.random.default_rng(0).standard_normal((4, 3)).astype(np.float32)
    column = pa.FixedSizeListArray.from_arrays(pa.array(rows.ravel()), 3)
    written = pa.table([pa.array(np.arange(4), pa.int32()), pa.array([True] * 4), column], schema=schema)
    write_table(tmp_path / "v", written, schema)
    read = read_table(tmp_path / "v", schema)
    assert read["vector"].chunk(0).values.to_numpy().tobytes() == rows.tobytes()


@pytest.mark.parametrize(
    "wrong",
    [table().drop_columns(["name"]), table().select(["name", "id", "numbers"]), table().append_column("x", [[0] * 5])],
)
def test_wrong_columns_are_not_written(tmp_path, wrong):
    with pytest.raises(ValueError, match="expected"):
        write_table(tmp_path / "t", wrong, SCHEMA)
    assert list(tmp_path.iterdir()) == []


def test_values_that_do_not_fit_the_type_are_not_written(tmp_path):
    wrong = table().set_column(0, "id", [[2**40] * 5])
    with pytest.raises(pa.ArrowInvalid):
        write_table(tmp_path / "t", wrong, SCHEMA)
    assert list(tmp_path.iterdir()) == []


def test_wrong_columns_are_not_read(tmp_path):
    path = tmp_path / "t.parquet"
    write_table(path, table(), SCHEMA)
    with refused("wrong-columns", path):
        read_table(path, CANDIDATES)
    with refused("broken-file", path):
        read_table(path, SCHEMA, ["nothing"])


def test_broken_parquet(tmp_path):
    path = tmp_path / "t.parquet"
    write_table(path, table(1000), SCHEMA)
    whole = path.read_bytes()
    for text in (b"", b"PAR1", b"no parquet at all", whole[: len(whole) // 2], whole[:-1]):
        path.write_bytes(text)
        with refused("broken-file", path) as caught:
            read_table(path, SCHEMA)
        assert "dvc repro" in caught.value.do


def test_missing_files(tmp_path):
    for read in (lambda path: read_table(path, SCHEMA), read_json, require):
        with refused("missing-file", tmp_path / "nothing"):
            read(tmp_path / "nothing")


def test_json_comes_back_in_order(tmp_path):
    value = {"z": 1, "a": {"é": [1.5, None, True]}}
    write_json(tmp_path / "j", value)
    assert read_json(tmp_path / "j") == value
    assert list(read_json(tmp_path / "j")) == ["z", "a"]
    assert "é" in (tmp_path / "j").read_text(encoding="utf-8")


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_json_without_nan(tmp_path, number):
    write_json(tmp_path / "j", {"a": 1})
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "j", {"a": {"b": number}})
    assert read_json(tmp_path / "j") == {"a": 1}


@pytest.mark.parametrize("text", [b"", b"{", b"{'a': 1}", b"\xff\xfe\x00", b"[1, 2]", b"3"])
def test_broken_json(tmp_path, text):
    (tmp_path / "j").write_bytes(text)
    with refused("broken-file", tmp_path / "j"):
        read_json(tmp_path / "j")


def test_sha256(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    assert sha256_file(tmp_path / "a") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
