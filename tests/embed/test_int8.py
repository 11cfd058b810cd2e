"""Encoding in int8: long texts, refusals, reports, and the message without the extra."""

import re
import sys
from importlib.util import find_spec

import numpy as np
import pytest

from lecdsr.embed import local_encoder
from lecdsr.embed.local_encoder import BUNDLED, LocalEncoder, encode_long_texts
from lecdsr.embed.store import VectorStore
from tests.embed.test_precision import TEXTS
from tests.errors import refused

needs_extra = pytest.mark.skipif(
    not (find_spec("nncf") and find_spec("openvino")), reason="`pip install -e '.[fast-embed]'` was not run"
)


@pytest.fixture
def encoder(int8_encoder):
    return int8_encoder()


@pytest.fixture
def store(tmp_path):
    with VectorStore(tmp_path / "v.sqlite") as opened:
        yield opened


@pytest.mark.slow
@needs_extra
def test_a_long_text_is_the_mean_of_its_pieces(encoder, monkeypatch):
    monkeypatch.setattr(encoder.model._model, "max_seq_length", 12)
    long = "one two three four five six seven eight nine ten eleven twelve thirteen fourteen"
    pieces = ["one two three four five six seven eight nine ten", "eleven twelve thirteen fourteen"]
    parts = encoder.model.encode(pieces, 8, normalize_embeddings=True)
    mean = (10 * parts[0] + 4 * parts[1]) / 14
    np.testing.assert_allclose(encode_long_texts(encoder.model, [long], 8)[0], mean / np.linalg.norm(mean), atol=1e-5)


@pytest.mark.slow
@needs_extra
def test_int8_that_costs_too_much_is_refused(encoder, store, monkeypatch):
    # More than any can reach: a processor without products in int8 computes them in float32 and loses next to nothing.
    monkeypatch.setattr(local_encoder, "LEAST_COSINE", 1.01)
    with refused("low-precision", "embed.precision") as caught:
        encoder.encode(TEXTS, store)
    assert re.search(r"int8 .*\b16 texts .*\b(0\.99|1\.00)", caught.value.what)


@pytest.mark.slow
@needs_extra
def test_nothing_is_reported_to_anybody(encoder):
    assert encoder.model.get_embedding_dimension() == 384
    assert sys.modules["openvino_telemetry"] is None


def test_without_the_extra_it_is_named(store, monkeypatch):
    monkeypatch.setitem(sys.modules, "nncf", None)
    with refused("not-installed", "embed.precision") as missing:
        LocalEncoder(BUNDLED, 8, "int8").encode(TEXTS, store)
    assert "fast-embed" in missing.value.do
