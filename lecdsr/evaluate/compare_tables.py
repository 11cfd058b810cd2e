"""Format comparisons as terminal tables, Markdown, JSON, and sentences that state the conclusions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table

from lecdsr.core.markdown import Markdown
from lecdsr.core.markdown import escape as plain
from lecdsr.core.markdown import table as markdown_table
from lecdsr.core.schemas import SPLITS
from lecdsr.evaluate.compare import Comparison, Mean, Options, Row
from lecdsr.evaluate.significance import LEVEL, POWER
from lecdsr.evaluate.slices import ALL

NUMBERS = ("users", "A", "B", "A − B", "95 % interval", "d_z", "p", "Holm p", "detectable")
# Headings on two lines, to keep the table within 100 columns.
NARROW = {"95 % interval": "95 %\ninterval", "detectable": "detect-\nable"}
LEGEND = (
    "A and B: mean over users ± standard deviation over seeds. Interval: bootstrap over users. d_z: effect size. "
    "p: paired t-test; Holm p: the same, for {tests} tests at once. Detectable: the smallest true difference that this "
    "test, uncorrected, would find in {power:.0%} of such samples."
)


def to_tables(comparisons: Sequence[Comparison], rows: Sequence[Row], options: Options) -> list[Table]:
    """Make one terminal table per comparison."""
    tables = []
    for place, comparison in enumerate(comparisons):
        title = escape(_title(comparison, options))
        table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, padding=0)
        for column in _labels(options):
            table.add_column(column, overflow="fold")
        for column in NUMBERS:
            table.add_column(NARROW.get(column, column), justify="right", overflow="fold")
        for row in rows:
            if row.comparison == place:
                cells = (cell.replace(" ± ", "\n±").replace(" … ", "\n") for cell in _numbers(row))
                table.add_row(*_label(row, options), *cells)
        tables.append(table)
    return tables


def to_markdown(comparisons: Sequence[Comparison], rows: Sequence[Row], options: Options) -> str:
    """Make the same tables in Markdown, followed by the legend and the conclusions."""
    parts = []
    masked = [Comparison(*(side._replace(name=plain(side.name)) for side in comparison)) for comparison in comparisons]
    for place, comparison in enumerate(masked):
        own = [row for row in rows if row.comparison == place]
        body = [[Markdown(cell) for cell in (*_label(row, options), *_numbers(row))] for row in own]
        head = [Markdown(cell) for cell in (*_labels(options), *NUMBERS)]
        parts += [f"### {_title(comparison, options)}", markdown_table(head, body)]
    parts += [legend(rows), *conclusions(masked, rows)]
    return "\n\n".join(parts) + "\n"


def to_json(comparisons: Sequence[Comparison], rows: Sequence[Row], options: Options) -> dict[str, Any]:
    """Return all figures unrounded; null where a value could not be computed."""
    sentences = conclusions(comparisons, rows)
    return {
        "split": SPLITS[options.split],
        "level": LEVEL,
        "power": POWER,
        "resamples": options.resamples,
        "tests": _tests(rows),
        "comparisons": [
            {
                "a": {"name": comparison.a.name, "seeds": comparison.a.sources},
                "b": {"name": comparison.b.name, "seeds": comparison.b.sources},
                "conclusion": sentence,
                "rows": [_facts(row) for row in rows if row.comparison == place],
            }
            for place, (comparison, sentence) in enumerate(zip(comparisons, sentences, strict=True))
        ],
    }


def legend(rows: Sequence[Row]) -> str:
    """Explain the columns."""
    return LEGEND.format(tests=_tests(rows), power=POWER)


def conclusions(comparisons: Sequence[Comparison], rows: Sequence[Row]) -> list[str]:
    """Write one sentence per comparison: where A is better, where B is better, and where the data do not decide."""
    sentences = []
    for place, comparison in enumerate(comparisons):
        own = [row for row in rows if row.comparison == place]
        a, b = comparison.a.name, comparison.b.name
        parts = [
            f"{a} is better than {b} in {_where(own, 'a')}" if any(row.better == "a" for row in own) else "",
            f"{b} is better than {a} in {_where(own, 'b')}" if any(row.better == "b" for row in own) else "",
            _unclear(own, a, b),
        ]
        sentences.append("; ".join(part for part in parts if part) + ".")
    return sentences


def _unclear(own: Sequence[Row], a: str, b: str) -> str:
    if all(row.better for row in own):
        return ""
    if not any(row.better for row in own):
        return f"Whether {a} or {b} is better, the data cannot tell"
    return f"in {_where(own, None)} the data cannot tell"


def _where(own: Sequence[Row], better: str | None) -> str:
    """List where a comparison has one outcome: whole domains, or single rows of a domain with several outcomes."""
    places = []
    for domain in dict.fromkeys(row.domain for row in own):
        inside = [row for row in own if row.domain == domain]
        chosen = [row for row in inside if row.better == better]
        if chosen:
            which = ", ".join(_short(row) for row in chosen)
            places.append(domain if len(chosen) == len(inside) else f"{domain} ({which})")
    return " and ".join(places)


def _short(row: Row) -> str:
    part = "" if row.slice == ALL else f" at {row.slice}"
    return f"{row.protocol} {row.metric}{part}"


def _title(comparison: Comparison, options: Options) -> str:
    sides = (f"{name} = {side.name}{_seeds(len(side.ranks))}" for name, side in zip("AB", comparison, strict=True))
    return f"{', '.join(sides)}: {SPLITS[options.split]} targets"


def _seeds(count: int) -> str:
    return f" ({count} seeds)" if count > 1 else ""


def _labels(options: Options) -> tuple[str, ...]:
    return ("domain", *(("slice",) if options.slices else ()), "ranking", "metric")


def _label(row: Row, options: Options) -> tuple[str, ...]:
    return (row.domain, *((row.slice,) if options.slices else ()), row.protocol, row.metric)


def _numbers(row: Row) -> tuple[str, ...]:
    found = row.paired
    interval = None if found.low is None or found.high is None else f"{found.low:+.4f} … {found.high:+.4f}"
    return (
        f"{row.users:,}",
        _mean(row.a),
        _mean(row.b),
        f"{found.difference:+.4f}",
        interval or "–",
        "–" if found.effect_size is None else f"{found.effect_size:+.3f}",
        _p(found.p),
        _p(row.p_holm),
        "–" if found.detectable is None else f"{found.detectable:.4f}",
    )


def _mean(value: Mean) -> str:
    return f"{value.mean:.4f}" + ("" if value.deviation is None else f" ± {value.deviation:.4f}")


def _p(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:.4f}" if value >= 0.0001 else "<.0001"


def _facts(row: Row) -> dict[str, Any]:
    found = row.paired
    return {
        "domain": row.domain,
        "slice": row.slice,
        "protocol": row.protocol,
        "metric": row.metric,
        "users": row.users,
        "targets": row.targets,
        "a": row.a._asdict(),
        "b": row.b._asdict(),
        "difference": found.difference,
        "interval": None if found.low is None else [found.low, found.high],
        "effect_size": found.effect_size,
        "p": found.p,
        "p_holm": row.p_holm,
        "detectable": found.detectable,
        "better": row.better,
    }


def _tests(rows: Sequence[Row]) -> int:
    return sum(row.paired.p is not None for row in rows)
