"""Requests at the same time, in this process."""

import threading
import time

import numpy as np
from starlette.testclient import TestClient

from lecdsr.core.schemas import DOMAINS
from lecdsr.serve import app as app_module
from lecdsr.serve.app import App
from lecdsr.serve.limits import Limits
from lecdsr.serve.load import load_export
from lecdsr.serve.worker import Service
from tests.serve.asking import KETTLE, TEA, WHISK, ask, refusal
from tests.serve.exported import HERE, client_of, write_export
from tests.waiting import wait_for


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
        wait_for(lambda: client.app_behind._answering.taken == 2, 30)
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
