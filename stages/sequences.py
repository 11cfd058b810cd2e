"""Filter, number, order in time and split the interactions of a pair.

Reads data/PAIR/raw; writes items, users, interactions and windows to data/PAIR/sequences, counts to
metrics/PAIR/stages/sequences.json, and malformed lines to data/PAIR/aside. Memory is bounded
(LECDSR_MEMORY_LIMIT, default 2500MB); what does not fit is spilled to data/PAIR/sequences meanwhile.
"""

from lecdsr.base.console import summary
from lecdsr.base.door import run_stage
from lecdsr.base.files import require, write_json
from lecdsr.base.paths import Artefacts
from lecdsr.base.settings import load_block, load_pair
from lecdsr.sequences.build import build
from lecdsr.sequences.settings import Settings


def main(pair: str) -> None:
    """Run the stage for one pair."""
    artefacts = Artefacts(pair)
    settings = load_block("sequences", Settings, pair)
    facts = build(load_pair(pair), settings, require(artefacts.raw), artefacts.sequences, artefacts.aside)
    write_json(artefacts.stage_metrics("sequences"), facts)
    summary(f"Sequences of {pair}", facts)


if __name__ == "__main__":
    run_stage(main, __doc__, "pair")
