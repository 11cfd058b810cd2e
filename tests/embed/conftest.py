import pytest

from tests.ask.loopback import KEY, Loopback


@pytest.fixture
def server(monkeypatch, tmp_path):
    """Start a local server of vectors, and remove environment variables of the user who runs the tests."""
    from tests.embed.served import reply_to

    for name in ("OPENAI_BASE_URL", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy", "DVC_ROOT",
                 "LECDSR_LLM_MAX_REQUESTS", "LECDSR_LLM_MAX_COST", "LECDSR_LLM_PRICES", "LECDSR_LLM_TIMEOUT_S",
                 "LECDSR_LLM_CONCURRENCY"):  # fmt: skip
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with Loopback() as loopback:
        loopback.behave = lambda texts, number: reply_to(texts)
        yield loopback
