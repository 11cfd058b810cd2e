"""Mistakes around the service."""

import json
from pathlib import Path

from lecdsr.recommend.manifest import FORMAT, read_manifest
from lecdsr.serve.catalogue import Catalogue
from lecdsr.serve.messages import read_recommend
from lecdsr.serve.server import read_token
from tests.mistakes.recommending import popular
from tests.mistakes.registry import case


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
