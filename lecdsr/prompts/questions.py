"""Write the questions of the stage ``prompts`` from the tables of a pair."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from lecdsr.ask.request import request_body, request_key
from lecdsr.core.schemas import QUESTIONS
from lecdsr.prompts.catalogue import UNTITLED, Item, read_catalogue
from lecdsr.prompts.history import Parts, profile_parts
from lecdsr.prompts.profile import domain_name
from lecdsr.prompts.settings import Settings
from lecdsr.prompts.templates import load_instruction, load_template

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
    profiles_by_version: dict[str, int]
    median_characters: int

    def metrics(self) -> dict[str, object]:
        """Return the metrics of the stage, in the order in which they are shown."""
        return {
            "questions": self.table.num_rows,
            "profiles": self.profiles,
            "descriptions": self.descriptions,
            "profiles_by_version": self.profiles_by_version,
            "users_without_profile": self.users_without_profile,
        }


def write_questions(
    items: pa.Table,
    users: pa.Table,
    interactions: pa.Table,
    domains: Sequence[str],
    settings: Settings,
) -> Questions:
    """Write one question for every version of a requested profile and for every requested item with texts.

    Args:
        items: table ``ITEMS``.
        users: table ``USERS``.
        interactions: table ``INTERACTIONS``.
        domains: names of the domains X and Y.
        settings: block ``prompts``.

    Raises:
        ValueError: the interactions are not sorted by user and time, or a user's splits are not in order.
    """
    catalogue = read_catalogue(items, domains)
    about_items = _item_rows(catalogue, domains, settings) if settings.descriptions else iter(())
    versions = settings.profile_versions if settings.profiles else []
    about_users: Iterator[Row] = iter(())
    asked, by_version = 0, {}
    if versions:
        parts = profile_parts(interactions, users.num_rows, versions, settings.history_length)
        about_users = _user_rows(catalogue, parts, interactions["item"].to_numpy(), domains, settings)
        asked = len(np.unique(parts.user))
        counts = np.bincount(parts.version, minlength=len(versions)).tolist()
        by_version = {str(version): count for version, count in zip(versions, counts, strict=True)}
    table = _to_table(chain(about_items, about_users))  # "item" sorts before "user"
    descriptions = pc.sum(pc.equal(table["kind"], "item")).as_py() or 0
    return Questions(
        table=table,
        profiles=table.num_rows - descriptions,
        descriptions=descriptions,
        users_without_profile=users.num_rows - asked,
        items_without_description=items.num_rows - descriptions,
        profiles_by_version=by_version,
        median_characters=_median_length(table),
    )


def _user_rows(
    catalogue: Sequence[Item],
    parts: Parts,
    bought: npt.NDArray[np.int32],
    domains: Sequence[str],
    settings: Settings,
) -> Iterator[Row]:
    system = load_template(settings.version, "profile_system").substitute()
    template = load_template(settings.version, "profile_user")
    common = _common(domains, settings.profile_instruction, settings.version, "profile_instruction")
    lines = [item.line() for item in catalogue]
    facts = [item.profile_facts() for item in catalogue]
    sizes = [tokens(line) for line in lines]
    for user, start, end, as_of in zip(
        parts.user.tolist(), parts.start.tolist(), parts.end.tolist(), parts.as_of.tolist(), strict=True
    ):
        items: list[int] = bought[start:end].tolist()
        items = items[oldest_dropped([sizes[item] for item in items], settings.history_tokens) :]
        history = "\n".join(f"{place}. {lines[item]}" for place, item in enumerate(items, 1))
        listed = "[" + ",".join([facts[item] for item in items]) + "]"
        yield _row("user", user, as_of, system, template.substitute(common, history=history), listed, settings)


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


def _item_rows(catalogue: Sequence[Item], domains: Sequence[str], settings: Settings) -> Iterator[Row]:
    system = load_template(settings.version, "item_system").substitute()
    template = load_template(settings.version, "item_user")
    common = _common(domains, settings.description_instruction, settings.version, "item_instruction")
    for number, item in enumerate(catalogue):
        if item.known():
            user = template.substitute(common, product=_product(item))
            yield _row("item", number, None, system, user, item.description_facts(), settings)


def _common(domains: Sequence[str], instruction: str | None, version: str, name: str) -> dict[str, str]:
    """Return what all prompts of a kind share: the names of the domains, and the instruction."""
    return {
        "domain_x": domain_name(domains[0]),
        "domain_y": domain_name(domains[1]),
        "instruction": load_instruction(version, name) if instruction is None else instruction,
    }


def _product(item: Item) -> str:
    fields = {
        "shop": item.domain,
        "title": item.title or UNTITLED,
        "brand": item.brand,
        "categories": ", ".join(item.categories),
        "description": item.description,
    }
    return "\n".join(f"{name}: {value}" for name, value in fields.items() if value)


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
