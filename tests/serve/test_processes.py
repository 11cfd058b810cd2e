"""The service as a process: signals under load, addresses and tokens, bodies and clients that mean no good."""

import contextlib
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from queue import Empty, SimpleQueue

import pytest

from lecdsr.core.errors import UserError
from lecdsr.serve import limits, server
from lecdsr.serve.app import App
from lecdsr.serve.limits import Limits
from lecdsr.serve.load import load_export
from lecdsr.serve.server import read_token
from lecdsr.serve.worker import Service
from tests.errors import refused
from tests.serve.exported import TOKEN, command, environment, running, write_export
from tests.waiting import wait_for

pytestmark = pytest.mark.slow

BODY = json.dumps({"user": "ANNA", "k": 5}).encode()
HEAD = "POST /recommend HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"


class Load:
    """Clients in threads that ask until told to stop, each with one connection that it opens again if it is closed."""

    def __init__(self, port, clients=6):
        self.port, self.going, self.answers, self.lost = port, True, [], []
        self.threads = [threading.Thread(target=self._run) for _ in range(clients)]
        for thread in self.threads:
            thread.start()

    def _run(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        while self.going:
            try:
                connection.request("POST", "/recommend", BODY, {"Content-Type": "application/json"})
                reply = connection.getresponse()
                answer = json.loads(reply.read())
                self.answers.append((reply.status, answer.get("model")))
            except (OSError, http.client.HTTPException) as error:
                self.lost.append(type(error).__name__)
                connection.close()
                if isinstance(error, ConnectionRefusedError):
                    return

    def stop(self):
        self.going = False
        for thread in self.threads:
            thread.join(30)


def test_sigterm_under_load_answers_what_has_begun(folder):
    with running(folder) as service:
        with ThreadPoolExecutor(4) as pool:
            slow = [pool.submit(service.ask, "/explain", {"user": "ANNA", "item": "Whisk"}) for _ in range(4)]
            load = Load(service.port)
            wait_for(lambda: len(load.answers) > 50)
            service.process.send_signal(signal.SIGTERM)
            assert service.process.wait(30) == 0
            load.stop()
            assert [one.result()[0] for one in slow] == [200] * 4
        assert len(load.answers) > 50
        assert {status for status, _ in load.answers} == {200}
        # A connection that idles is closed; a request that meets it may be lost, but none that was read.
        assert "IncompleteRead" not in load.lost
        assert "Traceback" not in "".join([*service.lines, *service.process.stdout])


def test_a_request_whose_body_is_under_way_is_answered_after_sigterm(folder):
    with running(folder) as service, socket.create_connection(("127.0.0.1", service.port), 30) as client:
        client.sendall(f"{HEAD}Content-Length: {len(BODY)}\r\n\r\n".encode() + BODY[:5])
        service.ask(body={"user": "ANNA"})  # answered after what was sent before it is read
        service.process.send_signal(signal.SIGTERM)
        time.sleep(0.5)
        client.sendall(BODY[5:])
        assert client.recv(65_536).startswith(b"HTTP/1.1 200")
        assert service.process.wait(30) == 0


def test_sighup_under_load_swaps_exports_and_loses_no_request(tmp_path):
    current = tmp_path / "current"
    first, second = (tmp_path / name for name in ("one", "two"))
    for path, model in ((first, "tandem"), (second, "sasrec")):
        path.mkdir()
        write_export(path, model)
    current.symlink_to(first / "export")
    with running(current, python=sys.executable) as service:
        load = Load(service.port)
        for turn in range(4):
            (tmp_path / "next").symlink_to([second, first][turn % 2] / "export")
            os.replace(tmp_path / "next", current)
            service.process.send_signal(signal.SIGHUP)
            service.line_with("the new export is served")
            time.sleep(0.2)
        load.stop()
        assert load.lost == []
        assert {status for status, _ in load.answers} == {200}
        assert [model for _, model in load.answers].count("sasrec") > 10
        assert {model for _, model in load.answers} == {"tandem", "sasrec"}
        # An export that is refused changes nothing, and the log says why.
        (second / "export" / "facts.json").unlink()
        (tmp_path / "next").symlink_to(second / "export")
        os.replace(tmp_path / "next", current)
        service.process.send_signal(signal.SIGHUP)
        assert "refused" in service.line_with("is still served")
        status, answer = service.ask(body={"user": "ANNA"})
        assert (status, answer["model"]) == (200, "tandem")
        connection = http.client.HTTPConnection("127.0.0.1", service.port)
        connection.request("GET", "/metrics")
        text = connection.getresponse().read().decode()
        assert 'lecdsr_loads_total{result="taken"} 4' in text
        assert 'lecdsr_loads_total{result="refused"} 1' in text


def test_a_signal_during_a_load_loads_once_more(folder, monkeypatch):
    """What was exported after a load had begun is served too; signals that wait together need one load."""
    asked, begun, go, loads = SimpleQueue(), SimpleQueue(), SimpleQueue(), []

    def load_service(*_):
        begun.put(None)
        loads.append(go.get(timeout=30))
        raise UserError("refused", do="nothing")

    app = App(Service(load_export(folder), None), Limits())
    monkeypatch.setattr(server, "load_service", load_service)
    ask = (app, folder, "exact", None, asked)
    threading.Thread(target=server.replace_when_asked, args=ask, daemon=True).start()
    asked.put(None)
    begun.get(timeout=30)
    asked.put(None)
    asked.put(None)
    go.put("before")
    begun.get(timeout=30)
    go.put("after")
    with pytest.raises(Empty):
        begun.get(timeout=0.3)
    assert loads == ["before", "after"]
    assert app.metrics.loads["refused"] == 2


def test_a_body_of_100_mb_is_refused_and_takes_no_memory(folder):
    with running(folder, python=sys.executable) as service:
        service.ask(body={"user": "ANNA"})
        before, size = service.memory(), 100_000_000
        for chunked in (False, True):
            how = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {size}"
            with socket.create_connection(("127.0.0.1", service.port), 30) as client:
                client.sendall(f"{HEAD}{how}\r\n\r\n".encode())
                part = b"a" * 1_000_000
                try:
                    for _ in range(100):
                        client.sendall(b"%x\r\n%s\r\n" % (len(part), part) if chunked else part)
                except OSError:
                    pass  # cut off while sending
                answer = client.recv(65_536)
            assert answer.startswith(b"HTTP/1.1 413"), answer[:100]
            assert b'"code":"too-large"' in answer
        assert service.memory() < before + 30
        assert service.ask(body={"user": "ANNA"})[0] == 200


def slow_clients(port):
    """Connections that send nothing, half a head, half a body, and a byte at a time when the caller sends it."""
    silent, headless, bodiless, dripping = (socket.create_connection(("127.0.0.1", port), 30) for _ in range(4))
    headless.sendall(b"GET /health HTTP/1.1\r\nHost: 127.0")
    bodiless.sendall(f"{HEAD}Content-Length: 100\r\n\r\n{{".encode())
    return silent, headless, bodiless, dripping


def test_slow_clients_hold_up_nobody(folder):
    with running(folder, "--timeout", "120") as service:  # longer than the other client waits
        clients = slow_clients(service.port)
        assert service.ask(body={"user": "ANNA"})[0] == 200
        for client in clients:
            client.close()


def test_slow_clients_are_cut_off(folder):
    with running(folder, "--timeout", "1") as service:
        silent, headless, bodiless, dripping = slow_clients(service.port)
        until = time.monotonic() + 5
        while time.monotonic() < until:  # one byte at a time, as slowly as an attacker likes
            try:
                dripping.sendall(b"G")
            except OSError:
                break
            time.sleep(0.2)
        else:
            raise AssertionError("a head may take forever")
        answer = bodiless.recv(65_536)
        assert answer.startswith(b"HTTP/1.1 408")
        assert b'"code":"timeout"' in answer
        for client in (silent, headless):
            with contextlib.suppress(ConnectionResetError):
                assert client.recv(100) == b""
        for client in (silent, headless, bodiless, dripping):
            client.close()
        assert service.ask(body={"user": "ANNA"})[0] == 200


def test_garbage_is_refused(folder):
    with running(folder) as service:
        for garbage in (b"\x16\x03\x01\x02\x00\x01" * 50, b"GET\r\n\r\n", b"A" * 100_000, b"GET / HTTP/1.1\r\n\r\n"):
            with socket.create_connection(("127.0.0.1", service.port), 30) as client:
                client.sendall(garbage)
                with contextlib.suppress(ConnectionResetError):
                    assert client.recv(100).split(b" ")[1] in (b"400", b"403")
        assert service.ask(body={"user": "ANNA"})[0] == 200
        service.process.send_signal(signal.SIGTERM)
        assert "Traceback" not in service.process.stdout.read()


def test_memory_stays_flat(folder):
    with running(folder, python=sys.executable) as service:
        connection = http.client.HTTPConnection("127.0.0.1", service.port)

        def many(count):
            for turn in range(count):
                body = [{"user": "ANNA"}, {"history": ["Whisk"]}, {"user": f"nobody-{turn}"}, {"history": [f"t{turn}"]}]
                headers = {"Content-Type": "application/json"}
                connection.request("POST", "/recommend", json.dumps(body[turn % 4]), headers)
                connection.getresponse().read()

        many(300)
        before = service.memory()
        many(1500)
        assert service.memory() < before + 10


def refused_command(folder, *options, **variables):
    """Run a service that must not start; return the code of the exit and what it printed."""
    done = subprocess.run(
        command(folder, *options), cwd=folder, env=environment(**variables), capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert "Traceback" not in done.stderr
    return done.stderr


def test_other_addresses_need_a_token(folder):
    assert "LECDSR_SERVE_TOKEN" in refused_command(folder, "--host", "0.0.0.0")
    assert "0123" not in refused_command(folder, "--host", "0.0.0.0", LECDSR_SERVE_TOKEN="0123")
    with running(folder, "--host", "0.0.0.0", LECDSR_SERVE_TOKEN=TOKEN) as service:
        assert service.ask(body={"user": "ANNA"})[0] == 401
        assert service.ask(body={"user": "ANNA"}, headers={"Authorization": f"Bearer {TOKEN}"})[0] == 200
        service.process.send_signal(signal.SIGTERM)
        assert TOKEN not in "".join([*service.lines, *service.process.stdout])


def test_a_wrong_start_is_refused_with_one_message(folder, tmp_path):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        assert "cannot listen" in refused_command(folder, "--port", str(other.getsockname()[1]))
    assert "cannot listen" in refused_command(folder, "--host", "192.0.2.1", LECDSR_SERVE_TOKEN=TOKEN)
    half = shutil.copytree(folder, tmp_path / "half")
    (half / "facts.json").unlink()
    assert "incomplete" in refused_command(half)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "localhost", "::1"])
def test_loopback_needs_no_token(host):
    assert read_token(host, {}) is None
    assert read_token(host, {"LECDSR_SERVE_TOKEN": TOKEN}) == TOKEN


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "shop.example", ""])
def test_any_other_host_does(host):
    with refused("no-token", "--host"):
        read_token(host, {})
    with refused("weak-token"):
        read_token(host, {"LECDSR_SERVE_TOKEN": "short"})
    with refused("weak-token"):
        read_token(host, {"LECDSR_SERVE_TOKEN": "a" * 20 + "\n"})


def test_an_index_prints_its_recall(folder):
    with running(folder, "--index", "ann") as service:
        assert any("recall@10" in line for line in service.lines)
        assert service.ask(body={"user": "ANNA"})[0] == 200


def test_what_is_not_installed_says_how_to_install_it(monkeypatch):
    monkeypatch.setattr(limits.importlib.util, "find_spec", lambda name: None if name == "uvicorn" else name)
    with refused("not-installed") as caught:
        limits.check_installed()
    assert "uvicorn" in caught.value.what
    assert "lecdsr[serve]" in caught.value.do
