"""The page in a real browser: no requests, no errors, working search, readable on a phone."""

import pytest

from tests.report import chromium
from tests.report.small import EVIL, page

BROWSER = chromium.find()
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(BROWSER is None, reason=f"no browser here: none of {', '.join(chromium.NAMES)}"),
]

WIDE, NARROW = 1280, 390
OVERFLOW = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
FOUND = "[...document.querySelectorAll('#found button')].map(one => one.firstChild.textContent)"
PERSON = "document.querySelector('#person').innerText"
# Contrast of text with what it stands on (WCAG 2.2, 1.4.3), of every element with text of its own; 4.5 is asked for.
CONTRAST = """(() => {
  const parse = text => text.match(/[\\d.]+/g).map(Number);
  const linear = v => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4;
  const light = ([r, g, b]) => [r, g, b].map(v => linear(v / 255))
    .reduce((sum, v, i) => sum + v * [.2126, .7152, .0722][i], 0);
  const behind = node => {
    for (; node; node = node.parentElement) {
      const colour = parse(getComputedStyle(node).backgroundColor);
      if (colour.length < 4 || colour[3] > 0) return colour;
    }
    return [255, 255, 255];
  };
  let worst = [99, ""];
  for (const node of document.querySelectorAll("body *:not(script, noscript, style, title)")) {
    if (![...node.childNodes].some(one => one.nodeType === 3 && one.textContent.trim())) continue;
    const style = getComputedStyle(node), ink = node.closest("svg") ? style.fill : style.color;
    const [a, b] = [light(parse(ink)), light(behind(node))];
    const ratio = (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
    if (ratio < worst[0]) worst = [ratio, node.outerHTML.slice(0, 200)];
  }
  return worst;
})()"""


@pytest.fixture(scope="module")
def new_tab(tmp_path_factory):
    with chromium.chromium(BROWSER, tmp_path_factory.mktemp("chromium")) as new:
        yield new


@pytest.fixture
def tab(new_tab):
    one = new_tab()
    yield one
    one.close()


@pytest.fixture(scope="module", params=["plain", "hostile"])
def url(request, tmp_path_factory):
    path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_text(page(EVIL if request.param == "hostile" else ""), encoding="utf-8")
    return path.as_uri()


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [WIDE, NARROW])
def test_no_request_no_complaint_no_overflow(tab, url, width, dark, tmp_path):
    tab.open(url, width, dark=dark)
    assert tab.evaluate(OVERFLOW) == 0
    tab.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true; })")
    tab.screenshot(tmp_path / "page.png")
    assert (tmp_path / "page.png").read_bytes().startswith(b"\x89PNG")
    assert tab.evaluate(OVERFLOW) == 0
    assert tab.evaluate("getComputedStyle(document.body).backgroundColor") == (
        "rgb(21, 23, 26)" if dark else "rgb(255, 255, 255)"
    )
    ratio, where = tab.evaluate(CONTRAST)
    assert ratio >= 4.5, where
    assert tab.requests == [url, "data:,"] or tab.requests == [url]
    assert tab.complaints == []


def test_a_person_is_found_by_typing(tab, url):
    tab.open(url, WIDE)
    assert len(tab.evaluate(FOUND)) == 4
    tab.type("#search", "bErt")  # reviewer
    assert [name.endswith("BERT") for name in tab.evaluate(FOUND)] == [True]
    assert "User " in tab.evaluate(PERSON)
    assert "likes pots" in tab.evaluate(PERSON)
    tab.type("#search", "tea likes")  # profile, words in any order
    assert [name.endswith("ANNA") for name in tab.evaluate(FOUND)] == [True]
    tab.type("#search", "nothing of the kind")
    assert tab.evaluate(FOUND) == []
    assert tab.evaluate("document.querySelector('#count').textContent") == "0 of 4 users"
    tab.type("#search", "title 10" if "script" not in tab.evaluate(PERSON) else "10")  # an item
    assert len(tab.evaluate(FOUND)) > 0
    assert tab.complaints == []


def test_a_click_shows_history_recommendations_and_the_next_item(tab, url):
    tab.open(url, NARROW)
    tab.evaluate("[...document.querySelectorAll('#found button')][1].click()")
    text = tab.evaluate(PERSON)
    assert text.startswith("User ")
    assert "BERT" in tab.evaluate("document.querySelector('#person h3').textContent")
    assert "True next item" in text
    assert "rank 7.5" in text
    assert tab.evaluate("document.querySelectorAll('#person .time .ring').length") == 1
    assert tab.evaluate("document.querySelectorAll('#person .time title').length") == 4
    assert tab.evaluate("document.querySelectorAll('#found [aria-current]').length") == 1
    assert tab.evaluate("document.querySelector('#person .next').textContent").endswith("next item")
    assert tab.evaluate("document.querySelectorAll('#person .next').length") == 1
    assert "most similar in the history" in text


def test_a_title_with_a_script_is_text(tab, tmp_path):
    path = tmp_path / "report.html"
    path.write_text(page(EVIL), encoding="utf-8")
    tab.open(path.as_uri(), WIDE)
    tab.type("#search", "<script>alert(")
    assert len(tab.evaluate(FOUND)) == 4
    assert EVIL.split(" ")[0] in tab.evaluate("document.querySelector('#person').textContent")
    assert tab.evaluate("document.querySelectorAll('script').length") == 2
    assert tab.evaluate("document.querySelectorAll('img').length") == 0
    assert tab.complaints == []  # an alert would be one
    assert [one for one in tab.requests if not one.startswith(("file:", "data:"))] == []


def test_the_policy_stops_what_would_slip_through(tab, url):
    """If a text became a tag, the browser would still load and run nothing."""
    tab.open(url, WIDE)
    tab.evaluate(
        "document.body.insertAdjacentHTML('beforeend', '<img src=http://127.0.0.1:9/x.png onerror=\"hit = 1\">')"
    )
    tab.evaluate("new Promise(done => setTimeout(done, 200))")
    assert tab.evaluate("typeof hit") == "undefined"
    assert any("Content Security Policy" in one for one in tab.complaints)
