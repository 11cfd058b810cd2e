"""Charts of the results page: which ones the records support, what they say in words, and that they are repeatable."""

import xml.etree.ElementTree as ET

from lecdsr.report.claim_charts import charts
from lecdsr.report.draw import to_svg_file
from lecdsr.report.recorded import Recorded
from tests.report.test_claims import DECLARED, FACTS, recorded


def test_each_group_of_claims_has_a_chart():
    found = {plot.name: plot for plot in charts([recorded()])}
    # No control of a part of the model is recorded.
    assert list(found) == ["published", "methods", "inputs", "cost", "orders"]
    assert "sasrec-text" not in found["orders"].alt  # it is not run
    assert "ABXI (published) 0.3243" in found["published"].alt
    assert "bare -0.0400, own -0.0400" in found["inputs"].alt
    assert "bare +0.0400, own +0.0400" in found["inputs"].alt
    assert "tandem 110 s" in found["cost"].alt
    assert charts([Recorded(FACTS, DECLARED, [], [], None)]) == []


def test_ranks_by_hand():
    """In x under full ranking all methods have 0.5 and so rank 1, until one has less."""
    one = recorded()
    (plot,) = [plot for plot in charts([one]) if plot.name == "orders"]
    assert "tandem 1, 1; content 1, 1; sasrec 1, 1" in plot.alt
    rows = [{**row, "test.x.full.ndcg@10": "0.1"} if row["method"] == "tandem" else row for row in one.rows]
    (plot,) = [plot for plot in charts([one._replace(rows=rows)]) if plot.name == "orders"]
    assert "tandem 3, 1; content 1, 1; sasrec 1, 1" in plot.alt


def test_files_are_valid_and_repeatable():
    for plot in charts([recorded()]):
        svg = to_svg_file(plot)
        assert svg == to_svg_file(plot)
        assert ET.fromstring(svg).tag.endswith("svg")
