import pyarrow as pa
import pytest

from lecdsr.serve.catalogue import Catalogue
from tests import tiny
from tests.errors import refused

TITLES = ["Green Tea", "Tea Kettle, Green", "Steamer", "Crème Brûlée", "", "green  tea"]


@pytest.fixture(scope="module")
def catalogue():
    items = tiny.items_table(3, 3)
    items = items.set_column(items.column_names.index("title"), "title", pa.array(TITLES))
    counts = pa.array([1, 5, 9, 2, 0, 4], pa.int32())
    return Catalogue(items.set_column(items.column_names.index("train_count"), "train_count", counts))


def test_words_that_begin_a_word_come_first_then_frequent_items(catalogue):
    assert catalogue.search("tea", None, 10) == [1, 5, 0, 2]  # "Steamer" only contains it
    assert catalogue.search("tea", 0, 10) == [1, 0, 2]
    assert catalogue.search("tea", 1, 10) == [5]
    assert catalogue.search("tea", None, 2) == [1, 5]


def test_all_words_in_any_order_without_case_and_accents(catalogue):
    assert catalogue.search("KETTLE green", None, 10) == [1]
    assert catalogue.search("creme brulee", None, 10) == [3]
    assert catalogue.search("tea spoon", None, 10) == []
    assert catalogue.search("  ", None, 10) == []


def test_an_asin_is_found_as_it_is(catalogue):
    assert catalogue.search("b000000004", None, 10) == [4]
    assert catalogue.search("b000000004", 0, 10) == []


@pytest.mark.parametrize("text", ["(", "[a", "\\", "%", "a.*", "\0", "é" * 500])
def test_a_search_is_no_pattern(catalogue, text):
    assert catalogue.search(text, None, 10) == []


def test_names(catalogue):
    assert catalogue.find("B000000002", "item").item == 2
    assert catalogue.find("b000000002", "item").item == 2
    assert catalogue.find("STEAMER", "item") == (2, "")
    found = catalogue.find("Green tea", "item")  # two have the title, and 5 has more interactions
    assert found.item == 5
    assert found.note
    with refused("unknown-item", "history[3]") as caught:
        catalogue.find("Kettle", "history[3]")
    assert "B000000001" in caught.value.what


def test_the_most_frequent_items_are_examples(catalogue):
    assert catalogue.examples == [2, 5]
