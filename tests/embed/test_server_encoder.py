"""Vectors from a server, well-behaved or faulty; the server's own log shows what was asked and paid for."""

import json
import math
import re
from itertools import chain

import numpy as np
import pytest

from lecdsr.ask.budget import BudgetReached
from lecdsr.ask.openai_provider import RetryPolicy
from lecdsr.ask.prices import read_price
from lecdsr.ask.types import Failure, Usage
from lecdsr.embed.providers import encoder_of
from lecdsr.embed.server_encoder import MOST_BYTES, MOST_TEXTS, ServerEncoder, batches, read_vectors
from lecdsr.embed.settings import Settings
from lecdsr.embed.store import VectorStore
from tests.ask.loopback import KEY, Reply, error
from tests.embed.served import WIDTH, raw_vector, reply_to, unit
from tests.errors import refused

TEXTS = [f"text {number:03}" for number in range(60)]


@pytest.fixture
def encode(server, tmp_path):
    """Encode through a new encoder and the test's store; ``encode.last`` is that encoder."""

    def run(texts, batch_size=10, width=None, name="test-model", retry_policy=None, **variables):
        retry_policy = retry_policy or RetryPolicy(first_s=0.01, longest_s=0.05)
        run.last = ServerEncoder(name, batch_size, width, server.environment(**variables), retry_policy)
        with VectorStore(tmp_path / "v.sqlite") as store:
            return run.last.encode(texts, store)

    return run


def stored(tmp_path):
    with VectorStore(tmp_path / "v.sqlite") as store:
        return store.db.execute("SELECT count(*) FROM vectors").fetchone()[0]


def asked(server):
    return list(chain.from_iterable(server.prompts))


def scripted(*faults):
    """Give the n-th request the n-th fault, and all later ones their vectors."""
    return lambda texts, number: faults[number] if number < len(faults) else reply_to(texts)


@pytest.mark.parametrize("in_base64", [True, False])
def test_vectors_have_length_1_and_the_order_of_the_texts(server, encode, in_base64):
    server.behave = lambda texts, number: reply_to(texts, in_base64=in_base64)
    rows = encode(["b", "", "aaa", "b"])
    assert rows.dtype == np.float32
    np.testing.assert_allclose(rows[[0, 2, 3]], unit(["b", "aaa", "b"]), atol=1e-6)
    assert not rows[1].any()
    assert server.requests == [{"model": "test-model", "input": ["b", "aaa"], "encoding_format": "base64"}]
    assert server.keys == [f"Bearer {KEY}"]


def test_batches_hold_texts_of_like_length(server, encode):
    texts = ["x" * (1 + number % 7) + str(number) for number in range(45)]
    np.testing.assert_allclose(encode(texts, batch_size=20), unit(texts), atol=1e-6)
    assert sorted(map(len, server.prompts)) == [5, 20, 20]
    assert sorted(asked(server)) == sorted(texts)
    by_length = sorted(server.prompts, key=lambda batch: len(batch[0]))
    lengths = [len(text) for text in chain.from_iterable(by_length)]
    assert lengths == sorted(lengths)


def test_a_batch_is_bounded_in_texts_and_bytes():
    short, long = ["é" * 10] * (2 * MOST_TEXTS + 1), ["é" * 1000] * 300
    assert [len(batch) for batch in batches(short, MOST_TEXTS)] == [MOST_TEXTS, MOST_TEXTS, 1]
    assert [len(batch) for batch in batches(long, MOST_TEXTS)] == [125, 125, 50]  # two bytes each
    assert max(sum(len(text.encode()) for text in batch) for batch in batches(long, MOST_TEXTS)) <= MOST_BYTES
    assert list(batches(["a", "b" * (MOST_BYTES + 1), "c"], 9)) == [["a"], ["b" * (MOST_BYTES + 1)], ["c"]]
    assert list(batches([], 9)) == []


def test_only_missing_texts_are_asked_and_all_others_keep_their_bits(server, encode):
    before = encode(TEXTS)
    server.requests.clear()
    # The last bits of a server's vectors are not to be relied on either.
    server.behave = lambda texts, number: reply_to([f"{text}?" for text in texts])
    after = encode([*TEXTS, "one more"])
    assert asked(server) == ["one more"]
    assert after[:-1].tobytes() == before.tobytes()
    encode([*TEXTS, "one more"])
    assert len(server.requests) == 1


def test_another_width_asks_nothing(server, encode):
    whole = encode(TEXTS)
    server.requests.clear()
    cut = encode(TEXTS, width=4)
    np.testing.assert_allclose(cut, whole[:, :4] / np.linalg.norm(whole[:, :4], axis=1, keepdims=True), atol=1e-6)
    with refused("too-narrow", "embed.width") as caught:
        encode(TEXTS, width=7)
    assert all(width in caught.value.what for width in ("6", "7"))
    assert server.requests == []


def test_models_do_not_share_vectors(server, encode):
    encode(["a"], name="one")
    encode(["a"], name="two")
    assert len(server.requests) == 2


def test_users_without_a_profile_have_the_width_of_the_items(server, tmp_path):
    encoder = ServerEncoder("m", 10, None, server.environment())
    with VectorStore(tmp_path / "v.sqlite") as store:
        encoder.encode(["an item"], store)
        assert encoder.encode(["", ""], store).tolist() == [[0] * WIDTH] * 2
    with VectorStore(tmp_path / "v.sqlite") as store, refused("no-texts", "embed.item_text"):
        ServerEncoder("m", 10, None, server.environment()).encode(["", ""], store)


# Faults


@pytest.mark.parametrize(
    "fault",
    [
        error(429, "rate_limit_exceeded", Retry_After="0.05"),
        error(500),
        error(503),
        Reply(body=reply_to("a").body, cut=9),
    ],
)
def test_passing_errors_are_tried_again(server, encode, fault):
    server.behave = scripted(reply_to(sorted(TEXTS)[:10]), fault, fault)
    np.testing.assert_allclose(encode(TEXTS), unit(TEXTS), atol=1e-6)
    assert len(server.requests) == 8


def test_429_with_retry_after_pauses(server, encode):
    server.behave = scripted(error(429, "rate_limit_exceeded", Retry_After="0.4"))
    encode(["a"])
    assert server.times[1] - server.times[0] >= 0.38


def without(body, **changed):
    return Reply(body={**body, **changed})


def broken():
    body = reply_to(TEXTS[:10]).body
    row, data = body["data"][0], body["data"]
    numbers = raw_vector("a").tolist()

    def first(embedding):
        return without(body, data=[{**row, "embedding": embedding}, *data[1:]])

    return {
        "wrong number of vectors: 9 for 10 texts": without(body, data=data[:9]),
        "wrong number of vectors: 11 for 10 texts": without(body, data=[*data, row]),
        "vectors out of order": without(body, data=[data[1], data[0], *data[2:]]),
        "wrong width: a vector is 4 wide, others 6": without(
            body, data=[*data[:9], {**data[9], "embedding": numbers[:4]}]
        ),
        "vector is not finite": first([math.nan, *numbers[1:]]),
        "vector is zero": first([0.0] * WIDTH),
        "vector cannot be read: neither a list of numbers nor base64": first([True, *numbers[1:]]),
        "vector cannot be read": first("AAA"),
        "reply has no vectors": without(body, data=None),
        "reply has no vectors: busy": Reply(body={"error": {"message": "busy"}}),
        "reply is not JSON: <html>": Reply(body="<html>"),
        "request refused (400): too long": error(400, message="too long"),
    }


@pytest.mark.parametrize("reason", broken())
def test_what_is_not_what_was_asked_for_is_no_vector(server, encode, tmp_path, reason):
    server.behave = lambda texts, number: broken()[reason] if TEXTS[0] in texts else reply_to(texts)
    with refused("missing-vectors", "embed") as stopped:
        encode(TEXTS)
    assert stopped.value.what.startswith("10 ")
    assert reason in stopped.value.what
    assert len(server.requests) == 6  # each batch once: a broken reply is paid for
    assert stored(tmp_path) == 50
    server.behave, before = (lambda texts, number: reply_to(texts)), len(asked(server))
    np.testing.assert_allclose(encode(TEXTS), unit(TEXTS), atol=1e-6)
    assert sorted(asked(server)[before:]) == TEXTS[:10]


def test_a_width_that_is_not_that_of_the_store_is_refused(server, encode, tmp_path):
    encode(TEXTS[:5])
    server.behave = lambda texts, number: reply_to(texts, width=8)
    with refused("missing-vectors", "embed") as stopped:
        encode(TEXTS)
    assert re.findall(r"\d+", stopped.value.what) == ["55", "8", "6"]
    assert stored(tmp_path) == 5


@pytest.mark.parametrize(
    ("reply", "code", "where"),
    [
        (error(429, "insufficient_quota", "You exceeded your current quota"), "no-credit", None),
        (error(401, "invalid_api_key", f"Incorrect API key provided: {KEY}"), "wrong-key", "OPENAI_API_KEY"),
        (error(404, "model_not_found"), "unknown-model", "embed.encoder, OPENAI_BASE_URL"),
    ],
)
def test_what_every_request_would_meet_stops_the_run_at_once(server, encode, reply, code, where, capsys):
    server.behave = lambda texts, number: reply
    with refused(code, where) as stopped:
        encode(TEXTS, LECDSR_LLM_CONCURRENCY="8")
    assert len(server.requests) == 1
    assert KEY not in str(stopped.value) + repr(stopped.value) + "".join(capsys.readouterr())


def test_no_key_names_the_other_provider(encode):
    with refused("no-key", "OPENAI_API_KEY") as missing:
        encode(["a"], OPENAI_API_KEY="", OPENAI_BASE_URL="")
    assert "embed.provider: sentence-transformers" in missing.value.do


# Caps


@pytest.fixture
def prices(tmp_path):
    """Price of a dollar per hundred tokens: a text of the local server costs a cent."""
    path = tmp_path / "prices.csv"
    path.write_text("model,input,output,batch_share,as_of\ntest-model,10000,0,0.5,2026-01\n", encoding="utf-8")
    return str(path)


@pytest.mark.parametrize("concurrency", ["1", "16"])
def test_no_request_is_sent_that_might_break_the_cap_on_cost(server, encode, tmp_path, prices, concurrency):
    request = {"model": "test-model", "input": TEXTS[:2], "encoding_format": "base64"}
    worst = (len(json.dumps(request)) + 16) / 100  # a token for every byte, and a frame
    cap = worst + 0.05
    caps = {"LECDSR_LLM_PRICES": prices, "LECDSR_LLM_MAX_COST": str(cap), "LECDSR_LLM_CONCURRENCY": concurrency}
    with refused("limit-reached", "LECDSR_LLM_MAX_COST", error=BudgetReached):
        encode(TEXTS, batch_size=2, **caps)
    # 0, 2, 4 cents are spent before a request that may cost the worst; at 6 there is no room.
    assert len(server.requests) == 3
    assert stored(tmp_path) == 6
    assert encode.last.spent == pytest.approx(0.06)
    encode(TEXTS)
    assert sorted(asked(server)) == TEXTS  # nothing twice


def test_the_cap_on_requests_holds_for_items_and_users_together(server, tmp_path):
    encoder = ServerEncoder("m", 10, None, server.environment(LECDSR_LLM_MAX_REQUESTS="7"))
    with VectorStore(tmp_path / "v.sqlite") as store:
        encoder.encode(TEXTS[:40], store)
        with refused("limit-reached", "LECDSR_LLM_MAX_REQUESTS", error=BudgetReached):
            encoder.encode([f"user {number}" for number in range(40)], store)
    assert len(server.requests) == 7
    assert stored(tmp_path) == 70


def test_a_cap_on_cost_without_a_price_is_refused_before_anything_is_sent(server, encode):
    with refused("no-price", "LECDSR_LLM_PRICES") as unknown:
        encode(TEXTS, LECDSR_LLM_MAX_COST="1")
    assert "'test-model'" in unknown.value.what
    assert server.requests == []


def test_the_models_of_openai_have_a_price():
    million = Usage(1_000_000)
    assert read_price("text-embedding-3-small", {}).of(million) == pytest.approx(0.02)
    assert read_price("text-embedding-3-large", {}).of(million) == pytest.approx(0.13)


# Reading, and settings


def test_a_reply_without_a_count_of_tokens_and_one_with():
    body = reply_to(["a", "b"]).body
    assert read_vectors(json.dumps(body), 2, None)[1] == Usage(2)
    assert read_vectors(json.dumps({**body, "usage": None}), 2, WIDTH)[1] == Usage()
    assert isinstance(read_vectors(json.dumps(body), 2, WIDTH + 1), Failure)


def test_settings_choose_the_encoder(server):
    fixed = {"encoder": "m", "width": 3, "item_text": ["title"], "max_characters": 9, "batch_size": 5}
    (chosen,) = encoder_of(Settings(provider="openai", precision="float32", **fixed), server.environment()).encoders
    assert isinstance(chosen, ServerEncoder)
    assert (chosen.name, chosen.batch_size, chosen.cut) == ("m", 5, 3)
    with pytest.raises(ValueError, match="precision: float32"):
        Settings(provider="openai", precision="int8", **fixed)
