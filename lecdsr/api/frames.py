"""Convert a caller's data frames to Arrow tables with known columns and types, or explain what is wrong with them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lecdsr.core.errors import InputError, closest, did_you_mean

#: Common other names of the columns, used for suggestions.
COMMON_NAMES = {
    "user": ("user_id", "userid", "uid", "reviewer", "reviewerID", "customer", "customer_id", "visitor"),
    "item": ("item_id", "itemid", "iid", "asin", "parent_asin", "product", "product_id", "sku", "article"),
    "domain": ("category", "source", "shop", "market"),
    "time": ("timestamp", "datetime", "date", "unixReviewTime", "ts", "unix_time"),
    "text": ("profile", "description"),
}
TEXTS = ("title", "brand", "categories", "description")
#: First second of the year 2100; a later time is probably not in seconds.
LAST_TIME = 4_102_444_800


def to_arrow(frame: Any, name: str) -> pa.Table:
    """Convert a data frame to an Arrow table.

    Raises:
        TypeError: it is not a frame of pandas, pyarrow, or another library that supports Arrow.
        InputError: a column has values of several types.
    """
    if isinstance(frame, pa.Table):
        return frame
    if not hasattr(frame, "__arrow_c_stream__"):
        raise TypeError(f"{name} is a {type(frame).__name__}, expected a pandas DataFrame or a pyarrow Table")
    try:
        return pa.table(frame)
    except (pa.ArrowException, TypeError, ValueError) as error:
        raise InputError(
            f"the frame cannot be converted to Arrow: {error}",
            where=name,
            do="give each column values of one type",
            code="mixed-types",
        ) from error


def check_domains(domains: Sequence[Any]) -> tuple[str, str]:
    """Check the names of the two domains.

    Raises:
        InputError: they are not two different names.
    """
    names = (domains,) if isinstance(domains, str) else tuple(str(name) for name in domains)
    if len(names) != 2 or names[0] == names[1] or not all(names):
        raise InputError(
            f"domains is {domains!r}, expected two different names",
            where="domains",
            do='pass a pair of names, such as ("food", "kitchen")',
            code="wrong-domains",
        )
    return names[0], names[1]


def read_interactions(frame: Any, domains: tuple[str, str]) -> pa.Table:
    """Read a frame of interactions: ``user``, ``item``, ``domain`` (0 or 1), ``time`` (seconds) and maybe ``rating``.

    Raises:
        TypeError: the argument is not a frame.
        InputError: it is empty, lacks a column or a value, or has other domains.
    """
    name = "interactions"
    table = to_arrow(frame, name)
    require_columns(table, ("user", "item", "domain", "time"), name)
    if not len(table):
        raise InputError(
            "the frame has no rows", where=name, do="pass at least one interaction in each domain", code="no-rows"
        )
    columns = {
        "user": ids(table, "user", name),
        "item": ids(table, "item", name),
        "domain": domain_codes(table, domains, name, whole=True),
        "time": seconds(table, "time", name),
    }
    if "rating" in table.column_names:
        columns["rating"] = _ratings(table, name)
    return pa.table(columns)


def read_items(frame: Any, domains: tuple[str, str]) -> pa.Table:
    """Read a frame of items: ``item``, ``row``, and where given ``domain`` (0 or 1) and the columns :data:`TEXTS`.

    Raises:
        TypeError: the argument is not a frame.
        InputError: it lacks a column or a value, repeats an item, or has other domains.
    """
    name = "items"
    table = to_arrow(frame, name)
    require_columns(table, ("item",), name)
    columns = {"item": ids(table, "item", name), "row": pa.array(np.arange(len(table)))}
    if "domain" in table.column_names:
        columns["domain"] = domain_codes(table, domains, name, whole=False)
    columns |= {text: _text(table, text, name) for text in TEXTS if text in table.column_names}
    found = pa.table(columns)
    _refuse_repeated(found, [key for key in ("item", "domain") if key in columns], name)
    return found


def read_profiles(frame: Any, users: pa.ChunkedArray) -> pa.Table:
    """Read a frame of profiles as ``user``, ``as_of`` and ``text``; every user must be in ``users``.

    Raises:
        TypeError: the argument is not a frame.
        InputError: it lacks a column or a value, repeats a user and time, or has an unknown user.
    """
    name = "profiles"
    table = to_arrow(frame, name)
    require_columns(table, ("user", "as_of", "text"), name)
    as_of = seconds(table, "as_of", name)
    found = pa.table({"user": ids(table, "user", name), "as_of": as_of, "text": _text(table, "text", name)})
    _refuse_repeated(found, ["user", "as_of"], name)
    unknown = found["user"].filter(pc.invert(pc.is_in(found["user"], value_set=users.combine_chunks())))
    if len(unknown):
        raise InputError(
            f"{len(unknown):,} users have no interactions, for example {unknown[0].as_py()!r}",
            where=f"{name}: user",
            do="leave out their profiles, or use the user ids of interactions",
            code="unknown-user",
        )
    return found


def require_known_items(interactions: pa.Table, items: pa.Table, domains: tuple[str, str]) -> None:
    """Check that the item ids of both frames match in each domain; some items may have no row.

    Raises:
        InputError: none of the items in one domain's interactions has a row.
    """
    for code, domain in enumerate(domains):
        own = interactions.filter(pc.equal(interactions["domain"], code))["item"].unique()
        rows = items.filter(pc.equal(items["domain"], code)) if "domain" in items.column_names else items
        if not pc.any(pc.is_in(own, value_set=rows["item"].combine_chunks())).as_py():
            raise InputError(
                f"no item of the {domain!r} interactions has a row in items, for example {own[0].as_py()!r}",
                where="items: item",
                do="use the same item ids in both frames",
                code="other-ids",
            )


def require_columns(table: pa.Table, wanted: Iterable[str], name: str) -> None:
    """Check that a table has the required columns.

    Raises:
        InputError: a column is missing; the message suggests which existing column was meant.
    """
    there = [str(column) for column in table.column_names]
    missing = [column for column in wanted if column not in there]
    if not missing:
        return
    guesses = {near: column for column in missing if (near := _guess(column, there))}
    raise InputError(
        f"the frame has no column {', '.join(map(repr, missing))}; it has {', '.join(map(repr, there)) or 'none'}",
        where=name,
        do=f"rename columns: {name}.rename(columns={guesses})" if guesses else "add the column or rename another one",
        code="missing-column",
    )


def ids(table: pa.Table, column: str, name: str) -> pa.ChunkedArray:
    """Convert a column of ids to text; whole numbers get no decimal point.

    Raises:
        InputError: a value is missing, or is neither text nor a whole number.
    """
    values = _plain(table[column])
    _refuse_missing(values, column, name)
    try:
        if pa.types.is_floating(values.type):
            values = values.cast(pa.int64())
        values = values.cast(pa.string())
    except pa.ArrowException as error:
        raise InputError(
            f"{column!r} holds {values.type}, expected text or whole numbers",
            where=f"{name}: {column}",
            do="convert the column, for example with astype(str)",
            code="wrong-type",
        ) from error
    _refuse_missing(values, column, name, pc.equal(values, ""))
    return values


def domain_codes(table: pa.Table, domains: tuple[str, str], name: str, whole: bool) -> pa.ChunkedArray:
    """Convert a column of domain names to 0 and 1; with ``whole``, both must occur.

    Raises:
        InputError: a required domain does not occur, or there is another one.
    """
    where = f"{name}: domain"
    values = ids(table, "domain", name)
    there = sorted(values.unique().to_pylist())
    for domain in domains if whole else ():
        if domain not in there:
            hint = did_you_mean(domain, [one for one in there if one not in domains])
            raise InputError(
                f"no interaction is in the domain {domain!r}{hint}",
                where=where,
                do=f"name two domains of the frame in `domains`: {', '.join(map(repr, there[:8]))}",
                code="unknown-domain",
            )
    others = [one for one in there if one not in domains]
    if others:
        raise InputError(
            f"rows are in {', '.join(map(repr, others[:8]))}, which `domains` does not name", where=where,
            do=f"keep the rows of {domains[0]!r} and {domains[1]!r} only, or name the domain in `domains`",
            code="other-domain",
        )  # fmt: skip
    return pc.index_in(values, value_set=pa.array(domains)).cast(pa.int8())


def seconds(table: pa.Table, column: str, name: str) -> pa.ChunkedArray:
    """Convert a column of times to seconds since 1970; numbers are seconds, datetimes without a zone and dates are UTC.

    Raises:
        InputError: a value is missing, not a time, or not between 1970 and 2099.
    """
    values, where = _plain(table[column]), f"{name}: {column}"
    _refuse_missing(values, column, name)
    try:
        found = _as_seconds(values)
    except pa.ArrowException as error:
        raise InputError(
            f"{column!r} holds {values[0].as_py()!r}, expected seconds since 1970, a datetime or a date",
            where=where,
            do="convert the column, for example with pandas.to_datetime",
            code="wrong-time",
        ) from error
    outside = pc.or_(pc.less(found, 0), pc.greater_equal(found, LAST_TIME))
    if pc.any(outside).as_py():
        row = pc.index(outside, True).as_py()
        raise InputError(
            f"row {row} has the time {values[row].as_py()!r}, which is not between 1970 and 2099 in seconds",
            where=where,
            do="divide milliseconds by 1000, or pass datetimes",
            code="wrong-time",
        )
    return found


def _as_seconds(values: pa.ChunkedArray) -> pa.ChunkedArray:
    kind = values.type
    if pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return pc.floor(values.cast(pa.float64())).cast(pa.int64())
    if pa.types.is_integer(kind):
        return values.cast(pa.int64())
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        try:
            values = values.cast(pa.timestamp("us"))
        except pa.ArrowInvalid:
            values = values.cast(pa.timestamp("us", "UTC"))
    elif pa.types.is_date(kind):
        values = values.cast(pa.timestamp("s"))
    zone = values.type.tz if pa.types.is_timestamp(values.type) else None
    return values.cast(pa.timestamp("s", zone), safe=False).cast(pa.int64())


def _ratings(table: pa.Table, name: str) -> pa.ChunkedArray:
    where = f"{name}: rating"
    try:
        values = _plain(table["rating"]).cast(pa.float32())
    except pa.ArrowException as error:
        raise InputError(
            f"'rating' holds {table['rating'].type}, expected numbers",
            where=where,
            do="convert the column, or leave it out",
            code="wrong-type",
        ) from error
    if not pc.all(pc.fill_null(pc.is_finite(values), False)).as_py():
        raise InputError(
            "some rows have no rating", where=where, do="fill them, or leave out the column", code="missing-value"
        )
    return values


def _text(table: pa.Table, column: str, name: str) -> pa.ChunkedArray:
    values = _plain(table[column])
    if pa.types.is_list(values.type) or pa.types.is_large_list(values.type):
        kind = pa.list_(pa.string())
    else:
        kind = pa.string()
    try:
        return values.cast(kind)
    except pa.ArrowException as error:
        raise InputError(
            f"{column!r} holds {values.type}, expected text",
            where=f"{name}: {column}",
            do="convert the column, for example with astype(str)",
            code="wrong-type",
        ) from error


def _plain(values: pa.ChunkedArray) -> pa.ChunkedArray:
    """Decode values that are stored as codes, such as a pandas categorical."""
    return values.cast(values.type.value_type) if pa.types.is_dictionary(values.type) else values


def _refuse_missing(values: pa.ChunkedArray, column: str, name: str, missing: Any = None) -> None:
    missing = pc.is_null(values, nan_is_null=True) if missing is None else missing
    count = pc.sum(missing).as_py()
    if count:
        row = pc.index(missing, True).as_py()
        raise InputError(
            f"{count:,} rows have no {column}, the first is row {row}",
            where=f"{name}: {column}",
            do="leave these rows out",
            code="missing-value",
        )


def _refuse_repeated(table: pa.Table, keys: list[str], name: str) -> None:
    counts = table.group_by(keys).aggregate([([], "count_all")])
    repeated = counts.filter(pc.greater(counts["count_all"], 1))
    if len(repeated):
        kind = keys[0]
        raise InputError(
            f"{len(repeated):,} {kind}s have more than one row, for example {repeated[kind][0].as_py()!r}",
            where=f"{name}: {kind}",
            do=f'keep one row of each: {name}.drop_duplicates("{kind}")' if len(keys) == 1 else "keep one row of each",
            code="repeated",
        )


def _guess(column: str, there: Sequence[str]) -> str | None:
    common = {name.lower(): name for name in there}
    for name in COMMON_NAMES.get(column, ()):
        if name.lower() in common:
            return common[name.lower()]
    near = closest(column, common)
    return None if near is None else common[near]
