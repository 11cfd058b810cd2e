"""Mistakes in files and data."""

from pathlib import Path

from lecdsr.config.resolve import write_resolved
from lecdsr.core.files import read_table, write_table
from lecdsr.core.schemas import ITEMS, USERS
from lecdsr.embed.base import too_narrow
from lecdsr.prompts.templates import load_template
from lecdsr.readers.layouts import find
from lecdsr.readers.rejected import RejectedLines
from lecdsr.sequences.filter import apply_filters
from lecdsr.sequences.settings import Settings as SequencesSettings
from stages import download
from tests.mistakes.registry import case, lecdsr_command
from tests.sequences.test_filter import database


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
