"""Error messages for wrong frames and settings, and all types of columns that can be read."""

import datetime

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import lecdsr
from lecdsr.api.frames import read_interactions, seconds, to_arrow
from lecdsr.core.errors import InputError
from tests.api.small import DOMAINS, dataset, interactions, items
from tests.errors import refused


def refuses(code: str, where: str, *words: str, frame=None, **options) -> None:
    """Expect a refusal, which is a ValueError too; ``words`` are in what it says happened or what to do."""
    with refused(code, where, error=InputError) as caught:
        lecdsr.Dataset.from_frames(interactions() if frame is None else frame, **{"domains": DOMAINS, **options})
    assert isinstance(caught.value, ValueError)
    for word in words:
        assert word in f"{caught.value.what}\n{caught.value.do}"


@pytest.mark.parametrize(
    ("column", "other"), [("user", "user_id"), ("item", "asin"), ("time", "timestamp"), ("domain", "domian")]
)
def test_a_missing_column_with_a_guess(column, other):
    frame = interactions().rename(columns={column: other})
    refuses("missing-column", "interactions", repr(column), f"'{other}': '{column}'", frame=frame)


def test_a_missing_column_of_items_and_profiles():
    refuses("missing-column", "items", "'item'", items=items().drop(columns="item"))
    refuses("missing-column", "profiles", "'text'", profiles=pd.DataFrame({"user": ["u0"], "as_of": [1]}))
    profiles = pd.DataFrame({"user": ["u0"], "time": [1], "text": ["likes tea"]})
    refuses("missing-column", "profiles", "'as_of'", profiles=profiles)


def test_no_frame():
    with pytest.raises(TypeError, match="list"):
        lecdsr.Dataset.from_frames([("u", "i")], domains=DOMAINS)
    with pytest.raises(TypeError, match="dict"):
        lecdsr.Dataset.from_frames(interactions(), {"item": ["a"]}, domains=DOMAINS)


def test_no_interactions():
    refuses("no-rows", "interactions", frame=interactions().iloc[:0])


@pytest.mark.parametrize("column", ["user", "item", "domain", "time"])
def test_a_missing_value(column):
    frame = interactions().astype({column: object})
    frame.loc[[3, 7], column] = None
    refuses("missing-value", f"interactions: {column}", "row 3", "2 rows", frame=frame)


def test_an_empty_id():
    frame = interactions()
    frame.loc[5, "item"] = ""
    refuses("missing-value", "interactions: item", "row 5", frame=frame)


def test_ids_of_several_types():
    frame = interactions().astype({"user": object})
    frame.loc[0, "user"] = 7
    refuses("mixed-types", "interactions", frame=frame)


@pytest.mark.parametrize(
    ("domains", "code", "words"),
    [
        (("food", "kitchn"), "unknown-domain", ["'kitchn'", "'kitchen'"]),
        (("food", "toys"), "unknown-domain", ["'toys'"]),
        (("food",), "wrong-domains", []),
        (("food", "food"), "wrong-domains", []),
        ("food", "wrong-domains", []),
    ],
)
def test_wrong_domains(domains, code, words):
    refuses(code, "interactions: domain" if code == "unknown-domain" else "domains", *words, domains=domains)


def test_rows_of_a_third_domain():
    frame = interactions()
    frame.loc[4, "domain"] = "toys"
    refuses("other-domain", "interactions: domain", "'toys'", frame=frame)
    rows = items()
    rows.loc[0, "domain"] = "toys"
    refuses("other-domain", "items: domain", "'toys'", items=rows)


def test_users_of_one_domain_only():
    frame = interactions()
    frame["user"] = frame["user"] + frame["domain"]
    refuses("no-shared-users", "interactions: user", frame=frame, encoder=None)
    assert len(dataset(overlap="all").users)


def test_repeated_items_and_profiles():
    rows = items()
    refuses("repeated", "items: item", "'food-0'", items=pd.concat([rows, rows.iloc[:1]]))
    profiles = pd.DataFrame({"user": ["u0", "u0"], "as_of": [5, 5], "text": ["a", "b"]})
    refuses("repeated", "profiles: user", profiles=profiles)


def test_one_id_in_two_domains():
    frame, rows = interactions(), items()
    for each in (frame, rows):
        each["item"] = each["item"].str.replace(r"\D", "", regex=True)
    refuses("repeated", "items: item", frame=frame, items=rows.drop(columns="domain"))
    data = lecdsr.Dataset.from_frames(frame, rows, domains=DOMAINS, encoder=None, quiet=True)
    assert len(data.items) == 20
    with refused("ambiguous-item", "item", error=InputError):
        data.item_id("3")


def test_items_of_other_ids():
    rows = items()
    rows["item"] = "other-" + rows["item"]
    refuses("other-ids", "items: item", "'food'", items=rows)


def test_profiles_of_unknown_users_or_without_an_encoder():
    profiles = pd.DataFrame({"user": ["stranger"], "as_of": ["2014-05-01"], "text": ["likes tea"]})
    refuses("unknown-user", "profiles: user", "'stranger'", profiles=profiles)
    refuses("no-encoder", "encoder", profiles=profiles.assign(user="u0"), encoder=None)


@pytest.mark.parametrize(
    "vectors", [np.zeros((3, 4)), np.zeros(20), "words", np.full((20, 2), np.nan)], ids=["rows", "flat", "text", "nan"]
)
def test_wrong_vectors(vectors):
    refuses("wrong-vectors", "item_vectors", items=items(), item_vectors=vectors)
    refuses("no-items", "item_vectors", item_vectors=np.zeros((20, 2)))


@pytest.mark.parametrize(
    ("options", "code", "where", "words"),
    [
        ({"split": "random"}, "wrong-value", "Dataset.from_frames: split", ["'random'", "'leave_one_out'"]),
        ({"min_itm": 3}, "unknown-key", "Dataset.from_frames: min_itm", ["'min_item'"]),
        ({"min_item": 0}, "wrong-value", "Dataset.from_frames: min_item", ["is 0"]),
        ({"min_item": 1000}, "empty-filter", "sequences.min_item", []),
        ({"negatives": 0}, "wrong-value", "Dataset.from_frames: negatives", ["is 0"]),
        ({"split": "temporal", "cuts": (0.9, 0.1)}, "wrong-value", "Dataset.from_frames", ["cuts"]),
        ({"split": "ratio_windows", "min_window": 99}, "no-targets", "sequences.split", ["'ratio_windows'"]),
        ({"encoder": "/nowhere/encoder", "items": items()}, "no-encoder", "embed.encoder", ["/nowhere/encoder"]),
    ],
)
def test_wrong_settings(options, code, where, words):
    refuses(code, where, *words, **options)


def test_nothing_is_left_behind(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    dataset()
    refuses("empty-filter", "sequences.min_item", min_item=1000)
    assert not list(tmp_path.iterdir())


DAYS = [datetime.date(2014, 5, 1), datetime.date(2015, 1, 2)]
EXPECTED = [1_398_902_400, 1_420_156_800]


@pytest.mark.parametrize(
    "column",
    [
        pa.array(EXPECTED),
        pa.array([float(second) + 0.5 for second in EXPECTED]),
        pa.array(DAYS),
        pa.array(DAYS).cast(pa.timestamp("ns")),
        pa.array(EXPECTED, pa.timestamp("s", "Europe/Berlin")),
        pa.array(["2014-05-01", "2015-01-02"]),
        pa.array(["2014-05-01T02:00:00+02:00", "2015-01-02T00:00:00Z"]),
        pa.array(["2014-05-01 00:00:00.25", "2015-01-02 00:00:00"], pa.large_string()),
    ],
    ids=lambda column: str(column.type),
)
def test_times(column):
    assert seconds(pa.table({"time": column}), "time", "interactions").to_pylist() == EXPECTED


@pytest.mark.parametrize("value", [1_400_000_000_000, -5, "yesterday", 4_102_444_800])
def test_times_that_are_none(value):
    frame = interactions()
    refuses("wrong-time", "interactions: time", repr(value), frame=frame.assign(time=[value] * len(frame)))


def test_ids_become_text():
    frame = interactions().assign(user=lambda f: f["user"].str[1:].astype(float), item=range(216))
    frame["domain"] = frame["domain"].astype("category")
    table = read_interactions(frame, DOMAINS)
    assert table["user"][:1].to_pylist() == ["0"]
    assert table["item"][:2].to_pylist() == ["0", "1"]
    assert table["domain"][:2].to_pylist() == [0, 1]
    with refused("wrong-type", "interactions: user", error=InputError):
        read_interactions(frame.assign(user=0.5), DOMAINS)


def test_arrow_and_pandas_are_the_same():
    frame = interactions()
    table = pa.Table.from_pandas(frame, preserve_index=False)
    assert read_interactions(table, DOMAINS).equals(read_interactions(frame, DOMAINS))
    assert to_arrow(table, "interactions") is table


def test_ratings():
    frame = interactions()
    assert dataset().interactions["rating"].eq(5).all()
    rated = lecdsr.Dataset.from_frames(frame.assign(rating=2), domains=DOMAINS, quiet=True)
    assert rated.interactions["rating"].eq(2).all()
    refuses("wrong-type", "interactions: rating", frame=frame.assign(rating="good"))
    refuses("missing-value", "interactions: rating", frame=frame.assign(rating=[None] + [1.0] * (len(frame) - 1)))
