"""Several encoders side by side."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import pytest
import torch

from lecdsr.core.files import write_table
from lecdsr.core.schemas import WIDTHS
from lecdsr.data.load import _widths
from lecdsr.embed.base import CachedEncoder, Vectors, normalised, to_table
from lecdsr.embed.joined import JoinedEncoder
from lecdsr.embed.store import VectorStore
from lecdsr.models.layers.text import whiten, whitening_of


class Hashing(CachedEncoder):
    """Vectors drawn from the hash of a text and a name."""

    def __init__(self, name: str, width: int) -> None:
        self.name, self._width = name, width

    @property
    def width(self) -> int:
        return self._width

    def keys(self, texts: Iterable[str]) -> dict[str, str]:
        return {text: f"{self.name} {text}" for text in texts}

    def chunks(self, texts: Sequence[str]) -> Iterator[tuple[list[str], Vectors]]:
        seeds = [int(hashlib.sha256(key.encode()).hexdigest()[:8], 16) for key in self.keys(texts).values()]
        rows = [np.random.default_rng(seed).standard_normal(self.width) for seed in seeds]
        yield list(texts), normalised(np.array(rows, np.float32))


@pytest.fixture
def store(tmp_path):
    with VectorStore(tmp_path / "vectors.sqlite") as opened:
        yield opened


def test_parts_are_those_of_each_encoder_at_length_one(store):
    joined = JoinedEncoder([Hashing("a", 3), Hashing("b", 5)])
    rows = joined.encode(["tea", "", "pan"], store)
    assert joined.widths == (3, 5)
    assert not rows[1].any()
    np.testing.assert_allclose(np.linalg.norm(rows[[0, 2]], axis=1), 1, atol=1e-6)
    alone = Hashing("b", 5).encode(["pan"], store)[0]
    np.testing.assert_allclose(rows[2, 3:] * 2**0.5, alone, atol=1e-6)


def test_an_added_encoder_encodes_nothing_again(store):
    JoinedEncoder([Hashing("a", 3)]).encode(["tea", "pan"], store)
    first, second = Hashing("a", 3), Hashing("b", 5)
    JoinedEncoder([first, second]).encode(["tea", "pan"], store)
    assert (first.encoded, second.encoded) == (0, 2)


def test_one_encoder_is_left_as_it_is(store):
    alone = Hashing("a", 3).encode(["tea"], store)
    joined = JoinedEncoder([Hashing("a", 3)])
    assert np.array_equal(joined.encode(["tea"], store), alone)
    assert joined.made_of(["tea"]) == Hashing("a", 3).made_of(["tea"])


def test_widths_are_kept_with_the_table(tmp_path):
    table = to_table(np.ones((2, 8), np.float32), "x", (3, 5))
    write_table(tmp_path / "v.parquet", table, table.schema)
    assert _widths(table) == (3, 5)
    assert WIDTHS not in to_table(np.ones((2, 8), np.float32), "x", (8,)).schema.metadata


def test_each_part_is_whitened_by_itself():
    generator = torch.Generator().manual_seed(0)
    first = torch.randn(30, 3, generator=generator)
    # The second part repeats the first and is a thousand times as large: together they have three components.
    vectors = torch.cat([first, 1000 * first @ torch.randn(3, 4, generator=generator)], dim=1)
    vectors[7] = 0
    found = whitening_of(vectors, 9, (3, 4))(vectors)
    torch.testing.assert_close(found[:, :3], whiten(vectors[:, :3], 9))
    torch.testing.assert_close(found[:, 3:], whiten(vectors[:, 3:], 9))
    assert not found[7].any()
    assert whiten(vectors, 9).shape[1] == 3
