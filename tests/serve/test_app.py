"""Every route, in this process."""

import datetime
import json
import re
import sys

import numpy as np
import pytest

from lecdsr.cli.main import run
from lecdsr.core.schemas import DOMAINS
from lecdsr.recommend.explain import explain, similar
from lecdsr.recommend.user import TargetUser
from lecdsr.serve.load import load_export
from tests.serve.asking import KETTLE, TEA, WHISK, ask, refusal
from tests.serve.exported import client_of

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
