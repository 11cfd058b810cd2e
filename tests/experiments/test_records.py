"""The tables of experiments: a row computed by hand, sorted files, and a kill while a table is written."""

import csv
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from lecdsr.core.schemas import VALID
from lecdsr.experiments.plan import CONTROL, GRID, SEED, Run
from lecdsr.experiments.records import (
    COLUMNS,
    SLICE_COLUMNS,
    TESTS,
    FinishedRun,
    compact,
    read_rows,
    row_of,
    slice_rows,
    write_rows,
)  # fmt: skip
from tests.errors import refused
from tests.evaluate.rank_tables import ranks

METRICS = {
    "valid": {"x": {"full": {"ndcg@10": 0.9}}},
    "test": {"x": {way: {"hr@5": 0.1, "hr@10": 0.25, "ndcg@10": 0.2, "mrr": 1 / 3} for way in ("full", "sampled")}},
}
CONFIG = {"valid_ndcg@10": 0.125, "best_epoch": 3, "parameters": 1234}
TIMES = {"seconds": 12.5, "device": "cpu", "processor": "Xeon, 2 GHz", "threads": 2, "torch": "2.13.0"}
LOG = "epoch,valid_ndcg@10\n0,0.1\n1,0.1\n2,0.1\n3,0.125\n4,0.1\n"


def run_of(role, control="", seed=2):
    return Run(
        "sasrec-own", "sasrec", role, control, {"width": 8, "domains": "own"}, seed, f"demo-{role}{control}{seed}"
    )


def test_a_row_by_hand():
    row = row_of(run_of(SEED), FinishedRun(METRICS, LOG, CONFIG, TIMES, None), "c0de")
    assert tuple(row) == COLUMNS
    assert [row[name] for name in COLUMNS[:15]] == [
        "sasrec-own", "sasrec", "seed", "", '{"domains":"own","width":8}', "2",
        "0.125000", "3", "4", "12.5", "cpu", "Xeon, 2 GHz", "2", "2.13.0", "1234",
    ]  # fmt: skip
    assert row["test.x.full.hr@10"] == "0.250000"
    assert row["test.x.sampled.mrr"] == "0.333333"
    assert row["test.y.full.hr@10"] == ""  # no targets there
    assert (row["code"], row["experiment"]) == ("c0de", "demo-seed2")


def test_what_was_not_chosen_has_no_test_figures():
    row = row_of(run_of(GRID), FinishedRun(METRICS, LOG, CONFIG, TIMES, None), "c0de")
    assert {row[name] for name in TESTS} == {""}
    assert row["valid_ndcg@10"] == "0.125000"


def test_slices_by_hand():
    facts = {"history_own": [3, 7, 7], "day_tied": [True, False, False]}
    table = ranks([(0, 0, 5, 0, 1), (1, 0, 6, 30, 4), (0, 1, 9, 2, 20)], **facts)
    rows = {(row["domain"], row["slice"], row["ranking"]): row for row in slice_rows(run_of(CONTROL, "none"), table)}
    assert len(rows) == 2 * (7 + 4)  # all, two counts, two histories, tied and untied; in Y one of each
    assert tuple(rows["x", "all", "full"]) == SLICE_COLUMNS
    assert rows["x", "all", "full"]["ndcg@10"] == f"{(1 + 1 / np.log2(5)) / 2:.6f}"
    assert rows["x", "0", "full"]["mrr"] == "1.000000"
    assert rows["x", "history 5–9", "sampled"]["mrr"] == "0.500000"
    assert rows["y", "untied", "full"]["hr@10"] == "0.000000"
    assert rows["y", "1–4", "sampled"]["hr@10"] == "1.000000"
    assert (rows["x", "all", "full"]["users"], rows["x", "tied", "full"]["targets"]) == ("2", "1")
    assert slice_rows(run_of(SEED), ranks([(0, 0, 5, 0, 1)], VALID)) == []


def some_rows(count=5):
    runs = [run_of(SEED, seed=seed) for seed in range(1, count + 1)]
    runs += [run_of(GRID), run_of(CONTROL, "b", 10), run_of(CONTROL, "a", 9)]
    return [row_of(run, FinishedRun(METRICS, LOG, CONFIG, TIMES, None), "c0de") for run in runs]


def test_files_are_sorted_and_read_back(tmp_path):
    path, rows = tmp_path / "deep" / "runs.csv", some_rows(12)
    write_rows(path, COLUMNS, rows[::-1])
    text = path.read_text()
    write_rows(path, COLUMNS, rows)
    assert path.read_text() == text
    back = read_rows(path, COLUMNS)
    assert sorted(map(str, back)) == sorted(map(str, rows))
    assert [(row["role"], row["control"], row["seed"]) for row in back[:3]] == [
        ("grid", "", "2"), ("seed", "", "1"), ("seed", "", "2"),
    ]  # fmt: skip
    assert [(row["control"], row["seed"]) for row in back[-2:]] == [("a", "9"), ("b", "10")]
    assert next(csv.reader(text.splitlines())) == list(COLUMNS)


def test_other_files_are_refused(tmp_path):
    path = tmp_path / "runs.csv"
    assert read_rows(path, COLUMNS) == []
    write_rows(path, COLUMNS, some_rows())
    whole = path.read_text()
    for wrong in (whole.replace("method,", "arm,", 1), whole[:-40], whole + "1,2,3\n", ""):
        path.write_text(wrong)
        with refused("wrong-columns", path):
            read_rows(path, COLUMNS)


WRITER = """
import sys
from pathlib import Path
from lecdsr.experiments.records import COLUMNS, write_rows
from tests.experiments.test_records import some_rows
rows = some_rows(300)
print("go", flush=True)
while True:
    for part in (rows, rows[:200]):
        write_rows(Path(sys.argv[1]), COLUMNS, part)
"""


@pytest.mark.slow
def test_a_kill_leaves_a_whole_table(tmp_path):
    path = tmp_path / "runs.csv"
    sizes = set()
    for pause in (0.0, 0.05, 0.13):
        writer = subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE)
        assert writer.stdout.readline() == b"go\n"
        while not path.exists():
            time.sleep(0.01)
        time.sleep(pause)
        os.kill(writer.pid, signal.SIGKILL)
        writer.wait()
        writer.stdout.close()
        sizes.add(len(read_rows(path, COLUMNS)))
    assert sizes <= {303, 200}


def test_compact():
    assert compact({"b": 1.0, "a": "x"}) == '{"a":"x","b":1.0}'
