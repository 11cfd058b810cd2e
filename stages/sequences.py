"""Filter, number, order in time and split the interactions of a pair.

Reads data/PAIR/raw; writes items, users, interactions and windows to data/PAIR/sequences, counts to
metrics/PAIR/stages/sequences.json, and malformed lines to data/PAIR/aside.
"""

from lecdsr.base.console import summary
from lecdsr.base.door import run_stage
from lecdsr.base.files import require, write_json, write_table
from lecdsr.base.paths import Artefacts
from lecdsr.base.schemas import INTERACTIONS, ITEMS, USERS, WINDOWS
from lecdsr.base.settings import load_block, load_pair
from lecdsr.sequences.build import build
from lecdsr.sequences.settings import Settings


def main(pair: str) -> None:
    """Run the stage for one pair."""
    artefacts = Artefacts(pair)
    settings = load_block("sequences", Settings, pair)
    tables = build(load_pair(pair), settings, require(artefacts.raw), artefacts.aside)
    write_table(artefacts.items, tables.items, ITEMS)
    write_table(artefacts.users, tables.users, USERS)
    write_table(artefacts.interactions, tables.interactions, INTERACTIONS)
    write_table(artefacts.windows, tables.windows, WINDOWS)
    write_json(artefacts.stage_metrics("sequences"), tables.facts)
    summary(f"Sequences of {pair}", tables.facts)


if __name__ == "__main__":
    run_stage(main, __doc__, "pair")
