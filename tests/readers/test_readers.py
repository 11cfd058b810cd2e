"""Readers of raw files compared with simple ones written here, on real samples and on unusual files."""

import ast
import csv
import gzip
import html
import json
from collections import Counter
from pathlib import Path

import duckdb
import pytest

from lecdsr.readers.layouts import LAYOUTS, find
from lecdsr.readers.metadata import MetadataReader, clean, records_of_lines
from lecdsr.readers.ratings import create_ratings, read_ratings
from lecdsr.readers.rejected import RejectedLines
from tests.errors import refused

SAMPLES = Path(__file__).parents[3] / "shared" / "data" / "raw-samples"
needs_samples = pytest.mark.skipif(not SAMPLES.exists(), reason=f"no raw samples at {SAMPLES}")


@pytest.fixture
def db():
    with duckdb.connect() as connection:
        yield connection


def ratings(db, path, release):
    create_ratings(db, "r")
    rejected = read_ratings(db, path, LAYOUTS[release], "r")
    rows = db.execute("SELECT asin, reviewer, rating, time FROM r ORDER BY row").fetchall()
    db.execute("DROP TABLE r")
    return rows, rejected


def metadata(path, release, asins):
    """Return items by ASIN, malformed lines, and repeated lines."""
    wanted = {asin: number for number, asin in enumerate(sorted(set(asins)))}
    rejected = RejectedLines(path)
    reading = MetadataReader(wanted, 2000, rejected)
    found = dict(reading.items(records_of_lines(path, LAYOUTS[release], rejected)))
    return {asin: found[number] for asin, number in wanted.items() if number in found}, rejected, reading.repeated


@needs_samples
def test_sample_reviews_equal_a_plain_reader(db):
    path = find(SAMPLES, LAYOUTS[2018].ratings, "Gift_Cards")
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    expected = [(row["asin"], row["reviewerID"], row["overall"], row["unixReviewTime"]) for row in rows]
    found, rejected = ratings(db, path, 2018)
    assert found == expected
    assert len(found) == 2972
    assert (rejected.total, rejected.bad) == (2972, 0)


@needs_samples
def test_sample_metadata_without_loss():
    """Every product of the sample is read, and all its irregularities are handled."""
    path = find(SAMPLES, LAYOUTS[2018].metadata, "Gift_Cards")
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        rows = {row["asin"]: row for row in map(json.loads, lines)}
    items, rejected, repeated = metadata(path, 2018, rows)
    assert (len(items), rejected.total, rejected.bad, repeated) == (1547, 1547, 0, 0)
    # rank is a list or a string, and no column of ours: both kinds of line are read.
    assert Counter(type(row["rank"]).__name__ for row in rows.values()) == {"str": 827, "list": 720}
    with_entities = [asin for asin, row in rows.items() if "&" in row["title"] or "<" in row["title"]]
    assert len(with_entities) == 178
    for asin, row in rows.items():
        item = items[asin]
        assert item.title
        if asin not in with_entities:
            assert item.title == " ".join(row["title"].split())
        # Some products have a category that is nothing but closing tags.
        named = {" ".join(html.unescape(text).split()) for text in row["category"] if not text.startswith("</")}
        assert item.categories == [text for text in dict.fromkeys(item.categories) if text in named]
        assert len(item.categories) == len(named)
        assert bool(item.description) == bool(clean(" ".join(row["description"])))
        for text in (item.title, item.description, item.brand, *item.categories):
            assert "<br" not in text
            assert "&amp;" not in text
            assert "&#" not in text
            assert text == text.strip()


def test_ratings_of_three_releases_are_one_table(db, tmp_path):
    (tmp_path / "ratings_A.csv").write_text("u1,i1,4.0,1000\nu2,i2,5.0,2000\n")
    (tmp_path / "B.csv").write_text("i1,u1,4.0,1000\ni2,u2,5.0,2000\n")
    with gzip.open(tmp_path / "C.csv.gz", "wt") as file:
        file.write("user_id,parent_asin,rating,timestamp\nu1,i1,4.0,1000999\nu2,i2,5.0,2000000\n")
    for release, domain in ((2014, "A"), (2018, "B"), (2023, "C")):
        found, rejected = ratings(db, find(tmp_path, LAYOUTS[release].ratings, domain), release)
        assert found == [("i1", "u1", 4.0, 1000), ("i2", "u2", 5.0, 2000)]
        assert rejected.bad == 0


def test_metadata_of_three_releases_are_one_table(tmp_path):
    old = {"asin": "i1", "title": 'It\'s "5"', "brand": "B", "categories": [["Food", "Tea"]], "description": "D"}
    with gzip.open(tmp_path / "meta_A.json.gz", "wt") as file:
        file.write(f"{old}\n")
    middle = {"asin": "i1", "title": 'It\'s "5"', "brand": "B", "category": ["Food", "Tea"], "description": ["D"]}
    with gzip.open(tmp_path / "meta_B.json.gz", "wt") as file:
        file.write(json.dumps(middle) + "\n")
    new = {"parent_asin": "i1", "title": 'It\'s "5"', "store": "B", "categories": ["Food", "Tea"], "description": ["D"]}
    with gzip.open(tmp_path / "meta_C.jsonl.gz", "wt") as file:
        file.write(json.dumps(new) + "\n")
    assert ast.literal_eval(str(old)) == old
    for release, domain in ((2014, "A"), (2018, "B"), (2023, "C")):
        items, rejected, _ = metadata(find(tmp_path, LAYOUTS[release].metadata, domain), release, ["i1"])
        assert items == {"i1": ('It\'s "5"', "B", ["Food", "Tea"], "D")}
        assert rejected.bad == 0


def test_malformed_ratings_are_set_aside(db, tmp_path):
    lines = ["i1,u1,5.0,1000", "i1,u2", "", "i2,u3,five,1000", "i2,u4,5.0,1000", "i3,u5,5.0,1000,extra", ",u6,5.0,1000"]
    (tmp_path / "A.csv").write_text("\n".join(lines) + "\n")
    found, rejected = ratings(db, tmp_path / "A.csv", 2018)
    assert [row[1] for row in found] == ["u1", "u4"]
    assert rejected.bad == 4  # two columns, a word for a number, five columns, no item; an empty line is none
    assert rejected.total == 6  # the empty line is not counted
    with refused("rejected-lines", tmp_path / "A.csv") as caught:
        rejected.check(tmp_path / "rejected", 0.5)
    assert "4 of 6" in caught.value.what
    listing = (tmp_path / "rejected" / "A.csv.bad.tsv").read_text()
    assert "five" in listing
    assert "extra" in listing
    rejected.check(tmp_path / "rejected", 0.9)


def test_malformed_metadata_is_set_aside_and_the_first_title_counts(tmp_path):
    lines = [
        '{"asin": "i1", "title": ""}',
        '{"asin": "i1", "title": "right"}',
        '{"asin": "i1", "title": "late"}',
        '{"asin": "i2", "tit',
        '{"title": "no asin"}',
        '{"asin": "i3", "title": "var x = (new Date()).getTime();", "category": ["A", "A", "<b>B</b>"]}',
        "[1, 2]",
    ]
    (tmp_path / "meta_A.json").write_text("\n".join(lines) + "\n")
    items, rejected, repeated = metadata(tmp_path / "meta_A.json", 2018, ["i1", "i2", "i3"])
    assert items["i1"].title == "right"
    assert items["i3"] == ("", "", ["A", "B"], "")
    assert "i2" not in items
    assert (rejected.total, rejected.bad, repeated) == (7, 3, 2)


def test_python_metadata_is_never_evaluated(tmp_path):
    witness = tmp_path / "witness"
    (tmp_path / "meta_A.json").write_text(f"{{'asin': 'i1', 'title': open({str(witness)!r}, 'w').write('x')}}\n")
    items, rejected, _ = metadata(tmp_path / "meta_A.json", 2014, ["i1"])
    assert not witness.exists()
    assert items == {}
    assert rejected.bad == 1


def test_truncated_gzip_is_a_clear_error(db, tmp_path):
    whole = gzip.compress("".join(f"i{n},u{n},5.0,1000\n" for n in range(50_000)).encode())
    (tmp_path / "A.csv.gz").write_bytes(whole[: len(whole) // 2])
    with refused("broken-file", tmp_path / "A.csv.gz"):
        ratings(db, tmp_path / "A.csv.gz", 2018)


def test_missing_domain_names_the_files_that_are_there(tmp_path):
    (tmp_path / "Books.csv").write_text("")
    with refused("missing-file", tmp_path) as caught:
        find(tmp_path, LAYOUTS[2018].ratings, "Boks")
    assert all(name in caught.value.what for name in ("'Boks'", "Boks.csv", "Books.csv"))


def test_row_numbers_follow_the_file(db, tmp_path):
    rows = [(f"i{n % 7}", f"u{n}", "5.0", str(n)) for n in range(20_000)]
    with open(tmp_path / "A.csv", "w", newline="") as file:
        csv.writer(file).writerows(rows)
    create_ratings(db, "r")
    read_ratings(db, tmp_path / "A.csv", LAYOUTS[2018], "r")
    assert db.execute("SELECT count(*) FROM r WHERE row <> time").fetchone() == (0,)


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("Tea &amp;amp; Coffee", "Tea & Coffee"),
        ("<b>Bold</b><br/>line", "Bold line"),
        ("5 < 6 and 7 > 3", "5 < 6 and 7 > 3"),
        ("I <3 tea", "I <3 tea"),
        ("<script>var a = 1 < 2;</script>Pan", "Pan"),
        ("a\x00b\r\n\tc", "a b c"),
        ("&lt;i&gt;slanted&lt;/i&gt;", "slanted"),
        ("Crème 茶", "Crème 茶"),
    ],
)
def test_clean(raw, expected):
    assert clean(raw) == expected
