"""The report page: self-contained, with every text from data escaped, whatever is missing."""

import re
from html.parser import HTMLParser

import pytest

from lecdsr.base.files import write_text
from lecdsr.recommend.shop import Line
from lecdsr.report.curves import curves
from lecdsr.report.page import METRICS, Content, Example, render
from lecdsr.train.log import to_csv

EVIL = "<script>alert('x')</script> & \"more\" <img src=http://evil.example/x.png>"


class Reader(HTMLParser):
    """Tags with attributes, text, and the rows of every table by its caption."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.tables: dict[str, list[list[str]]] = {}
        self.text: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag != "meta":
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
        self.text.append(data)
        if "caption" in self.open:
            self.caption += data
        elif self.open[-1:] in (["td"], ["th"]):
            self.tables[self.caption][-1][-1] += data


def block(value: float) -> dict:
    metrics = dict.fromkeys(METRICS, value)
    return {"sampled": metrics, "full": dict.fromkeys(METRICS, value / 2), "users": 1234, "targets": 1500}


CANDIDATES = {"negatives_mean": 98.4, "negatives_min": 7}


def example(title: str = "A pan", profile: str = "likes pans") -> Example:
    line = Line(0, "x", "B0", title, "Kitchen › Pans", "2018-01-02", 0.5)
    return Example("U1", profile, [line, line._replace(domain="y")], {"x": [line], "y": []})


def content(**changed) -> Content:
    values = {
        "pair": "toy",
        "domains": ("Food", "Kitchen"),
        "synthetic": False,
        "metrics": {
            "popularity": {"valid": {"x": block(0.1), "y": block(0.2)}, "test": {"x": block(0.1), "y": block(0.2)}},
            "sasrec": {"valid": {"x": block(0.3), "y": block(0.1)}, "test": {"x": block(0.3), "y": block(0.1)}},
        },
        "stages": {
            "candidates": CANDIDATES,
            "sequences": {"users": 1234, "items": {"x": 5, "y": 6}, "tied": 0.25},
            "ask": {"provider": "offline"},
        },
        "curves": "",
        "example_model": "sasrec",
        "examples": [example()],
    }
    return Content(**{**values, **changed})


@pytest.fixture
def logs(tmp_path):
    rows = [{"epoch": epoch, "loss": 1.0, "valid_ndcg@10": 0.1 * epoch} for epoch in range(4)]
    write_text(tmp_path / "sasrec.csv", to_csv(rows))
    write_text(tmp_path / "popularity.csv", to_csv(rows[:1]))
    return {name: tmp_path / f"{name}.csv" for name in ("sasrec", "popularity", "absent")}


def test_metrics_are_on_the_page():
    page = Reader(render(content()))
    rows = page.tables["test, Food, against a sample of 98 items"]
    assert rows[0] == ["model", "users", *METRICS]
    assert rows[1] == ["popularity", "1,234", *["0.1000"] * len(METRICS)]
    assert rows[2] == ["sasrec", "1,234", *["0.3000"] * len(METRICS)]
    assert page.tables["valid, Kitchen, against all items"][1][2] == "0.1000"


def test_the_best_value_is_marked():
    text = render(content())
    tables = [table for table in re.findall(r"<table>.*?</table>", text, re.DOTALL) if "against" in table]
    assert len(tables) == 8  # two splits, two domains, two protocols
    for table in tables:
        marked = [row for row in table.split("<tr>") if 'class="number best"' in row]
        assert len(marked) == 1
        assert ("sasrec" in marked[0]) == ("Food" in table)


def test_texts_from_data_are_escaped():
    evil = example(EVIL, EVIL)._replace(reviewer=EVIL)
    evil.history[0] = evil.history[0]._replace(when=EVIL, categories=EVIL)
    evil.recommendations["x"][0] = evil.recommendations["x"][0]._replace(categories=EVIL)
    text = render(
        content(
            examples=[evil],
            domains=(EVIL, "Kitchen"),
            pair=EVIL,
            example_model=EVIL,
            stages={"candidates": CANDIDATES, EVIL: {EVIL: EVIL}},
        )
    )
    assert "<script" not in text
    assert "<img" not in text
    assert "&lt;script&gt;alert(" in text
    page = Reader(text)
    assert {tag for tag, _ in page.tags} <= {
        "html", "head", "meta", "title", "style", "body", "h1", "h2", "h3", "p", "code", "b", "div",
        "table", "caption", "thead", "tbody", "tr", "th", "td",
    }  # fmt: skip
    assert EVIL in "".join(page.text)  # shown as it is


def test_the_page_needs_nothing_from_outside(logs):
    evil = example("see https://example.com", "http://example.com")
    text = render(content(examples=[evil], curves=curves(logs), synthetic=True))
    page = Reader(text)
    for _, attributes in page.tags:
        for name, value in attributes.items():
            if name in ("src", "href", "xlink:href", "action", "data", "srcset"):
                assert value is not None
                assert value.startswith("#")
    assert not {tag for tag, _ in page.tags} & {"script", "link", "img", "iframe", "object", "embed"}
    assert "@import" not in text
    assert not re.search(r"url\((?!#)", text)


@pytest.mark.parametrize(
    "metrics",
    [
        {"a": {}, "b": {"test": {"x": block(0.1)}}},
        {"a": {"test": {"y": block(0.1)}}, "b": {"test": {"x": block(0.2)}, "valid": {}}},
        {"a": {"valid": {"x": block(0)}}},
        {"a": {"run": {"seed": 1}}},
        {},
    ],
)
def test_domains_and_splits_may_be_missing(metrics):
    page = Reader(render(content(metrics=metrics)))
    for split in ("valid", "test"):
        for key, domain in (("x", "Food"), ("y", "Kitchen")):
            models = [model for model, values in metrics.items() if key in values.get(split, {})]
            rows = page.tables.get(f"{split}, {domain}, against all items", [[]])
            assert [row[0] for row in rows[1:]] == models


def test_nothing_to_show_but_the_pair():
    page = Reader(render(content(metrics={}, stages={"candidates": CANDIDATES}, examples=[])))
    assert "Food and Kitchen" in "".join(page.text)


def test_examples():
    text = render(content(examples=[example(), example(profile="")]))
    page = Reader(text)
    assert page.tables["Recommended in Food"][1] == ["A pan", "Kitchen › Pans", "0.500"]
    assert page.tables["History, the latest 2"][1:3] == [
        ["2018-01-02", "Food", "A pan"],
        ["2018-01-02", "Kitchen", "A pan"],
    ]
    assert "<b>Profile:</b> none" in text


@pytest.mark.parametrize("synthetic", [True, False])
def test_a_synthetic_pair_says_so(synthetic):
    assert ("This pair is synthetic" in render(content(synthetic=synthetic))) is synthetic


def test_facts_of_the_stages():
    # `items` and `keys` are names of facts here, and of methods of a mapping.
    facts = {"items": 1234, "keys": "k", "known": True, "nested": {"x": 0.5}}
    page = Reader(render(content(stages={"candidates": CANDIDATES, "embed": facts})))
    assert page.tables["embed"] == [["items", "1,234"], ["keys", "k"], ["known", "yes"], ["nested", "x 0.5"]]


def test_same_content_same_bytes(logs):
    assert render(content(curves=curves(logs))) == render(content(curves=curves(logs)))


def test_curves(logs):
    text = curves(logs)
    assert text.startswith("<svg")
    assert text.rstrip().endswith("</svg>")
    assert "sasrec" in text
    assert "popularity" in text  # one epoch: a level line
    assert "absent" not in text
    assert "<svg" in render(content(curves=text))


def test_no_curve_of_a_single_epoch(logs):
    assert curves({"popularity": logs["popularity"]}) == ""
    assert curves({"absent": logs["absent"]}) == ""
    assert curves({}) == ""
    assert "Training" not in render(content())
