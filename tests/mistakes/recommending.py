"""Mistakes in recommending and in saved models."""

from dataclasses import replace
from pathlib import Path

import pytest

from lecdsr.core.files import read_json, write_json
from lecdsr.models.saved import load, read_config, save
from lecdsr.recommend.onnx import check_installed
from lecdsr.recommend.recommender import PairRecommender
from lecdsr.recommend.user import target_user
from tests import tiny
from tests.mistakes.registry import case, lecdsr_command
from tests.models import zoo
from tests.recommend.built import recommender_of


def popular() -> PairRecommender:
    return recommender_of("popularity", "counts")


@case
def no_trained_model():
    lecdsr_command("recommend", "--pair", "toy", "--user", "ANNA")


@case
def unknown_user():
    target_user(popular(), "ANNE", [], None)


@case
def unknown_item():
    target_user(popular(), None, ["B00000000X"], None)


@case
def user_and_history():
    target_user(popular(), "ANNA", ["B000000001"], None)


@case
def day_that_is_none():
    target_user(popular(), None, ["B000000001"], "1.5.2014")


@case
def anonymous_user_of_a_model_with_user_embeddings():
    target_user(recommender_of("hgn", "ids"), None, ["B000000001"], None)


def saved_model(**changed: object) -> None:
    """Save a small model, change keys of its config, and load it."""
    folder, network = Path("model"), zoo.make("popularity", "counts")
    save(folder, network, zoo.config_of("popularity", network.settings))
    config = read_json(folder / "config.json")
    write_json(folder / "config.json", {**config, "lecdsr": "0.1.0", **changed})
    load(folder, network.info)


@case
def model_in_a_folder_of_another_format():
    saved_model(format=1)


@case
def model_whose_config_was_changed():
    saved_model(seed=7)


@case
def model_with_the_weights_of_another():
    folder, network = Path("model"), zoo.make("popularity", "counts")
    save(folder, network, zoo.config_of("popularity", network.settings))
    Path("model/model.safetensors").write_bytes(b"of another")
    load(folder, network.info)


@case
def model_of_another_catalogue():
    network = zoo.make("popularity", "counts", data=replace(tiny.info(), item_ids="of other items"))
    save(Path("model"), network, zoo.config_of("popularity", network.settings))
    load(Path("model"), replace(tiny.info(), item_ids="of these"))


@case
def model_that_was_written_in_part():
    Path("model").mkdir()
    Path("model/model.safetensors").touch()
    read_config(Path("model"))


@case
def graph_without_its_packages():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lecdsr.recommend.onnx.find_spec", lambda name: None)
        check_installed()
