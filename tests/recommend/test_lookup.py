"""Finding items by ASIN and title, and the messages if they do not exist."""

import re

import pytest

from lecdsr.recommend.lookup import Finder, looks_like_asin, plain
from tests import tiny
from tests.errors import refused
from tests.recommend.built import TITLES


@pytest.fixture
def finder():
    items = tiny.items_table(6, 5)
    items = items.set_column(items.column_names.index("title"), "title", [TITLES])
    counts = [0, 0, 1, 7, 0, 0, 0, 0, 0, 0, 0]
    return Finder(items.set_column(items.column_names.index("train_count"), "train_count", [counts]))


@pytest.mark.parametrize(
    ("text", "item"),
    [("B000000007", 7), ("b000000007", 7), ("Cast Iron Pan", 7), ("creme  brulee MIX", 0), (TITLES[5], 5)],
)
def test_exact(finder, text, item):
    assert finder.find(text) == (item, "")


def test_same_title_takes_the_commonest_and_says_so(finder):
    assert finder.find("green tea").item == 3
    note = finder.find("green tea").note
    assert all(word in note for word in ("2 items", "'green tea'", "B000000003"))


def test_closest_holds_all_words_and_is_short(finder):
    found = finder.find("pan")  # in "Cast Iron Pan" and in the shorter "Pan, Small"
    assert found.item == 8
    assert all(word in found.note for word in ("B000000008 (Pan, Small)", "2 titles"))


def test_closest_by_letters(finder):
    found = finder.find("Caste Iron Pann")
    assert found.item == 7
    assert all(word in found.note for word in ("'Caste Iron Pann'", "B000000007 (Cast Iron Pan)"))


def test_unknown_asin_is_not_taken_for_a_title(finder):
    with refused("unknown-item") as error:
        finder.find("B00000000X")
    assert "'B00000000X'" in error.value.what
    assert re.search(r"\bB0000000\d\d\b", error.value.what)  # a suggestion


@pytest.mark.parametrize("text", ["zzzz qqqq", "", "   "])
def test_nothing_near(finder, text):
    with refused("no-match"):
        finder.find(text)


def test_untitled_items_are_no_title():
    items = tiny.items_table(2, 1)
    items = items.set_column(items.column_names.index("title"), "title", [["", "", ""]])
    with refused("no-match"):
        Finder(items).find("")


def test_forms():
    assert looks_like_asin("B000000007")
    assert looks_like_asin("0306406152")
    assert not any(map(looks_like_asin, ["ESPRESSOXL", "b000000007", "B00", "2 Quart Pot"]))
    assert plain("  Crème\tBRÛLÉE ") == "creme brulee"
