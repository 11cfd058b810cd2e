"""Mistakes with language models and tables of texts."""

import json
from pathlib import Path

import pyarrow as pa

from lecdsr.ask.access import MAX_COST, Access, read_access, read_transport
from lecdsr.ask.budget import Budget
from lecdsr.ask.client import Refused
from lecdsr.ask.errors import classify_error
from lecdsr.ask.prices import Price
from lecdsr.ask.run import AskResult, check_failures
from lecdsr.ask.settings import Settings as AskSettings
from lecdsr.ask.table import PairTables, answers_from_tables
from lecdsr.ask.types import Failure
from lecdsr.core.files import sha256_file
from lecdsr.core.schemas import ANSWERS
from lecdsr.llm_server.server import start
from tests.mistakes.registry import PAIR, PARAMS, case, check, lecdsr_command

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
