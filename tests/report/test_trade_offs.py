"""Beyond accuracy in the report: what tables and figures show."""

import xml.etree.ElementTree as ET

from lecdsr.evaluate.metrics_table import BEYOND
from lecdsr.report.draw import to_svg
from lecdsr.report.estimates import estimates, pick
from lecdsr.report.trade_offs import MEANINGS, beyond_tables, extremes, trade_off_plots
from tests.evaluate import rank_tables as tables

DOMAINS = {"x": "Food", "y": "Kitchen"}
FOUND = estimates({"a": tables.random_ranks(1, 1, 60), "b": tables.random_ranks(4, 2, 60)}, 200)


def of(**full):
    return {"test": {"x": {"full": full}}}


METRICS = {
    "a": of(**{"coverage@10": 0.5, "novelty@10": 3.25, "popularity@10": 1234.5}),
    "b": of(**{"coverage@10": 0.125, "novelty@10": 6.0}),
    "former": of(**{"ndcg@10": 0.1}),
    "none": {},
}


def test_the_table_shows_what_some_model_has():
    (table,) = beyond_tables(METRICS, DOMAINS)
    assert "Food" in table.caption
    assert table.head == ("model", "coverage", "popularity", "novelty")
    assert [[cell.text for cell in row] for row in table.rows] == [
        ["a", "0.500", "1,234.5", "3.25"],
        ["b", "0.125", "–", "6.00"],
        ["former", "–", "–", "–"],
    ]
    assert not any(cell.best for row in table.rows for cell in row)
    assert beyond_tables({}, DOMAINS) == []


def test_figures_put_accuracy_against_coverage_and_novelty():
    plots = {plot.name: plot for plot in trade_off_plots(FOUND, METRICS, DOMAINS)}
    assert list(plots) == ["tradeoff-x-coverage", "tradeoff-x-novelty"]  # Y has no such metrics
    (one,) = pick(FOUND, model="b", domain="x", protocol="full", slice="all", metric="ndcg@10")
    assert f"b coverage 0.125, {one.mean:.4f}" in plots["tradeoff-x-coverage"].alt
    assert f"b novelty 6.000, {one.mean:.4f}" in plots["tradeoff-x-novelty"].alt
    for plot in plots.values():
        words = [node.text for node in ET.fromstring(to_svg(plot)).iter("{http://www.w3.org/2000/svg}text")]
        assert {"a", "b", "test NDCG@10"} <= set(words)


def test_the_largest_and_the_smallest_coverage():
    (told,) = extremes(METRICS, DOMAINS)
    assert told.index("`a` ") < told.index("50.0 %") < told.index("`b` ") < told.index("12.5 %")
    assert extremes({"a": METRICS["a"]}, DOMAINS) == []


def test_every_column_is_explained():
    assert list(MEANINGS) == [heading for heading, _ in BEYOND.values()]
