"""The figures of the README are those of the recorded runs."""

import re
from pathlib import Path
from statistics import mean, stdev

from lecdsr.core.files import read_json
from lecdsr.experiments.plan import SEED
from lecdsr.experiments.records import COLUMNS as RECORDED
from lecdsr.experiments.records import read_rows
from lecdsr.report import peers
from lecdsr.report.recorded import runs_of, values_of

ROOT = Path(__file__).parents[2]
METRICS = ROOT / "metrics" / "food_kitchen"
COLUMNS = {
    "Food HR@10": "test.x.sampled.hr@10",
    "Food NDCG@10": "test.x.sampled.ndcg@10",
    "Kitchen HR@10": "test.y.sampled.hr@10",
    "Kitchen NDCG@10": "test.y.sampled.ndcg@10",
}
METHOD = re.compile(r"`([\w-]+)`")


def cells(line):
    return [cell.strip(" *") for cell in line.strip().strip("|").split("|")]


def results_table():
    """Rows of the table whose header names the metrics, as dictionaries by column."""
    lines = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    start = next(number for number, line in enumerate(lines) if set(COLUMNS) <= set(cells(line)))
    header = cells(lines[start])
    rows = []
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        rows.append(dict(zip(header, cells(line), strict=True)))
    return rows


def shown(values):
    """Mean, and standard deviation where there are several seeds, as the README writes them."""
    words = f"{mean(values):.3f}"
    return words if len(values) == 1 else f"{words} ± {stdev(values):.3f}"


def peer_values(peer):
    """Values of all seeds of a model that others wrote, by the titles of the columns."""
    runs = peers.tested_runs(read_json(METRICS / "peers.json")["runs"])[peer]
    found = {}
    for title, column in COLUMNS.items():
        split, domain, protocol, metric = column.split(".")
        found[title] = [run["metrics"][split][domain][protocol][metric] for run in runs]
    return found


def test_every_figure_is_that_of_the_recorded_runs():
    rows, compared = read_rows(METRICS / "experiments.csv", RECORDED), 0
    for row in results_table():
        found = METHOD.search(row[""])
        if not found:
            continue  # the row of others, whose source it names
        if found[1].startswith("rectools"):
            values = peer_values(found[1])
        else:
            runs = runs_of(rows, found[1], SEED)
            values = {title: values_of(runs, column) for title, column in COLUMNS.items()}
        for title, seeds in values.items():
            assert row["seeds"] == str(len(seeds)), found[1]
            assert row[title] == shown(seeds), (found[1], title)
        compared += 1
    assert compared > 2


def test_the_default_model_is_in_the_table():
    assert any("`tandem`" in row[""] for row in results_table())
