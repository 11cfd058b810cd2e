import json

import pytest
from hypothesis import example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from lecdsr.config.pair import DOMAIN_NAME
from lecdsr.prompts.profile import PHRASE_LENGTH, PHRASES, Profile, format_profile, parse_profile

DOMAINS = ("Grocery_and_Gourmet_Food", "Home_and_Kitchen")
COOK = Profile("Bakes bread.", (("rye flour", "dry yeast"), ("loaf pan", "dough whisk")))
X, Y = "Grocery and Gourmet Food", "Home and Kitchen"

SAME = {
    "the lines that were asked for": f"""
        Portrait: Bakes bread.
        Next in {X}: rye flour, dry yeast
        Next in {Y}: loaf pan, dough whisk""",
    "semicolons, full stops and case": f"""
        PORTRAIT: Bakes bread.
        next in {X.upper()}: rye flour; dry yeast.
        NEXT IN {Y.lower()}: loaf pan; and dough whisk;""",
    "names as in the settings": f"""
        Portrait: Bakes bread.
        Next in {DOMAINS[0]}: rye flour, dry yeast
        Next in {DOMAINS[1]}: loaf pan, dough whisk""",
    "bulleted lists under headings": f"""
        **Portrait:** Bakes bread.

        ### Next in {X}

        - rye flour
        * **dry yeast**

        ### Most likely next purchases in {Y}:
        1. loaf pan
        2) dough whisk""",
    "lines without bullets": f"""
        Portrait:
        Bakes bread.
        Next in {X}:
        rye flour
        dry yeast
        Next in {Y}:
        loaf pan
        dough whisk""",
    "headings that are names": f"""
        Bakes bread.

        {Y}:
        - loaf pan
        - dough whisk
        {X}:
        - rye flour
        - dry yeast""",
    "a part of a name": """
        Portrait: Bakes bread.
        Next in kitchen: loaf pan, dough whisk
        Likely next products in the food domain: rye flour, dry yeast""",
    "other names, in order": """
        Portrait: Bakes bread.
        Next in Shop A: rye flour, dry yeast
        Next in Shop B: loaf pan, dough whisk""",
    "letters": """
        Portrait: Bakes bread.
        Next in Y: loaf pan, dough whisk
        Next in X: rye flour, dry yeast""",
    "numbered phrases": f"""
        Portrait: Bakes bread.
        Next in {X} - 1. rye flour, 2. dry yeast
        Next in {Y} - "loaf pan", "dough whisk\"""",
    "a remark after the lists": f"""
        Portrait: Bakes
        Next in {X}: rye flour, dry yeast
        Next in {Y}: loaf pan, dough whisk

        bread.""",
}
JSON = {
    "keys by letter": {"next_x": ["rye flour", "dry yeast"], "next_y": ["loaf pan", "dough whisk"]},
    "keys by name": {f"Next in {Y}": "loaf pan, dough whisk", "next in " + DOMAINS[0]: "rye flour; dry yeast"},
    "a mapping": {"next": {DOMAINS[0]: ["rye flour", "dry yeast"], "kitchen": ["loaf pan", "dough whisk"]}},
    "two lists": {"next": [["rye flour", "dry yeast"], ["loaf pan", "dough whisk"]]},
    "entries with fields": {
        "next_food": [{"product": "rye flour", "rank": 1}, {"product": "dry yeast", "rank": 2}],
        "next_kitchen": ["loaf pan", "dough whisk"],
    },
}


def unindented(text):
    return "\n".join(line.strip() for line in text.strip().splitlines())


@pytest.mark.parametrize("case", SAME)
def test_forms_of_one_profile(case):
    assert parse_profile(unindented(SAME[case]), DOMAINS) == COOK


@pytest.mark.parametrize("case", JSON)
@pytest.mark.parametrize("around", ["{}", "```json\n{}\n```", "Here is the profile:\n\n{}\n\nI hope this helps!"])
def test_json_of_one_profile(case, around):
    text = json.dumps({"portrait": "Bakes bread.", **JSON[case]}, indent=1)
    assert parse_profile(around.replace("{}", text), DOMAINS) == COOK


@pytest.mark.parametrize(
    ("text", "portrait"),
    [
        ("", ""),
        (" \n\t", ""),
        ("Likes tea.\nNeeds a kettle.", "Likes tea. Needs a kettle."),
        ("In Home and Kitchen: buys Cookware; latest skillet.", "In Home and Kitchen: buys Cookware; latest skillet."),
        ("Next, they will buy: tea, sugar", "Next, they will buy: tea, sugar"),
        ('{"answer": "tea"}', '{"answer": "tea"}'),
        ("[" * 50_000, "[" * 20_000),
        ("Portrait: Likes tea.", "Likes tea."),
    ],
)
def test_what_has_no_lists_is_the_portrait(text, portrait):
    assert parse_profile(text, DOMAINS) == Profile(portrait, ((), ()))


def test_json_that_was_cut_off():
    text = '{\n"portrait": "tea",\n"next_x": ["green tea", "mints"],\n"next_y": ["kettle"'
    assert parse_profile(text, DOMAINS).next == (("green tea", "mints"), ("kettle",))


def test_limits_of_phrases():
    words = "word " * 30
    text = f"Next in {X}: Tea, tea, TEA., none, -, {words}, {', '.join(map(str, range(20)))}"
    phrases, none = parse_profile(text, DOMAINS).next
    assert none == ()
    assert phrases == ("Tea", ("word " * 16)[:-1], "0", "1", "2", "3", "4", "5")
    assert len(parse_profile(f"Next in {X}: {'x' * 99}", DOMAINS).next[0][0]) == PHRASE_LENGTH


def test_commas_that_do_not_separate():
    text = f"Next in {Y}: bags (red, blue), 1,000 count napkins, pan (steel; 12 inch), broken (pan, pot"
    expected = ("bags (red/blue)", "1,000 count napkins", "pan (steel/12 inch)", "broken pan", "pot")
    assert parse_profile(text, DOMAINS).next[1] == expected
    listed = json.dumps({"next_y": ["tea, green", "pot"]})
    assert parse_profile(listed, DOMAINS).next[1] == ("tea green", "pot")


def test_empty_parts_are_left_out():
    assert (
        format_profile(Profile("Bakes.", ((), ("pan", "pot"))), DOMAINS) == f"Portrait: Bakes.\nNext in {Y}: pan, pot"
    )
    assert format_profile(Profile(), DOMAINS) == ""


PIECES = st.sampled_from(
    [*"ab1 ,;:.-*#\n(){}[]\"'`_/", "Portrait:", f"Next in {Y}:", "next in ", "next_x", "and ", "\n- ", "\n2. ", "```",
     "**", X, '\n{"portrait":"', '","next_y":["', '"]}', "\u2028", "\x00"]
)  # fmt: skip


@hypothesis_settings(max_examples=300, deadline=None)
@given(st.one_of(st.text(), st.lists(PIECES, max_size=40).map("".join)))
@example("NEXT:0\r0)")
@example('{"PORTRAIT":"**"}')
def test_whatever_is_parsed_has_a_canonical_form(text):
    profile = parse_profile(text, DOMAINS)
    assert parse_profile(format_profile(profile, DOMAINS), DOMAINS) == profile
    for phrases in profile.next:
        assert len({phrase.lower() for phrase in phrases}) == len(phrases) <= PHRASES
        assert all(0 < len(phrase) <= PHRASE_LENGTH for phrase in phrases)


@hypothesis_settings(max_examples=100, deadline=None)
@given(st.lists(st.from_regex(DOMAIN_NAME, fullmatch=True), min_size=2, max_size=2, unique=True))
@example(["Portrait", "Next"])
@example(["Y", "X"])
@example(["A-B", "A_B"])
@example(["A__B", "A_B"])
@example(["H", "h"])
@example(["Food_and_Tea", "Food"])
def test_names_of_domains_survive(domains):
    assert parse_profile(format_profile(COOK, domains), domains) == COOK
