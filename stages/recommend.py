"""Recommend to every user of one pair with one model, from their whole history.

Reads the sequences, the vectors and the trained model of a pair, or the model of the stage `refit` where there is one;
writes the k best items of each domain for each user to data/PAIR/recommendations/MODEL.parquet. Finished blocks of
users are kept in .checkpoints until the file is complete, so that a killed run goes on where it was.
"""

from lecdsr.config.resolved import read_resolved
from lecdsr.core.console import say, summary
from lecdsr.core.device import choose_device
from lecdsr.core.files import write_table
from lecdsr.core.memory import keep_freed_memory, peak_memory
from lecdsr.core.paths import Artefacts
from lecdsr.core.schemas import RECOMMENDATIONS
from lecdsr.core.stage import run_stage
from lecdsr.recommend.batch import Options
from lecdsr.recommend.everyone import model_folder, recommend_to_everyone
from lecdsr.recommend.settings import Settings


def main(pair: str, model: str) -> None:
    """Run the stage for one pair and model."""
    keep_freed_memory()  # every block of scores has the same size
    artefacts = Artefacts(pair)
    settings = read_resolved(artefacts.stage_settings("recommend"), Settings).settings
    path = artefacts.recommendations(model)
    if settings.models is not None and model not in settings.models:
        write_table(path, RECOMMENDATIONS.empty_table(), RECOMMENDATIONS)
        say(f"{model} is not among recommend.models, so it recommends nothing")
        return
    options = Options(
        k=settings.k,
        include_owned=not settings.exclude_owned,
        users_per_block=settings.users_per_block,
        items_per_block=settings.items_per_block,
    )
    device, folder = choose_device(settings.device), model_folder(artefacts, model)
    written = recommend_to_everyone(artefacts, folder, path, options, device)
    facts = {**written.facts(), "device": str(device), "memory": f"{peak_memory() / 1e9:.2f} GB at most"}
    summary(f"{model} ({folder.parent.name}) recommends to every user of {pair}", facts)


if __name__ == "__main__":
    run_stage(main, __doc__, "pair", "model")
