"""Check every setting and write the resolved settings of each stage and model.

Reads params.yaml and every file under pairs/, and fails at the first invalid key, before any other stage runs. Merges
defaults, params.yaml and pairs/PAIR.yaml, and writes data/PAIR/settings/STAGE.json and
data/PAIR/settings/train/MODEL.json. Every other stage depends on its own file, so a changed setting reruns only the
stages that read it.
"""

from lecdsr.config.names import model_names
from lecdsr.config.resolve import check_all, write_resolved
from lecdsr.core.console import summary
from lecdsr.core.paths import Artefacts
from lecdsr.core.stage import run_stage


def main(pair: str) -> None:
    """Run the stage for one pair."""
    checked = check_all()
    files = write_resolved(pair, checked.get(pair))
    facts = {"pairs checked": len(checked), "models checked": len(model_names()), "files": len(files)}
    summary(f"Settings of {pair}", {**facts, "folder": str(Artefacts(pair).settings)})


if __name__ == "__main__":
    run_stage(main, __doc__, "pair")
