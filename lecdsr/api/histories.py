"""Histories to recommend for: those of users in the data, or of anonymous users."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from lecdsr.api.dataset import Dataset
from lecdsr.core.arrays import IntArray
from lecdsr.core.errors import InputError


class Histories(NamedTuple):
    """Whom to recommend to.

    Args:
        labels: what to call each of the U users in the result.
        numbers: ``[U]`` users of ``interactions``.
        rows: ``[U]`` rows of user tables that the model reads.
        interactions: columns ``user``, ``item`` and ``time`` of ``INTERACTIONS``, sorted by user and time.
    """

    labels: list[str]
    numbers: IntArray
    rows: IntArray
    interactions: pa.Table


def of_users(data: Dataset, users: Iterable[Any] | None) -> Histories:
    """Yield all interactions of users given by their ids, or of all users for ``None``.

    Raises:
        InputError: a user is unknown.
    """
    if isinstance(users, str):
        raise InputError(
            f"users is {users!r}, expected a list of ids", where="users", do=f"pass [{users!r}]", code="wrong-value"
        )
    names = data.tables.users["reviewer"].to_pylist()
    numbers = np.array(range(len(names)) if users is None else [data.user_id(user) for user in _listed(users)], int)
    return Histories([names[number] for number in numbers], numbers, numbers, data.tables.interactions)


def anonymous(data: Dataset, histories: Any, row: int) -> Histories:
    """Histories of users without an id, their items as if of the last day of the data.

    Args:
        data: dataset that the items belong to.
        histories: lists of items, latest last, or a dict of such lists by label.
        row: row of the user tables that represents an anonymous user.

    Raises:
        InputError: an item is unknown, or a history is empty.
        TypeError: the histories are not lists.
    """
    if isinstance(histories, str) or not isinstance(histories, Mapping | Sequence):
        raise TypeError(f"histories is a {type(histories).__name__}, expected lists of items, or a dict of lists")
    labelled = histories.items() if isinstance(histories, Mapping) else enumerate(histories)
    latest = int(data.tables.interactions["time"].to_numpy().max())
    known = [(str(label), _items(data, label, items)) for label, items in labelled]
    numbers = np.arange(len(known))
    items = np.concatenate([np.empty(0, np.int64), *(part for _, part in known)])
    owner = np.repeat(numbers, [len(part) for _, part in known])
    columns = {"user": owner, "item": items, "time": np.full(len(items), latest)}
    return Histories([label for label, _ in known], numbers, np.full(len(known), row), pa.table(columns))


def _items(data: Dataset, label: Any, items: Any) -> IntArray:
    listed = [] if isinstance(items, str) else _listed(items)
    if not listed:
        raise InputError(
            f"the history {label!r} is {items!r}, expected a list of at least one item",
            where="histories",
            do="pass a list of item ids for each user",
            code="empty-history",
        )
    return np.array([_item(data, item) for item in listed], np.int64)


def _item(data: Dataset, item: Any) -> int:
    if isinstance(item, tuple) and len(item) == 2:
        return data.item_id(item[1], data.domain_code(item[0]))
    return data.item_id(item)


def _listed(values: Any) -> list[Any]:
    """Convert a list, column or array to plain Python values."""
    return list(values.tolist() if hasattr(values, "tolist") else values)
