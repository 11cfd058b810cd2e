"""The word check of `make lint`: what it refuses, what it ignores, and that the project is clean."""

import pytest

from scripts.check_words import findings, main, read_words


def found(text: str) -> list[str]:
    return [one.word for one in findings("page.md", text, read_words())]


@pytest.mark.parametrize("text", ["The likest items.", "The loss anneals.", "Rebuild it anew", "what he has", "Nobody"])
def test_a_refused_word_is_found_with_a_suggestion(text):
    (one,) = findings("page.md", text, read_words())
    assert one.line == 1
    assert one.suggestion


@pytest.mark.parametrize("text", ["`anew`", "> anew", "a renewed vector", "words: off\nanew\nwords: on\n", "the"])
def test_quotations_and_other_words_are_left_alone(text):
    assert found(text) == []


def test_after_a_quotation_words_count_again():
    assert found("words: off\nanew\nwords: on\nlest") == ["lest"]


def test_a_planted_word_fails_the_check(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("The likest of each item.\n")
    assert main([str(page)]) == 1


def test_the_project_is_clean():
    assert main([]) == 0
