"""Draw and store the negatives of the sampled ranking.

Reads data/PAIR/sequences; writes data/PAIR/candidates.parquet, and its hash to
metrics/PAIR/stages/candidates.json, which shows whether two results used the same negatives.
"""

import pyarrow.compute as pc

from lecdsr.candidates.draw import draw_candidates
from lecdsr.candidates.settings import Settings
from lecdsr.config.resolved import read_resolved
from lecdsr.core.console import summary
from lecdsr.core.files import read_table, sha256_file, write_json, write_table
from lecdsr.core.paths import Artefacts
from lecdsr.core.schemas import CANDIDATES, INTERACTIONS, ITEMS, WINDOWS
from lecdsr.core.stage import run_stage


def main(pair: str) -> None:
    """Run the stage for one pair."""
    artefacts = Artefacts(pair)
    table = draw_candidates(
        read_table(artefacts.interactions, INTERACTIONS),
        read_table(artefacts.windows, WINDOWS),
        read_table(artefacts.items, ITEMS),
        read_resolved(artefacts.stage_settings("candidates"), Settings).settings,
    )
    write_table(artefacts.candidates, table, CANDIDATES)
    lengths = pc.list_value_length(table["negatives"])
    facts = {
        "targets": len(table),
        "negatives_mean": pc.mean(lengths).as_py(),
        "negatives_min": pc.min(lengths).as_py(),
        "sha256": sha256_file(artefacts.candidates),
    }
    write_json(artefacts.stage_metrics("candidates"), facts)
    summary(f"Candidates of {pair}", facts)


if __name__ == "__main__":
    run_stage(main, __doc__, "pair")
