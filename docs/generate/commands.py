"""Generate the page of all commands and options from the texts of ``--help``."""

from __future__ import annotations

import enum
import inspect
import typing
from typing import Any

import typer.core
import typer.main

from lecdsr.core.markdown import text_table


def commands(app: typer.Typer, name: str) -> str:
    """Write a command line as Markdown: per command a heading, the help, and a table of arguments and options."""
    return "\n\n".join(_command(typer.main.get_command(app), (name,)))


def _command(command: Any, path: tuple[str, ...]) -> list[str]:
    help_text = inspect.cleandoc(command.help or "")
    below = getattr(command, "commands", None)
    if below is not None:
        parts = [f"## `{' '.join(path)}`", help_text] if len(path) > 1 else [help_text]
        for name in sorted(below, key=lambda one: (hasattr(below[one], "commands"), one)):
            parts += _command(below[name], (*path, name))
        return parts
    usage = " ".join([*path, *(_metavar(one) for one in command.params if _is_argument(one)), "[OPTIONS]"])
    parts = [f"{'#' * len(path)} `{' '.join(path)}`", f"    {usage}", help_text]
    rows = [(_names(one), _default(one), one.help or "") for one in command.params if one.name != "help"]
    return [*parts, text_table(("argument or option", "default", "meaning"), rows)] if rows else parts


def _is_argument(parameter: Any) -> bool:
    return isinstance(parameter, typer.core.TyperArgument)


def _metavar(parameter: Any) -> str:
    return str(parameter.metavar or parameter.name.upper())


def _names(parameter: Any) -> str:
    if _is_argument(parameter):
        return f"`{_metavar(parameter)}`"
    return f"`{', '.join(parameter.opts)}{'' if parameter.is_flag else ' ' + _values(parameter)}`"


def _values(parameter: Any) -> str:
    """Describe the values of an option: its choices, or the name of its type."""
    kind = parameter.type_descriptor.annotation
    kind = next(iter(typing.get_args(kind)), kind)
    if issubclass(kind, enum.Enum):
        return "|".join(str(choice.value) for choice in kind)
    return str({"str": "TEXT", "int": "INTEGER", "float": "NUMBER"}.get(kind.__name__, kind.__name__.upper()))


def _choice(choice: Any) -> str:
    return str(getattr(choice, "value", choice))


def _default(parameter: Any) -> str:
    if parameter.required:
        return "required"
    value = parameter.default
    if value in (None, False) or value == () or value == []:
        return ""
    return f"`{_choice(value)}`"
