import importlib.util
import json
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from lecdsr.core.errors import UserError
from lecdsr.llm_server import server
from tests.errors import refused

ROOT = Path(__file__).parents[2]


def _has_model():
    try:
        return importlib.util.find_spec("xllamacpp") is not None and server.small_model().exists()
    except UserError:
        return False


def command(*options):
    return [sys.executable, "-m", "lecdsr.cli.main", "serve-llm", *options]


def test_a_file_that_is_no_model_is_named(tmp_path):
    (tmp_path / "m.gguf").write_text("not a model", encoding="utf-8")
    with refused("broken-file", tmp_path / "m.gguf"):
        server.start(tmp_path / "m.gguf", 0, 1, 128, 1)
    with refused("missing-file", tmp_path / "absent.gguf"):
        server.start(tmp_path / "absent.gguf", 0, 1, 128, 1)


def test_a_port_in_use_is_named(tmp_path):
    (tmp_path / "m.gguf").write_bytes(b"GGUF")
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with refused("port-in-use", "--port") as caught:
            server.start(tmp_path / "m.gguf", port, 1, 128, 1)
    assert str(port) in caught.value.what


def test_what_is_not_installed_says_how_to_install_it(monkeypatch, tmp_path):
    monkeypatch.setattr(server.importlib.util, "find_spec", lambda name: None)
    with refused("not-installed", "--model") as missing:
        server.small_model()
    assert "make local-llm" in missing.value.do
    monkeypatch.setitem(sys.modules, "xllamacpp", None)
    (tmp_path / "m.gguf").write_bytes(b"GGUF")
    with refused("not-installed"):
        server.start(tmp_path / "m.gguf", 0, 1, 128, 1)


@pytest.mark.slow
@pytest.mark.skipif(not _has_model(), reason="the local language model is not installed: make local-llm")
def test_it_answers_as_the_openai_api_does_and_ends_when_told_to():
    with subprocess.Popen(command("--port", "0"), cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        url = process.stdout.readline().split(" is served at ")[1].split(";")[0]
        body = {
            "model": server.SMALL_MODEL,
            "messages": [{"role": "user", "content": "Answer with one word: what is the colour of grass?"}],
            "max_tokens": 40,
            "temperature": 0.0,
        }
        request = urllib.request.Request(f"{url}/chat/completions", json.dumps(body).encode())
        request.add_header("Content-Type", "application/json")
        with urllib.request.urlopen(request, timeout=120) as reply:
            told = json.load(reply)
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
    assert told["model"] == server.SMALL_MODEL
    assert told["choices"][0]["finish_reason"] in ("stop", "length")
    assert told["choices"][0]["message"]["content"].strip()
    assert told["usage"]["completion_tokens"] > 0
