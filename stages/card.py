"""Describe the sequences of a pair: sizes, filters, lengths, popularity, time, texts, splits, leaks.

Reads data/PAIR/sequences and metrics/PAIR/stages/sequences.json; writes card.md, card.json and plots to
data/PAIR/card.
"""

from lecdsr.card.measure import measure
from lecdsr.card.plots import plots
from lecdsr.card.settings import Settings
from lecdsr.config.resolved import read_resolved
from lecdsr.core.console import say
from lecdsr.core.files import atomic_path, read_json, write_json, write_text
from lecdsr.core.paths import Artefacts
from lecdsr.core.stage import run_stage
from lecdsr.report.data_card import render


def main(pair: str) -> None:
    """Run the stage for one pair."""
    artefacts = Artefacts(pair)
    resolved = read_resolved(artefacts.stage_settings("card"), Settings)
    facts = read_json(artefacts.stage_metrics("sequences"))
    card = measure(resolved.pair, artefacts, facts)
    write_json(artefacts.card / "card.json", card)
    for name, image in plots(card, resolved.settings.plot_dpi).items():
        with atomic_path(artefacts.card / name) as temporary:
            temporary.write_bytes(image)
    write_text(artefacts.card / "card.md", render(card))
    say(f"data card: {artefacts.card / 'card.md'}")


if __name__ == "__main__":
    run_stage(main, __doc__, "pair")
