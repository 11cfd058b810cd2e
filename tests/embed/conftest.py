import pytest

from lecdsr.embed.local_encoder import BUNDLED, LocalEncoder
from tests.ask.loopback import KEY, Loopback


@pytest.fixture(scope="session")
def int8_encoder():
    """Make encoders in int8 that share one model, because its weights take seconds to quantise."""
    shared = LocalEncoder(BUNDLED, 8, "int8")
    assert shared.model

    def make(batch_size=8):
        encoder = LocalEncoder(BUNDLED, batch_size, "int8")
        encoder._exact, encoder._model = shared._exact, shared._model
        return encoder

    return make


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
