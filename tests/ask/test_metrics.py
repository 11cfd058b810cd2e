"""Statistics of profiles, and answers that repeat their prompt."""

import pyarrow as pa
import pytest

from lecdsr.ask.metrics import profile_metrics, repeats_of_prompt
from lecdsr.ask.request import sent_part
from lecdsr.core.schemas import ANSWERS, TRAIN
from lecdsr.prompts.questions import write_questions
from tests.prompts import prompt_tables

DOMAINS = prompt_tables.DOMAINS
LISTS = "Portrait: Cooks at home.\nNext in Pantry: rye flour, dry yeast\nNext in Home Kitchen: loaf pan"


def answers(texts, kind="user"):
    rows = [{"kind": kind, "id": place // 2, "as_of": place, "text": text} for place, text in enumerate(texts)]
    return pa.Table.from_pylist(rows, schema=ANSWERS)


def questions(**values):
    rows = [prompt_tables.item(number, number % 2, f"Product {number}") for number in range(8)]
    bought = prompt_tables.interactions([(number // 2, number, number % 2, TRAIN) for number in range(8)])
    chosen = prompt_tables.settings(profile_instruction=None, description_instruction=None, **values)
    return write_questions(prompt_tables.items(rows), prompt_tables.users(4), bought, DOMAINS, chosen).table


def test_profiles_users_and_phrases():
    found = profile_metrics(answers([LISTS, "Likes tea.", None, "Next in Pantry: tea"]), DOMAINS)
    assert found == {
        "profiles": 3,
        "users_with_profile": 2,
        "profiles_with_phrases": {"x": 0.6667, "y": 0.3333},
        "phrases_per_profile": {"x": 1.0, "y": 0.3333},
    }
    assert profile_metrics(answers([]), DOMAINS)["profiles_with_phrases"] == {"x": 0.0, "y": 0.0}


@pytest.mark.parametrize("version", ["v1", "v2", "v3"])
def test_an_answer_that_repeats_the_wording_is_counted(version):
    asked = questions(version=version)
    wording = " ".join(sent_part(asked["body"][0].as_py())["messages"][1]["content"].split()[-9:])
    copied = f"Portrait: {wording}"
    assert repeats_of_prompt(answers([LISTS, copied, LISTS, None]), asked, DOMAINS) == pytest.approx(1 / 3, abs=1e-6)


def test_data_and_headings_are_no_wording():
    asked = questions(version="v3")
    title = "1. [Pantry] Product 0 and 2. [Home Kitchen] Product 1"
    names = "Buys from the domains Pantry and Home Kitchen."
    assert repeats_of_prompt(answers([LISTS, title, names, ""]), asked, DOMAINS) == 0.0


def test_descriptions_are_compared_with_their_own_prompt():
    asked = questions(version="v3", descriptions=True, profiles=False)
    copied = "Leave out pack sizes. Invent no facts: tea."
    assert repeats_of_prompt(answers(["A pan for frying.", copied], "item"), asked, DOMAINS) == 0.5
    assert repeats_of_prompt(answers([], "item"), asked.slice(0, 0), DOMAINS) == 0.0
