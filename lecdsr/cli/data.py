"""`lecdsr data`: list the raw data available for download. Works inside and outside a repository."""

from __future__ import annotations

import enum
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from lecdsr.core.console import console, say
from lecdsr.readers.amazon_index import BASE_URLS, ROUNDED, AmazonDomain, amazon_domains, wanted_files

app = typer.Typer(no_args_is_help=True, help="Raw data available for download: releases, domains, sizes, addresses.")

SIZES = ("interactions", "users", "items", "metadata")


class Release(enum.StrEnum):
    """Releases of the Amazon reviews."""

    y2014 = "2014"
    y2018 = "2018"
    y2023 = "2023"


@app.callback()
def data() -> None:
    """Raw data available for download: releases, domains, sizes, addresses."""


@app.command("list")
def list_domains(
    release: Annotated[Release | None, typer.Option(help="Show this release only; default all three.")] = None,
) -> None:
    """List the domains of the Amazon releases with their sizes, and the files that a pair needs.

    Two names of one release, exactly as listed, are the `domains` of a pair; one of the base URLs is its
    `source`. Copy pairs/demo.yaml to pairs/NAME.yaml, set both and `release`, and add NAME to `active` in
    params.yaml. Example: lecdsr data list --release 2018
    """
    entries = amazon_domains()
    for year in BASE_URLS if release is None else (int(release.value),):
        console.print(domains_table(year, [entry for entry in entries if entry.release == year]))
        ratings, metadata = wanted_files(year)
        say(f"files of a domain: {ratings} and {metadata}")
        say("base URLs:         " + "\n                   ".join(BASE_URLS[year]) + "\n")
    say("items have at least one interaction; metadata counts the items in the metadata file; ? means unknown")


def domains_table(release: int, entries: list[AmazonDomain]) -> Table:
    """Make a table with one row per domain of a release."""
    note = ", figures rounded by the publisher" if release in ROUNDED else ""
    table = Table(title=f"Amazon reviews {release}, {len(entries)} domains{note}", title_justify="left")
    table.add_column("domain", overflow="fold")
    for name in SIZES:
        table.add_column(name, justify="right")
    for entry in entries:
        table.add_row(escape(entry.domain), *(_size(getattr(entry, name)) for name in SIZES))
    return table


def _size(count: int | None) -> str:
    return "?" if count is None else f"{count:,}"
