"""Text from data cannot become markup, and numbers are formatted."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt  # comes with rich

from lecdsr.core.markdown import Markdown, cell, escape, percent, table

ATTACKS = [
    "<script>alert(1)</script>",
    "a | b\n| --- |\n# head",
    "![x](http://evil.example/x.png)",
    "[x](javascript:alert(1))",
    "`code` *a* _b_ __c__ ~~d~~",
    "http://evil.example www.evil.example me@evil.example",
    "&lt;b&gt; &#60;",
    "1. one\n- two\n> three\n    four",
    "\u202eabc\u2066 \x00\x1b[31m",
    "$x$ \\ \\| ^",
]


@pytest.mark.parametrize("text", ATTACKS)
@pytest.mark.parametrize("place", ["{}", "- {}", "# {}", "a {} b", "| a |\n| --- |\n| {} |"])
def test_attacks_stay_text(text, place):
    parser = MarkdownIt("commonmark").enable(["table", "strikethrough"])
    harmless, tried = (parser.render(place.format(escape(word))) for word in ("word", text))
    assert re.findall(r"<[^>]*>", tried) == re.findall(r"<[^>]*>", harmless)


@given(st.text(st.characters(codec="utf-8"), max_size=40))
def test_any_text_is_shown_as_it_is(text):
    shown = MarkdownIt("commonmark").enable("table").parse(f"| a |\n| --- |\n| x{escape(text)}x |")
    (inside,) = [token for token in shown if token.type == "inline" and token.content != "a"]
    assert {child.type for child in inside.children} <= {"text", "text_special"}


def test_names_stay_readable():
    assert escape("Toys_and_Games") == "Toys_and_Games"
    assert escape("Patio,Lawn-2018") == "Patio,Lawn-2018"
    assert escape("_a_") == r"\_a\_"


def test_numbers():
    values = [None, 0, 1_234_567, 2.0, 0.123456, 1234.5, 0.00123, Markdown("**x**"), "a|b"]
    assert [cell(value) for value in values] == [
        "–", "0", "1,234,567", "2", "0.12", "1,234.50", "0.0012", "**x**", r"a\|b",
    ]  # fmt: skip
    assert (percent(0.4567), percent(None)) == ("45.7 %", "–")


def test_table():
    assert table(["", "x|y"], [["a", 1]]) == "|  | x\\|y |\n| --- | ---: |\n| a | 1 |"
