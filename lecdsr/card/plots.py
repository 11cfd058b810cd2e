"""Draw the plots of the data card as PNG files; the same figures give the same bytes."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from lecdsr.core.schemas import DOMAINS

Facts = Mapping[str, Any]
# Blue and vermilion of Okabe and Ito, which colour-blind readers can distinguish; lines also differ in dashes.
COLOURS = {"x": "#0072B2", "y": "#D55E00"}
DASHES = {"x": "-", "y": "--"}
STYLE: Any = {
    "font.size": 9,
    "font.family": "DejaVu Sans",  # comes with matplotlib
    "axes.grid": True,
    "grid.alpha": 0.3,
    "axes.axisbelow": True,
    "text.parse_math": False,  # a name that contains $ is not a formula
}


def plots(facts: Facts, dpi: int) -> dict[str, bytes]:
    """Draw every plot of the data card; return PNG bytes by file name."""
    found = {}
    for name, draw in DRAWINGS.items():
        with mpl.rc_context(STYLE):
            figure = Figure(figsize=(6.4, 3.2), dpi=dpi, layout="constrained")
            draw(figure.subplots(), facts)
            buffer = io.BytesIO()
            figure.savefig(buffer, format="png", metadata={"Software": None})
            found[f"{name}.png"] = buffer.getvalue()
    return found


def _names(facts: Facts) -> dict[str, str]:
    return {name: f"{name.upper()}: {facts['pair']['domains'][name]}" for name in DOMAINS}


def _lengths(axes: Axes, facts: Facts) -> None:
    histogram = facts["lengths"]["all"]["histogram"]
    edges, count = np.array(histogram["edges"]), np.array(histogram["count"])
    bars: dict[str, Any] = {"fill": True, "color": "#56B4E9", "edgecolor": "black", "lw": 0.5}
    axes.set_xlabel("interactions of a user, both domains")
    if len(count) and (np.diff(edges) > 1).any():
        # Bins differ in width, so the bar's height is the mean number of users per length.
        axes.stairs(count / np.diff(edges), edges, **bars)
        axes.loglog()
        axes.set_ylabel("users of a length, mean of the bin")
        _plain(axes.xaxis)
        _plain(axes.yaxis)
    elif len(count):
        axes.stairs(count, edges - 0.5, **bars)
        axes.set_ylabel("users")
        _thousands(axes.yaxis)


def _popularity(axes: Axes, facts: Facts) -> None:
    for name, label in _names(facts).items():
        curve = facts["items"][name]["by_rank"]
        if curve["rank"]:
            axes.loglog(curve["rank"], curve["value"], DASHES[name], color=COLOURS[name], label=label)
    axes.set_xlabel("rank of the item in its domain (1 = most interactions)")
    axes.set_ylabel("interactions")
    _plain(axes.xaxis)
    _plain(axes.yaxis)
    axes.legend()


def _months(axes: Axes, facts: Facts) -> None:
    months = facts["months"]
    days = np.array(months["month"], dtype="datetime64[M]").astype("datetime64[D]")
    for name, label in _names(facts).items():
        axes.plot(days, months[name], DASHES[name], color=COLOURS[name], label=label)
    axes.set_xlabel("month (UTC)")
    axes.set_ylabel("interactions per month")
    axes.set_ylim(bottom=0)
    _thousands(axes.yaxis)
    axes.legend()


def _gaps(axes: Axes, facts: Facts) -> None:
    parts = facts["held_out"]["test"]
    bands = list(parts["x"]["gap_days"])
    for shift, (name, label) in zip((-0.2, 0.2), _names(facts).items(), strict=True):
        count = np.array([parts[name]["gap_days"][band] for band in bands])
        share = 100 * count / max(count.sum(), 1)
        hatch = "" if name == "x" else "///"
        place = np.arange(len(bands)) + shift
        axes.bar(place, share, 0.4, color=COLOURS[name], hatch=hatch, edgecolor="white", label=label)
    axes.set_xticks(range(len(bands)), ["same day" if band == "0" else band for band in bands])
    axes.set_xlabel("days between the test target and the item before")
    axes.set_ylabel("test targets of the domain, %")
    axes.grid(visible=False, axis="x")
    axes.legend()


def _plain(axis: Any) -> None:
    """Label powers of ten as plain numbers, such as 1000."""
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}" if value >= 1 else f"{value:g}"))


def _thousands(axis: Any) -> None:
    axis.set_major_locator(MaxNLocator(6, integer=True, steps=[1, 2, 5, 10]))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))


#: Function that draws each plot; the report draws with them too.
DRAWINGS = {"lengths": _lengths, "popularity": _popularity, "months": _months, "gaps": _gaps}
