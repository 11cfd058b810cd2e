"""Hostile files give a counted malformed line or a clear error, and never use unbounded memory."""

import contextlib
import gzip
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

from lecdsr.core.errors import UserError
from lecdsr.core.paths import Artefacts, check_pair_name
from tests.errors import refused
from tests.readers.test_readers import metadata, ratings

GOOD = "i1,u1,5.0,1000\n"


@pytest.fixture
def db():
    with duckdb.connect() as connection:
        yield connection


@pytest.mark.parametrize(
    "line",
    [
        "i2,u2",
        "i2,u2,5.0",
        "i2,u2,5.0,1000,more",
        "i2,u2,five,1000",
        "i2,u2,5.0,yesterday",
        "i2,u2,5.0,99999999999999999999999",
        "i2,u2,5.0,1600000000",  # after the last year of the release 2018
        "i2,u2,5.0,-1",
        "i2,u2,nan,1000",
        "i2,u2,inf,1000",
        ",u2,5.0,1000",
        "i2,,5.0,1000",
    ],
)
def test_a_bad_line_of_ratings_is_counted_and_its_neighbours_are_read(db, tmp_path, line):
    path = tmp_path / "A.csv"
    path.write_text(f"{GOOD}{line}\ni3,u3,4.0,2000\n")
    found, rejected = ratings(db, path, 2018)
    assert (found, rejected.bad) == ([("i1", "u1", 5.0, 1000), ("i3", "u3", 4.0, 2000)], 1)
    assert rejected.lines[0][2]


@pytest.mark.parametrize(
    "name", ["a b", "a\tb", 'a"b', '"ab"', "ü", "茶", "🙂", "l" * 10_000, "a'b", "a;b", "../x", "%s{}"]
)
def test_odd_ids_are_read_as_they_are(db, tmp_path, name):
    path = tmp_path / "A.csv"
    path.write_text(f"{GOOD}{name},{name},4.0,2000\n{GOOD}", encoding="utf-8")
    found, rejected = ratings(db, path, 2018)
    assert (found[1:], rejected.bad) == ([(name, name, 4.0, 2000), ("i1", "u1", 5.0, 1000)], 0)


@pytest.mark.parametrize("spoilt", [b"i2,u\x002,5.0,1000\n", b"i2,u\xff\xfe,5.0,1000\n"], ids=["NUL", "not UTF-8"])
def test_bytes_that_are_no_text(db, tmp_path, spoilt):
    path = tmp_path / "A.csv"
    path.write_bytes(GOOD.encode() + spoilt + b"i3,u3,4.0,2000\n")
    with contextlib.suppress(UserError):  # which says that it cannot be read; nothing is read wrongly
        found, rejected = ratings(db, path, 2018)
        assert found[0] == ("i1", "u1", 5.0, 1000)
        assert found[-1] == ("i3", "u3", 4.0, 2000)
        assert len(found) + rejected.bad == 3


def test_windows_line_ends(db, tmp_path):
    (tmp_path / "A.csv").write_bytes(b"i1,u1,5.0,1000\r\ni2,u2,4.0,2000\r\n")
    assert ratings(db, tmp_path / "A.csv", 2018)[0] == [("i1", "u1", 5.0, 1000), ("i2", "u2", 4.0, 2000)]


@pytest.mark.parametrize("name", ["A.csv", "A.csv.gz", "A.json.gz"])
def test_bytes_of_chance_are_a_clear_error_or_bad_lines(db, tmp_path, name):
    path = tmp_path / name
    path.write_bytes(bytes(range(1, 256)) * 40)

    def read():
        _, rejected = ratings(db, path, 2018)
        rejected.check(tmp_path / "rejected", 0.01)

    with pytest.raises(UserError) as caught:
        read()
    assert caught.value.where == str(path)


def test_an_empty_file_is_told(db, tmp_path):
    (tmp_path / "A.csv").write_text("")
    with refused("empty-file", tmp_path / "A.csv"):
        ratings(db, tmp_path / "A.csv", 2018)[1].check(tmp_path / "rejected", 0.5)


@pytest.mark.parametrize(
    "line",
    [
        '{"asin": "i2", "title": "cut',
        '{"title": "no id"}',
        '{"asin": 7, "title": "a number"}',
        '{"asin": "", "title": "empty"}',
        "[]",
        "null",
        "[" * 100_000,
        '{"asin": "i2\x00"}',
        "\x00\x00",
    ],
)
def test_a_bad_line_of_metadata_is_counted_and_its_neighbours_are_read(tmp_path, line):
    path = tmp_path / "meta_A.json"
    good = '{{"asin": "{}", "title": "T"}}\n'
    path.write_text(good.format("i1") + line + "\n" + good.format("i3"))
    items, rejected, _ = metadata(path, 2018, ["i1", "i2", "i3"])
    assert (set(items), rejected.bad, rejected.total) == ({"i1", "i3"}, 1, 3)


def test_metadata_cut_short_is_a_clear_error(tmp_path):
    path = tmp_path / "meta_A.json.gz"
    whole = gzip.compress(b"".join(b'{"asin": "i%d", "title": "T"}\n' % n for n in range(20_000)))
    path.write_bytes(whole[: len(whole) // 2])
    with refused("broken-file", path):
        metadata(path, 2018, ["i1"])


LONG = """
import sys
from pathlib import Path
import duckdb
from lecdsr.core.errors import UserError
from lecdsr.core.memory import peak_memory
from tests.readers.test_readers import metadata, ratings
path = Path(sys.argv[1])
with duckdb.connect(config={"memory_limit": "500MB"}) as db:
    try:
        if path.name.startswith("meta_"):
            items, rejected, _ = metadata(path, 2018, ["i1", "i3"])
            good = len(items)
        else:
            found, rejected = ratings(db, path, 2018)
            good = len(found)
        print(good, rejected.bad, end=" ")
    except (UserError, duckdb.OutOfMemoryException):  # the latter is made the former where the stage connects
        print("error", "error", end=" ")
print(peak_memory() >> 20)
"""


@pytest.mark.slow
@pytest.mark.parametrize("name", ["A.csv.gz", "A.json.gz", "meta_A.json.gz"])
def test_a_line_of_a_gigabyte_is_bad_or_an_error_within_little_memory(tmp_path, name):
    path = tmp_path / name
    first, last = {
        "A.csv.gz": (b"i1,u1,5.0,1000\n", b"i3,u3,4.0,2000\n"),
        "A.json.gz": tuple(
            b'{"asin": "i%d", "reviewerID": "u", "overall": 5, "unixReviewTime": 9}\n' % n for n in (1, 3)
        ),
        "meta_A.json.gz": (b'{"asin": "i1", "title": "T"}\n', b'{"asin": "i3", "title": "T"}\n'),
    }[name]
    with gzip.open(path, "wb", compresslevel=1) as file:
        file.write(first)
        for _ in range(1024):
            file.write(b"a" * (1 << 20))
        file.write(b"\n" + last)
    command = [sys.executable, "-c", LONG, str(path)]
    done = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=True)
    good, bad, megabytes = done.stdout.split()[-3:]  # on a slow machine DuckDB prints a progress bar before them
    # Of a CSV, DuckDB passes over such a line without a word; the download has refused the file by then.
    assert (good, bad) in {("2", "1"), ("error", "error"), ("2", "0")} - ({("2", "0")} if ".json" in name else set())
    assert int(megabytes) < 1024


@pytest.mark.parametrize("name", ["../x", "..", "a/b", "/tmp/x", "", "A", "a b", "a\n", ".a"])
def test_a_pair_name_never_leads_out_of_its_folder(name):
    for use in (check_pair_name, Artefacts):
        with refused("wrong-pair-name"):
            use(name)
