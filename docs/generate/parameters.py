"""Every parameter, as a page: keys, values and comments of ``params.yaml``."""

from __future__ import annotations

import json
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap

from lecdsr.core.markdown import text_table

#: Depth of the blocks that have a heading of their own: ``train.sasrec``.
HEADED = 2


def parameters(text: str) -> str:
    """Markdown of a file of settings: a heading for each block, a row for each key.

    Args:
        text: the file, as ``params.yaml`` is written: the comment of a key stands on the lines above it.

    Raises:
        ValueError: a key has no comment.
    """
    settings: CommentedMap = YAML().load(text)
    lines = text.splitlines()
    single = [key for key, value in settings.items() if not isinstance(value, dict)]
    parts = ["## Selection", _rows(settings, single, lines, ())]
    for block in (key for key in settings if key not in single):
        parts += _block(settings, block, lines, (block,))
    return "\n\n".join(part for part in parts if part)


def _block(parent: CommentedMap, key: str, lines: list[str], path: tuple[str, ...]) -> list[str]:
    block = parent[key]
    headed = [name for name in block if len(path) < HEADED and path[0] == "train" and isinstance(block[name], dict)]
    parts = [f"{'#' * (len(path) + 1)} `{'.'.join(path)}`", _comment(parent, key, lines)]
    parts.append(_rows(block, [name for name in block if name not in headed], lines, ()))
    for name in headed:
        parts += _block(block, name, lines, (*path, name))
    return parts


def _rows(block: CommentedMap, keys: list[str], lines: list[str], path: tuple[str, ...]) -> str:
    found = _flat(block, keys, lines, path)
    return text_table(("key", "default", "meaning"), found) if found else ""


def _flat(block: CommentedMap, keys: list[str], lines: list[str], path: tuple[str, ...]) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    for key in keys:
        value, name = block[key], ".".join((*path, key))
        if isinstance(value, CommentedMap):
            rows.append((f"`{name}`", "", _comment(block, key, lines)))
            rows += _flat(value, list(value), lines, (*path, key))
        else:
            rows.append((f"`{name}`", f"`{_written(value)}`", _comment(block, key, lines)))
    return rows


def _comment(block: CommentedMap, key: str, lines: list[str]) -> str:
    """The comment on the lines right above a key."""
    last = block.lc.key(key)[0]
    first = last
    while first > 0 and lines[first - 1].lstrip().startswith("#"):
        first -= 1
    if first == last:
        raise ValueError(f"the key {key!r} in line {last + 1} has no comment")
    return " ".join(line.strip().lstrip("#").strip() for line in lines[first:last])


def _written(value: Any) -> str:
    return str(value) if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
