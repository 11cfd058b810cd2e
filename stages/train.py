"""Train one model on one pair and keep its best epoch on validation.

Reads data/PAIR/sequences and data/PAIR/vectors. Writes model.safetensors, config.json and the model card card.md to
data/PAIR/models/MODEL, one row per epoch to metrics/PAIR/training/MODEL.csv, and the training time in seconds,
including validation, with the processor that it was measured on, to data/PAIR/times/MODEL.json. A killed run resumes
from its checkpoint in .checkpoints. On several GPUs:

    torchrun --nproc-per-node 4 -m stages.train --pair PAIR --model MODEL && dvc commit train@PAIR-MODEL
"""

import torch

from lecdsr.config.resolved import read_resolved
from lecdsr.core.console import summary
from lecdsr.core.device import processor_name
from lecdsr.core.files import write_json, write_text
from lecdsr.core.memory import peak_memory
from lecdsr.core.paths import Artefacts
from lecdsr.core.stage import run_stage
from lecdsr.models.base import weights_by_domain
from lecdsr.models.registry import find_model
from lecdsr.models.saved import save
from lecdsr.report.model_card import model_card
from lecdsr.train.fit import fit
from lecdsr.train.settings import SharedSettings
from lecdsr.train.state import log_to_csv


def main(pair: str, model: str) -> None:
    """Run the stage for one pair and model."""
    artefacts = Artefacts(pair)
    resolved = read_resolved(artefacts.model_settings(model), find_model(model).settings)
    settings, shared = resolved.settings, SharedSettings.model_validate(resolved.shared)
    fitted = fit(artefacts, model, settings, shared)
    if not fitted.context.is_main:
        return
    network, result, info = fitted.network, fitted.result, fitted.data.info
    config = {
        "model": model,
        "seed": shared.seed,
        "settings": settings.model_dump(),
        "n_x": info.n_x,
        "n_y": info.n_y,
        "n_users": info.n_users,
        "best_epoch": result.best_epoch,
        "schedule": result.schedule,
        "valid_ndcg@10": result.ndcg,
        "term_weights": weights_by_domain(network),
        "parameters": sum(parameter.numel() for parameter in network.parameters()),
    }
    save(artefacts.model(model), network, config, lambda complete: model_card(pair, complete, resolved.synthetic))
    times = {
        "seconds": round(result.seconds, 1),
        "device": str(fitted.device),
        "processor": processor_name(fitted.device),
        "threads": fitted.threads,
        "precision": fitted.precision,
        "torch": str(torch.__version__),
    }
    write_text(artefacts.training_log(model), log_to_csv(result.log))
    write_json(artefacts.times(model), times)
    fitted.remove_checkpoint()
    facts = {key: config[key] for key in ("best_epoch", "valid_ndcg@10", "parameters")}
    memory = f"{peak_memory() / 1e9:.2f} GB at most"
    summary(f"{model} on {pair}", {**facts, "epochs": len(result.log) - 1, **times, "memory": memory})


if __name__ == "__main__":
    run_stage(main, __doc__, "pair", "model")
