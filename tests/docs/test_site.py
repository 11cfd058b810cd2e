"""The documentation site: it builds without a warning, uses no other host, and covers everything."""

import importlib.util
import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

import lecdsr
from lecdsr.api.dataset import load_pair
from lecdsr.api.evaluation import compare, evaluate
from lecdsr.core.paths import Artefacts
from lecdsr.models.registry import find_model, model_names

ROOT = Path(__file__).parents[2]
#: What a browser fetches when it shows a page: not what a reader may follow.
FETCHED = re.compile(
    r"<(?:script|img|iframe|source)[^>]*\ssrc=[\"']?(?:https?:)?//|<link[^>]*\shref=[\"']?(?:https?:)?//"
)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    if not all(map(importlib.util.find_spec, ("mkdocs", "mkdocstrings"))):
        pytest.skip("MkDocs or mkdocstrings is not installed: pip install -e '.[docs]'")
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder


def text(page: Path) -> str:
    return re.sub(r"<[^>]+>", "", page.read_text(encoding="utf-8"))


@pytest.mark.slow
def test_no_page_fetches_anything_from_another_host(site):
    pages = list(site.rglob("*.html"))
    assert len(pages) > 20
    for page in pages:
        assert not FETCHED.search(page.read_text(encoding="utf-8")), page
    for style in site.rglob("*.css"):
        assert not re.search(r"(@import|url\()\s*[\"']?(https?:)?//", style.read_text(encoding="utf-8")), style


def test_the_check_of_hosts_sees_one():
    assert FETCHED.search('<script defer src="https://example.org/x.js">')
    assert FETCHED.search("<link rel=stylesheet href=//example.org/x.css>")
    assert not FETCHED.search('<a href="https://example.org">')


@pytest.mark.slow
def test_pages_hold_what_comes_from_the_code_and_the_examples(site):
    parameters = text(site / "parameters.html")
    for word in ("synthetic.users", "train.tandem", "content_weight", "custom.interactions.time_unit", "active"):
        assert word in parameters
    assert "lecdsr recommend" in text(site / "commands.html")
    artefacts = text(site / "artefacts.html")
    assert "rank_sampled" in artefacts
    assert "schemas --" not in artefacts
    for page, words in {
        "extend-model": ["class FISM", "contract"],
        "extend-encoder": ["class HashingEncoder", "return HashingEncoder(settings.width or 256)"],
        "extend-provider": ["class CommandProvider", "CommandProvider(os.environ)"],
        "catalogue": ["release: custom", "category_separator"],
        "python": ["lecdsr.Dataset.from_frames(", "lecdsr.load("],
    }.items():  # fmt: skip
        shown = text(site / f"{page}.html").replace("&quot;", '"').replace("&#39;", "'")
        for word in words:
            assert word in shown, page
        assert "--8&lt;--" not in shown


@pytest.mark.slow
def test_the_python_interface_comes_from_its_docstrings(site):
    page = text(site / "api.html")
    names = [name for name in lecdsr.__all__ if name != "models"]
    for name in names:
        assert f"lecdsr.{name}" in page
    for model in model_names():
        assert f"lecdsr.models.{find_model(model).recommender.__name__}" in page
    for function in (evaluate, compare, load_pair):
        first, *_ = inspect.getdoc(function).splitlines()
        assert first in page
    assert "include_owned: bool = False" in page
    # What is written for Python's own tools became code and links.
    assert not re.search(r":(meth|func|class|attr|mod):|docs/\w+\.md", page)


def test_every_artefact_is_told_of():
    paths = Artefacts("pair")
    named = [
        value for name, value in vars(paths).items() if isinstance(value, Path) and name not in ("root", "metrics")
    ]
    named += [paths.experiments, paths.experiment_slices, paths.experiment_tests, paths.stage_metrics("STAGE")]
    named += [of("MODEL") for of in (paths.model, paths.times, paths.ranks, paths.lists, paths.training_log)]
    named += [of("MODEL") for of in (paths.model_metrics, paths.model_summary)]
    page = (ROOT / "docs/artefacts.md").read_text(encoding="utf-8")
    told = {path.rstrip("/") for path in re.findall(r"`((?:data|metrics)/[^`]+)`", page)}
    for path in named:
        wanted = str(path).replace("/pair", "/PAIR")
        assert any(one == wanted or one.startswith(f"{wanted}/") for one in told), (
            f"{wanted} is not in docs/artefacts.md"
        )
