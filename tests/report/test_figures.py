"""Estimates from ranks, and their figures as SVG and PNG."""

import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest

from lecdsr.evaluate.significance import bootstrap_interval
from lecdsr.experiments.records import COLUMNS, SLICE_COLUMNS
from lecdsr.report import experiments
from lecdsr.report.draw import Plot, level_bars, to_png, to_svg
from lecdsr.report.estimates import METRICS, estimates, pick
from lecdsr.report.experiments import Method, Recorded
from lecdsr.report.figures import Curve, metric_plots, slice_plots, training_plot
from lecdsr.report.tables import experiment_table
from tests.evaluate import rank_tables as tables

DOMAINS = {"x": "Food", "y": "Kitchen"}


def test_estimates_by_hand():
    # User 0 has two targets, at ranks 1 and 3; user 1 one, at rank 20. Training counts 0, 3 and 30.
    ranks = tables.ranks([(0, 0, 5, 0, 1.0), (0, 0, 6, 3, 3.0), (1, 0, 7, 30, 20.0)])
    found = estimates({"m": ranks}, 500)
    (one,) = pick(found, slice="all", protocol="full", metric="ndcg@10")
    users = np.array([(1 + 0.5) / 2, 0.0])
    assert one.mean == pytest.approx(users.mean())
    assert (one.low, one.high) == bootstrap_interval(users, 500)
    assert (one.users, one.targets, one.domain) == (2, 3, "x")
    assert {est.metric for est in pick(found, slice="all")} == set(METRICS)
    by_slice = {est.slice: (est.mean, est.targets, est.low) for est in pick(found, protocol="full", metric="ndcg@10")}
    assert by_slice["0"] == (1.0, 1, None)  # one user: no interval
    assert by_slice["1–4"] == (0.5, 1, None)
    assert by_slice["20+"] == (0.0, 1, None)
    assert "tied" not in by_slice
    assert not pick(found, domain="y")


def test_figures_of_metrics_and_slices_say_what_they_show():
    found = estimates({"a": tables.random_ranks(1, 1, 60), "b": tables.random_ranks(4, 2, 60)}, 200)
    plots = metric_plots(found, DOMAINS)
    assert [plot.name for plot in plots] == [
        "metrics-x-full",
        "metrics-y-full",
        "metrics-x-sampled",
        "metrics-y-sampled",
    ]
    (one,) = pick(found, model="b", domain="x", protocol="full", slice="all", metric="ndcg@10")
    assert f"b {one.mean:.4f} ({one.low:.4f} to {one.high:.4f})" in plots[0].alt
    slices = {plot.name: plot for plot in slice_plots(found, DOMAINS)}
    assert "slices-y-ties" in slices
    assert "5–19" in slices["slices-x-training"].alt
    for plot in (*plots, *slices.values()):
        ET.fromstring(to_svg(plot))


def test_curves_of_training():
    plot = training_plot({"a": Curve([0, 1, 2], [0.0, 0.3, 0.2]), "popularity": Curve([0], [0.1])})
    assert "a best 0.3000" in plot.alt
    words = [node.text for node in ET.fromstring(to_svg(plot)).iter("{http://www.w3.org/2000/svg}text")]
    assert {"a", "popularity", "validation NDCG@10"} <= set(words)
    assert training_plot({"popularity": Curve([0], [0.1])}) is None
    assert training_plot({}) is None


def test_ink_is_that_of_the_page_and_names_are_the_figures_own():
    plot = Plot("one", "", "", lambda axes: axes.bar([1], [2], color="#D55E00", hatch="//", edgecolor="white"))
    text = to_svg(plot)
    assert "#000000" not in text
    assert "currentColor" in text
    assert text.count("#d55e00") >= 1  # a colour is no reference
    names = re.findall(r'\bid="([^"]+)"', text)
    assert all(name.startswith("one-") for name in names)
    assert set(re.findall(r'(?:url\(|href=")#([^")]+)', text)) <= set(names)


def test_same_figure_same_bytes_and_png_for_papers():
    plot = Plot("bars", "", "", lambda axes: level_bars(axes, {"<b>&$x$": experiments.Value(0.2, 0.1, 0.4)}, "NDCG"))
    assert to_svg(plot) == to_svg(plot)
    assert "&lt;b&gt;&amp;$x$" in to_svg(plot)
    small, large = to_png(plot, 100), to_png(plot, 200)
    assert small == to_png(plot, 100)
    assert small.startswith(b"\x89PNG")
    width = [int.from_bytes(image[16:20]) for image in (small, large)]
    assert width == [440, 880]


def run(method, role, control, seed, valid, full):
    row = dict.fromkeys(COLUMNS, "")
    tests = {f"test.x.{way}.{metric}": str(full) for way in ("full", "sampled") for metric in ("ndcg@10", "hr@10")}
    key = {"method": method, "role": role, "control": control, "seed": str(seed), "valid_ndcg@10": str(valid)}
    return row | key | ({} if role == "grid" else tests)


RUNS = [
    run("a", "grid", "", 1, 0.9, 0.0),
    run("a", "seed", "", 1, 0.2, 0.1),
    run("a", "seed", "", 2, 0.2, 0.3),
    run("b", "seed", "", 1, 0.4, 0.5),
    run("a", "control", "a: no text", 1, 0.1, 0.05),
]


def test_experiments_best_first_with_their_controls():
    recorded = Recorded(RUNS, [])
    assert experiments.methods(recorded) == [Method("b", ""), Method("a", ""), Method("a", "a: no text")]
    deviation = 0.2 / 2**0.5
    found = experiments.value(recorded, Method("a", ""), "test.x.full.ndcg@10")
    assert found == pytest.approx((0.2, 0.2 - deviation, 0.2 + deviation))
    assert experiments.value(recorded, Method("b", ""), "test.x.full.ndcg@10") == (0.5, None, None)
    assert experiments.value(recorded, Method("b", ""), "test.y.full.ndcg@10") is None
    plots = experiments.bar_plots(recorded, DOMAINS)
    assert [plot.name for plot in plots] == ["experiments-x-full", "experiments-x-sampled"]
    assert "b 0.5000; a 0.2000; a: no text 0.0500" in plots[0].alt
    rows = experiment_table(recorded, DOMAINS).rows
    assert [(row[0].text, row[1].text, row[2].text, row[2].note) for row in rows] == [
        ("b", "1", "0.5000", ""), ("a", "2", "0.2000", "± 0.1414"), ("a: no text", "1", "0.0500", ""),
    ]  # fmt: skip
    assert rows[0][-1].text == "–"


def test_slices_of_experiments():
    def line(method, seed, part, value):
        return dict.fromkeys(SLICE_COLUMNS, "") | {
            "method": method, "seed": str(seed), "domain": "x", "slice": part, "ranking": "full", "targets": "7",
            "ndcg@10": str(value),
        }  # fmt: skip

    lines = [line("a", 1, "0", 0.1), line("a", 2, "0", 0.3), line("b", 1, "20+", 0.4)]
    (plot,) = experiments.slice_plots(Recorded(RUNS, lines), DOMAINS)
    assert plot.name == "experiments-slices-x"
    assert "b: 20+ 0.400; a: 0 0.200" in plot.alt
    ET.fromstring(to_svg(plot))


def test_nothing_recorded(tmp_path):
    recorded = experiments.read(tmp_path / "experiments.csv", tmp_path / "experiments-slices.csv")
    assert recorded == Recorded([], [])
    assert experiments.bar_plots(recorded, DOMAINS) == experiments.slice_plots(recorded, DOMAINS) == []
