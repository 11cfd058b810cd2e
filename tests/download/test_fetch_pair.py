"""Raw files from a folder and over HTTP: fetched once, verified later, never incomplete."""

import gzip
import json
import random
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from lecdsr.config.pair import Pair, is_url
from lecdsr.core.files import sha256_file
from lecdsr.download import fetch
from lecdsr.download.fetch_pair import MANIFEST, fetch_pair
from lecdsr.download.settings import Settings
from tests.errors import refused

SYNTHETIC = {"seed": 1, "users": 30, "items_x": 24, "items_y": 24, "interactions_per_user": 12, "bad_lines": 0}
PACKED = {text: gzip.compress(text.encode()) for text in ("2", "3", "4", "by hand", "other")}
FILES = {
    "Food.csv": b"A,U,5.0,1\n",
    "meta_Food.json.gz": gzip.compress(b"food " * 1000),
    "Kitchen.csv": b"",
    "meta_Kitchen.json.gz": gzip.compress(random.Random(1).randbytes(1_000_000)),
}


def pair(source, **changed) -> Pair:
    return Pair(**{"name": "toy", "domains": ("Food", "Kitchen"), "release": 2018, "source": str(source), **changed})


def settings(**changed) -> Settings:
    return Settings.model_validate(
        {"timeout_s": 5, "attempts": 3, "max_unpacked_gb": 1, "synthetic": SYNTHETIC, **changed}
    )


def fill(folder, files=FILES):
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def names(folder) -> set[str]:
    return {path.name for path in folder.iterdir()}


@pytest.fixture
def source(tmp_path):
    fill(tmp_path / "source")
    return tmp_path / "source"


@pytest.fixture
def raw(tmp_path):
    return tmp_path / "data" / "toy" / "raw"


# A folder


def test_a_folder_is_copied_with_a_manifest(source, raw):
    (source / "of no concern.csv").write_text("x")
    files = fetch_pair(pair(source), settings(), raw)
    assert names(raw) == {*FILES, MANIFEST}
    assert all((raw / name).read_bytes() == content for name, content in FILES.items())
    assert {file.name: (file.size, file.sha256) for file in files} == {
        name: (len(content), sha256_file(source / name)) for name, content in FILES.items()
    }
    manifest = json.loads((raw / MANIFEST).read_text())
    assert manifest["files"] == [file._asdict() for file in files]
    assert {file.came_from for file in files} == {str(source / name) for name in FILES}
    assert manifest["origin"] == {"source": [str(source)], "release": 2018, "domains": ["Food", "Kitchen"]}


def test_subfolders_as_the_mirror_has_them(tmp_path, raw):
    fill(
        tmp_path / "mirror",
        {
            "categoryFilesSmall/Food.csv": b"1",
            "categoryFiles/Kitchen.json.gz": PACKED["2"],
            "metaFiles2/meta_Food.json.gz": PACKED["3"],
            "metaFiles2/meta_Kitchen.json.gz": PACKED["4"],
        },
    )
    fetch_pair(pair(tmp_path / "mirror"), settings(), raw)
    assert {path.name: path.read_bytes() for path in raw.iterdir() if path.name != MANIFEST} == {
        "Food.csv": b"1",
        "Kitchen.json.gz": PACKED["2"],
        "meta_Food.json.gz": PACKED["3"],
        "meta_Kitchen.json.gz": PACKED["4"],
    }


def test_the_second_call_verifies_and_does_nothing(source, raw):
    first = fetch_pair(pair(source), settings(), raw)
    before = {path.name: path.stat().st_mtime_ns for path in raw.iterdir()}
    for path in source.iterdir():  # the source may be gone by then
        path.unlink()
    source.rmdir()
    assert fetch_pair(pair(source), settings(attempts=9), raw) == first
    assert {path.name: path.stat().st_mtime_ns for path in raw.iterdir()} == before


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("how", ["longer", "changed"])
def test_a_changed_file_is_named(source, raw, name, how):
    fetch_pair(pair(source), settings(), raw)
    if how == "longer":
        (raw / name).write_bytes(FILES[name] + b"x")
    else:
        (raw / name).write_bytes(FILES[name][:-1] + b"x")  # of the same size, where there is any
    with refused("changed-file", raw / name) as caught:
        fetch_pair(pair(source), settings(), raw)
    assert str(raw) in caught.value.do


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_was_removed_is_brought_again_and_must_be_the_same(source, raw, name):
    files = fetch_pair(pair(source), settings(), raw)
    (raw / name).unlink()
    assert fetch_pair(pair(source), settings(), raw) == files
    assert (raw / name).read_bytes() == FILES[name]
    (raw / name).unlink()
    changed = gzip.compress(b"changed") if name.endswith(".gz") else b"changed"
    (source / name).write_bytes(changed)
    with refused("changed-source", source / name):
        fetch_pair(pair(source), settings(), raw)
    assert name not in names(raw)


def test_another_source_is_brought_anew(source, raw, tmp_path):
    fetch_pair(pair(source), settings(), raw)
    (raw / "left over.csv").write_text("x")
    fill(tmp_path / "other", {**FILES, "Food.csv": b"other"})
    fetch_pair(pair(tmp_path / "other"), settings(), raw)
    assert names(raw) == {*FILES, MANIFEST}
    assert (raw / "Food.csv").read_bytes() == b"other"


def test_other_domains_are_brought_anew(source, raw):
    fetch_pair(pair(source), settings(), raw)
    fill(source, {"Garden.csv": b"g", "meta_Garden.json": b"m"})
    fetch_pair(pair(source, domains=("Food", "Garden")), settings(), raw)
    assert names(raw) == {"Food.csv", "meta_Food.json.gz", "Garden.csv", "meta_Garden.json", MANIFEST}


def test_an_interrupted_download_is_not_taken_for_another_source(source, raw, tmp_path):
    (source / "Kitchen.csv").unlink()
    with refused("missing-file", source):
        fetch_pair(pair(source), settings(), raw)
    assert (raw / "Food.csv").read_bytes() == FILES["Food.csv"]
    other = tmp_path / "other"
    other.mkdir()
    for name in FILES:
        content = b"of the other source"
        (other / name).write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    fetch_pair(pair(other), settings(), raw)
    assert (raw / "Food.csv").read_bytes() == b"of the other source"


def test_a_missing_folder(raw, tmp_path):
    with refused("missing-folder", tmp_path / "nowhere"):
        fetch_pair(pair(tmp_path / "nowhere"), settings(), raw)
    assert json.loads((raw / MANIFEST).read_text())["files"] == []


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_names_domain_and_folder(source, raw, name):
    (source / name).unlink()
    with refused("missing-file", source) as caught:
        fetch_pair(pair(source), settings(), raw)
    assert repr(name.removeprefix("meta_").split(".")[0]) in caught.value.what
    assert name in caught.value.what  # what was looked for
    recorded = {file["name"] for file in json.loads((raw / MANIFEST).read_text())["files"]}
    assert recorded == set(list(FILES)[: list(FILES).index(name)])  # those that came before
    fill(source)  # put there, the next call goes on
    assert len(fetch_pair(pair(source), settings(), raw)) == 4


def test_an_interrupted_copy_leaves_no_half_file(source, raw, monkeypatch):
    def half(origin, target):
        target.write_bytes(origin.read_bytes()[:3])
        raise KeyboardInterrupt

    monkeypatch.setattr("shutil.copyfile", half)
    with pytest.raises(KeyboardInterrupt):
        fetch_pair(pair(source), settings(), raw)
    assert names(raw) == {MANIFEST}  # which names no file yet


def test_the_synthetic_pair(raw):
    files = fetch_pair(pair("synthetic"), settings(), raw)
    assert {file.name for file in files} | {MANIFEST} == names(raw)
    assert {"Food.csv", "Kitchen.csv"} < names(raw)
    assert fetch_pair(pair("synthetic"), settings(attempts=9), raw) == files
    other = fetch_pair(pair("synthetic"), settings(synthetic={**SYNTHETIC, "seed": 2}), raw)
    assert [file.name for file in other] == [file.name for file in files]
    assert [file.sha256 for file in other] != [file.sha256 for file in files]


# HTTP


class Mirror:
    """Server of files by path; ``script`` gives the replies to the first requests of a path.

    An answer is a status, or ``short`` for a body that ends before its length, or ``hang up``.
    """

    def __init__(self, files):
        self.files, self.script, self.requests = files, {}, []
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.server.daemon_threads = True

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server.server_port}/data"

    def _handler(mirror):
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                path = self.path.removeprefix("/data/")
                mirror.requests.append(path)
                pending = mirror.script.get(path, [])
                answer = pending.pop(0) if pending else 200 if path in mirror.files else 404
                body = mirror.files.get(path, b"")
                if answer == "hang up":
                    self.connection.close()
                    return
                self.send_response(200 if answer == "short" else answer)
                self.send_header("Content-Length", str(len(body) if answer in (200, "short") else 0))
                self.end_headers()
                if answer in (200, "short"):
                    self.wfile.write(body[: len(body) // 2] if answer == "short" else body)

            def log_message(self, *_):
                pass

            def handle_one_request(self):
                try:
                    super().handle_one_request()
                except (OSError, ValueError):
                    self.close_connection = True

        return Handler


@pytest.fixture
def waits(monkeypatch):
    """Record the seconds of waiting instead of waiting."""
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    seconds: list[float] = []
    monkeypatch.setattr(fetch.time, "sleep", seconds.append)
    return seconds


@pytest.fixture
def mirror(waits):
    with Mirror(dict(FILES)) as server:
        yield server


def test_files_at_the_base(mirror, raw, waits):
    fetch_pair(pair(mirror.url), settings(), raw)
    assert all((raw / name).read_bytes() == content for name, content in FILES.items())
    assert names(raw) == {*FILES, MANIFEST}
    assert waits == []
    done = len(mirror.requests)
    fetch_pair(pair(mirror.url), settings(), raw)
    assert len(mirror.requests) == done  # verified without another request


def test_files_in_their_subfolders(mirror, raw):
    mirror.files = {
        "categoryFilesSmall/Food.csv": b"1",
        "categoryFiles/Kitchen.json.gz": PACKED["2"],
        "metaFiles2/meta_Food.json.gz": PACKED["3"],
        "metaFiles2/meta_Kitchen.json.gz": PACKED["4"],
    }
    fetch_pair(pair(mirror.url + "/"), settings(), raw)
    assert names(raw) == {"Food.csv", "Kitchen.json.gz", "meta_Food.json.gz", "meta_Kitchen.json.gz", MANIFEST}
    assert (raw / "Kitchen.json.gz").read_bytes() == PACKED["2"]


def test_small_ratings_before_whole_reviews(mirror, raw):
    mirror.files["categoryFiles/Food.json.gz"] = b"gigabytes"
    fetch_pair(pair(mirror.url), settings(), raw)
    assert "Food.json.gz" not in names(raw)


def test_a_domain_name_with_signs(mirror, raw):
    mirror.files.update({"Arts,_Crafts_&_Sewing.csv": b"1", "meta_Arts,_Crafts_&_Sewing.json.gz": PACKED["2"]})
    fetch_pair(pair(mirror.url, domains=("Arts,_Crafts_&_Sewing", "Food")), settings(), raw)
    assert (raw / "Arts,_Crafts_&_Sewing.csv").read_bytes() == b"1"


@pytest.mark.parametrize("status", [404, 403, 410])
def test_a_server_without_the_file(mirror, raw, waits, status):
    for path in ("categoryFilesSmall/Food.csv", "Food.csv"):
        mirror.script[path] = [status] * 9
    with refused("no-download", mirror.url) as caught:
        fetch_pair(pair(mirror.url), settings(), raw)
    assert f"{mirror.url}/Food.csv" in caught.value.what
    assert str(status) not in caught.value.what  # the server has no such file, whatever it answers
    assert "domains" in caught.value.do
    assert waits == []  # no waiting for a file that does not exist
    assert names(raw) == {MANIFEST}  # which names no file yet


def test_a_server_that_is_busy_twice(mirror, raw, waits):
    mirror.script["Food.csv"] = [503, 503]
    fetch_pair(pair(mirror.url), settings(), raw)
    assert (raw / "Food.csv").read_bytes() == FILES["Food.csv"]
    assert mirror.requests.count("Food.csv") == 3
    assert len(waits) == 2
    assert 0 < waits[0] < waits[1] <= 60


def test_a_server_that_stays_busy(mirror, raw, waits):
    mirror.script["meta_Food.json.gz"] = [503] * 9
    with refused("no-download", mirror.url) as caught:
        fetch_pair(pair(mirror.url), settings(), raw)
    assert all(word in caught.value.what for word in ("503", "3 attempts", f"{mirror.url}/meta_Food.json.gz"))
    assert len(waits) == 2
    assert names(raw) == {"Food.csv", MANIFEST}  # a complete file is kept


@pytest.mark.parametrize("fault", ["short", "hang up"])
def test_a_connection_that_breaks_is_tried_again(mirror, raw, waits, fault):
    mirror.script["meta_Kitchen.json.gz"] = [fault, fault]
    fetch_pair(pair(mirror.url), settings(), raw)
    assert (raw / "meta_Kitchen.json.gz").read_bytes() == FILES["meta_Kitchen.json.gz"]
    assert len(waits) == 2
    assert names(raw) == {*FILES, MANIFEST}


@pytest.mark.parametrize("fault", ["short", "hang up"])
def test_half_a_file_is_no_file(mirror, raw, waits, fault):
    mirror.script["meta_Kitchen.json.gz"] = [fault] * 9
    with refused("no-download", mirror.url) as caught:
        fetch_pair(pair(mirror.url), settings(), raw)
    assert all(word in caught.value.what for word in ("3 attempts", f"{mirror.url}/meta_Kitchen.json.gz"))
    whole = {name for name in names(raw) if not name.startswith(".")}
    assert whole == {*FILES, MANIFEST} - {"meta_Kitchen.json.gz"}


def test_after_an_interruption_only_the_rest_is_fetched(mirror, raw, waits):
    mirror.script["meta_Kitchen.json.gz"] = [503] * 3
    with refused("no-download"):
        fetch_pair(pair(mirror.url), settings(), raw)
    mirror.requests.clear()
    fetch_pair(pair(mirror.url), settings(), raw)
    assert {path for path in mirror.requests if path in FILES} == {"meta_Kitchen.json.gz"}
    assert names(raw) == {*FILES, MANIFEST}


def test_a_file_put_there_by_hand_is_used(mirror, raw):
    fill(raw, {"Food.csv.gz": PACKED["by hand"]})
    files = fetch_pair(pair(mirror.url), settings(), raw)
    assert "Food.csv.gz" in {file.name for file in files}
    assert "Food.csv" not in names(raw)


def test_nothing_listens(raw, waits):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/data"
    with refused("no-download", url) as caught:
        fetch_pair(pair(url), settings(attempts=2), raw)
    assert all(word in caught.value.what for word in (url, "refused", "2 attempts"))
    assert str(raw) in caught.value.do
    assert len(waits) == 1
    assert names(raw) == {MANIFEST}  # which names no file yet


def test_an_address_that_is_none(raw, waits):
    with refused("no-download", "http://no host/data"):
        fetch_pair(pair("http://no host/data"), settings(attempts=1), raw)


def test_a_server_that_says_nothing(raw, waits):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with refused("no-download", url) as caught:
            fetch_pair(pair(url), settings(attempts=1, timeout_s=0.1), raw)
    assert "1 attempts" in caught.value.what


@pytest.mark.parametrize(
    ("source", "expected"), [("http://a", True), ("https://a", True), ("../raw", False), ("synthetic", False)]
)
def test_is_url(source, expected):
    assert is_url(source) is expected
