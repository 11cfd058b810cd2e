"""Texts from a table: what is matched, what is counted, what is refused."""

import datetime
import gzip
import hashlib
import re
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest
from ruamel.yaml import YAML

from lecdsr.ask.metrics import table_metrics
from lecdsr.ask.settings import Settings
from lecdsr.ask.table import LONGEST, PairTables, answers_from_tables
from lecdsr.config.load import check_values, load_block, load_pair
from lecdsr.core.files import sha256_file, write_table
from lecdsr.core.schemas import ANSWERS
from lecdsr.prompts.profile import parse_profile
from tests.errors import refused
from tests.prompts import prompt_tables

DOMAINS = ("Grocery_and_Gourmet_Food", "Home_and_Kitchen")
ROOT = Path(__file__).parents[2]
DATA = ROOT.parent / "shared" / "data" / "food-kitchen"
PROFILE = {"user": ["r1", "r0", "r1", "r9"], "as_of": [30, 20, 10, 5]}
ANSWER = PROFILE | {"answer": ["late", "other", "early", "unknown"]}


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def pair():
    """Three items, of which A1 is in both domains, and three users with interactions from time 10 on."""
    items = prompt_tables.items(
        [
            {**prompt_tables.item(number, domain), "asin": asin}
            for number, (domain, asin) in enumerate([(0, "A0"), (0, "A1"), (1, "A1"), (1, "A2")])
        ]
    )
    bought = prompt_tables.interactions([(user, 0, 0, 0) for user in (0, 0, 1, 1, 2)])
    bought = bought.set_column(3, "time", pa.array([10, 20, 30, 40, 50], pa.int64()))
    return PairTables(items, prompt_tables.users(3), bought, DOMAINS)


def write(name, columns, **options):
    """Write a table in the format that its name tells, and return its settings."""
    table = pa.table(columns)
    if name.endswith(".parquet"):
        pq.write_table(table, name)
    else:
        text = pa.BufferOutputStream()
        pacsv.write_csv(table, text, pacsv.WriteOptions(delimiter="\t" if ".tsv" in name else ","))
        content = text.getvalue().to_pybytes()
        Path(name).write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    return {"path": name, "sha256": sha256_file(Path(name)), **options}


def found(pair, **blocks):
    return answers_from_tables(check_values(Settings, {"provider": "table", **blocks}, "here"), pair)


def rows(result):
    return [(row["kind"], row["id"], row["as_of"], row["text"]) for row in result.answers.to_pylist()]


@pytest.mark.parametrize("name", ["t.csv", "t.csv.gz", "t.tsv", "t.tsv.gz", "t.parquet"])
def test_every_format_gives_the_same_rows(pair, name):
    texts = ['Tea, "green"\nloose', "A\tpot", "unknown"]
    items = write(name, {"sku": ["A0", "A2", "A7"], "blurb": texts, "rest": [1, 2, 3]}, id="sku", text="blurb")
    result = found(pair, items=items)
    assert rows(result) == [("item", 0, None, texts[0]), ("item", 3, None, texts[1])]
    assert result.answers["key"].to_pylist() == [hashlib.sha256(text.encode()).hexdigest() for text in texts[:2]]
    counts = {"rows": 3, "empty": 0, "cut": 0, "matched": 2, "unknown_ids": 1, "items_without_text": 2}
    assert result.tables == {"items": {"path": name, "sha256": items["sha256"], **counts}}
    write_table(Path("answers.parquet"), result.answers, ANSWERS)


def test_without_a_domain_an_item_of_both_domains_has_one_text(pair):
    assert rows(found(pair, items=write("t.csv", {"asin": ["A1"], "text": ["tea"]}))) == [
        ("item", 1, None, "tea"),
        ("item", 2, None, "tea"),
    ]


@pytest.mark.parametrize(
    ("x", "y", "domains"),
    [
        (*DOMAINS, None),
        ("food", "KITCHEN", None),
        ("x", "y", None),
        ("home and kitchen", "grocery & gourmet food", None),
        ("F", "K", {"F": DOMAINS[0], "K": "kitchen"}),
    ],
)
def test_names_of_domains(pair, x, y, domains, capsys):
    table = {"asin": ["A1", "A1", "A1"], "shop": [x, y, "Toys"], "text": ["in x", "in y", "elsewhere"]}
    result = found(pair, items=write("t.csv", table, domain="shop", domains=domains))
    places = {"in x": 1, "in y": 2} if "home" not in x else {"in y": 1, "in x": 2}
    assert {row[3]: row[1] for row in rows(result)} == places
    assert result.tables["items"]["unknown_ids"] == 1
    assert "Toys" in capsys.readouterr().err


def test_profiles_are_sorted_and_counted(pair):
    result = found(pair, profiles=write("t.tsv", ANSWER, text="answer"))
    assert rows(result) == [("user", 0, 20, "other"), ("user", 1, 10, "early"), ("user", 1, 30, "late")]
    counts = {name: value for name, value in result.tables["profiles"].items() if isinstance(value, int)}
    assert counts == {
        "rows": 4,
        "empty": 0,
        "cut": 0,
        "matched": 3,
        "unknown_ids": 1,
        "users_without_text": 1,
        "before_first_interaction": 1,
    }


def test_a_profile_that_is_later_than_all_interactions_is_kept(pair):
    result = found(pair, profiles=write("t.csv", {"user": ["r0"], "as_of": [10**10], "t": ["tea"]}, text="t"))
    assert rows(result) == [("user", 0, 10**10, "tea")]
    assert result.tables["profiles"]["before_first_interaction"] == 0


def test_parts_of_a_profile_become_lines(pair):
    table = {
        "user": ["r0", "r1", "r2", "r2"],
        "as_of": ["20", " 40 ", "50", "60"],
        "likes": ["Drinks\n tea.", "", "", "  "],
        "food": ["green tea; mints", "salt, pepper", "", ""],
        "kitchen": ["kettle", "", "", " "],
    }
    table = write("t.csv", table, portrait="likes", next=["food", "kitchen"])
    result = found(pair, profiles=table)
    assert [row[3] for row in rows(result)] == [
        "Portrait: Drinks tea.\nNext in Grocery and Gourmet Food: green tea, mints\nNext in Home and Kitchen: kettle",
        "Next in Grocery and Gourmet Food: salt, pepper",
    ]
    assert (result.tables["profiles"]["empty"], result.tables["profiles"]["users_without_text"]) == (2, 1)
    assert parse_profile(rows(result)[0][3], DOMAINS).next == (("green tea", "mints"), ("kettle",))
    metrics = table_metrics(result, DOMAINS)
    assert (metrics["profiles"], metrics["users_with_profile"]) == (2, 2)
    assert metrics["profiles_with_phrases"] == {"x": 1.0, "y": 0.5}
    assert metrics["phrases_per_profile"] == {"x": 2.0, "y": 0.5}


def test_empty_and_enormous_texts(pair):
    table = write("t.parquet", {"asin": ["A0", "A2", "A1"], "text": [None, "x" * (LONGEST + 1), " \n"]})
    result = found(pair, items=table)
    assert rows(result) == [("item", 3, None, "x" * LONGEST)]
    assert [result.tables["items"][name] for name in ("empty", "cut", "matched")] == [2, 1, 1]


def test_both_tables_and_their_origin(pair):
    origin = {"written_by": "a model", "written_on": "2026-11", "instruction": "Describe."}
    items = write("i.csv", {"asin": ["A0"], "text": ["tea"]}, **origin)
    profiles = write("p.csv", ANSWER, text="answer", written_by="another")
    result = found(pair, items=items, profiles=profiles)
    assert [row[0] for row in rows(result)] == ["item", "user", "user", "user"]
    metrics = table_metrics(result, DOMAINS)
    assert metrics["tables"]["items"].items() >= (origin | {"sha256": items["sha256"]}).items()
    assert (metrics["provider"], metrics["model"], metrics["answered"]) == ("table", "a model, another", 4)


def test_ids_of_digits_and_types_of_parquet(pair):
    users = pa.table({**{name: pair.users[name] for name in ("user", "n_x", "n_y")}, "reviewer": ["007", "8", "9"]})
    pair = PairTables(pair.items, users, pair.interactions, DOMAINS)
    written = found(pair, profiles=write("t.csv", {"user": ["007"], "as_of": [20], "t": ["tea"]}, text="t"))
    assert rows(written) == [("user", 0, 20, "tea")]
    table = {"user": [8], "as_of": pa.array([40], pa.int32()), "t": pa.array(["tea"]).dictionary_encode()}
    assert rows(found(pair, profiles=write("t.parquet", table, text="t"))) == [("user", 1, 40, "tea")]


def test_a_clone_finds_the_table_beside_the_repository(pair, tmp_path, monkeypatch):
    table = write("t.csv", {"asin": ["A0"], "text": ["tea"]})
    (tmp_path / "clone").mkdir()
    monkeypatch.chdir(tmp_path / "clone")
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    assert len(rows(found(pair, items=table))) == 1


GOOD = {"asin": ["A0", "A2"], "text": ["tea", "pot"]}
REPEATED = {"asin": ["A0", "A0"], "text": ["tea", "pot"]}


def test_a_table_without_its_checksum_is_refused_with_the_line_to_add(pair):
    table = write("t.csv", GOOD)
    recorded = table.pop("sha256")
    with refused("no-checksum", "ask.items.sha256") as caught:
        found(pair, items=table)
    assert f"sha256: {recorded}" in caught.value.do


def test_an_edited_table_is_refused_with_both_checksums(pair):
    table = write("t.csv", GOOD)
    Path("t.csv").write_text("asin,text\nA0,other\n")
    with refused("changed-table", "ask.items.sha256") as caught:
        found(pair, items=table)
    assert table["sha256"] in caught.value.what
    assert sha256_file(Path("t.csv")) in caught.value.what
    assert sha256_file(Path("t.csv")) in caught.value.do


def test_no_table_and_missing_file_are_refused(pair):
    with refused("no-table"):
        found(pair)
    with refused("missing-file", "ask.items.path: no.csv"):
        found(pair, items={"path": "no.csv", "sha256": "0" * 64})


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("t.csv", b""),
        ("t.csv", b"asin,text\nA0,tea,more\n"),
        ("t.csv", b"asin,text\nA0,\xff\xfe\n"),
        ("t.csv.gz", b"asin,text\nA0,tea\n"),
        ("t.csv.gz", gzip.compress(b"asin,text\nA0,tea\n" * 99, mtime=0)[:40]),
        ("t.parquet", b"asin,text\nA0,tea\n"),
    ],
)
def test_broken_files_are_refused(pair, name, content):
    Path(name).write_bytes(content)
    with refused("broken-file", name):
        found(pair, items={"path": name, "sha256": sha256_file(Path(name))})


@pytest.mark.parametrize("name", ["t.csv", "t.parquet"])
def test_missing_columns_are_refused(pair, name):
    with refused("missing-column", name) as caught:
        found(pair, items=write(name, {"ASIN": ["A0"], "text": ["tea"]}))
    assert "ASIN, text" in caught.value.what
    assert "ask.items.id" in caught.value.do
    with refused("missing-column", name) as caught:
        found(pair, profiles=write(name, PROFILE | {"food": ["tea"] * 4}, next=["food", "kitchen"]))
    assert "ask.profiles.next" in caught.value.do
    Path("twice.csv").write_text("asin,text,text\nA0,tea,pot\n")
    with refused("missing-column", "twice.csv"):
        found(pair, items={"path": "twice.csv", "sha256": sha256_file(Path("twice.csv"))})


@pytest.mark.parametrize("value", ["soon", "", "1.5", "2014-01-01", "9" * 30, "1400457600000"])
def test_times_that_are_no_seconds_are_refused(pair, value):
    with refused("wrong-time", "t.csv") as caught:
        found(pair, profiles=write("t.csv", {"user": ["r0", "r1"], "as_of": ["20", value], "t": "ab"}, text="t"))
    assert value in caught.value.what


def test_wrong_types_of_parquet_are_refused(pair):
    with refused("wrong-type", "t.parquet"):
        found(pair, items=write("t.parquet", {"asin": ["A0"], "text": [["tea"]]}))
    times = pa.array([datetime.datetime(2014, 1, 1)])
    with refused("wrong-type", "t.parquet"):
        found(pair, profiles=write("t.parquet", {"user": ["r0"], "as_of": times, "t": ["tea"]}, text="t"))
    with refused("wrong-time", "t.parquet"):
        found(
            pair,
            profiles=write(
                "t.parquet",
                {"user": ["r0"], "as_of": [None], "t": ["tea"]} | {"as_of": pa.array([None], pa.int64())},
                text="t",
            ),
        )


def test_two_texts_for_one_item_or_version_are_refused(pair):
    with refused("repeated-text", "t.csv") as caught:
        found(pair, items=write("t.csv", REPEATED))
    assert "A0" in caught.value.what
    both = {**REPEATED, "shop": ["food", "food"]}
    with refused("repeated-text", "t.csv") as caught:
        found(pair, items=write("t.csv", both, domain="shop"))
    assert "A0" in caught.value.what
    table = {"user": ["r0", "r1", "r1"], "as_of": [20, 30, 30], "t": ["a", "b", "b"]}
    with refused("repeated-text", "t.csv") as caught:
        found(pair, profiles=write("t.csv", table, text="t"))
    assert "r1 at 30" in caught.value.what
    empty = {"asin": ["A0", "A0"], "text": ["tea", ""]}
    assert len(rows(found(pair, items=write("t.csv", empty)))) == 1


@pytest.mark.parametrize("ids", [["B0", "B1"], [], ["A0"]])
def test_a_table_without_a_text_of_this_pair_is_refused(pair, ids):
    texts = [""] if ids == ["A0"] else ["tea", "pot"][: len(ids)]
    table = {"asin": pa.array(ids, pa.string()), "text": pa.array(texts, pa.string())}
    with refused("no-match", "ask.items.path: t.parquet"):
        found(pair, items=write("t.parquet", table))


def test_a_mapping_to_another_domain_is_refused(pair):
    table = write("t.csv", {**GOOD, "shop": ["F", "K"]}, domain="shop", domains={"F": "Food", "K": "Toys"})
    with refused("unknown-domain", "ask.items.domains") as caught:
        found(pair, items=table)
    assert "'Toys'" in caught.value.what


@pytest.mark.parametrize(
    ("values", "code", "place"),
    [
        ({"items": {"path": "t.xlsx"}}, "wrong-value", "items.path"),
        ({"items": {"sha256": "abc"}}, "wrong-value", "items.sha256"),
        ({"items": {"asin": "a"}}, "unknown-key", "items.asin"),
        ({"profiles": {"path": "t.csv"}}, "wrong-value", "profiles"),
        ({"profiles": {"path": "t.csv", "text": "t", "portrait": "p"}}, "wrong-value", "profiles"),
        ({"profiles": {"next": ["one"]}}, "wrong-value", "profiles.next.1"),
    ],
)
def test_wrong_settings_are_refused(values, code, place):
    with refused(code, f"here: {place}"):
        check_values(Settings, values, "here")


def test_the_example_of_the_documentation(pair):
    section = (ROOT / "docs/llm.md").read_text(encoding="utf-8").partition("## Texts from a table")[2]
    items, profiles, settings = re.findall(r"```(?:text|yaml)\n(.*?)```", section, re.DOTALL)[:3]
    Path("texts").mkdir()
    Path("texts/items.csv").write_text(items, encoding="utf-8")
    Path("texts/profiles.csv").write_text(profiles, encoding="utf-8")
    block = YAML(typ="safe").load(settings)["ask"]
    for name in ("items", "profiles"):
        with refused("no-checksum", f"ask.{name}.sha256") as caught:
            found(pair, **block)
        block[name]["sha256"] = caught.value.do.rpartition(" ")[2]
    users = pair.users.set_column(1, "reviewer", pa.array(["r0", "AEXAMPLE", "r2"]))
    asins = pair.items.set_column(2, "asin", pa.array(["A0", "B00EXAMPLE", "A1", "A2"]))
    result = found(PairTables(asins, users, pair.interactions, DOMAINS), **block)
    assert [row[:3] for row in rows(result)] == [("item", 1, None), ("user", 1, 1383264000)]
    food, kitchen = parse_profile(rows(result)[1][3], DOMAINS).next
    assert (food, kitchen) == (("loose green tea", "ginger candy"), ("tea infuser", "electric kettle"))


@pytest.mark.skipif(not DATA.is_dir(), reason="needs the real data in ../shared")
def test_the_tables_of_food_kitchen(monkeypatch):
    monkeypatch.chdir(ROOT)
    raw = [
        pacsv.read_csv(DATA / f"{domain}.csv", pacsv.ReadOptions(column_names=["asin", "user", "rating", "time"]))
        for domain in DOMAINS
    ]
    asins = [sorted(set(table["asin"].to_pylist())) for table in raw]
    items = pa.table({"item": range(sum(map(len, asins))), "domain": [0] * len(asins[0]) + [1] * len(asins[1]),
                      "asin": asins[0] + asins[1]})  # fmt: skip
    both = pa.concat_tables(raw).sort_by([("user", "ascending"), ("time", "ascending")])
    names = both["user"].unique()
    users = pa.table({"user": range(len(names)), "reviewer": names})
    owners = both["user"].dictionary_encode().combine_chunks().indices
    pair = PairTables(items, users, pa.table({"user": owners, "time": both["time"]}), DOMAINS)
    settings = load_block("ask", Settings, "food_kitchen")
    assert load_pair("food_kitchen").domains == DOMAINS
    assert load_block("ask", Settings, "food_kitchen_temporal") == settings
    result = answers_from_tables(settings, pair)
    items, profiles = result.tables["items"], result.tables["profiles"]
    assert [items[name] for name in ("matched", "unknown_ids", "items_without_text")] == [23357, 0, 4738]
    assert [profiles[name] for name in ("matched", "unknown_ids", "users_without_text")] == [21420, 0, 0]
    assert profiles["before_first_interaction"] == items["cut"] == profiles["cut"] == 0
    metrics = table_metrics(result, DOMAINS)
    assert metrics["profiles_with_phrases"]["y"] > 0.99
    assert 5.9 < metrics["phrases_per_profile"]["x"] < 6.2
