"""Train the chosen settings of one model on every interaction, for production, where `train.shared.refit` is `all`.

Reads data/PAIR/sequences, data/PAIR/vectors and the number of epochs and the learning-rate schedule that training chose
(data/PAIR/models/MODEL/config.json); writes data/PAIR/production/MODEL, which no evaluation reads. With `none` it only
records that there is no such model. A killed run resumes from its checkpoint in .checkpoints.
"""

from lecdsr.config.resolved import read_resolved
from lecdsr.core.console import say, summary
from lecdsr.core.files import write_json
from lecdsr.core.memory import peak_memory
from lecdsr.core.paths import Artefacts
from lecdsr.core.stage import run_stage
from lecdsr.models.registry import find_model
from lecdsr.models.saved import read_config, save
from lecdsr.refit.refit import production_config, refit
from lecdsr.report.model_card import model_card
from lecdsr.train.settings import TrainSettings


def main(pair: str, model: str) -> None:
    """Run the stage for one pair and model."""
    artefacts = Artefacts(pair)
    resolved = read_resolved(artefacts.refit_settings(model), find_model(model).settings)
    settings, shared = resolved.settings, TrainSettings.model_validate(resolved.shared)
    folder = artefacts.production(model)
    if shared.refit == "none":
        write_json(folder / "refit.json", {"refit": shared.refit})
        say(f"{model} on {pair}: train.shared.refit is none, so there is no model for production")
        return
    config, _ = read_config(artefacts.model(model))
    fitted = refit(artefacts, config, settings, shared.training)
    if not fitted.context.is_main:
        return
    described = production_config(config, fitted)
    write_json(folder / "refit.json", {"refit": shared.refit})
    # config.json comes last: it tells that the model is complete.
    save(folder, fitted.network, described, lambda complete: model_card(pair, complete, resolved.synthetic))
    fitted.remove_checkpoint()
    facts = {"schedule": described["schedule"], "seconds": round(fitted.result.seconds, 1), "device": fitted.device}
    summary(f"{model} on everything of {pair}", {**facts, "memory": f"{peak_memory() / 1e9:.2f} GB at most"})


if __name__ == "__main__":
    run_stage(main, __doc__, "pair", "model")
