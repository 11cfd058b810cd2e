"""The stage ``report``: how it reads a log, which figures it leaves in the folder, and the data card in it."""

import xml.etree.ElementTree as ET

from lecdsr.card.measure import measure
from lecdsr.config.pair import Pair
from lecdsr.core.files import write_text
from lecdsr.core.paths import Artefacts
from lecdsr.report.draw import Plot, to_svg
from lecdsr.report.figures import Curve, card_plots
from lecdsr.report.tables import card_tables
from lecdsr.train.state import log_to_csv
from stages.report import curve, write_figures
from tests.card import hand
from tests.errors import refused


def test_curve_of_a_training_log(tmp_path):
    rows = [{"epoch": 0, "valid_ndcg@10": 0.1}, {"epoch": 1, "loss": 2.5, "valid_ndcg@10": 0.25}]
    write_text(tmp_path / "a.csv", log_to_csv(rows))
    assert curve(tmp_path / "a.csv") == Curve([0, 1], [0.1, 0.25])
    with refused("missing-file", tmp_path / "b.csv"):
        curve(tmp_path / "b.csv")


def test_figures_of_an_earlier_page_are_removed(tmp_path):
    def plots(*names):
        return [Plot(name, "", "", lambda axes: axes.plot([1, 2])) for name in names]

    write_figures(tmp_path / "figures", plots("a", "b"), 50)
    write_figures(tmp_path / "figures", plots("b", "c"), 50)
    assert sorted(path.name for path in (tmp_path / "figures").iterdir()) == ["b.png", "c.png"]


def test_figures_and_tables_of_the_data_card(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    artefacts = Artefacts("toy")
    hand.write(artefacts)
    pair = Pair(name="toy", domains=("Food", "Kitchen"), release=2018, source=("synthetic",))
    facts = measure(pair, artefacts, hand.FACTS)
    plots = card_plots(facts)
    assert [plot.name for plot in plots] == ["data-lengths", "data-popularity", "data-months", "data-gaps"]
    for plot in plots:
        ET.fromstring(to_svg(plot))
    domains, both = card_tables(facts)
    assert list(domains.head) == ["", "Food", "Kitchen"]
    figures = {row[0].text: [cell.text for cell in row[1:]] for row in (*domains.rows, *both.rows)}
    assert figures["items"] == [str(facts["counts"][f"items_{key}"]) for key in ("x", "y")]
    assert figures["users of both domains"] == ["1"]
