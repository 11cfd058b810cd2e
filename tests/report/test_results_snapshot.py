"""The whole results page of a small set of records, in tests/snapshots/results.md.

To write it again, and then read what changed:

    LECDSR_UPDATE_SNAPSHOT=1 python -m pytest tests/report/test_results_snapshot.py
    git diff tests/snapshots/results.md
"""

import os
from pathlib import Path

from lecdsr.experiments.records import SLICE_COLUMNS
from lecdsr.report.claim_charts import charts
from lecdsr.report.results_page import page
from tests.report.test_claims import FACTS, recorded

SNAPSHOT = Path(__file__).parents[1] / "snapshots" / "results.md"
CODE = {"tandem": "c0de", "content": "c0de", "sasrec": "other"}


def sliced(part, targets):
    values = ("tandem", "", 1, "x", part, "full", targets, targets, 0.1, 0.2, 0.3, 0.4, "tandem1")
    return {name: str(one) for name, one in zip(SLICE_COLUMNS, values, strict=True)}


def test_the_page_is_that_of_the_snapshot():
    slices = [sliced(part, targets) for part, targets in (("all", 120), ("tied", 30), ("untied", 90))]
    pairs = [recorded(slices=slices, code=CODE), recorded(facts=FACTS._replace(pair="later", split="temporal"))]
    images = {f"images/{plot.name}.svg": plot for plot in charts(pairs)}
    text = page(pairs, ["toy_game"], images, ["## Peers\n\nNothing is measured."])
    if os.environ.get("LECDSR_UPDATE_SNAPSHOT"):
        SNAPSHOT.write_text(text, encoding="utf-8")
    assert text == SNAPSHOT.read_text(encoding="utf-8")
