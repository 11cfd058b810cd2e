"""Every route and every bad request, in this process."""

import datetime
import json
import re
import sys
import threading
import time

import numpy as np
import pytest
from starlette.testclient import TestClient

from lecdsr.cli.main import run
from lecdsr.core.schemas import DOMAINS
from lecdsr.recommend.explain import explain, similar
from lecdsr.recommend.user import TargetUser
from lecdsr.serve import app as app_module
from lecdsr.serve.app import App
from lecdsr.serve.limits import Limits
from lecdsr.serve.load import load_export
from lecdsr.serve.worker import Service
from tests.serve.exported import HERE, TOKEN, client_of, write_export

TEA, KETTLE, WHISK = "B000000003", "B000000006", "B000000010"


def refusal(reply, status, code, where=None):
    """Check a refusal: its status, code and place, and that it says what to do."""
    assert reply.headers["content-type"] == "application/json"
    error = reply.json()["error"]
    assert (reply.status_code, error["code"]) == (status, code), error
    assert set(error) == {"what", "where", "do", "code"}
    assert error["what"]
    assert error["do"]
    if where is not None:
        assert error["where"] == where
    return error


def ask(client, **body):
    return client.post("/recommend", json=body)


# Answers


def test_a_user(client, folder):
    recommender = load_export(folder).recommender
    reply = ask(client, user="ANNA", k=3, latest=2, exclude_owned=False)
    assert reply.status_code == 200
    answer = reply.json()
    items, times = recommender.history(0)
    for code, key in enumerate(DOMAINS):
        lines = recommender.recommend(0, items, times, code, 3, include_owned=True)
        found = answer["recommendations"][key]
        assert [one["asin"] for one in found] == [line.asin for line in lines]
        np.testing.assert_allclose([one["score"] for one in found], [line.score for line in lines], rtol=1e-4)
        assert {one["domain"] for one in found} == {key}
    assert answer["user"] == "ANNA"
    assert answer["domains"] == {"x": "Food", "y": "Kitchen"}
    assert [one["asin"] for one in answer["history"]] == ["B000000003", "B000000009"]
    assert [one["day"] for one in answer["history"]] == ["1970-01-07", "1970-01-08"]
    assert answer["profile"] == "likes [red]tea[/red]"


def test_the_command_prints_the_same(client, folder, monkeypatch, capsys):
    monkeypatch.chdir(folder.parent)
    history = ["--history", "whisk@2014-05-02", "--history", f"{KETTLE}@2014-05-01"]
    body = {"history": [{"item": "whisk", "day": "2014-05-02"}, {"item": KETTLE, "day": "2014-05-01"}]}
    for options, asked in ((["--user", "BERT"], {"user": "BERT"}), (history, body)):
        monkeypatch.setattr(sys, "argv", ["lecdsr", "recommend", "--pair", "demo", *options, "--json"])
        with pytest.raises(SystemExit):
            run()
        printed, answer = json.loads(capsys.readouterr().out), ask(client, latest=100, **asked).json()
        for key in DOMAINS:
            one, other = (shown["recommendations"].pop(key) for shown in (printed, answer))
            assert [item.pop("score") for item in one] == pytest.approx([item.pop("score") for item in other], rel=1e-4)
            assert one == other
        assert answer.pop("domains") == {"x": "Food", "y": "Kitchen"}  # as this export names them
        assert printed.pop("domains") == {"x": "Pantry", "y": "Cookware"}
        assert printed == answer


def test_a_history_with_days(client, folder):
    """Items are ordered by day, and those of one day as given."""
    recommender = load_export(folder).recommender
    history = [{"item": "whisk", "day": "2014-05-02"}, {"item": KETTLE, "day": "2014-05-01"}, "Oil Bottle", TEA]
    answer = ask(client, history=history, day="2014-05-02", domain="kitchen", latest=4).json()
    items = np.array([6, 10, 9, 3])
    times = np.array([16191, 16192, 16192, 16192]) * 86_400
    assert [one["asin"] for one in answer["history"]] == [KETTLE, WHISK, "B000000009", TEA]
    lines = recommender.recommend(recommender.info.anonymous_user, items, times, 1, 10)
    assert [one["asin"] for one in answer["recommendations"]["y"]] == [line.asin for line in lines]
    assert set(answer["recommendations"]) == {"y"}
    assert answer["user"] is None
    assert answer["profile"] is None


def test_one_domain_by_key_or_name(client):
    for name, key in (("x", "x"), ("Food", "x"), ("kitchen", "y")):
        assert set(ask(client, user="BERT", domain=name).json()["recommendations"]) == {key}
    assert set(ask(client, user="BERT").json()["recommendations"]) == {"x", "y"}


def test_titles_that_several_items_have_are_noted(client):
    answer = ask(client, history=["green tea"], latest=1).json()
    assert answer["history"][0]["asin"] == TEA
    assert any(TEA in note for note in answer["notes"])


@pytest.mark.parametrize("who", [{"user": "CARL"}, {"history": [TEA, {"item": KETTLE, "day": "1970-01-05"}, "Whisk"]}])
def test_an_explanation(client, folder, who):
    recommender = load_export(folder).recommender
    answer = client.post("/explain", json={**who, "item": "olive oil, extra virgin, 1 l", "day": None}).json()
    if "user" in who:
        user = TargetUser("CARL", 2, *recommender.history(2), None)
    else:
        today = (datetime.datetime.now(datetime.UTC).date() - datetime.date(1970, 1, 1)).days
        times = np.array([4, today, today]) * 86_400
        user = TargetUser(None, recommender.info.anonymous_user, np.array([6, 3, 10]), times, None)
    why = explain(recommender, user, 1)
    assert answer["item"]["asin"] == "B000000001"
    assert answer["score"] == pytest.approx(why.item.score, rel=1e-4)
    assert (answer["rank"], answer["among"], answer["owned"]) == (why.rank, why.among, why.owned)
    assert answer["parts"] == pytest.approx(why.parts, rel=1e-4, abs=1e-5)
    shown = [(one["asin"], one["day"]) for one in answer["history"]]
    assert shown == [(one.line.asin, one.line.when) for one in why.contributions]
    for one, part in zip(answer["history"], why.contributions, strict=True):
        assert (one["contribution"] is None) == (part.drop is None)
        assert one["similarity"] == pytest.approx(part.similarity, rel=1e-3, abs=1e-5)


def test_similar_items(client, folder):
    recommender = load_export(folder).recommender
    answer = client.get("/similar/Pan, Small?k=3").json()
    assert answer["item"]["asin"] == "B000000008"
    for code, key in enumerate(DOMAINS):
        lines = similar(recommender, 8, code, 3)
        assert [one["asin"] for one in answer["similar"][key]] == [line.asin for line in lines]
    assert set(client.get("/similar/B000000008?domain=y&k=1").json()["similar"]) == {"y"}


def test_items_by_their_titles(client):
    found = client.get("/items", params={"query": "tea", "domain": "x"}).json()["items"]
    assert [one["asin"] for one in found] == [TEA, "B000000002"]
    assert len(client.get("/items?query=oil&k=1").json()["items"]) == 1
    assert client.get("/items?query=zeppelin").json() == {"items": []}


def test_health(client):
    answer = client.get("/health").json()
    assert answer["status"] == "ok"
    assert answer["items"] == {"x": 6, "y": 5}
    assert answer["users"] == 4
    assert answer["anonymous"] is True
    assert [one["asin"] for one in answer["examples"]] == ["B000000005", WHISK]


def test_metrics_count_and_hold_no_text_of_users(folder):
    with client_of(folder) as client:
        ask(client, user="ANNA")
        ask(client, user="SECRETNAME")
        client.get("/similar/SECRETNAME")
        client.get("/SECRETNAME")
        text = client.get("/metrics").text
    assert 'lecdsr_requests_total{route="/recommend",status="200"} 1\n' in text
    assert 'lecdsr_requests_total{route="/recommend",status="404"} 1\n' in text
    assert 'lecdsr_requests_total{route="other",status="404"} 1\n' in text
    assert 'lecdsr_request_seconds_bucket{route="/recommend",le="+Inf"} 2\n' in text
    assert 'lecdsr_export_info{pair="demo",model="tandem"} 1\n' in text
    assert "SECRET" not in text
    line = re.compile(r'(# (HELP|TYPE) .+|[a-z_]+(\{[a-z]+="[^"]*"(,[a-z]+="[^"]*")*\})? [0-9.e+-]+)')
    assert all(line.fullmatch(one) for one in text.splitlines())


def test_the_page_and_its_files(client):
    reply = client.get("/")
    assert reply.headers["content-type"].startswith("text/html")
    for path in re.findall(r'(?:href|src)="(/[^"]*)"', reply.text):
        part = client.get(path)
        assert part.status_code == 200, path
    assert not re.search(r'https?://(?!www\.w3\.org)|<style|style=|onclick|<script(?! type="module" src)', reply.text)
    policy = reply.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert reply.headers["x-content-type-options"] == "nosniff"
    refusal(client.get("/static/../app.py"), 404, "not-found")
    refusal(client.get("/static/app.py"), 404, "not-found")


# The description


def test_examples_of_the_description_are_answered(client):
    paths = client.get("/openapi.json").json()["paths"]
    seen = 0
    for path, methods in paths.items():
        for method, about in methods.items():
            values = {one["name"]: one["example"] for one in about.get("parameters", [])}
            url = path.format(**values)
            bodies = about.get("requestBody", {}).get("content", {}).get("application/json", {}).get("examples", {})
            for name, body in bodies.items() or [("", None)]:
                body = body and body["value"]
                if name == "a user":
                    body["user"] = "ANNA"
                options = {"json": body} if body else {}
                query = {key: value for key, value in values.items() if f"{{{key}}}" not in path}
                reply = client.request(method, url, params=query, **options)
                assert reply.status_code == 200, (path, reply.text)
                seen += 1
    assert seen == 9


def test_answers_are_as_described(client):
    """Keys of real answers are the required keys of their schemas."""
    document = client.get("/openapi.json").json()
    schemas = document["components"]["schemas"]
    answers = {
        "Recommendations": ask(client, user="ANNA").json(),
        "Explanation": client.post("/explain", json={"user": "ANNA", "item": TEA}).json(),
        "Similar": client.get(f"/similar/{TEA}").json(),
        "Items": client.get("/items?query=tea").json(),
        "Health": client.get("/health").json(),
        "Error": ask(client).json(),
    }
    for name, answer in answers.items():
        assert set(answer) == set(schemas[name]["required"]), name
    assert set(re.findall(r'"#/components/schemas/(\w+)"', json.dumps(document))) == set(schemas)
    assert "ANNA" not in json.dumps(document)


# Bad requests


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


# Under load


def test_too_many_at_once(folder, monkeypatch):
    """With two places, two slow requests are answered and a third is sent away at once."""
    go = threading.Event()
    inner = app_module._explanation
    monkeypatch.setattr(app_module, "_explanation", lambda *one: go.wait(30) and inner(*one))
    with client_of(folder, Limits(requests=2, explanations=2)) as client:
        found = []
        body = {"user": "ANNA", "item": TEA}
        threads = [threading.Thread(target=lambda: found.append(client.post("/explain", json=body))) for _ in range(2)]
        for thread in threads:
            thread.start()
        deadline = time.monotonic() + 30
        while client.app_behind._answering.taken < 2 and time.monotonic() < deadline:
            time.sleep(0.01)
        reply = ask(client, user="ANNA")
        refusal(reply, 503, "busy")
        assert reply.headers["retry-after"] == "1"
        go.set()
        for thread in threads:
            thread.join()
        assert [one.status_code for one in found] == [200, 200]
        assert ask(client, user="ANNA").status_code == 200
        assert client.app_behind._answering.taken == 0


def test_requests_that_wait_together_get_their_own_answers(folder):
    with client_of(folder) as client:
        alone = {user: ask(client, user=user).json() for user in ("ANNA", "BERT", "CARL", "DORA")}
        histories = [[TEA], [KETTLE, WHISK], ["Oil Bottle"]]
        apart = [ask(client, history=one).json() for one in histories]
        found = []

        def many(place):
            for turn in range(20):
                if (place + turn) % 2:
                    user = list(alone)[(place + turn) % 4]
                    found.append(same(ask(client, user=user).json(), alone[user]))
                else:
                    number = (place + turn) % 3
                    found.append(same(ask(client, history=histories[number]).json(), apart[number]))

        threads = [threading.Thread(target=many, args=(place,)) for place in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert found == [True] * 160


def same(one, other):
    """Compare two answers; sums of a batch may differ in the last bits."""
    for key in DOMAINS:
        a, b = one["recommendations"][key], other["recommendations"][key]
        if [item["asin"] for item in a] != [item["asin"] for item in b]:
            return False
        if not np.allclose([item["score"] for item in a], [item["score"] for item in b], rtol=1e-4):
            return False
    return one["user"] == other["user"]


def test_one_failing_request_fails_no_other(folder, monkeypatch):
    from lecdsr.serve import worker

    right, started = worker.rank, threading.Event()

    def rank(export, indexes, queries):
        started.set()
        time.sleep(0.05)  # so that the others wait together
        if any(query.k == 7 for query in queries):
            raise ZeroDivisionError("SECRETNAME")
        return right(export, indexes, queries)

    monkeypatch.setattr(worker, "rank", rank)
    with client_of(folder) as client:
        found = {}
        threads = [
            threading.Thread(target=lambda k=k: found.update({k: ask(client, user="ANNA", k=k)})) for k in range(5, 10)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        error = refusal(found.pop(7), 500, "internal")
        assert "SECRET" not in error["what"]
        assert {reply.status_code for reply in found.values()} == {200}


def test_failures_are_logged_without_what_a_user_sent(folder, monkeypatch, capsys):
    def fail(*_):
        raise ValueError("SECRETNAME")

    monkeypatch.setattr(app_module, "_explanation", fail)
    with client_of(folder) as client:
        refusal(client.post("/explain", json={"user": "ANNA", "item": TEA}), 500, "internal")
        client.post("/recommend", json={"user": "SECRETNAME"})
    shown = "".join(capsys.readouterr())
    assert "ValueError in /explain" in shown
    assert "SECRET" not in shown


def test_another_export_is_served_from_the_next_request_on(folder, tmp_path):
    other = Service(load_export(write_export(tmp_path, "sasrec")[1]), None)
    app = App(Service(load_export(folder), None), Limits())
    with TestClient(app.asgi(), base_url=HERE) as client:
        assert ask(client, user="ANNA").json()["model"] == "tandem"
        app.replace(other)
        assert ask(client, user="ANNA").json()["model"] == "sasrec"
        assert 'model="sasrec"' in client.get("/metrics").text
