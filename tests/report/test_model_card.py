"""The model card: its content, and that it states no more than is known."""

import pytest

from lecdsr.report.model_card import model_card

CONFIG = {
    "model": "sasrec",
    "seed": 3,
    "settings": {"width": 64, "item_text": "none", "hidden": None},
    "n_x": 1200,
    "n_y": 34,
    "n_users": 5678,
    "best_epoch": 7,
    "valid_ndcg@10": 0.12345,
    "parameters": 216128,
    "lecdsr": "0.4.2",
    "sha256": {"weights": "ab12", "settings": "cd34", "items": "ef56"},
}
BLOCK = {
    "users": 1482,
    "full": {"ndcg@10": 0.1578, "hr@10": 0.2863, "mrr": 0.1311},
    "sampled": {"ndcg@10": 0.3888, "hr@10": 0.5705, "mrr": 0.3},
}


def test_before_evaluation_it_holds_the_config():
    card = model_card("demo", CONFIG)
    assert card.startswith("# Model card: `sasrec` on `demo`\n")
    for words in ("| parameters | 216,128 |", "1,200 and 34", "| users | 5,678 |", "Seed 3.", "epoch 7", "0.1235"):
        assert words in card
    assert "| `width` | 64 |\n| `item_text` | `none` |\n| `hidden` | None |" in card
    assert "`metrics/demo/sasrec.json`" in card
    assert all(words in card for words in ("lecdsr 0.4.2", "`ab12`", "`cd34`", "`ef56`"))
    assert "synthetic" not in card
    assert "Provenance" not in card
    assert card == model_card("demo", dict(CONFIG))


def test_after_evaluation_it_holds_figures_and_what_they_rest_on():
    run = {"text_provider": "offline", "profiles_by_version": {"training": 1200}, "candidates_sha256": "ab"}
    card = model_card("demo", CONFIG, synthetic=True, metrics={"test": {"x": BLOCK}}, provenance=run)
    assert "| x | 1,482 | 0.1578 | 0.2863 | 0.1311 | 0.3888 | 0.5705 |" in card
    assert "| y |" not in card  # no target there
    assert "**The pair is synthetic**" in card
    assert "| text_provider | `offline` |" in card
    assert "| profiles_by_version | training 1,200 |" in card


def test_a_model_without_settings_and_text_that_would_break_the_table():
    assert "### Settings\n\nNone." in model_card("demo", {**CONFIG, "settings": {}})
    assert "| `a` | `x\\|y` |" in model_card("demo", {**CONFIG, "settings": {"a": "x|y"}})


def test_a_config_that_is_none_is_refused():
    with pytest.raises(KeyError, match="parameters"):
        model_card("demo", {key: value for key, value in CONFIG.items() if key != "parameters"})
