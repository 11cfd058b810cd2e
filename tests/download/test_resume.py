"""Downloads over an unreliable connection give the right bytes in the end, or a clear error."""

import gzip
import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from lecdsr.core.files import sha256_file
from lecdsr.download import fetch
from lecdsr.download.fetch import PartialFile
from lecdsr.download.inspect import BrokenError, inspect
from lecdsr.download.mirrors import download
from lecdsr.download.settings import Settings
from tests.errors import refused

BODY = gzip.compress(random.Random(2).randbytes(400_000), mtime=0)
NAME = "meta_Food.json.gz"
SYNTHETIC = {"seed": 1, "users": 30, "items_x": 24, "items_y": 24, "interactions_per_user": 12, "bad_lines": 0}


class Server:
    """Server of one file with ranges; each request takes the next fault of ``faults``, later ones none.

    Faults: ``("drop", n)`` ends the connection after n bytes of the body, ``"ignore"`` sends the whole
    file whatever was asked, ``("length", n)`` claims n bytes more than it sends, ``("busy", seconds)`` is 503,
    ``"range"`` claims another range, ``("change", body)`` serves another file from then on,
    ``"packed"`` says that the body is packed, a number is that status.
    """

    def __init__(self, body=BODY, faults=(), etag=True, chunk=None):
        self.body, self.faults, self.etag, self.chunk = body, list(faults), etag, chunk
        self.requests, self.sent = [], 0
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server.server_port}/data"

    def _handler(server):
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                asked = self.headers.get("Range")
                server.requests.append(asked)
                fault = server.faults.pop(0) if server.faults else None
                kind, value = fault if isinstance(fault, tuple) else (fault, None)
                if kind == "change":
                    server.body = value
                if kind == "busy":
                    self.send_response(503)
                    if value is not None:
                        self.send_header("Retry-After", str(value))
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                elif isinstance(kind, int):
                    self.send_error(kind)
                else:
                    self._send(asked, kind, value)

            def _send(self, asked, kind, value):
                tag = f'"{hash(server.body)}"'
                first = int(re.match(r"bytes=(\d+)-", asked)[1]) if asked else 0
                whole = not asked or kind == "ignore" or self.headers.get("If-Range") != tag
                if not whole and first >= len(server.body):
                    self.send_error(416)
                    return
                first = 0 if whole else first
                body = server.body[first:]
                self.send_response(200 if whole else 206)
                if not whole:
                    shown = first + 7 if kind == "range" else first
                    self.send_header("Content-Range", f"bytes {shown}-{len(server.body) - 1}/{len(server.body)}")
                if server.etag:
                    self.send_header("ETag", tag)
                if kind == "packed":
                    self.send_header("Content-Encoding", "gzip")
                self.send_header("Content-Length", str(len(body) + (value if kind == "length" else 0)))
                self.end_headers()
                self._write(body[:value] if kind == "drop" else body)
                self.close_connection = True

            def _write(self, body):
                step = server.chunk or len(body) or 1
                for start in range(0, len(body), step):
                    server.sent += len(body[start : start + step])
                    self.wfile.write(body[start : start + step])
                    if server.chunk:
                        time.sleep(0.01)

            def log_message(self, *_):
                pass

            def handle_one_request(self):
                try:
                    super().handle_one_request()
                except (OSError, ValueError):
                    self.close_connection = True

        return Handler


@pytest.fixture
def serve(monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    servers = []

    def start(*args, **kwargs):
        servers.append(Server(*args, **kwargs))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


@pytest.fixture
def waits(monkeypatch):
    seconds: list[float] = []
    monkeypatch.setattr(fetch.time, "sleep", lambda s: seconds.append(s) if s > 0.05 else None)
    return seconds


def settings(**changed):
    return Settings.model_validate(
        {"timeout_s": 5, "attempts": 3, "max_unpacked_gb": 1, "synthetic": SYNTHETIC, **changed}
    )


def get(folder, *servers, **changed):
    chosen = settings(**changed)

    def check(path, name):
        return inspect(path, name, chosen.max_unpacked_gb)

    folder.mkdir(exist_ok=True)
    return download(tuple(server.url for server in servers), [NAME], folder, chosen, check)


def listing(folder):
    return sorted(path.name for path in folder.iterdir())


def test_dropped_connections_go_on_where_they_stopped(serve, waits, tmp_path):
    server = serve(faults=[("drop", 100_000)] * 3)
    get(tmp_path, server)
    assert (tmp_path / NAME).read_bytes() == BODY
    assert server.requests == [None, "bytes=100000-", "bytes=200000-", "bytes=300000-"]
    assert server.sent == len(BODY)  # no byte twice
    assert listing(tmp_path) == [NAME]


def test_progress_starts_the_count_of_attempts_anew(serve, waits, tmp_path):
    server = serve(faults=[("drop", 20_000)] * 12)
    get(tmp_path, server, attempts=2)
    assert (tmp_path / NAME).read_bytes() == BODY


def test_without_progress_the_mirror_is_given_up_and_the_part_kept(serve, waits, tmp_path):
    server = serve(faults=[("drop", 50_000), ("drop", 0), ("drop", 0), ("drop", 0)])
    with refused("no-download") as caught:
        get(tmp_path, server)
    assert f"50,000 of {len(BODY):,}" in caught.value.what
    assert "3 attempts" in caught.value.what
    assert PartialFile(tmp_path / NAME).size == 50_000
    get(tmp_path, server)
    assert server.requests[-1] == "bytes=50000-"
    assert (tmp_path / NAME).read_bytes() == BODY


def test_a_server_that_ignores_ranges(serve, waits, tmp_path):
    server = serve(faults=[("drop", 100_000), "ignore"])
    get(tmp_path, server)
    assert (tmp_path / NAME).read_bytes() == BODY
    assert server.sent == len(BODY) + 100_000


def test_a_file_that_changes_between_two_requests(serve, waits, tmp_path):
    other = gzip.compress(random.Random(3).randbytes(400_000))
    server = serve(faults=[("drop", 100_000), ("change", other)])
    get(tmp_path, server)
    assert (tmp_path / NAME).read_bytes() == other


def test_a_file_that_became_shorter(serve, waits, tmp_path):
    short = gzip.compress(b"short")
    server = serve(faults=[("drop", 100_000), ("change", short)])
    get(tmp_path, server)
    assert (tmp_path / NAME).read_bytes() == short


@pytest.mark.parametrize("fault", ["range", 416])
def test_a_wrong_answer_to_a_range_starts_anew(serve, waits, tmp_path, fault):
    server = serve(faults=[("drop", 100_000), fault])
    get(tmp_path, server)
    assert server.requests == [None, "bytes=100000-", None]
    assert (tmp_path / NAME).read_bytes() == BODY


def test_without_a_validator_nothing_is_continued(serve, waits, tmp_path):
    server = serve(faults=[("drop", 100_000)], etag=False)
    get(tmp_path, server)
    assert server.requests == [None, None]
    assert (tmp_path / NAME).read_bytes() == BODY


def test_a_length_too_large_is_an_error(serve, waits, tmp_path):
    server = serve(faults=[("length", 10)] * 9)
    with refused("no-download") as caught:
        get(tmp_path, server)
    assert f"{len(BODY):,} of {len(BODY) + 10:,}" in caught.value.what
    assert NAME not in listing(tmp_path)


def test_a_length_too_small_leaves_a_gzip_that_is_refused(serve, waits, tmp_path):
    server = serve(faults=[("length", -10)] * 9)
    with refused("no-download") as caught:
        get(tmp_path, server)
    assert "truncated" in caught.value.what
    assert listing(tmp_path) == []  # nothing that would be continued


@pytest.mark.parametrize(("after", "waited"), [(None, 1.0), (7, 7.0), (100_000, 60.0), ("nonsense", 1.0)])
def test_a_busy_server_is_left_alone_for_as_long_as_it_asks(serve, waits, tmp_path, after, waited):
    get(tmp_path, serve(faults=[("busy", after)]))
    assert waits == [waited]
    assert (tmp_path / NAME).read_bytes() == BODY


def test_a_body_packed_anew_is_refused(serve, waits, tmp_path):
    with refused("no-download") as caught:
        get(tmp_path, serve(faults=["packed"] * 9))
    assert "(gzip)" in caught.value.what
    assert NAME not in listing(tmp_path)


def test_the_next_mirror_helps_and_the_one_begun_with_comes_first(serve, waits, tmp_path):
    dead, good = serve(faults=[500] * 9), serve(faults=[("drop", 100_000), *[("drop", 0)] * 3])
    with refused("no-download", f"{dead.url}, {good.url}") as caught:
        get(tmp_path, dead, good)
    assert dead.url in caught.value.what
    assert good.url in caught.value.what
    asked = len(dead.requests)
    get(tmp_path, dead, good)
    assert (tmp_path / NAME).read_bytes() == BODY
    assert len(dead.requests) == asked  # the second one has a part, so it is asked first
    assert good.requests[-1] == "bytes=100000-"


def test_a_part_is_never_continued_from_another_mirror(serve, waits, tmp_path):
    one = serve(faults=[("drop", 100_000), *[("drop", 0)] * 30])
    other_body = gzip.compress(random.Random(5).randbytes(400_000))
    other = serve(other_body)
    get(tmp_path, one, other)
    assert other.requests == [None]
    assert (tmp_path / NAME).read_bytes() == other_body


def test_a_corrupt_file_of_one_mirror_is_replaced_by_that_of_the_next(serve, waits, tmp_path):
    corrupt = BODY[:200_000] + b"\0" * 100 + BODY[200_100:]
    get(tmp_path, serve(corrupt), serve())
    assert (tmp_path / NAME).read_bytes() == BODY


def test_the_way_to_fill_the_folder_by_hand_is_told(serve, waits, tmp_path):
    with refused("no-download") as caught:
        get(tmp_path, serve(faults=[404] * 9))
    assert NAME in caught.value.do
    assert str(tmp_path) in caught.value.do


def test_a_full_disk_is_told_before_the_download(serve, waits, tmp_path, monkeypatch):
    monkeypatch.setattr(fetch.shutil, "disk_usage", lambda _: type("Usage", (), {"free": 1000}))
    with refused("disk-full", tmp_path):
        get(tmp_path, serve())


# Looking through


def test_a_gzip_bomb_is_bounded_by_the_parameter(tmp_path):
    path = tmp_path / NAME
    path.write_bytes(gzip.compress(b"\0" * 30_000_000))
    assert path.stat().st_size < 100_000
    inspect(path, NAME, 0.031)
    with refused("too-large", NAME) as caught:
        inspect(path, NAME, 0.029)
    assert "0.029 GB" in caught.value.what
    assert "download.max_unpacked_gb" in caught.value.do


def test_gzips_of_several_members_and_padding_are_whole(tmp_path):
    path = tmp_path / NAME
    path.write_bytes(gzip.compress(b"one") + gzip.compress(b"two") + b"\0" * 512)
    assert inspect(path, NAME, 1) == (path.stat().st_size, sha256_file(path))


@pytest.mark.parametrize(
    "content", [b"", b"\0\0", BODY[:-1], BODY[: len(BODY) // 2], BODY[:5], b"<html>", BODY + b"x", BODY + BODY[:50]]
)
def test_what_is_no_whole_gzip_is_broken(tmp_path, content):
    path = tmp_path / NAME
    path.write_bytes(content)
    with pytest.raises(BrokenError):
        inspect(path, NAME, 1)


@pytest.mark.parametrize("name", ["A.csv", "A.csv.gz"])
@pytest.mark.parametrize("length", [1 << 24, (1 << 24) + 1])
def test_a_csv_line_that_its_reader_would_pass_over_is_refused(tmp_path, name, length):
    content = b"i1,u1,5.0,1000\n" + b"a" * length + b"\ni2,u2,5.0,1000\n"
    (tmp_path / name).write_bytes(gzip.compress(content, 1) if name.endswith(".gz") else content)
    if length <= 1 << 24:
        inspect(tmp_path / name, name, 1)
    else:
        with pytest.raises(BrokenError, match="16,777,216"):
            inspect(tmp_path / name, name, 1)


# A real process, killed again and again

CHILD = """
import sys
from pathlib import Path
from tests.download.test_resume import NAME, settings
from lecdsr.download.inspect import inspect
from lecdsr.download.mirrors import download
download((sys.argv[1],), [NAME], Path(sys.argv[2]), settings(), lambda path, name: inspect(path, name, 1))
"""


@pytest.mark.slow
def test_a_killed_download_resumes(serve, tmp_path):
    body = gzip.compress(random.Random(4).randbytes(3_000_000))
    server = serve(body, chunk=20_000)
    chance, kills = random.Random(1), 0
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    while not (tmp_path / NAME).exists():
        command = [sys.executable, "-c", CHILD, server.url, str(tmp_path)]
        before = server.sent
        child = subprocess.Popen(command, cwd=Path(__file__).parents[2], env=environment)
        if kills < 6:
            while server.sent <= before and child.poll() is None:
                time.sleep(0.005)
            time.sleep(chance.random() * 0.15)
            child.send_signal(signal.SIGKILL)
            kills += child.wait() == -signal.SIGKILL
            assert kills < 6 or (tmp_path / NAME).exists() or 0 < PartialFile(tmp_path / NAME).size < len(body)
        else:
            assert child.wait(60) == 0
    assert (tmp_path / NAME).read_bytes() == body
    assert listing(tmp_path) == [NAME]
    assert kills == 6
    # Every start but the first asked for the rest; what was in flight at a kill comes again.
    assert all(asked is not None for asked in server.requests[1:])
    assert server.sent < 1.5 * len(body)
