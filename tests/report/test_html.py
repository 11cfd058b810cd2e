"""The report page: self-contained, all texts from data escaped, and readable without pictures or scripts."""

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from itertools import pairwise

import pytest

from lecdsr.report.disagreement import Disagreement
from lecdsr.report.html import code, render
from lecdsr.report.sections import llm_facts
from tests.report.small import EVIL, RANKS, WANTED, WINDOWS, browse, content, measured, page, recommender

VOID = ("meta", "link", "input")


class Reader(HTMLParser):
    """Parser of tags with attributes, text, headings, and the rows of every table by its caption."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.tables: dict[str, list[list[str]]] = {}
        self.text: list[str] = []
        self.scripts: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)
        if tag == "caption":
            self.caption = ""
        if tag == "tr":
            self.tables.setdefault(self.caption, []).append([])
        if tag in ("td", "th"):
            self.tables[self.caption][-1].append("")

    def handle_startendtag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "script" in self.open:
            self.scripts.append(data)
            return
        self.text.append(data)
        if "caption" in self.open:
            self.caption += data
        elif {"td", "th"} & set(self.open):
            self.tables[self.caption][-1][-1] += data


@pytest.fixture(scope="module")
def plain() -> str:
    return page()


@pytest.fixture(scope="module")
def hostile() -> str:
    return page(EVIL)


def test_texts_from_data_are_escaped(plain, hostile):
    kinds = {tag for tag, _ in Reader(plain).tags}
    read = Reader(hostile)
    assert {tag for tag, _ in read.tags} == kinds  # no text has become a tag
    assert hostile.count("<script") == 2
    assert "<img" not in hostile
    assert EVIL in "".join(read.text)  # shown as it is


def test_data_of_the_browser_are_what_was_given(hostile):
    given = browse(recommender(text=EVIL), WINDOWS, RANKS, WANTED)
    read = json.loads(Reader(hostile).scripts[0])
    assert {"items": read["items"], "users": read["users"]} == json.loads(json.dumps(given))
    assert EVIL in read["items"][0][2]


@pytest.mark.parametrize("text", ["", EVIL])
def test_the_page_needs_nothing_from_outside(text):
    text = page(text)
    for tag, attributes in Reader(text).tags:
        for name, value in attributes.items():
            if name in ("src", "href", "xlink:href", "action", "data", "srcset"):
                assert value is not None
                assert value.startswith("#") or (tag == "link" and value == "data:,")
    assert "@import" not in text
    assert not re.search(r"url\((?!#)", text)


def test_the_policy_allows_the_page_its_own_script_alone(plain):
    read = Reader(plain)
    (policy,) = [
        values["content"] for tag, values in read.tags if values.get("http-equiv") == "Content-Security-Policy"
    ]
    script = "".join(read.scripts[1:])
    assert f"script-src 'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}';" in policy
    assert policy.startswith("default-src 'none';")


def test_it_can_be_read_without_seeing_it(plain):
    read = Reader(plain)
    levels = [int(tag[1]) for tag, _ in read.tags if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    assert ("html", {"lang": "en"}) in read.tags
    pictures = [values for _, values in read.tags if values.get("role") == "img"]
    assert len(pictures) == 4 + 2 + 6 + 1  # metrics, trade-offs of X, slices, training
    assert all(len(values["aria-label"]) > 40 for values in pictures)
    ids = [values["id"] for _, values in read.tags if "id" in values]
    assert len(ids) == len(set(ids))
    links = {values["href"] for tag, values in read.tags if tag == "a"}
    assert links <= {f"#{name}" for name in ids}
    fields = [values["id"] for tag, values in read.tags if tag == "input"]
    assert fields == [values["for"] for tag, values in read.tags if tag == "label"]


def test_the_reading_guide_comes_first_and_examples_name_both_models(plain):
    sections = [values["id"] for tag, values in Reader(plain).tags if tag == "section"]
    assert sections[:5] == ["guide", "metrics", "users", "beyond", "disagreement"]
    examples = re.findall(r'<details class="example".*?</details>', plain, re.DOTALL)
    assert len(examples) == 2
    for one in examples:
        assert re.findall("<h3>(.*?)</h3>", one) == ["sasrec", "popularity"]
    assert [one.count('class="badge"') for one in examples] == [1, 2]  # lists that hold the target
    assert [' class="example" open>' in one for one in examples] == [True, False]


def test_metrics_have_their_intervals(plain):
    rows = Reader(plain).tables["test, Food, against a sample of 98 items"]
    assert rows[0][:3] == ["model", "users", "hr@1"]
    assert [row[:2] for row in rows[1:]] == [["popularity", "40"], ["sasrec", "40"]]
    mean, low, high = map(float, re.fullmatch(r"([\d.]+) ([\d.]+)–([\d.]+)", rows[2][4]).groups())
    assert 0 < low < mean < high < 1


def test_validation_is_there_too(plain):
    rows = Reader(plain).tables["validation, Kitchen, against all items"]
    assert [row[:3] for row in rows[1:]] == [["popularity", "1,234", "0.1000"], ["sasrec", "1,234", "0.0500"]]


def test_the_best_value_is_marked(plain):
    (table,) = re.findall(r"<caption>validation, Food, against all.*?</table>", plain, re.DOTALL)
    marked = [row for row in table.split("<tr>") if 'class="number best"' in row]
    assert len(marked) == 1
    assert "sasrec" in marked[0]


def test_what_the_language_model_cost(plain):
    (facts,) = [rows for name, rows in Reader(plain).tables.items() if name.startswith("answers used")]
    # 2 M tokens at 0.40 USD and 0.5 M at 1.60 USD a million (prices.csv); half of it by batch.
    assert dict(facts)["cost"] == "1.60 USD asked one by one, 0.80 USD by batch, at prices of 2025-08 (estimate)"
    assert dict(facts)["tokens of the questions"] == "2,000,000"


@pytest.mark.parametrize(("model", "provider", "said"), [
    ("offline", "offline", "none: texts were written by rules, without a language model"),
    ("my-own", "openai", "no price known for my-own"),
])  # fmt: skip
def test_a_cost_that_nobody_knows_is_not_guessed(model, provider, said):
    asked = measured().stages["ask"] | {"model": model, "provider": provider}
    assert llm_facts(asked)["cost"] == said


def test_without_experiments_the_page_says_how_to_get_them(plain):
    assert "<code>lecdsr tune --pair toy</code>" in plain


def test_nothing_to_show_but_the_pair():
    read = Reader(
        render(content(given=measured(metrics={}, ranks={}, trained={}, curves={}, disagreement=Disagreement({}, []))))
    )
    assert "Food and Kitchen" in "".join(read.text)
    assert "No model was trained for more than one epoch." in "".join(read.text)


def test_same_content_same_bytes(plain):
    assert render(content()) == plain


def test_what_stands_between_backticks_is_code():
    assert code("a `b<c` d") == "a <code>b&lt;c</code> d"
