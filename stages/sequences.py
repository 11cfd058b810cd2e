"""Filter the interactions of a pair, number users and items, order by time, and split.

Reads data/PAIR/raw. Writes items, users, interactions and windows to data/PAIR/sequences, counts to
metrics/PAIR/stages/sequences.json, and malformed lines to data/PAIR/rejected. Memory is bounded (LECDSR_MEMORY_LIMIT,
default 2500MB); what does not fit is spilled to data/PAIR/sequences during the run.
"""

from lecdsr.config.resolved import read_resolved
from lecdsr.core.console import summary
from lecdsr.core.files import require, write_json
from lecdsr.core.paths import Artefacts
from lecdsr.core.stage import run_stage
from lecdsr.sequences.build import build
from lecdsr.sequences.settings import Settings


def main(pair: str) -> None:
    """Run the stage for one pair."""
    artefacts = Artefacts(pair)
    resolved = read_resolved(artefacts.stage_settings("sequences"), Settings)
    facts = build(resolved.pair, resolved.settings, require(artefacts.raw), artefacts.sequences, artefacts.rejected)
    write_json(artefacts.stage_metrics("sequences"), facts)
    summary(f"Sequences of {pair}", facts)


if __name__ == "__main__":
    run_stage(main, __doc__, "pair")
