"""Train one model on one pair and keep its best epoch on validation.

Reads data/PAIR/sequences and data/PAIR/vectors; writes data/PAIR/models/MODEL/model.safetensors with
config.json beside it, and one row per epoch to metrics/PAIR/training/MODEL.csv.
"""

import torch

from lecdsr.base.console import summary
from lecdsr.base.door import run_stage
from lecdsr.base.files import write_text
from lecdsr.base.paths import Artefacts
from lecdsr.base.settings import load_block
from lecdsr.models.registry import entry
from lecdsr.models.saved import build, save
from lecdsr.ranking.device import choose_device
from lecdsr.ranking.tables import load_pair_data
from lecdsr.train.log import to_csv
from lecdsr.train.loop import train
from lecdsr.train.settings import Shared


def main(pair: str, model: str) -> None:
    """Run the stage for one pair and model."""
    artefacts = Artefacts(pair)
    shared = load_block("train", Shared, pair, "shared")
    settings = load_block("train", entry(model).settings, pair, model)
    data = load_pair_data(artefacts, settings.domains)
    device = choose_device(shared.device)
    torch.use_deterministic_algorithms(True, warn_only=True)
    network = build(model, settings, data.catalogue, shared.seed)
    result = train(network, data.sequences, data.catalogue, settings, shared, device)
    network.load_state_dict(result.weights)
    config = {
        "model": model,
        "seed": shared.seed,
        "settings": settings.model_dump(),
        "n_x": data.catalogue.n_x,
        "n_y": data.catalogue.n_y,
        "n_users": data.catalogue.n_users,
        "best_epoch": result.best_epoch,
        "valid_ndcg@10": result.best_score,
        "parameters": sum(parameter.numel() for parameter in network.parameters()),
    }
    save(artefacts.model(model), network, config)
    write_text(artefacts.training_log(model), to_csv(result.log))
    facts = {key: config[key] for key in ("best_epoch", "valid_ndcg@10", "parameters")}
    summary(f"{model} on {pair}", {**facts, "epochs": len(result.log) - 1, "device": str(device)})


if __name__ == "__main__":
    run_stage(main, __doc__, "pair", "model")
