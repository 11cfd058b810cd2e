"""Real processes killed between two chunks: stored vectors stay unchanged, and only the rest is encoded."""

import os
import subprocess
from itertools import chain
from pathlib import Path

import numpy as np
import pytest

from lecdsr.ask.openai_provider import RetryPolicy
from lecdsr.embed.local_encoder import BUNDLED, LocalEncoder
from lecdsr.embed.server_encoder import ServerEncoder
from lecdsr.embed.store import VectorStore
from tests.ask.loopback import KEY
from tests.embed.served import reply_to, unit
from tests.programs import KILL, program
from tests.waiting import wait_for

pytestmark = pytest.mark.slow  # every test kills processes

ROOT = Path(__file__).parents[2]
AT_ONCE, BATCH = 2, 5
#: Maximum number of texts that a kill can lose, in flight or not yet stored: see `lecdsr.ask.rate_limit`.
AT_RISK = 2 * AT_ONCE * BATCH
TEXTS = [f"Customer {number} likes green tea from the valley, and iron pans." for number in range(400)]
LOCAL = """
import sys
from pathlib import Path
from lecdsr.embed import local_encoder
from lecdsr.embed.store import VectorStore
local_encoder.CHUNK = 8
with VectorStore(Path(sys.argv[1])) as store:
    local_encoder.LocalEncoder(local_encoder.BUNDLED, 4).encode(Path(sys.argv[2]).read_text().splitlines(), store)
"""
SERVED = """
import os, sys
from pathlib import Path
from lecdsr.embed.server_encoder import ServerEncoder
from lecdsr.embed.store import VectorStore
with VectorStore(Path(sys.argv[1])) as store:
    ServerEncoder("m", 5, None, os.environ).encode(Path(sys.argv[2]).read_text().splitlines(), store)
"""


@pytest.fixture
def path(tmp_path):
    (tmp_path / "texts").write_text("\n".join(TEXTS))
    return tmp_path / "vectors.sqlite"


def rows_of(path):
    """Return key and bytes of all stored vectors, in the order in which they were stored."""
    with VectorStore(path) as store:
        return dict(store.db.execute("SELECT key, vector FROM vectors ORDER BY rowid"))


def killed_after(count, code, path, **environment):
    """Run ``code``, kill it when ``count`` vectors are stored, and return these."""
    log = path.parent / "log"
    with log.open("wb") as file:
        command = [program("python"), "-c", code, str(path), str(path.parent / "texts")]
        process = subprocess.Popen(command, cwd=ROOT, env={**os.environ, **environment}, stdout=file, stderr=file)

    def stored():
        assert process.poll() is None, log.read_text()
        return len(rows_of(path)) >= count

    wait_for(stored)
    process.send_signal(KILL)
    process.wait()
    assert KEY.encode() not in log.read_bytes()
    return rows_of(path)


def test_a_killed_encoder_goes_on_where_it_was(path):
    survived = killed_after(24, LOCAL, path)
    assert 24 <= len(survived) < len(TEXTS)
    assert len(survived) % 8 == 0  # whole chunks
    encoder = LocalEncoder(BUNDLED, 32)
    with VectorStore(path) as store:
        rows = encoder.encode(TEXTS, store)
    assert encoder.encoded == len(TEXTS) - len(survived)
    after = rows_of(path)
    assert list(after.items())[: len(survived)] == list(survived.items())
    assert {row.tobytes() for row in rows} == set(after.values())
    np.testing.assert_allclose(rows[::40], encoder.model.encode(TEXTS[::40], normalize_embeddings=True), atol=1e-5)


def test_a_killed_run_asks_the_server_for_the_rest_alone(path, server):
    server.behave = lambda texts, number: reply_to(texts, wait=0.02)
    survived = killed_after(60, SERVED, path, **server.environment(LECDSR_LLM_CONCURRENCY=str(AT_ONCE)))
    before = len(server.prompts)
    sent = list(chain.from_iterable(server.prompts))
    assert len(sent) == len(set(sent)) < len(TEXTS)
    assert len(sent) - AT_RISK <= len(survived) <= len(sent)

    with VectorStore(path) as store:
        encoder = ServerEncoder("m", BATCH, None, server.environment(), RetryPolicy(first_s=0.01))
        rows = encoder.encode([*TEXTS, "one more"], store)
    np.testing.assert_allclose(rows, unit([*TEXTS, "one more"]), atol=1e-6)
    again = list(chain.from_iterable(server.prompts[before:]))
    assert len(again) == len(set(again)) == encoder.encoded == len(TEXTS) + 1 - len(survived)
    assert dict(list(rows_of(path).items())[: len(survived)]) == survived
