"""Draw figures as SVG in the page's light or dark colours, and as PNG for papers."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

#: Width in inches; small, so that text stays readable when a phone scales the figure down.
WIDTH = 4.4
#: Approximate number of characters in one line of a legend.
LINE = 50
STYLE: Any = {
    "font.size": 10,
    "font.family": "DejaVu Sans",  # comes with matplotlib
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.alpha": 0.4,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "svg.fonttype": "none",
    "text.parse_math": False,  # a name that contains $ is not a formula
}
#: Contrast of at least 3 : 1 on the light and the dark page (WCAG 2.2, 1.4.11); the first two are the domains' colours.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#8A63D2", "#9A6A00", "#767676")
#: Series differ not only in colour but also in markers and dashes.
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
DASHES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1)), (0, (1, 1)))


class Plot(NamedTuple):
    """A figure that is not drawn yet; ``alt`` describes it in words, ``caption`` is printed below it."""

    name: str
    caption: str
    alt: str
    draw: Callable[[Axes], None]
    height: float = 2.8


class Value(NamedTuple):
    """A mean with the bounds of its interval; bounds are None without an interval."""

    mean: float
    low: float | None = None
    high: float | None = None


def to_svg(plot: Plot) -> str:
    """Draw the figure as an SVG element for an HTML page, with unique ids and the page's text colour."""
    nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    text = _saved(plot, "svg", 72, transparent=True, metadata=nothing).decode()
    text = text[text.index("<svg") :].replace("#000000", "currentColor")
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r"\n\s*", "\n", text)
    for before in (' id="', 'href="#', "url(#"):
        text = text.replace(before, f"{before}{plot.name}-")
    return text


def to_svg_file(plot: Plot) -> str:
    """Draw the figure as an SVG file, black on white, so that it can be read on a dark page as well."""
    nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    text = _saved(plot, "svg", 72, metadata=nothing).decode()
    return re.sub(r"[ \t]+\n", "\n", text)


def to_png(plot: Plot, dpi: int) -> bytes:
    """Draw the figure as PNG, black on white."""
    return _saved(plot, "png", dpi, metadata={"Software": None})


def _saved(plot: Plot, form: str, dpi: int, **options: Any) -> bytes:
    # With a fixed salt and no date, the same figures give the same bytes.
    with mpl.rc_context(STYLE | {"svg.hashsalt": "lecdsr"}):
        figure = Figure(figsize=(WIDTH, plot.height), dpi=dpi, layout="constrained")
        plot.draw(figure.subplots())
        buffer = io.BytesIO()
        figure.savefig(buffer, format=form, **options)
    return buffer.getvalue()


def level_bars(axes: Axes, values: Mapping[str, Value], label: str, groups: Mapping[str, int] | None = None) -> None:
    """Draw one horizontal bar per name with its interval, first name on top; ``groups`` selects the colours."""
    names = list(values)
    for place, (name, value) in enumerate(values.items()):
        group = (groups or {}).get(name, 0) % len(COLOURS)
        axes.barh(place, value.mean, 0.65, color=COLOURS[group], xerr=_error(value), ecolor="black", capsize=2)
    axes.set_yticks(range(len(names)), [_cut(name) for name in names])
    axes.invert_yaxis()
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.set_xlabel(label)
    axes.grid(visible=False, axis="y")


def level_points(axes: Axes, series: Mapping[str, Mapping[str, Value]], label: str, zero: bool = False) -> None:
    """Draw one line per name and on it a point with its interval for every series that has it, first name on top.

    Args:
        axes: axes to draw on.
        series: values by name of the series, then by name of the line.
        label: label of the values.
        zero: mark the value 0, which separates losses from gains; without it the values begin at 0.
    """
    names = list(dict.fromkeys(name for values in series.values() for name in values))
    step = 0.6 / max(1, len(series))
    for order, (title, values) in enumerate(series.items()):
        shift = (order - (len(series) - 1) / 2) * step
        for place, (name, value) in enumerate(values.items()):
            axes.errorbar(
                value.mean, names.index(name) + shift, xerr=_error(value), fmt=MARKERS[order % len(MARKERS)],
                markersize=5, color=COLOURS[order % len(COLOURS)], capsize=2, elinewidth=1, clip_on=False,
                label=title if place == 0 else None,
            )  # fmt: skip
    axes.set_yticks(range(len(names)), [_cut(name) for name in names])
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.xaxis.set_major_locator(MaxNLocator(4))
    if zero:
        axes.axvline(0, color="black", linewidth=0.8)
    else:
        axes.set_xlim(left=0)
    axes.set_xlabel(label)
    axes.grid(visible=False, axis="y")
    legend_above(axes)


def rank_lines(axes: Axes, ranks: Mapping[str, Sequence[int]], ticks: Sequence[str], label: str) -> None:
    """Draw the rank of every name under each measure, first rank on top, and a line that connects them."""
    for order, (name, places) in enumerate(ranks.items()):
        style: Any = {"color": COLOURS[order % len(COLOURS)], "linestyle": DASHES[order % len(DASHES)]}
        axes.plot(range(len(ticks)), places, marker=MARKERS[order % len(MARKERS)], label=name, **style)
    axes.set_xticks(range(len(ticks)), ticks)
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.invert_yaxis()
    axes.set_ylabel(label)
    axes.grid(visible=False, axis="x")
    legend_above(axes)


def grouped_points(
    axes: Axes, ticks: Sequence[str], series: Mapping[str, Sequence[Value | None]], label: str, what: str
) -> None:
    """Draw points with intervals: one position per tick, and at each the points of all series side by side.

    ``label`` is the label of the points, ``what`` the label of the ticks.
    """
    step = 0.7 / max(1, len(series))
    for order, (name, values) in enumerate(series.items()):
        shift = (order - (len(series) - 1) / 2) * step
        for place, value in enumerate(values):
            if value is None:
                continue
            axes.errorbar(
                place + shift, value.mean, yerr=_error(value), fmt=MARKERS[order % len(MARKERS)], markersize=5,
                color=COLOURS[order % len(COLOURS)], capsize=2, elinewidth=1, clip_on=False,
                label=name if place == next(i for i, one in enumerate(values) if one is not None) else None,
            )  # fmt: skip
    axes.set_xticks(range(len(ticks)), ticks)
    axes.set_xlim(-0.5, len(ticks) - 0.5)
    axes.set_ylim(bottom=0)
    axes.set_xlabel(what)
    axes.set_ylabel(label)
    axes.grid(visible=False, axis="x")
    legend_above(axes)


def single_points(axes: Axes, points: Mapping[str, tuple[float, Value]], label: str, what: str) -> None:
    """Draw one point per name, a position and a value with its interval.

    ``label`` is the label of the values, ``what`` the label of the positions.
    """
    for order, (name, (place, value)) in enumerate(points.items()):
        axes.errorbar(
            place, value.mean, yerr=_error(value), fmt=MARKERS[order % len(MARKERS)], markersize=7,
            color=COLOURS[order % len(COLOURS)], capsize=2, elinewidth=1, label=name,
        )  # fmt: skip
    axes.set_ylim(bottom=0)
    axes.margins(x=0.08)
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.set_xlabel(what)
    axes.set_ylabel(label)
    legend_above(axes)


def legend_above(axes: Axes) -> None:
    """Place the legend above the axes, where it covers nothing."""
    handles, names = axes.get_legend_handles_labels()
    if handles:
        labels = [_cut(name) for name in names]
        columns = next((n for n in (4, 3, 2) if n * (max(map(len, labels)) + 6) <= LINE), 1)
        place: Any = {"loc": "lower left", "bbox_to_anchor": (0, 1.0), "borderaxespad": 0.2}
        axes.legend(handles, labels, ncols=columns, columnspacing=1.2, handlelength=1.6, **place)


def _error(value: Value) -> list[list[float]] | None:
    if value.low is None or value.high is None:
        return None
    return [[max(0.0, value.mean - value.low)], [max(0.0, value.high - value.mean)]]


def _cut(name: str) -> str:
    return name if len(name) <= 28 else f"{name[:27]}…"
