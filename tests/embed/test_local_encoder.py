"""Encoding of texts on this machine: what is encoded and stored, and the message for an unknown encoder."""

import numpy as np
import pyarrow as pa
import pytest

from lecdsr.core.schemas import ANSWERS, vectors
from lecdsr.embed import local_encoder
from lecdsr.embed.base import to_table
from lecdsr.embed.local_encoder import BUNDLED, LocalEncoder
from lecdsr.embed.settings import Settings
from lecdsr.embed.store import VectorStore, store_path
from lecdsr.embed.texts import item_texts
from tests.errors import refused
from tests.tiny import items_table

WIDTH = 5


class Fake:
    """Encoder whose last bits depend on the batch, like those of real encoders."""

    max_seq_length = None

    def __init__(self):
        self.batches: list[list[str]] = []

    @property
    def texts(self) -> list[str]:
        return [text for batch in self.batches for text in batch]

    def get_embedding_dimension(self):
        return WIDTH

    def encode(self, texts, **options):
        assert options["normalize_embeddings"]
        self.batches.append(list(texts))
        rows = [np.random.default_rng(list(text.encode())).standard_normal(WIDTH) for text in texts]
        rows = np.array(rows) / np.linalg.norm(rows, axis=1, keepdims=True)
        return (rows + 1e-6 * len(self.batches) + 1e-7 * len(texts)).astype(np.float32)


@pytest.fixture
def fake(monkeypatch):
    model = Fake()
    model.loaded = 0

    def load(name, folder):
        model.loaded += 1
        return model

    monkeypatch.setattr(local_encoder, "_load", load)
    return model


@pytest.fixture
def path(tmp_path):
    return tmp_path / "store" / "vectors.sqlite"


def encode(texts, path, name="fake"):
    with VectorStore(path) as store:
        return LocalEncoder(name, 32).encode(texts, store)


def test_rows_in_the_order_of_the_texts(fake, path):
    rows = encode(["b", "aaa", "cc"], path)
    assert rows.shape == (3, WIDTH)
    assert rows.dtype == np.float32
    for text, row in zip(["b", "aaa", "cc"], rows, strict=True):
        np.testing.assert_allclose(row, encode([text], path)[0])
        expected = np.random.default_rng(list(text.encode())).standard_normal(WIDTH)
        np.testing.assert_allclose(row, expected / np.linalg.norm(expected), atol=1e-4)


def test_an_empty_text_is_zeros_and_unknown(fake, path):
    rows = encode(["", "a", ""], path)
    assert not rows[[0, 2]].any()
    assert rows[1].any()
    assert fake.texts == ["a"]
    table = to_table(rows, "of texts")
    assert table.schema == vectors(WIDTH)
    assert table["known"].to_pylist() == [False, True, False]
    assert table["id"].to_pylist() == [0, 1, 2]
    np.testing.assert_array_equal(np.stack(table["vector"].to_numpy()), rows)


@pytest.mark.parametrize("texts", [["", ""], []])
def test_nothing_but_empty_texts(fake, path, texts):
    assert encode(texts, path).shape == (len(texts), WIDTH)
    assert fake.batches == []


def test_equal_texts_are_encoded_once(fake, path):
    rows = encode(["a", "b", "a", "a"], path)
    assert sorted(fake.texts) == ["a", "b"]
    assert rows[0].tobytes() == rows[2].tobytes() == rows[3].tobytes()
    assert rows[0].tobytes() != rows[1].tobytes()


def test_only_missing_texts_are_encoded_and_all_others_keep_their_bits(fake, path):
    texts = [f"text {i}" for i in range(20)]
    before = encode(texts, path)
    fake.batches.clear()
    after = encode([*texts, "one more"], path)
    assert fake.texts == ["one more"]
    assert after[:20].tobytes() == before.tobytes()
    assert after[20].any()


def test_the_second_run_loads_no_model(fake, path):
    first = encode(["a", "b", ""], path)
    assert fake.loaded == 1
    second = encode(["b", "a", ""], path)
    assert fake.loaded == 1
    assert second.tobytes() == first[[1, 0, 2]].tobytes()


def test_what_vectors_are_made_of(fake, tmp_path):
    texts = ["coffee", "", "tents", "coffee"]
    made_of = LocalEncoder("some", 2).made_of(texts)
    for run in ("one", "two"):  # what they are made of is the same where their last bits are not
        with VectorStore(tmp_path / run / "vectors.sqlite") as store:
            encoder = LocalEncoder("some", 2)
            rows = encoder.encode(texts, store)
            assert encoder.made_of(texts) == made_of
            np.testing.assert_equal(rows[0] == rows[3], True)
    others = [["coffee", "", "coffee", "tents"], ["coffee", "tents", "coffee"], ["coffee", "", "tents", ""], []]
    hashes = {LocalEncoder("some", 2).made_of(other) for other in others} | {
        LocalEncoder("other", 2).made_of(texts),
        made_of,
    }
    assert len(hashes) == len(others) + 2
    assert len({LocalEncoder("some", 2, width=width).made_of(texts) for width in (None, 2, 3)}) == 3


def test_counts_what_was_encoded(fake, path):
    with VectorStore(path) as store:
        encoder = LocalEncoder("fake", 32)
        encoder.encode(["a", "b", "a", ""], store)
        encoder.encode(["b", "c"], store)
    assert encoder.encoded == 3


def test_what_was_encoded_before_an_interruption_is_kept(fake, path, monkeypatch):
    monkeypatch.setattr(local_encoder, "CHUNK", 2)
    honest = fake.encode

    def interrupted(texts, **options):
        if len(fake.batches) == 2:
            raise KeyboardInterrupt
        return honest(texts, **options)

    fake.encode = interrupted
    texts = [f"{i:>{i}}" for i in range(1, 7)]
    with pytest.raises(KeyboardInterrupt):
        encode(texts, path)
    first = fake.texts
    assert len(first) == 4
    fake.encode = honest
    encode(texts, path)
    assert sorted(fake.texts) == sorted(texts)  # each once, over both runs


def test_more_texts_than_a_chunk(fake, path, monkeypatch):
    monkeypatch.setattr(local_encoder, "CHUNK", 3)
    texts = [f"{'x' * (i % 4)}{i}" for i in range(11)]
    rows = encode(texts, path)
    assert [len(batch) for batch in fake.batches] == [3, 3, 3, 2]
    lengths = [len(text) for text in fake.texts]
    assert lengths == sorted(lengths, reverse=True)
    assert rows.tobytes() == encode(texts, path).tobytes()


def test_encoders_do_not_share_vectors(fake, path, tmp_path):
    one = encode(["a"], path, "one")
    encode(["a"], path, "two")
    assert fake.texts == ["a", "a"]
    folder = tmp_path / "model"
    folder.mkdir()
    for weights in (b"1", b"2"):  # a folder of the same name with other weights
        (folder / "model.safetensors").write_bytes(weights)
        encode(["a"], path, str(folder))
    assert len(fake.texts) == 4
    assert encode(["a"], path, "one").tobytes() == one.tobytes()


def test_a_vector_that_is_not_finite(fake, path):
    fake.encode = lambda texts, **_: np.full((len(texts), WIDTH), np.nan, np.float32)
    with refused("not-finite", "embed.encoder") as caught:
        encode(["a"], path)
    assert "'fake'" in caught.value.what
    with VectorStore(path) as store:
        assert store.db.execute("SELECT count(*) FROM vectors").fetchone() == (0,)


def test_a_stored_vector_is_never_replaced(path):
    with VectorStore(path) as store:
        store.put(["k"], np.array([[1, 2]], np.float32))
        store.put(["k", "l"], np.array([[3, 4], [5, 6]], np.float32))
    with VectorStore(path) as store:
        found = store.get(["k", "l", "m"])
    assert {key: row.tolist() for key, row in found.items()} == {"k": [1, 2], "l": [5, 6]}


def test_many_keys(path):
    keys = [str(i) for i in range(1234)]
    with VectorStore(path) as store:
        store.put(keys, np.arange(1234, dtype=np.float32)[:, None])
        found = store.get(keys)
        assert store.get([]) == {}
    assert [found[key].item() for key in keys] == list(range(1234))


def test_where_the_store_lies(monkeypatch, tmp_path):
    monkeypatch.setenv("LECDSR_VECTOR_STORE", str(tmp_path / "mine"))
    assert store_path() == tmp_path / "mine" / "vectors.sqlite"
    monkeypatch.delenv("LECDSR_VECTOR_STORE")
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))  # set by dvc inside a temporary clone
    assert store_path() == tmp_path / ".vector-store" / "vectors.sqlite"


# Texts


def settings(**changed) -> Settings:
    parts = ["title", "brand", "categories", "description", "answer"]
    fixed = {"encoder": "e", "precision": "float32", "width": None, "max_characters": 100, "batch_size": 8}
    fixed["provider"] = "sentence-transformers"
    return Settings(**{**fixed, "item_text": parts, **changed})


def answers(rows: list[tuple[str, int, str | None]]) -> pa.Table:
    rest = {"as_of": None, "key": "k", "reason": None}
    columns = [{"kind": kind, "id": place, "text": text, **rest} for kind, place, text in rows]
    return pa.Table.from_pylist(columns, schema=ANSWERS)


def items() -> pa.Table:
    table = items_table(2, 1)
    values = {
        "title": ["Pan", "", "Tea"],
        "brand": ["Forge", "", ""],
        "categories": [["Kitchen", "Pans"], [], ["Food"]],
        "description": ["Of iron", "", ""],
    }
    for name, column in values.items():
        place = table.schema.get_field_index(name)
        table = table.set_column(place, table.schema.field(name), pa.array(column, table.schema.field(name).type))
    return table


def test_item_texts_join_what_is_known():
    given = answers([("item", 2, "A drink"), ("user", 0, "Likes pans"), ("item", 0, None)])
    assert item_texts(items(), given, settings()) == [["Pan. Forge. Kitchen, Pans. Of iron", "", "Tea. Food. A drink"]]
    assert item_texts(items(), given, settings(item_text=["answer", "title"])) == [["Pan", "", "A drink. Tea"]]
    assert item_texts(items(), given, settings(max_characters=5)) == [["Pan. ", "", "Tea. "]]


def test_an_item_can_have_several_texts():
    given = answers([("item", 2, "A drink")])
    views = item_texts(items(), given, settings(item_text=[["title"], ["title", "answer"]]))
    assert views == [["Pan", "", "Tea"], ["Pan", "", "Tea. A drink"]]


# Real encoders


def test_the_bundled_encoder_knows_coffee_from_camping(path):
    texts = ["A cup of strong coffee in the morning", "espresso machine with grinder", "a tent for two hikers"]
    rows = encode(texts, path, BUNDLED)
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-5)
    assert rows[0] @ rows[1] > rows[0] @ rows[2] + 0.1
    again = encode([*texts, "one more"], path, BUNDLED)
    assert again[:3].tobytes() == rows.tobytes()


def test_an_empty_folder_is_no_encoder(path, tmp_path):
    (tmp_path / "empty").mkdir()
    with refused("no-encoder", "embed.encoder"):
        encode(["a"], path, str(tmp_path / "empty"))


def test_a_folder_with_a_broken_model(path, tmp_path):
    folder = tmp_path / "broken"
    folder.mkdir()
    (folder / "modules.json").write_text("{")
    with refused("no-encoder", "embed.encoder"):
        encode(["a"], path, str(folder))


@pytest.mark.parametrize("name", ["no-such-organisation/no-such-model", "./no/such/folder", "not a name"])
def test_an_unknown_encoder(path, name, monkeypatch):
    # The hub is not asked: without a network it would be tried for a minute.
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with refused("no-encoder", "embed.encoder") as caught:
        encode(["a"], path, name)
    assert name in caught.value.what
    assert BUNDLED in caught.value.do
