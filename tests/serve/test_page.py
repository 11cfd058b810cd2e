"""The page in a real browser: typing, clicking, the keyboard alone, hostile titles, and no request elsewhere."""

import json

import pytest

from tests.report import chromium
from tests.report.test_browser import CONTRAST, NARROW, OVERFLOW, WIDE
from tests.serve.exported import TOKEN, running
from tests.waiting import wait_for

BROWSER = chromium.find()
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(BROWSER is None, reason=f"no browser here: none of {', '.join(chromium.NAMES)}"),
]

SALT = "[bold]Salt[/bold] <script> \\"
KEYS = {"Tab": 9, "Enter": 13, "Escape": 27, "ArrowDown": 40, "ArrowUp": 38}
HISTORY = "[...document.querySelectorAll('#history .text')].map(one => one.firstChild.textContent)"
FOCUS = "(one => one.getAttribute('aria-label') || one.id || one.textContent)(document.activeElement)"
BUTTONS = "[...document.querySelectorAll('button, input')].filter(one => one.offsetParent)"
LISTED = "[...document.querySelectorAll('#list-{} > li')].map(one => one.dataset.asin)"
NAMED = "one.ariaLabel || one.textContent || one.labels?.length"


@pytest.fixture(scope="module")
def service(folder):
    with running(folder) as one:
        yield one


@pytest.fixture(scope="module")
def new_tab(tmp_path_factory):
    with chromium.chromium(BROWSER, tmp_path_factory.mktemp("chromium")) as new:
        yield new


@pytest.fixture
def tab(new_tab, service):
    one = new_tab().open(f"{service.url}/", WIDE)
    until(one, "!document.querySelector('#served').matches(':empty')")
    yield one
    assert all(url.startswith(service.url) for url in one.requests), one.requests
    assert one.complaints == []
    one.close()


def until(tab, expression):
    """Wait until an expression is true."""
    wait_for(lambda: tab.evaluate(f"Boolean({expression})"), 20, expression)


def press(tab, key, times=1):
    text = {"text": "\r"} if key == "Enter" else {}
    for _ in range(times):
        for kind in ("keyDown", "keyUp"):
            more = text if kind == "keyDown" else {}
            tab.call("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=KEYS[key], **more)


def click(tab, selector):
    """Click as a mouse does, where the element is; once more if it has moved away, as when a line appears above it."""
    quoted = json.dumps(selector)
    box = f"document.querySelector({quoted})"
    hit = f"event => {{ window.hit = event.target.closest({quoted}) !== null }}"
    for _ in range(10):
        tab.evaluate(
            f"window.hit = false; document.addEventListener('mousedown', {hit}, {{capture: true, once: true}})"
        )
        tab.evaluate(f"{box}.scrollIntoView({{block: 'center', behavior: 'instant'}})")
        x, y = tab.evaluate(
            f"(() => {{ const b = {box}.getBoundingClientRect(); return [b.x + b.width / 2, b.y + b.height / 2] }})()"
        )
        for kind in ("mousePressed", "mouseReleased"):
            tab.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)
        if tab.evaluate("window.hit"):
            return
    raise AssertionError(f"{selector} is never where it was")


def look_for(tab, text):
    tab.type("#query", text)
    until(tab, "!document.querySelector('#found').hidden")


def listed(tab, domain):
    return tab.evaluate(LISTED.format(domain))


def test_type_click_see(tab, service):
    assert tab.evaluate("document.querySelector('.columns').hidden")
    look_for(tab, "kettle")
    click(tab, "#found [role=option]")
    until(tab, "document.querySelector('#list-y > li')")
    assert tab.evaluate(HISTORY) == ["Tea Kettle"]
    assert tab.evaluate("[...document.querySelectorAll('h3')].map(one => one.textContent)") == ["Food", "Kitchen"]
    recommended = service.ask(body={"history": ["B000000006"]})[1]["recommendations"]
    for domain in "xy":
        assert listed(tab, domain) == [one["asin"] for one in recommended[domain]]
    # Another item changes both lists.
    look_for(tab, "whisk")
    click(tab, "#found [role=option]")
    until(tab, f"({HISTORY}).length == 2")
    assert tab.evaluate(HISTORY) == ["Whisk", "Tea Kettle"]  # the latest first
    recommended = service.ask(body={"history": ["B000000006", "B000000010"]})[1]["recommendations"]
    for domain in "xy":
        wanted = [one["asin"] for one in recommended[domain]]
        until(tab, f"{LISTED.format(domain)}.join() == {json.dumps(','.join(wanted))}")
    click(tab, "#history li:nth-child(2) button")
    until(tab, f"({HISTORY}).length == 1")
    click(tab, "#clear")
    until(tab, "document.querySelector('.columns').hidden")
    assert tab.evaluate(HISTORY) == []


def test_reasons_and_similar_items(tab, service):
    look_for(tab, "kettle")
    click(tab, "#found [role=option]")
    until(tab, "document.querySelector('#list-x > li')")
    asin = listed(tab, "x")[0]
    click(tab, "#list-x > li:nth-child(1) .actions button:nth-child(1)")
    until(tab, "document.querySelector('#list-x .bars li')")
    why = service.ask("/explain", {"history": ["B000000006"], "item": asin})[1]
    value = tab.evaluate("document.querySelector('#list-x .bars .value').textContent")
    assert value.replace("−", "-") == f"{why['history'][0]['contribution']:+.2f}"
    assert f"Rank {why['rank']:g} of {why['among']}" in tab.evaluate(
        "document.querySelector('#list-x .more').textContent"
    )
    # Where the history raises the score, a line says so without being asked.
    if why["history"][0]["contribution"] > 0:
        until(tab, "!document.querySelector('#list-x .because').hidden")
        assert "Tea Kettle" in tab.evaluate("document.querySelector('#list-x .because').textContent")
    near = "#list-x > li:nth-child(1) .actions button:nth-child(2)"
    click(tab, near)
    until(tab, "document.querySelector('#list-x .near li')")
    assert tab.evaluate(f"document.querySelector('{near}').getAttribute('aria-expanded')") == "true"
    similar = service.ask(f"/similar/{asin}?k=4")[1]["similar"]
    shown = tab.evaluate("[...document.querySelectorAll('#list-x .near .name')].map(one => one.textContent)")
    assert shown == [one["title"] or f"{one['asin']} (no title)" for key in "xy" for one in similar[key]]
    click(tab, near)
    until(tab, "document.querySelector('#list-x .more').hidden")
    click(tab, "#list-y > li:nth-child(1) .actions button:nth-child(3)")
    until(tab, f"({HISTORY}).length == 2")


def test_a_title_with_markup_is_text(tab):
    look_for(tab, "salt")
    assert tab.evaluate("document.querySelector('#found li').firstChild.textContent") == SALT
    click(tab, "#found [role=option]")
    until(tab, f"({HISTORY}).length == 1")
    assert tab.evaluate(HISTORY) == [SALT]
    assert tab.evaluate("document.querySelectorAll('script').length") == 1
    assert tab.evaluate("document.querySelector('#history button').getAttribute('aria-label')") == f"Remove {SALT}"


def test_a_user_of_the_data(tab, service):
    tab.type("#user", "CARL")
    press(tab, "Enter")
    until(tab, "document.querySelectorAll('#history li').length == 4")
    assert tab.evaluate("document.querySelector('#who b').textContent") == "CARL"
    recommended = service.ask(body={"user": "CARL"})[1]["recommendations"]
    assert listed(tab, "y") == [one["asin"] for one in recommended["y"]]
    tab.type("#user", "<b>STRANGER</b>")
    press(tab, "Enter")
    until(tab, "!document.querySelector('#alert').hidden")
    assert "<b>STRANGER</b>" in tab.evaluate("document.querySelector('#alert').textContent")
    assert tab.evaluate("document.querySelector('#who b').textContent") == "CARL"  # what was shown stays
    tab.complaints[:] = [one for one in tab.complaints if "404" not in one]  # the browser notes refused requests
    click(tab, "#clear")
    until(tab, "document.querySelector('.columns').hidden")


def test_the_keyboard_alone(tab):
    press(tab, "Tab")
    assert tab.evaluate("document.activeElement.className") == "skip"
    press(tab, "Tab")
    assert tab.evaluate(FOCUS) == "query"
    for letter in "oil":
        tab.call("Input.dispatchKeyEvent", type="char", text=letter)
    until(tab, "document.querySelectorAll('#found [role=option]').length == 2")
    press(tab, "ArrowDown", 2)
    assert tab.evaluate("document.querySelector('#query').getAttribute('aria-activedescendant')") == "option-1"
    press(tab, "ArrowUp")
    assert tab.evaluate("document.querySelector('#option-0').getAttribute('aria-selected')") == "true"
    press(tab, "Escape")
    assert tab.evaluate("document.querySelector('#found').hidden")
    press(tab, "ArrowDown")
    until(tab, "!document.querySelector('#found').hidden")
    press(tab, "ArrowDown")
    press(tab, "Enter")
    until(tab, "document.querySelector('#list-x > li')")
    (title,) = tab.evaluate(HISTORY)
    seen = []
    for _ in range(6):
        press(tab, "Tab")
        seen.append(tab.evaluate(FOCUS))
        outline = tab.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert outline != "none", seen
    assert seen[:4] == [f"Remove {title}", "clear", "user", "Show"]
    assert seen[4].startswith("Why ")
    press(tab, "Enter")
    press(tab, "Tab")  # from Similar to Add
    press(tab, "Enter")
    until(tab, f"({HISTORY}).length == 2")
    assert tab.evaluate(FOCUS) == "results"
    # What is removed gives the focus to its neighbour, and the last one to the field.
    for left in (1, 0):
        tab.evaluate("document.querySelector('#history button').focus()")
        press(tab, "Enter")
        until(tab, f"({HISTORY}).length == {left}")
    assert tab.evaluate(FOCUS) == "query"


def test_an_example_is_one_click_away(tab):
    click(tab, "#example")
    until(tab, "document.querySelector('#list-y > li')")
    assert tab.evaluate(HISTORY) == ["Whisk", SALT]


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [WIDE, NARROW])
def test_readable_wide_and_narrow_light_and_dark(tab, service, width, dark):
    tab.open(f"{service.url}/", width, dark=dark)
    until(tab, "!document.querySelector('#example').hidden && !document.querySelector('#served').matches(':empty')")
    assert tab.evaluate(OVERFLOW) == 0
    click(tab, "#example")
    until(tab, "document.querySelector('#list-y > li')")
    click(tab, "#list-y > li:nth-child(1) .actions button:nth-child(1)")
    click(tab, "#list-x > li:nth-child(1) .actions button:nth-child(2)")
    until(tab, "document.querySelector('.bars') && document.querySelector('.near')")
    until(tab, "!document.querySelector('.waiting')")
    assert tab.evaluate(OVERFLOW) == 0
    ratio, where = tab.evaluate(CONTRAST)
    assert ratio >= 4.5, where
    assert tab.evaluate(f"{BUTTONS}.filter(one => !({NAMED})).length") == 0
    assert tab.evaluate(f"{BUTTONS}.filter(one => one.getBoundingClientRect().height < 24).length") == 0


def test_a_token_is_asked_for_and_kept_nowhere(new_tab, folder):
    with running(folder, LECDSR_SERVE_TOKEN=TOKEN) as service:
        tab = new_tab().open(f"{service.url}/", WIDE)
        until(tab, "!document.querySelector('#example').hidden")
        click(tab, "#example")
        until(tab, "!document.querySelector('#token-form').hidden")
        tab.type("#token", TOKEN)
        press(tab, "Enter")
        until(tab, "document.querySelector('#list-y > li')")
        assert tab.evaluate("JSON.stringify([{...localStorage}, {...sessionStorage}, document.cookie])") == '[{},{},""]'
        assert tab.evaluate("document.querySelector('#token').value") == ""
        tab.close()
