"""The wording of messages, in one place: tests/snapshots/messages.txt.

Every case provokes one mistake, and the snapshot holds the whole message. Other tests assert codes, keys and figures,
so that only the snapshot changes when a message is reworded. To write it again, and then read what changed:

    LECDSR_UPDATE_SNAPSHOT=1 python -m pytest tests/core/test_messages.py
    git diff tests/snapshots/messages.txt
"""

import json
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest
import torch

import lecdsr
from lecdsr.ask.access import MAX_COST, Access, read_access, read_transport
from lecdsr.ask.budget import Budget
from lecdsr.ask.client import Refused
from lecdsr.ask.errors import classify_error
from lecdsr.ask.prices import Price
from lecdsr.ask.run import AskResult, check_failures
from lecdsr.ask.settings import Settings as AskSettings
from lecdsr.ask.table import PairTables, answers_from_tables
from lecdsr.ask.types import Failure
from lecdsr.cli.main import run
from lecdsr.config.resolve import write_resolved
from lecdsr.core.errors import UserError
from lecdsr.core.files import read_json, read_table, sha256_file, write_json, write_table
from lecdsr.core.schemas import ANSWERS, ITEMS, USERS
from lecdsr.embed.base import too_narrow
from lecdsr.evaluate.targets import check_same, held_out
from lecdsr.experiments.config import load_experiments
from lecdsr.llm_server.server import start
from lecdsr.models.saved import load, read_config, save
from lecdsr.prompts.templates import load_template
from lecdsr.readers.layouts import find
from lecdsr.readers.rejected import RejectedLines
from lecdsr.recommend.manifest import FORMAT, read_manifest
from lecdsr.recommend.onnx import check_installed
from lecdsr.recommend.recommender import PairRecommender
from lecdsr.recommend.user import target_user
from lecdsr.sequences.filter import apply_filters
from lecdsr.sequences.settings import Settings as SequencesSettings
from lecdsr.serve.catalogue import Catalogue
from lecdsr.serve.messages import read_recommend
from lecdsr.serve.server import read_token
from lecdsr.train import memory_estimate
from lecdsr.train.checkpoint import Checkpoints
from lecdsr.train.memory_estimate import MemoryEstimate, check_memory
from stages import download
from tests import tiny
from tests.evaluate.rank_tables import random_ranks
from tests.models import zoo
from tests.recommend.built import recommender_of
from tests.sequences.test_filter import database

SNAPSHOT = Path(__file__).parents[1] / "snapshots" / "messages.txt"
UPDATE = "LECDSR_UPDATE_SNAPSHOT"
PARAMS = "active: [toy]\nmodels: [sasrec, popularity]\n"
PAIR = "domains: [Food, Kitchen]\nrelease: 2018\nsource: ../raw\n"
METHODS = "seeds: [1]\nbudget: 2\nmethods:\n  short: {model: sasrec, grid: [{dropout: 0.1}, {dropout: 0.5}]}\n"
CASES: dict[str, Callable[[], object]] = {}


def case(function: Callable[[], object]) -> Callable[[], object]:
    """Register a mistake under the name of its function."""
    CASES[function.__name__.replace("_", " ")] = function
    return function


def lecdsr_command(*arguments: str) -> None:
    """Run a command as on the command line, and raise the mistake that ends it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["lecdsr", *arguments])
        with pytest.raises(SystemExit) as ended:
            run()
    assert isinstance(ended.value.__context__, UserError), "no mistake"
    raise ended.value.__context__


def check(params: str = PARAMS, pair: str = PAIR) -> None:
    """Run `lecdsr check` on these two files."""
    Path("params.yaml").write_text(params, encoding="utf-8")
    Path("pairs/toy.yaml").write_text(pair, encoding="utf-8")
    lecdsr_command("check")


# Settings


@case
def unknown_key_of_a_stage():
    check(PARAMS + "sequences: {min_itme: 3}\n")


@case
def unknown_key_of_a_model():
    check(pair=PAIR + "train: {sasrec: {widht: 8}}\n")


@case
def unknown_block():
    check(PARAMS + "trian: {}\n")


@case
def value_of_a_wrong_type():
    check(PARAMS + "sequences: {max_length: many}\n")


@case
def value_out_of_range():
    check(PARAMS + "train: {shared: {epochs: 0}}\n")


@case
def values_that_do_not_fit_together():
    check(pair=PAIR + "train: {sasrec: {width: 64, heads: 7}}\n")


@case
def missing_key_of_a_pair():
    check(pair=PAIR.replace("release: 2018\n", ""))


@case
def one_domain_only():
    check(pair=PAIR.replace("[Food, Kitchen]", "[Food]"))


@case
def the_same_domain_twice():
    check(pair=PAIR.replace("[Food, Kitchen]", "[Food, Food]"))


@case
def block_that_is_no_mapping():
    check(PARAMS + "sequences: 5\n")


@case
def no_active_pair():
    check("active: []\nmodels: [sasrec]\n")


@case
def unknown_model():
    check("active: [toy]\nmodels: [sasrek]\n")


@case
def unknown_pair():
    lecdsr_command("metrics", "--pair", "toyy")


@case
def outside_a_repository():
    Path("dvc.yaml").unlink()
    lecdsr_command("pairs")


# Files and data


@case
def pair_without_results():
    lecdsr_command("metrics", "--pair", "toy")


@case
def missing_table():
    lecdsr_command("ask", "--pair", "toy", "--estimate")


@case
def table_of_an_earlier_version():
    write_table(Path("items.parquet"), USERS.empty_table(), USERS)
    read_table(Path("items.parquet"), ITEMS)


@case
def missing_source_folder():
    write_resolved("toy")
    download.main("toy")


@case
def missing_raw_file():
    Path("raw").mkdir()
    Path("raw/Fodo.csv").touch()
    find(Path("raw"), ("{domain}.csv", "{domain}.csv.gz"), "Food")


@case
def too_many_rejected_lines():
    rejected = RejectedLines(Path("raw/Food.csv"), total=1000)
    for number in range(1, 31):
        rejected.add(number, "a value is missing", "B000000001,A1B2C3,,")
    rejected.check(Path("rejected"), 0.01)


@case
def filter_that_removes_every_user():
    rows = [("anna", domain, str(domain), 0) for domain in (0, 1)]
    apply_filters(database(rows), SequencesSettings(min_user_total=3, min_user_domain=1, min_item=1))


@case
def no_user_of_both_domains():
    apply_filters(database([("anna", 0, "1", 0), ("bert", 1, "2", 0)]), SequencesSettings())


@case
def unknown_prompt_version():
    load_template("v9", "profile")


@case
def width_above_that_of_the_encoder():
    raise too_narrow(384, 512)


# LLM


ACCESS = Access("https://api.example.org/v1", "sk-0123456789")


@case
def offline_provider_asked():
    lecdsr_command("ask", "--pair", "toy")


@case
def table_provider_asked():
    pair = PAIR + "ask: {provider: table}\n"
    Path("pairs/toy.yaml").write_text(pair, encoding="utf-8")
    lecdsr_command("ask", "--pair", "toy")


@case
def unknown_version_of_a_profile():
    check(PARAMS + "prompts: {profile_versions: [first_third]}\n")


@case
def table_of_texts_with_two_forms_of_profiles():
    check(pair=PAIR + "ask: {profiles: {path: texts.csv, text: profile, portrait: portrait}}\n")


def texts_from(content: str, profiles: bool = False, **settings: object) -> None:
    """Read a table of texts for a pair of one item and one user."""
    Path("texts.csv").write_text(content, encoding="utf-8")
    values = {"path": "texts.csv", "sha256": sha256_file(Path("texts.csv")), **settings}
    block = {"profiles": {**values, "text": "text"}} if profiles else {"items": values}
    items = pa.table({"item": [0], "domain": [0], "asin": ["A1"]})
    times = pa.table({"user": [0], "time": [0]})
    pair = PairTables(items, pa.table({"user": [0], "reviewer": ["anna"]}), times, ("Food", "Kitchen"))
    answers_from_tables(AskSettings.model_validate({"provider": "table", **block}), pair)


@case
def no_table_of_texts():
    answers_from_tables(AskSettings(provider="table"), None)  # type: ignore[arg-type]


@case
def table_of_texts_that_is_missing():
    texts_from("asin,text\n", path="missing.csv")


@case
def table_of_texts_without_a_checksum():
    texts_from("asin,text\nA1,tea\n", sha256=None)


@case
def table_of_texts_that_was_changed():
    texts_from("asin,text\nA1,tea\n", sha256="0" * 64)


@case
def table_of_texts_that_is_broken():
    texts_from("asin,text\nA1,tea,pot\n")


@case
def table_of_texts_without_a_column():
    texts_from("item,text\nA1,tea\n")


@case
def table_of_texts_with_two_texts_for_one_item():
    texts_from("asin,text\nA1,tea\nA1,pot\n")


@case
def table_of_texts_with_two_texts_for_one_version():
    texts_from("user,as_of,text\nanna,5,tea\nanna,5,pot\n", profiles=True)


@case
def table_of_texts_of_another_pair():
    texts_from("asin,text\nB1,tea\nB2,pot\n")


@case
def table_of_texts_with_a_mapping_to_no_domain():
    texts_from("asin,text,shop\nA1,tea,F\n", domain="shop", domains={"F": "Toys"})


@case
def table_of_texts_with_a_time_that_is_none():
    texts_from("user,as_of,text\nanna,2014-05-19,tea\n", profiles=True)


@case
def table_of_texts_with_milliseconds():
    texts_from("user,as_of,text\nanna,1400457600000,tea\n", profiles=True)


@case
def no_api_key():
    read_access({})


@case
def limit_that_is_no_number():
    read_access({"OPENAI_API_KEY": "sk-0123456789", MAX_COST: "ten"})


@case
def unknown_transport():
    read_transport({"LECDSR_LLM_TRANSPORT": "post"})


@case
def refused_api_key():
    raise classify_error(Refused(401, '{"error": {"message": "Incorrect API key"}}', {}), ACCESS, "gpt-4o-mini")


@case
def no_credit():
    body = json.dumps({"error": {"code": "insufficient_quota", "message": "You exceeded your current quota"}})
    raise classify_error(Refused(429, body, {}), ACCESS, "gpt-4o-mini")


@case
def limit_without_a_price():
    Budget("my-model", None, max_cost=5.0)


@case
def limit_on_cost_reached():
    Budget("gpt-4o-mini", Price(1.0, 1.0, 0.5, "2026-01"), max_cost=2.0, spent=1.9).has_room(0.25)


@case
def limit_on_requests_reached():
    Budget("gpt-4o-mini", None, max_requests=500, requests=500).has_room(0.0)


@case
def too_many_questions_without_an_answer():
    rows = [{"kind": "user", "id": number, "key": str(number), "text": None, "reason": "empty"} for number in range(3)]
    failures = {str(number): Failure("cut off", "finish_reason length") for number in range(3)}
    check_failures(pa.Table.from_pylist(rows, schema=ANSWERS), AskResult("openai", reasons=failures), 0.01)


@case
def model_file_that_is_missing():
    start(Path("model.gguf"), 0, 1, 128, 1)


# Training and evaluation


@case
def not_enough_memory():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(memory_estimate, "free_memory", lambda: 8_000_000_000)
        sizes = [700_000_000, 2_000_000_000, 6_000_000_000, 2_000_000_000, 0, 500_000_000, 10_000_000, 8_000_000_000]
        check_memory(MemoryEstimate(*sizes), "sasrec", torch.device("cpu"), 1)


@case
def checkpoint_of_another_training():
    written, ours = (Checkpoints("toy", "sasrec", {"settings": {"width": width}}) for width in (64, 128))
    written.write({"a": torch.ones(1)})
    written.path.rename(ours.path)
    ours.read()


@case
def ranks_of_other_targets():
    tables = [held_out(random_ranks(2, 1, users=users), 2) for users in (150, 140)]
    check_same(tables[0], tables[1], ("sasrec", "hgn"), 2)


@case
def unknown_metric():
    lecdsr_command("compare", "sasrec", "popularity", "--metric", "ndgc@10")


@case
def comparison_without_a_name():
    lecdsr_command("compare", "sasrec,", "popularity")


@case
def grid_of_another_size_than_the_budget():
    Path("experiments.yaml").write_text(METHODS.replace("budget: 2", "budget: 3"), encoding="utf-8")
    load_experiments("toy", Path("experiments.yaml"))


# Recommending


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


# The service


def export_with(facts: dict[str, object]) -> None:
    Path("export").mkdir()
    Path("export/facts.json").write_text(json.dumps(facts), encoding="utf-8")
    read_manifest(Path("export"))


@case
def export_that_is_incomplete():
    Path("export").mkdir()
    read_manifest(Path("export"))


@case
def export_of_an_earlier_version():
    export_with({"model": "tandem"})


@case
def export_with_a_missing_part():
    parts = {name: {"bytes": 1, "sha256": "0"} for name in ("items.parquet", "users.parquet")}
    export_with({"format": FORMAT, "parts": parts})


@case
def service_for_other_machines_without_a_token():
    read_token("0.0.0.0", {})


@case
def token_that_is_too_short():
    read_token("0.0.0.0", {"LECDSR_SERVE_TOKEN": "secret"})


@case
def item_that_the_service_does_not_know():
    Catalogue(popular().items).find("title", "history[0]")


@case
def history_that_is_too_long_for_the_service():
    read_recommend(json.dumps({"history": ["tea"] * 2000}).encode())


@case
def request_that_is_no_json():
    read_recommend(b"{")


# The Python interface


ROWS = pd.DataFrame({"user": "anna", "item": ["tea", "pot"], "time": 1_400_000_000, "domain": ["food", "kitchen"]})


@case
def frame_without_a_column():
    lecdsr.Dataset.from_frames(ROWS.rename(columns={"user": "user_id"}), domains=("food", "kitchen"))


@case
def times_in_milliseconds():
    lecdsr.Dataset.from_frames(ROWS.assign(time=1_400_000_000_000), domains=("food", "kitchen"))


@case
def domain_without_rows():
    lecdsr.Dataset.from_frames(ROWS, domains=("food", "kitchn"))


@case
def one_domain_in_domains():
    lecdsr.Dataset.from_frames(ROWS, domains=("food",))


@case
def model_that_is_not_fitted():
    lecdsr.models.Popularity().recommend(["anna"])


@case
def unknown_setting_of_an_estimator():
    lecdsr.models.SASRec(widht=64)


def read_snapshot() -> dict[str, str]:
    """Messages by case: a line ``== CASE``, then the message."""
    parts = SNAPSHOT.read_text(encoding="utf-8").split("\n== ")[1:]
    return {name: text.rstrip("\n") for name, _, text in (part.partition("\n") for part in parts)}


def write_snapshot(messages: dict[str, str]) -> None:
    """Write all messages in the order of the cases."""
    head = "Written by tests/core/test_messages.py, which says how to write it again.\n"
    body = "".join(f"\n== {name}\n{messages[name]}\n" for name in CASES if name in messages)
    SNAPSHOT.parent.mkdir(exist_ok=True)
    SNAPSHOT.write_text(head + body, encoding="utf-8")


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """The current folder: an empty repository with the pair `toy`, without the variables of this machine."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith(("OPENAI_", "LECDSR_LLM_", "LECDSR_MEMORY"))]:
        monkeypatch.delenv(name)
    Path("dvc.yaml").touch()
    Path("pairs").mkdir()
    Path("params.yaml").write_text(PARAMS, encoding="utf-8")
    Path("pairs/toy.yaml").write_text(PAIR, encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize("name", CASES)
def test_message(repository, name):
    with pytest.raises(UserError) as caught:
        CASES[name]()
    error = caught.value
    assert error.where or error.do
    assert error.code, "give it a code"
    assert not error.what.endswith(".")
    message = f"error: {error}".replace(str(repository.parent), "FOLDER").replace(repository.name, "REPOSITORY")
    if os.environ.get(UPDATE):
        write_snapshot({**(read_snapshot() if SNAPSHOT.exists() else {}), name: message})
    assert read_snapshot()[name] == message


def test_the_snapshot_holds_no_other_message():
    assert list(read_snapshot()) == list(CASES)
