"""Fetch the raw ratings and metadata of both domains of a pair.

The pair's `source` is `synthetic` (a dataset is generated), a folder (files are copied) or base URLs (files are
downloaded from the first mirror that has them; an interrupted download resumes). Writes data/PAIR/raw with a manifest
of sizes and hashes, which is also kept in metrics/PAIR/stages/download.json. Existing files are verified against the
manifest and kept.
"""

from lecdsr.config.resolved import read_resolved
from lecdsr.core.console import summary
from lecdsr.core.files import write_json
from lecdsr.core.paths import Artefacts
from lecdsr.core.stage import run_stage
from lecdsr.download.fetch_pair import fetch_pair
from lecdsr.download.settings import Settings


def main(pair: str) -> None:
    """Run the stage for one pair."""
    artefacts = Artefacts(pair)
    resolved = read_resolved(artefacts.stage_settings("download"), Settings)
    files = fetch_pair(resolved.pair, resolved.settings, artefacts.raw)
    facts = {file.name: {"size": file.size, "sha256": file.sha256} for file in files}
    write_json(artefacts.stage_metrics("download"), {"files": facts})
    summary(f"Raw files of {pair}", {file.name: f"{file.size:,} bytes, sha256 {file.sha256[:12]}…" for file in files})


if __name__ == "__main__":
    run_stage(main, __doc__, "pair")
