"""Exports of small models, and services of them in this process or in one of their own."""

import json
import os
import re
import signal
import subprocess
import urllib.error
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from lecdsr.core.paths import Artefacts
from lecdsr.recommend.export import export
from lecdsr.recommend.recommender import open_recommender
from lecdsr.serve.app import App
from lecdsr.serve.limits import Limits
from lecdsr.serve.load import load_export
from lecdsr.serve.worker import Service
from tests.programs import KILL, program
from tests.recommend.built import ROOT, TWO_TOWERS, write_pair

FACTS = {"pair": "demo", "domains": {"x": "Food", "y": "Kitchen"}}
HERE = "http://127.0.0.1"
TOKEN = "0123456789abcdef-secret"


def write_export(folder, model="tandem", domains="both"):
    """Write a pair and the export of a model below ``folder``; return the recommender and the export's folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        write_pair(folder, {model: TWO_TOWERS[model]}, domains)
        recommender = open_recommender(Artefacts("demo"), model)
        export(recommender, {**FACTS, "model": model}, folder / "export")
    return recommender, folder / "export"


@contextmanager
def client_of(folder, limits=Limits(), token=None, indexes=None):  # noqa: B008
    """Serve an export in this process, and yield a client."""
    app = App(Service(load_export(folder), indexes), limits, token)
    with TestClient(app.asgi(), base_url=HERE) as client:
        client.app_behind = app
        yield client


class Running:
    """A service in a process of its own."""

    def __init__(self, process, lines):
        self.process, self.lines = process, lines
        self.port = int(re.search(r":(\d+),", lines[-1])[1])
        self.url = f"http://127.0.0.1:{self.port}"

    def ask(self, path="/recommend", body=None, headers=None, timeout=30):
        """Return status and parsed answer."""
        data = json.dumps(body).encode() if isinstance(body, dict) else body
        headers = {**({"Content-Type": "application/json"} if data else {}), **(headers or {})}
        request = urllib.request.Request(self.url + path, data, headers)
        try:
            with urllib.request.urlopen(request, timeout=timeout) as reply:
                return reply.status, json.load(reply)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)

    def memory(self):
        """Memory of the process in MB."""
        text = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", text)[1]) / 1024

    def line_with(self, text):
        """Read output until a line has a text."""
        for line in self.process.stdout:
            self.lines.append(line)
            if text in line:
                return line
        raise AssertionError("".join(self.lines))


def command(folder, *options, python=None):
    return [python or program("python"), "-m", "lecdsr.cli.main", "serve", str(folder), "--port", "0", *options]


def environment(**more):
    kept = {name: value for name, value in os.environ.items() if not name.startswith("LECDSR_SERVE")}
    return {**kept, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", "OMP_NUM_THREADS": "1", **more}


@contextmanager
def running(folder, *options, python=None, **variables):
    """Start a service and wait until it listens; its memory can be asked if ``python`` is a plain one."""
    where = {"cwd": folder, "env": environment(**variables), "text": True}
    with subprocess.Popen(
        command(folder, *options, python=python), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **where
    ) as process:
        try:
            lines = []
            for line in process.stdout:
                lines.append(line)
                if "listening on" in line:
                    break
            assert "listening on" in "".join(lines[-1:]), "".join(lines)
            yield Running(process, lines)
        finally:
            process.send_signal(signal.SIGKILL if python else KILL)
