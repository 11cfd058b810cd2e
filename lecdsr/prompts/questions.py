"""Write the questions of the stage ``prompts`` from the tables of a pair."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice, pairwise
from string import Template

import pyarrow as pa
import pyarrow.compute as pc

from lecdsr.ask.request import request_body, request_key
from lecdsr.core.schemas import QUESTIONS
from lecdsr.prompts.catalogue import UNTITLED, Item, read_catalogue
from lecdsr.prompts.history import ShownRows, shown_rows
from lecdsr.prompts.profile import domain_name
from lecdsr.prompts.settings import Settings
from lecdsr.prompts.templates import load_template

Row = tuple[str, int, int | None, str, str, str]

# Rows converted to Arrow at a time, so that the prompts of a large pair are never all held as Python strings.
_BATCH = 4096


@dataclass(frozen=True)
class Questions:
    """The table ``QUESTIONS`` and statistics of its rows."""

    table: pa.Table
    profiles: int
    descriptions: int
    users_without_profile: int
    items_without_description: int
    profiles_saw_targets: bool
    median_characters: int

    def metrics(self) -> dict[str, int | bool]:
        """Return the metrics of the stage, in the order in which they are shown."""
        return {
            "questions": self.table.num_rows,
            "profiles": self.profiles,
            "descriptions": self.descriptions,
            "profiles_saw_targets": self.profiles_saw_targets,
            "users_without_profile": self.users_without_profile,
        }


def write_questions(
    items: pa.Table,
    users: pa.Table,
    interactions: pa.Table,
    windows: pa.Table,
    domains: Sequence[str],
    settings: Settings,
) -> Questions:
    """Write one question for every requested user with a history and every requested item with texts.

    Args:
        items: table ``ITEMS``.
        users: table ``USERS``.
        interactions: table ``INTERACTIONS``.
        windows: table ``WINDOWS``.
        domains: names of the domains X and Y.
        settings: block ``prompts``.

    Raises:
        ValueError: the interactions are not sorted by user.
    """
    catalogue = read_catalogue(items, domains)
    shown = shown_rows(interactions, windows, users.num_rows, settings.profile_from, settings.history_length)
    about_items = _item_rows(catalogue, settings) if settings.descriptions else iter(())
    shown_items: list[int] = interactions["item"].to_numpy()[shown.rows].tolist()
    times: list[int] = interactions["time"].to_numpy()[shown.rows].tolist()
    about_users = _user_rows(catalogue, shown, shown_items, times, domains, settings) if settings.profiles else iter(())
    table = _to_table(chain(about_items, about_users))  # "item" sorts before "user"
    descriptions = pc.sum(pc.equal(table["kind"], "item")).as_py() or 0
    profiles = table.num_rows - descriptions
    return Questions(
        table=table,
        profiles=profiles,
        descriptions=descriptions,
        users_without_profile=users.num_rows - profiles,
        items_without_description=items.num_rows - descriptions,
        profiles_saw_targets=settings.profiles and shown.sees_targets,
        median_characters=_median_length(table),
    )


def _user_rows(
    catalogue: Sequence[Item],
    shown: ShownRows,
    items: Sequence[int],
    times: Sequence[int],
    domains: Sequence[str],
    settings: Settings,
) -> Iterator[Row]:
    system = load_template(settings.version, "profile_system").substitute()
    template = load_template(settings.version, "profile_user")
    lines = [item.line() for item in catalogue]
    facts = [item.profile_facts() for item in catalogue]
    common = {
        "domain_x": domain_name(domains[0]),
        "domain_y": domain_name(domains[1]),
        "instruction": settings.profile_instruction,
    }
    sizes = [tokens(line) for line in lines]
    for user, (start, end) in enumerate(pairwise(shown.offsets.tolist())):
        if start == end:
            continue
        start += oldest_dropped([sizes[item] for item in items[start:end]], settings.history_tokens)
        history = "\n".join(f"{place}. {lines[item]}" for place, item in enumerate(items[start:end], 1))
        listed = "[" + ",".join([facts[item] for item in items[start:end]]) + "]"
        yield _row("user", user, times[end - 1], system, template.substitute(common, history=history), listed, settings)


def tokens(line: str) -> int:
    """Estimate the tokens of a history line: one per four bytes of UTF-8, plus a few for its number and line end."""
    return len(line.encode()) // 4 + 4


def oldest_dropped(sizes: Sequence[int], budget: int) -> int:
    """Count the oldest entries to drop so that the rest fits into ``budget`` tokens; the latest entry always stays."""
    left = budget
    for kept, size in enumerate(reversed(sizes)):
        left -= size
        if left < 0:
            return len(sizes) - max(kept, 1)
    return 0


def _item_rows(catalogue: Sequence[Item], settings: Settings) -> Iterator[Row]:
    system = load_template(settings.version, "item_system").substitute()
    template = load_template(settings.version, "item_user")
    for number, item in enumerate(catalogue):
        if item.known():
            user = _fill_item(template, item, settings.description_instruction)
            yield _row("item", number, None, system, user, item.description_facts(), settings)


def _fill_item(template: Template, item: Item, instruction: str) -> str:
    fields = {
        "shop": item.domain,
        "title": item.title or UNTITLED,
        "brand": item.brand,
        "categories": ", ".join(item.categories),
        "description": item.description,
    }
    product = "\n".join(f"{name}: {value}" for name, value in fields.items() if value)
    return template.substitute(product=product, instruction=instruction)


def _row(kind: str, number: int, as_of: int | None, system: str, user: str, facts: str, settings: Settings) -> Row:
    body = request_body(
        system,
        user,
        model=settings.model,
        temperature=settings.temperature,
        max_tokens=settings.max_tokens,
        resample=settings.resample,
    )
    return kind, number, as_of, request_key(body), body, facts


def _to_table(rows: Iterator[Row]) -> pa.Table:
    batches = []
    while chunk := list(islice(rows, _BATCH)):
        columns = zip(*chunk, strict=True)
        arrays = [pa.array(column, field.type) for column, field in zip(columns, QUESTIONS, strict=True)]
        batches.append(pa.record_batch(arrays, schema=QUESTIONS))
    return pa.Table.from_batches(batches, schema=QUESTIONS)


def _median_length(table: pa.Table) -> int:
    if not table.num_rows:
        return 0
    return int(pc.quantile(pc.utf8_length(table["body"]), 0.5)[0].as_py())
