"""Requests to a service in this process, and what their refusals hold."""

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
