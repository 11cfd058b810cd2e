"""`lecdsr ablate`."""

from __future__ import annotations

from pathlib import Path

from lecdsr.base.console import say
from lecdsr.base.files import write_text
from lecdsr.base.paths import Artefacts
from lecdsr.base.settings import load_pair
from lecdsr.study.ablation import run_study, to_markdown

RUNS = Path(".studies")
TABLES = Path("docs") / "ablations"


def ablate(artefacts: Artefacts, model: str, seeds: int) -> None:
    """Run the study and write its table.

    Raises:
        UserError: the pair or the model does not exist, or the pair is not built.
    """
    load_pair(artefacts.pair)
    study = run_study(artefacts, model, seeds, RUNS)
    path = TABLES / f"{artefacts.pair}-{model}.md"
    text = to_markdown(study)
    write_text(path, text)
    say(text)
    say(f"table: {path}")
