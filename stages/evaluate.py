"""Rank the validation and test targets of one model under full and sampled ranking.

Reads the sequences, vectors, candidates and the trained model of a pair. Writes one row per target to
data/PAIR/ranks/MODEL.parquet, the ten best items of every test target to data/PAIR/lists/MODEL.parquet, the metrics to
metrics/PAIR/MODEL.json, and the few of them that DVC shows to metrics/PAIR/summary/MODEL.json.
"""

from lecdsr.config.resolved import read_resolved
from lecdsr.core.console import console
from lecdsr.core.device import choose_device
from lecdsr.core.files import read_table, write_json, write_table
from lecdsr.core.paths import Artefacts
from lecdsr.core.schemas import CANDIDATES, ITEMS, LISTS, RANKS
from lecdsr.core.stage import run_stage
from lecdsr.data.load import load_pair_data
from lecdsr.evaluate.beyond import beyond_accuracy
from lecdsr.evaluate.evaluate import held_out, metrics_of, rank_held_out, summary_of
from lecdsr.evaluate.lists import TopItems
from lecdsr.evaluate.metrics_table import beyond_table, metrics_table
from lecdsr.evaluate.provenance import provenance
from lecdsr.evaluate.settings import Settings
from lecdsr.models.saved import load, read_config


def main(pair: str, model: str) -> None:
    """Run the stage for one pair and model."""
    artefacts = Artefacts(pair)
    settings = read_resolved(artefacts.stage_settings("evaluate"), Settings).settings
    config, trained = read_config(artefacts.model(model))
    data = load_pair_data(artefacts, trained.domains, trained.order, config["seed"], trained.profiles_read)
    device = choose_device()
    network = load(artefacts.model(model), data.info).to(device)
    candidates = read_table(artefacts.candidates, CANDIDATES)
    length = trained.history_length
    top = TopItems(held_out(data.sequences), data.info.n_x)
    ranks = rank_held_out(network, data.sequences, data.info, candidates, length, settings, device, top)
    lists = top.table()
    categories = read_table(artefacts.items, ITEMS, ["categories"])["categories"]
    metrics = metrics_of(ranks, beyond_accuracy(lists, data.sequences, data.info, categories))
    write_table(artefacts.ranks(model), ranks, RANKS)
    write_table(artefacts.lists(model), lists, LISTS)
    write_json(artefacts.model_summary(model), summary_of(model, metrics))
    write_json(
        artefacts.model_metrics(model), {**metrics, "run": provenance(artefacts, config, settings.exclude_history)}
    )
    console.print(metrics_table(f"Test metrics on {pair}", {model: metrics}))
    console.print(beyond_table(f"Beyond accuracy on {pair}: ten best items of every test target", {model: metrics}))


if __name__ == "__main__":
    run_stage(main, __doc__, "pair", "model")
