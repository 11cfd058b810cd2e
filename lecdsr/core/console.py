"""Terminal output of stages and commands: progress bars, warnings, summaries."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TypeVar

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.table import Table

T = TypeVar("T")

# Piped output has no width; 100 columns keep tables readable in a log.
_WIDTH = None if sys.stdout.isatty() or "COLUMNS" in os.environ else 100
console = Console(highlight=False, width=_WIDTH)
stderr = Console(highlight=False, width=_WIDTH, stderr=True)


def progress_bar() -> Progress:
    """Create a progress bar with count, elapsed and remaining time; silent without a terminal."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )


def byte_bar() -> Progress:
    """Create a progress bar with bytes, speed and remaining time; silent without a terminal."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )


def track(items: Iterable[T], what: str, total: int | None = None) -> Iterator[T]:
    """Yield ``items`` and show a progress bar labelled ``what``."""
    if total is None and isinstance(items, Sequence):
        total = len(items)
    with progress_bar() as bar:
        task = bar.add_task(what, total=total, note="")
        for item in items:
            yield item
            bar.advance(task)


def say(text: str) -> None:
    """Print one plain line."""
    console.print(text, markup=False, soft_wrap=True)  # rich's escape() doubles a backslash at the end of the text


def warn(text: str) -> None:
    """Print a warning on standard error."""
    stderr.print(f"[yellow]warning:[/] {escape(text)}", soft_wrap=True)


@contextmanager
def silent(quiet: bool = True) -> Iterator[None]:
    """Suppress standard output in the block if ``quiet``; warnings go to standard error and are still shown."""
    before = console.quiet
    console.quiet = quiet or before
    try:
        yield
    finally:
        console.quiet = before


def summary(title: str, facts: Mapping[str, object]) -> None:
    """Print the results of a stage, one per line under a title."""
    table = Table(title=title, title_justify="left", show_header=False, box=None, padding=(0, 2, 0, 0))
    table.add_column(style="dim")
    table.add_column(overflow="fold")
    for name, value in facts.items():
        table.add_row(escape(name), escape(format_value(value)))
    console.print(table)


def format_value(value: object) -> str:
    """Format integers with thousands separators, other numbers with four significant digits."""
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {format_value(part)}" for name, part in value.items())
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.4g}"
    return str(value)
