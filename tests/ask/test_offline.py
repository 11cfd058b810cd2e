import json

import pytest

from lecdsr.ask.offline import OfflineWriter, describe_customer, describe_item, write_profile
from lecdsr.ask.types import Answer, Question
from lecdsr.prompts.profile import parse_profile


def bought(domain, title, brand="", *categories):
    return {"domain": domain, "title": title, "brand": brand, "categories": list(categories)}


HISTORY = [
    bought("Pantry", "Acme Organic Green Tea, 20 Count", "Acme", "Grocery", "Beverages", "Tea"),
    bought("Pantry", "Smoky Chipotle Salsa", "Fiesta", "Grocery", "Sauces"),
    bought("Kitchen", "Cast Iron Skillet 12 Inch", "Lodge", "Home", "Cookware"),
    bought("Pantry", "Acme Earl Grey Tea with Bergamot", "Acme", "Grocery", "Beverages", "Tea"),
]


def test_a_profile_names_kinds_brands_and_the_latest_titles_of_each_shop():
    assert describe_customer(HISTORY) == (
        "In Pantry: buys Tea, Beverages and Sauces; latest acme earl grey tea bergamot; by Acme and Fiesta; "
        "themes smoky chipotle salsa organic green. "
        "In Kitchen: buys Cookware; latest cast iron skillet; by Lodge."
    )


PROFILE = (
    "Portrait: In Pantry: buys Tea, Beverages and Sauces; latest acme earl grey tea bergamot; by Acme and Fiesta; "
    "themes smoky chipotle salsa organic green. "
    "In Kitchen: buys Cookware; latest cast iron skillet; by Lodge.\n"
    "Next in Pantry: Acme Tea, Fiesta Sauces\n"
    "Next in Kitchen: Lodge Cookware"
)


def test_a_profile_lists_the_next_kinds_of_each_domain():
    assert write_profile(HISTORY) == PROFILE
    assert parse_profile(PROFILE, ("Pantry", "Kitchen")).next == (("Acme Tea", "Fiesta Sauces"), ("Lodge Cookware",))
    assert parse_profile(PROFILE, ("Kitchen", "Pantry")).next == (("Lodge Cookware",), ("Acme Tea", "Fiesta Sauces"))
    assert parse_profile(PROFILE, ("Pantry", "Kitchen")).portrait == describe_customer(HISTORY)


def test_next_kinds_by_hand():
    history = [bought("S", "", "Ax", "Root", kind) for kind in ("Old", "Often", "Rare", "Often")]
    history += [bought("S", "Green Tea Bags, 20 count of the best")]
    history += [bought("S", "", brand, "Root", "Salt, Pepper") for brand in ("B", "C")]
    assert write_profile(history).splitlines()[1] == "Next in S: Salt Pepper, Ax Often, green tea bags, Ax Rare, Ax Old"
    many = [bought("S", "", "", "Root", f"Kind {n}") for n in range(9)]
    assert write_profile(many).splitlines()[1] == "Next in S: " + ", ".join(f"Kind {n}" for n in range(8, 2, -1))
    assert write_profile([bought("S", "!!!")]) == "Portrait: In S: buys products of many kinds."


def test_profiles_are_short_repeatable_and_differ_between_customers():
    texts = {describe_customer(HISTORY[start:end]) for start in range(4) for end in range(start + 1, 5)}
    assert len(texts) == 10
    assert all(len(text.split()) <= 60 for text in texts)
    assert describe_customer(HISTORY) == describe_customer(json.loads(json.dumps(HISTORY)))


def test_a_long_history_stays_short():
    def title(number):
        return " ".join(f"word{chr(97 + (number * place) % 26)}x{place}" for place in range(20))

    history = [bought(f"Shop {n % 2}", title(n), f"Brand {n}", "A", f"B{n}") for n in range(50)]
    assert len(describe_customer(history).split()) <= 60


def test_frequent_and_recent_kinds_come_first():
    history = [bought("S", "", "", "Root", kind) for kind in ("Old", "Often", "Often", "New")]
    assert describe_customer(history) == "In S: buys Often, New and Old."


@pytest.mark.parametrize("title", ["", "12 x 24", "!!!"])
def test_a_history_without_words(title):
    assert describe_customer([bought("S", title)]) == "In S: buys products of many kinds."


def test_a_description():
    facts = {
        "title": "Earl Grey",
        "brand": "Acme",
        "categories": ["Grocery", "Tea"],
        "description": "Black tea scented with bergamot. " + "More words. " * 60,
    }
    text = describe_item(facts)
    assert text.startswith("Earl Grey by Acme. Kind: Tea, Grocery. Black tea scented with bergamot.")
    assert len(text.split()) <= 60


def test_a_description_of_little():
    facts = {"title": "", "brand": "Acme", "categories": [], "description": ""}
    assert describe_item(facts) == "Untitled product by Acme."


def test_the_provider_keeps_order_and_tells_kinds_apart():
    item = {"title": "Pot", "brand": "", "categories": [], "description": ""}
    questions = [
        Question("item", "i", "{}", json.dumps(item)),
        Question("user", "u", "{}", json.dumps([bought("S", "Pot")])),
    ]
    assert [(q.key, outcome) for part in OfflineWriter().answer(questions) for q, outcome in part] == [
        ("i", Answer("Pot.")),
        ("u", Answer("Portrait: In S: buys products of many kinds; latest pot.\nNext in S: pot")),
    ]
    assert "rule-based" in OfflineWriter.title


def test_lists_can_be_left_out():
    facts = [{"domain": "Food", "title": "Green tea", "brand": "Leaf", "categories": ["Food", "Tea"]}]
    with_lists, without = (write_profile(facts), describe_customer(facts))
    question = Question("user", "k", "", json.dumps(facts))
    for lists, expected in ((True, with_lists), (False, without)):
        [[(_, answer)]] = OfflineWriter(lists).answer([question])
        assert answer.text == expected
    assert with_lists != without
