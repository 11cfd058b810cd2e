import pytest

from tests.ask.loopback import KEY, Loopback


@pytest.fixture
def server():
    with Loopback() as loopback:
        yield loopback


@pytest.fixture(autouse=True)
def environment(monkeypatch, tmp_path):
    """Remove environment variables of the user who runs the tests."""
    for name in ("OPENAI_BASE_URL", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID", "OPENAI_LOG", "DVC_ROOT", "HTTP_PROXY",
                 "http_proxy", "ALL_PROXY", "all_proxy", "LECDSR_LLM_MAX_REQUESTS", "LECDSR_LLM_TIMEOUT_S",
                 "LECDSR_LLM_CONCURRENCY"):  # fmt: skip
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("LECDSR_LLM_STORE", str(tmp_path / "store"))
