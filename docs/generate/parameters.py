"""Generate the page of all parameters: keys, defaults, allowed values and descriptions from the settings classes."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Collection, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from lecdsr.config.names import stage_names
from lecdsr.config.resolve import settings_class
from lecdsr.config.schema import Block
from lecdsr.core.markdown import text_table
from lecdsr.models.registry import find_model, model_names

ROOT = Path(__file__).parents[2]
HEAD = ("key", "default", "allowed values", "meaning")
#: Names of the types of JSON Schema on the page.
TYPES = {"integer": "integer", "number": "number", "string": "text"}


def settings_classes(root: Path = ROOT) -> dict[str, type[Block]]:
    """Find the class of every block of settings: stages in the order of the pipeline, and every model.

    Args:
        root: folder of the repository.

    Returns:
        The class by the name of its block, such as ``sequences`` or ``train.sasrec``.
    """
    stages = YAML(typ="safe").load((root / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    found: dict[str, type[Block]] = {}
    for stage in stages:
        if stage == "train":
            found["train.shared"] = settings_class(stage)
            found |= {f"train.{name}": find_model(name).settings for name in model_names()}
        elif stage in stage_names():
            found[stage] = settings_class(stage)
    return found


def parameters(classes: Mapping[str, type[Block]]) -> str:
    """Write a heading, the docstring and a table of keys for every block.

    Args:
        classes: the class by the name of its block; blocks inside a block, such as ``train.sasrec``, get a heading
            one level below it.
    """
    parts: list[str] = []
    for name, block in classes.items():
        outer, _, inner = name.partition(".")
        heading = f"## `{outer}`"
        if inner and heading not in parts:
            parts.append(heading)
        parts += [f"### `{name}`" if inner else heading, docstring(block), keys(block)]
    return "\n\n".join(parts)


def keys(block: type[Block], leave_out: Collection[str] = ()) -> str:
    """Write the table of the keys of one block; keys of blocks inside it have dotted names.

    Args:
        block: class of the settings.
        leave_out: keys that do not occur in settings files.
    """
    schema = block.model_json_schema()
    rows = _rows(schema, schema.get("$defs", {}), "")
    return text_table(HEAD, [row for row in rows if row[0].strip("`") not in leave_out])


def docstring(block: type[Block]) -> str:
    """Convert the docstring of a class to Markdown: literals in single backticks, references without their role."""
    return re.sub(r":\w+:(?=`)", "", inspect.cleandoc(block.__doc__ or "").replace("``", "`"))


def _rows(schema: dict[str, Any], blocks: dict[str, Any], prefix: str) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    for key, field in schema["properties"].items():
        name = f"{prefix}{key}"
        inner = _block_of(field, blocks)
        default = "required" if key in schema.get("required", ()) else _written(field.get("default"))
        # The default of a block is that of its keys, which follow below.
        shown = "" if inner and field.get("default") is not None else default
        rows.append((f"`{name}`", shown, _allowed(field), field.get("description", "")))
        if inner:
            rows += _rows(inner, blocks, f"{name}.")
    return rows


def _block_of(field: dict[str, Any], blocks: dict[str, Any]) -> dict[str, Any] | None:
    """Return the schema of the block that a field holds or may hold; ``None`` for a plain value."""
    for option in field.get("anyOf", [field]):
        if "$ref" in option:
            found: dict[str, Any] = blocks[option["$ref"].rsplit("/", 1)[1]]
            return found
    return None


def _written(value: Any) -> str:
    """Format a value as in a settings file."""
    if isinstance(value, str):
        return f"`{value}`"
    if isinstance(value, float):
        return f"`{Decimal(repr(value)):f}`"
    return f"`{json.dumps(value, ensure_ascii=False)}`"


def _allowed(field: dict[str, Any]) -> str:
    """Describe the values that a field allows."""
    if "anyOf" in field:
        return " or ".join(_allowed(option) for option in field["anyOf"])
    if "$ref" in field:
        return "keys below"
    if "const" in field:
        return _written(field["const"])
    if "enum" in field:
        return ", ".join(_written(value) for value in field["enum"])
    if field["type"] == "array":
        return _list(field)
    if field["type"] == "string":
        return _text(field)
    if field["type"] == "object":
        return f"mapping of text to {_allowed(field['additionalProperties'])}"
    if field["type"] in ("boolean", "null"):
        return {"boolean": "`true`, `false`", "null": "`null`"}[field["type"]]
    return TYPES[field["type"]] + _range(field)


def _list(field: dict[str, Any]) -> str:
    if "prefixItems" in field:
        return f"[{', '.join(_allowed(item) for item in field['prefixItems'])}]"
    return f"list of {_allowed(field['items'])}"


def _text(field: dict[str, Any]) -> str:
    if field.get("format") == "date":
        return "day"
    return "one character" if field.get("maxLength") == 1 else "text"


def _range(field: dict[str, Any]) -> str:
    """Describe the bounds of a number: `` ≥ 1``, or `` in [0, 1)``, whose round bracket excludes the end."""
    low, high = field.get("minimum"), field.get("maximum")
    above, below = field.get("exclusiveMinimum"), field.get("exclusiveMaximum")
    start, end = (low if above is None else above), (high if below is None else below)
    if start is not None and end is not None:
        left, right = "[" if above is None else "(", "]" if below is None else ")"
        return f" in {left}{start:,}, {end:,}{right}"
    if start is not None:
        return f" {'≥' if above is None else '>'} {start:,}"
    return "" if end is None else f" {'≤' if below is None else '<'} {end:,}"
