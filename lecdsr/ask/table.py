"""Take answers from tables of texts that were written elsewhere (provider ``table``)."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lecdsr.ask.settings import ItemTexts, ProfileTexts, Settings, TextTable
from lecdsr.ask.table_file import check_recorded, read_text_table
from lecdsr.core.console import warn
from lecdsr.core.errors import UserError
from lecdsr.core.schemas import ANSWERS
from lecdsr.prompts.profile import domain_name

#: Longer texts are cut; no description or profile is that long.
LONGEST = 20_000
#: Separates the domain from the item in a key; no name holds it.
_UNIT = "\x1f"

Counts = dict[str, int]


@dataclass(frozen=True)
class PairTables:
    """The tables of a pair that texts are matched with, and the names of its domains."""

    items: pa.Table
    users: pa.Table
    interactions: pa.Table
    domains: tuple[str, str]


@dataclass(frozen=True)
class TableAnswers:
    """The table ``ANSWERS``, and the origin and counts of each table of texts that it was read from."""

    answers: pa.Table
    tables: dict[str, dict[str, str | int]]

    @property
    def written_by(self) -> str:
        """Who wrote the texts, as the settings say."""
        names = [str(table["written_by"]) for table in self.tables.values() if "written_by" in table]
        return ", ".join(dict.fromkeys(names))


def answers_from_tables(settings: Settings, pair: PairTables) -> TableAnswers:
    """Match the tables of texts with the items and users of a pair.

    An item or user without a text gets no row.

    Raises:
        UserError: no table is named, or one is missing, changed, broken, ambiguous, or belongs to another pair.
    """
    if settings.items.path is None and settings.profiles.path is None:
        raise UserError(
            "the provider is `table`, but no table is named",
            where="ask.items.path, ask.profiles.path",
            do="name a table of descriptions or of profiles, or set ask.provider to offline",
            code="no-table",
        )
    for where, table in (("ask.items", settings.items), ("ask.profiles", settings.profiles)):
        if table.path is not None:
            check_recorded(table, where)
    parts = [ANSWERS.empty_table()]
    tables: dict[str, dict[str, str | int]] = {}
    if settings.items.path is not None:
        answers, counts = _item_answers(settings.items, pair)
        parts.append(answers)
        tables["items"] = {**_origin(settings.items), **counts}
    if settings.profiles.path is not None:
        answers, counts = _profile_answers(settings.profiles, pair)
        parts.append(answers)
        tables["profiles"] = {**_origin(settings.profiles), **counts}
    return TableAnswers(pa.concat_tables(parts).combine_chunks(), tables)


def _origin(table: TextTable) -> dict[str, str | int]:
    named = {name: getattr(table, name) for name in ("path", "sha256", "written_by", "written_on", "instruction")}
    return {name: value for name, value in named.items() if value is not None}


def _item_answers(table: ItemTexts, pair: PairTables) -> tuple[pa.Table, Counts]:
    columns = {"id": table.id, "text": table.text} | ({"domain": table.domain} if table.domain else {})
    texts, counts = _with_text(read_text_table(table, "ask.items", columns))
    ours = pair.items["asin"].cast(pa.string())
    if table.domain:
        texts = texts.set_column(0, "id", _joined(_domain_codes(texts["domain"], table, pair.domains), texts["id"]))
        ours = _joined(pair.items["domain"].cast(pa.string()), ours)
    do = "keep one text per item" if table.domain else "keep one text per item, or name the column ask.items.domain"
    _refuse_repeated(texts, ["id"], str(table.path), do)
    place = pc.index_in(ours.combine_chunks(), value_set=texts["id"].combine_chunks())
    matched = pc.is_valid(place)
    used = pc.count_distinct(place).as_py()
    counts |= {
        "matched": used,
        "unknown_ids": len(texts) - used,
        "items_without_text": pc.sum(pc.is_null(place)).as_py() or 0,
    }
    _refuse_without_match(counts, "ask.items", table, "item")
    found = texts["text"].take(place.filter(matched))
    ids = pair.items["item"].filter(matched)
    return _answers("item", ids, pa.nulls(len(ids), pa.int64()), found), counts


def _profile_answers(table: ProfileTexts, pair: PairTables) -> tuple[pa.Table, Counts]:
    texts, counts = _with_text(_profile_texts(table, pair.domains))
    _refuse_repeated(texts, ["user", "as_of"], str(table.path), "keep one text per user and time")
    place = pc.index_in(texts["user"], value_set=pair.users["reviewer"].combine_chunks())
    matched = pc.is_valid(place)
    unknown = pc.count_distinct(texts["user"].filter(pc.invert(matched))).as_py()
    texts, user = texts.filter(matched), place.filter(matched).to_numpy()
    as_of = texts["as_of"].to_numpy()
    counts |= {
        "matched": len(texts),
        "unknown_ids": unknown,
        "users_without_text": len(pair.users) - len(np.unique(user)),
        "before_first_interaction": int((as_of < _first_times(pair)[user]).sum()),
    }
    _refuse_without_match(counts, "ask.profiles", table, "user")
    order = np.lexsort((as_of, user))
    ids = pair.users["user"].take(pa.array(user[order]))
    return _answers("user", ids, pa.array(as_of[order]), texts["text"].take(pa.array(order))), counts


def _profile_texts(table: ProfileTexts, domains: Sequence[str]) -> pa.Table:
    """Read profiles as whole answers; parts in columns of their own are joined as ``format_profile`` does."""
    columns = {"user": table.user, "as_of": table.as_of}
    if table.text is not None:
        return read_text_table(table, "ask.profiles", columns | {"text": table.text})
    heads = {}
    if table.portrait is not None:
        columns["portrait"], heads["portrait"] = table.portrait, "Portrait: "
    for number, (column, domain) in enumerate(zip(table.next or (), domains, strict=False)):
        columns[f"next_{number}"], heads[f"next_{number}"] = column, f"Next in {domain_name(domain)}: "
    found = read_text_table(table, "ask.profiles", columns)
    lines = [_line(head, found[role], phrases=role != "portrait") for role, head in heads.items()]
    text = pc.utf8_rtrim_whitespace(pc.binary_join_element_wise(*lines, ""))
    return pa.table({"user": found["user"], "as_of": found["as_of"], "text": text})


def _line(head: str, column: pa.ChunkedArray, phrases: bool) -> pa.ChunkedArray:
    """Write one line of a profile per row, with its line break; empty where the column is empty."""
    text = pc.utf8_trim_whitespace(pc.replace_substring_regex(column, r"\s+", " "))
    if phrases:
        text = pc.replace_substring_regex(text, r" ?; ?", ", ")
    return pc.if_else(pc.equal(text, ""), "", pc.binary_join_element_wise(head, text, "\n", ""))


def _with_text(texts: pa.Table) -> tuple[pa.Table, Counts]:
    """Drop empty texts and cut enormous ones, and count both."""
    text = pc.utf8_trim_whitespace(texts["text"])
    long = pc.greater(pc.utf8_length(text), LONGEST)
    whole = texts.set_column(texts.column_names.index("text"), "text", pc.utf8_slice_codeunits(text, 0, LONGEST))
    kept = whole.filter(pc.not_equal(text, ""))
    counts = {"rows": len(texts), "empty": len(texts) - len(kept), "cut": pc.sum(long).as_py() or 0}
    return kept.combine_chunks(), counts


def _refuse_repeated(texts: pa.Table, keys: list[str], path: str, do: str) -> None:
    groups = texts.select(keys).group_by(keys).aggregate([([], "count_all")])
    repeated = groups.filter(pc.greater(groups["count_all"], 1))
    if len(repeated):
        example = " at ".join(str(repeated[key][0].as_py()).rpartition(_UNIT)[2] for key in keys)
        others = f" (and for {len(repeated) - 1:,} others)" if len(repeated) > 1 else ""
        raise UserError(
            f"the table has more than one text for the {'item' if keys == ['id'] else 'user'} {example}{others}",
            where=path,
            do=do,
            code="repeated-text",
        )


def _refuse_without_match(counts: Mapping[str, int], where: str, table: TextTable, what: str) -> None:
    if counts["matched"]:
        return
    texts = counts["rows"] - counts["empty"]
    raise UserError(
        f"none of the table's texts ({texts:,}) is about {'an item' if what == 'item' else 'a user'} of this pair",
        where=f"{where}.path: {table.path}",
        do=f"name the table of this pair, and in {where} the column whose values are those of the raw files",
        code="no-match",
    )


def _first_times(pair: PairTables) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Return the time of every user's first interaction, ``[U]``."""
    user, time = (pair.interactions[name].to_numpy() for name in ("user", "time"))
    first = np.full(len(pair.users), np.iinfo(np.int64).min)
    first[user[::-1]] = time[::-1]  # the earliest row of a user is written last
    return first


def _domain_codes(column: pa.ChunkedArray, table: ItemTexts, domains: Sequence[str]) -> pa.ChunkedArray:
    """Return ``0`` or ``1`` for the domain of every row, and an empty text for another domain."""
    for value, name in (table.domains or {}).items():
        if not _domain_code(name, {}, domains):
            raise UserError(
                f"{value!r} stands for {name!r}, which is no domain of the pair",
                where="ask.items.domains",
                do=f"use {domains[0]} or {domains[1]}",
                code="unknown-domain",
            )
    values = pc.unique(column).to_pylist()
    codes = [_domain_code(value, table.domains or {}, domains) for value in values]
    others = [value for value, code in zip(values, codes, strict=True) if not code]
    if others:
        warn(f"{table.path}: rows with the domain {', '.join(others[:5])} belong to neither domain of the pair")
    return pa.chunked_array([pa.array(codes, pa.string()).take(pc.index_in(column, pa.array(values)).combine_chunks())])


def _domain_code(value: str, mapping: Mapping[str, str], domains: Sequence[str]) -> str:
    """Find the domain that a value names: by the mapping, by its whole name, by a part of it, or as ``x`` or ``y``."""
    words = _words(mapping.get(value, value))
    names = [_words(domain) for domain in domains]
    for named in ([words == name for name in names], [bool(words) and set(words) <= set(name) for name in names]):
        if sum(named) == 1:
            return str(named.index(True))
    return {"x": "0", "y": "1"}.get(" ".join(words), "")


def _words(name: str) -> list[str]:
    return re.findall(r"\w+", domain_name(name).lower())


def _joined(first: pa.ChunkedArray, second: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.binary_join_element_wise(first, second, _UNIT)


def _answers(kind: str, ids: pa.ChunkedArray, as_of: pa.Array, texts: pa.ChunkedArray) -> pa.Table:
    keys = [hashlib.sha256(text.encode()).hexdigest() for text in texts.to_pylist()]
    kinds, reasons = pa.array([kind] * len(keys), pa.string()), pa.nulls(len(keys), pa.string())
    return pa.table([kinds, ids, as_of, pa.array(keys, pa.string()), texts, reasons], names=ANSWERS.names).cast(ANSWERS)
