"""The bundled encoder in all precisions and widths, and on texts above its limit."""

from importlib.util import find_spec

import numpy as np
import pytest

from lecdsr.embed import local_encoder
from lecdsr.embed.local_encoder import BUNDLED, LocalEncoder, encode_long_texts
from lecdsr.embed.store import VectorStore
from tests.errors import refused

TEXTS = [f"Customer {number} likes {kind} from the {place}." for number in range(10)
         for kind, place in (("green tea", "valley"), ("iron pans", "smithy"), ("board games", "attic"))]  # fmt: skip


def encode(texts, tmp_path, **options):
    with VectorStore(tmp_path / "v.sqlite") as store:
        return LocalEncoder(BUNDLED, 16, **options).encode(texts, store)


def test_bfloat16_is_close_to_float32_and_kept_apart_from_it(tmp_path):
    exact, fast = encode(TEXTS, tmp_path), encode(TEXTS, tmp_path, precision="bfloat16")
    assert (exact * fast).sum(axis=1).min() > 0.999
    assert np.abs(exact - fast).max() > 0
    np.testing.assert_allclose(np.linalg.norm(fast, axis=1), 1, atol=1e-6)
    assert fast.dtype == np.float32


needs_openvino = pytest.mark.skipif(find_spec("nncf") is None, reason="the extra fast-embed is not installed")


@pytest.mark.slow
@needs_openvino
def test_int8_is_close_to_float32_and_kept_apart_from_it(tmp_path, int8_encoder):
    exact = encode(TEXTS, tmp_path)
    with VectorStore(tmp_path / "v.sqlite") as store:
        fast = int8_encoder(16).encode(TEXTS, store)
    cosine = (exact * fast).sum(axis=1)
    assert cosine.mean() > 0.99
    assert np.abs(exact - fast).max() > 0
    np.testing.assert_allclose(np.linalg.norm(fast, axis=1), 1, atol=1e-6)


@pytest.mark.slow
@needs_openvino
def test_int8_vectors_belong_to_their_texts_in_any_order(tmp_path, int8_encoder):
    # Batches end in any order and are filled by length; rows are those of the texts all the same.
    texts = [*TEXTS, "tea", "a much longer text about tea, iron, games and all that a customer may like " * 3]
    with VectorStore(tmp_path / "one.sqlite") as one, VectorStore(tmp_path / "other.sqlite") as other:
        rows = int8_encoder(16).encode(texts, one)
        back = int8_encoder(16).encode(texts[::-1], other)[::-1]
    assert (rows * back).sum(axis=1).min() > 0.995


def test_a_precision_that_costs_too_much_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(local_encoder, "LEAST_COSINE", 0.9999999)
    with refused("low-precision", "embed.precision") as caught:
        encode(TEXTS, tmp_path, precision="bfloat16")
    assert all(word in caught.value.what for word in ("bfloat16", "16 texts"))


def test_a_width_keeps_the_first_components_normalised(tmp_path):
    exact, cut = encode(TEXTS, tmp_path), encode(TEXTS, tmp_path, width=100)
    head = exact[:, :100] / np.linalg.norm(exact[:, :100], axis=1, keepdims=True)
    np.testing.assert_allclose(cut, head, atol=1e-6)
    with refused("too-narrow", "embed.width") as caught:
        encode(["another text"], tmp_path, width=400)
    assert all(width in caught.value.what for width in ("384", "400"))


def test_a_long_text_is_the_mean_of_its_pieces(tmp_path):
    encoder = LocalEncoder(BUNDLED, 16)
    encoder.model.max_seq_length = 12
    long, short = "one two three four five six seven eight nine ten eleven twelve thirteen fourteen", "one two"
    rows = encode_long_texts(encoder.model, [short, long], 16)
    pieces = ["one two three four five six seven eight nine ten", "eleven twelve thirteen fourteen"]
    parts = encoder.model.encode(pieces, normalize_embeddings=True)
    mean = (10 * parts[0] + 4 * parts[1]) / 14
    np.testing.assert_allclose(rows[1], mean / np.linalg.norm(mean), atol=1e-5)
    np.testing.assert_allclose(rows[0], encoder.model.encode([short], normalize_embeddings=True)[0], atol=1e-5)
