"""Generate the page of all tables that stages exchange: columns, types, and the meaning of a row."""

from __future__ import annotations

import ast
import inspect
from types import ModuleType

import pyarrow as pa

from lecdsr.core.markdown import text_table


def tables(module: ModuleType) -> str:
    """Write a module of schemas as Markdown: per schema a heading, its ``#:`` comment, and one row per column.

    Args:
        module: module with schemas as constants with ``#:`` comments, and functions that return a schema for a width.
    """
    source = inspect.getsource(module)
    lines, parts = source.splitlines(), [_plain(inspect.getdoc(module) or "")]
    for node in ast.parse(source).body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            name = node.targets[0].id
            schema = getattr(module, name)
            if isinstance(schema, pa.Schema):
                parts += [
                    f"### {name.lower()}",
                    _plain(_comment(lines, node.lineno - 1)),
                    _columns(schema),
                ]
        elif isinstance(node, ast.FunctionDef):
            made = getattr(module, node.name)(1)
            parts += [
                f"### {node.name}",
                _plain(ast.get_docstring(node) or ""),
                _columns(made).replace("[1]", "[width]"),
            ]
    return "\n\n".join(parts)


def _columns(schema: pa.Schema) -> str:
    return text_table(("column", "type"), [(f"`{field.name}`", f"`{_type(field.type)}`") for field in schema])


def _type(kind: pa.DataType) -> str:
    if pa.types.is_fixed_size_list(kind):
        return f"{kind.value_type}[{kind.list_size}]"
    return f"list of {kind.value_type}" if pa.types.is_list(kind) else str(kind)


def _comment(lines: list[str], last: int) -> str:
    first = last
    while lines[first - 1].startswith("#:"):
        first -= 1
    return "\n".join(line.removeprefix("#:").strip() for line in lines[first:last])


def _plain(text: str) -> str:
    """Convert a reStructuredText comment to Markdown, as far as this project's comments need it."""
    return text.replace("``", "`")
