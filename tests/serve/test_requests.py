"""Every bad request, in this process."""

import json

import pytest

from lecdsr.serve.limits import Limits
from tests.serve.asking import TEA, ask, refusal
from tests.serve.exported import TOKEN, client_of, write_export


@pytest.mark.parametrize(
    ("body", "status", "code", "where"),
    [
        ({}, 422, "empty-history", "history"),
        ({"history": []}, 422, "empty-history", "history"),
        ({"user": "STRANGER"}, 404, "unknown-user", "user"),
        ({"user": ""}, 404, "unknown-user", "user"),
        ({"user": "ANNA", "history": [TEA]}, 422, "both-given", "user, history"),
        ({"user": "ANNA", "day": "2014-05-01"}, 422, "needless-day", "day"),
        ({"history": [TEA, "B00000000X"]}, 404, "unknown-item", "history[1]"),
        ({"history": ["no such title"]}, 404, "unknown-item", "history[0]"),
        ({"history": [""]}, 422, "wrong-value", "history[0]"),
        ({"history": ["x" * 501]}, 422, "wrong-value", "history[0]"),
        ({"history": [TEA] * 1001}, 422, "wrong-value", "history"),
        ({"history": [TEA], "day": "1.5.2014"}, 422, "wrong-day", "day"),
        ({"history": [TEA], "day": "9999-12-31"}, 422, "wrong-day", "day"),
        ({"history": [{"item": TEA, "day": "2999-01-01"}]}, 422, "wrong-day", "history[0].day"),
        ({"history": [{"item": TEA, "day": "0001-01-01"}]}, 422, "wrong-day", "history[0].day"),
        ({"history": [{"item": TEA, "dya": "2014-05-01"}]}, 422, "wrong-value", None),
        ({"history": [5]}, 422, "wrong-value", "history[0]"),
        ({"history": TEA}, 422, "wrong-value", "history"),
        ({"user": "ANNA", "k": 0}, 422, "wrong-value", "k"),
        ({"user": "ANNA", "k": -1}, 422, "wrong-value", "k"),
        ({"user": "ANNA", "k": 1_000_000}, 422, "wrong-value", "k"),
        ({"user": "ANNA", "k": "5"}, 422, "wrong-value", "k"),
        ({"user": "ANNA", "k": 2.5}, 422, "wrong-value", "k"),
        ({"user": "ANNA", "domain": "z"}, 422, "wrong-domain", "domain"),
        ({"user": "ANNA", "domain": ""}, 422, "wrong-domain", "domain"),
        ({"user": "ANNA", "latest": -1}, 422, "wrong-value", "latest"),
        ({"user": "ANNA", "exclude_owned": "yes"}, 422, "wrong-value", "exclude_owned"),
        ({"user": 5}, 422, "wrong-value", "user"),
        ({"usr": "ANNA"}, 422, "wrong-value", None),
    ],
)  # fmt: skip
def test_a_wrong_value(client, body, status, code, where):
    refusal(client.post("/recommend", json=body), status, code, where)
    assert ask(client, user="ANNA").status_code == 200


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "malformed-json"),
        (b"{", "malformed-json"),
        (b"not json", "malformed-json"),
        (b'{"user": "AN\xff"}', "malformed-json"),
        (b'{"user": "\\ud800"}', "malformed-json"),
        (b'{"history": ' + b"[" * 100_000, "wrong-value"),
        (b"[" * 100_000, "wrong-value"),
        (b"null", "wrong-value"),
        (b'{"k": 1e999, "user": "ANNA"}', "wrong-value"),
        (b'{"user": NaN}', "malformed-json"),
    ],
)
def test_a_body_that_is_no_request(client, body, code):
    for path in ("/recommend", "/explain"):
        reply = client.post(path, content=body, headers={"Content-Type": "application/json"})
        refusal(reply, 400 if code == "malformed-json" else 422, code)


@pytest.mark.parametrize("kind", [None, "", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data"])
def test_a_body_that_is_not_declared_as_json(client, kind):
    headers = {} if kind is None else {"Content-Type": kind}
    refusal(client.post("/recommend", content=b'{"user": "ANNA"}', headers=headers), 415, "wrong-content-type")


def test_json_may_name_its_encoding(client):
    headers = {"Content-Type": "Application/JSON; charset=utf-8"}
    assert client.post("/recommend", content=b'{"user": "ANNA"}', headers=headers).status_code == 200


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/items", 422, "wrong-value"), ("/items?query=%20", 422, "wrong-value"),
        (f"/items?query={'a' * 201}", 422, "wrong-value"), ("/items?query=tea&k=0", 422, "wrong-value"),
        ("/items?query=tea&k=101", 422, "wrong-value"), ("/items?query=tea&k=%D9%A1", 422, "wrong-value"),
        ("/items?query=tea&domain=z", 422, "wrong-domain"), ("/similar/", 404, "unknown-item"),
        ("/similar/NOTHING", 404, "unknown-item"), (f"/similar/{TEA}?k=1001", 422, "wrong-value"),
        (f"/similar/{TEA}?k=ten", 422, "wrong-value"), (f"/similar/{TEA}?domain=z", 422, "wrong-domain"),
        ("/similar", 404, "not-found"), ("/nothing", 404, "not-found"), ("/recommend/", 404, "not-found"),
        ("/recommend", 405, "wrong-method"), ("/explain", 405, "wrong-method"), ("/docs", 404, "not-found"),
    ],
)  # fmt: skip
def test_a_wrong_address(client, path, status, code):
    refusal(client.get(path), status, code)


def test_explain_needs_an_item(client):
    refusal(client.post("/explain", json={"user": "ANNA"}), 422, "wrong-value")
    refusal(client.post("/explain", json={"user": "ANNA", "item": "nothing"}), 404, "unknown-item", "item")
    refusal(client.post("/explain", json={"item": TEA}), 422, "empty-history")


def test_a_body_that_is_too_large(folder):
    with client_of(folder, Limits(body=1000)) as client:
        long = json.dumps({"history": ["x" * 100] * 20}).encode()
        headers = {"Content-Type": "application/json"}
        reply = client.post("/recommend", content=long, headers=headers)
        refusal(reply, 413, "too-large")

        def parts():
            for place in range(0, len(long), 100):
                yield long[place : place + 100]

        refusal(client.post("/recommend", content=parts(), headers=headers), 413, "too-large")
        assert ask(client, user="ANNA").status_code == 200


def test_items_without_vectors_and_models_without_text(tmp_path):
    with client_of(write_export(tmp_path, "popularity")[1]) as client:
        refusal(client.get(f"/similar/{TEA}"), 422, "no-similarity")
        answer = client.post("/explain", json={"user": "ANNA", "item": TEA}).json()
        assert answer["parts"] is None
        assert answer["not_split"]


def test_a_model_with_user_embeddings(tmp_path):
    with client_of(write_export(tmp_path, "hgn")[1]) as client:
        refusal(ask(client, history=[TEA]), 422, "no-anonymous")
        assert client.get("/health").json()["anonymous"] is False
        assert ask(client, user="ANNA").status_code == 200


# Token and host


def test_a_token(folder):
    with client_of(folder, token=TOKEN) as client:
        for path in ("/", "/static/page.js", "/health"):
            assert client.get(path).status_code == 200
        for path in ("/items?query=tea", "/metrics", "/openapi.json", f"/similar/{TEA}", "/nothing"):
            reply = client.get(path)
            refusal(reply, 401, "no-access")
            assert reply.headers["www-authenticate"] == "Bearer"
        for wrong in (TOKEN, f"Bearer {TOKEN[:-1]}", f"Bearer {TOKEN}x", "Bearer ", f"bearer {TOKEN}"):
            refusal(client.get("/metrics", headers={"Authorization": wrong}), 401, "no-access")
        refusal(client.post("/recommend", json={"user": "ANNA"}), 401, "no-access")
        right = {"Authorization": f"Bearer {TOKEN}"}
        assert client.post("/recommend", json={"user": "ANNA"}, headers=right).status_code == 200
        assert client.get("/items?query=tea", headers={**right, "Host": "shop.example"}).status_code == 200
        document = client.get("/openapi.json", headers=right).json()
        assert document["security"] == [{"token": []}]
        assert TOKEN not in json.dumps(document)


@pytest.mark.parametrize(("host", "status"), [
    ("127.0.0.1:8094", 200), ("localhost", 200), ("localhost:1", 200), ("[::1]:8094", 200), ("[::1]", 200),
    ("evil.example", 403), ("evil.example:8094", 403), ("127.0.0.1.evil.example", 403), ("", 403),
])  # fmt: skip
def test_without_a_token_only_the_names_of_this_machine_are_answered(client, host, status):
    assert client.get("/health", headers={"Host": host}).status_code == status
