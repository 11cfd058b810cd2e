"""What texts of a language model add: descriptions of items and profiles of users, beside controls.

The pair must be built up to its answers, with descriptions and profiles (docs/llm.md, texts from a table). Every way of
using them is a method below. Models are trained with each seed, unless a method only changes how trained weights rank.
Settings come from `params.yaml` and the pair's file; choose them on validation, with --sweep.

    python benchmarks/llm_text.py --pair food_kitchen --folder FOLDER [--model tandem] [--methods titles ...]
        [--seeds 1 2 3] [--sweep profile_weight 0 0.1 0.3] [--split test]

`--folder` keeps weights and ranks, so that a run that was stopped goes on with the next training.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import torch
from rich.table import Table
from safetensors.torch import load_file, save_file
from torch import Tensor

from benchmarks.common.item_texts import ITEM_TEXTS
from benchmarks.common.measure import measure
from lecdsr.config.load import load_block, load_pair
from lecdsr.core.console import console, say, silent
from lecdsr.core.device import choose_device, has_bfloat16
from lecdsr.core.exit import exit_on_user_error
from lecdsr.core.files import atomic_path, read_table, write_table
from lecdsr.core.paths import Artefacts, enter_repository
from lecdsr.core.schemas import ANSWERS, CANDIDATES, ITEMS, RANKS, SPLITS, VALID
from lecdsr.data.load import PairData, load_pair_data
from lecdsr.embed.providers import encoder_of
from lecdsr.embed.settings import Settings as EmbedSettings
from lecdsr.embed.store import VectorStore, store_path
from lecdsr.evaluate.compare import Comparison, Options, Row, Side, compare
from lecdsr.evaluate.evaluate import metrics_of, rank_held_out
from lecdsr.evaluate.settings import Settings as EvaluateSettings
from lecdsr.models.registry import find_model
from lecdsr.models.saved import build
from lecdsr.train.fit import fit_model, prepare_process
from lecdsr.train.settings import SharedSettings
from lecdsr.train.term_weights import fit_term_weights

TITLES, DESCRIBED = "titles", "titles + descriptions"
NO_PROFILE = {"profile_text": "none"}


@dataclass(frozen=True)
class Method:
    """A way of using the texts.

    Args:
        items: texts of the items, a key of ``ITEM_TEXTS``.
        trained: settings of the model.
        ranked: settings changed after training, none of which changes the weights.
        against: method that it is compared with.
    """

    items: str = DESCRIBED
    trained: dict[str, Any] = field(default_factory=dict)
    ranked: dict[str, Any] = field(default_factory=dict)
    against: str = DESCRIBED


def methods_of(model: str) -> dict[str, Method]:
    """Return the methods that a model's settings can express."""
    settings = find_model(model).settings.model_fields
    if "profile_text" not in settings:
        return {items: Method(items, against=TITLES) for items in ITEM_TEXTS}
    items_alone = {items: Method(items, NO_PROFILE, against=TITLES) for items in ITEM_TEXTS}
    if "profile_query" not in settings:  # nothing is trained
        read = {"profile_text": "vectors"}
        controls = {"another user's": {"profile_text": "shuffled"}, "one vector": {**read, "profile_form": "whole"}}
        controls["older version"] = {**read, "profile_time": "older"}
        return {**items_alone, "profiles": Method(trained=read), **{n: Method(trained=c) for n, c in controls.items()}}
    pooled = {"profile_weight": 0.0}
    return {
        **items_alone,
        "untrained term": Method(
            trained=NO_PROFILE, ranked={"profile_text": "vectors", "profile_query": False, "profile_weight": 0.3}
        ),
        "query": Method(trained=pooled),
        "query + term": Method(trained=pooled, ranked={"profile_weight": None}),
        "query + term, another user's": Method(
            trained=pooled, ranked={"profile_weight": None, "profile_text": "shuffled"}
        ),
        "query + term, older version": Method(trained=pooled, ranked={"profile_weight": None, "profile_time": "older"}),
        "query + term, no profile": Method(trained=pooled, ranked={"profile_weight": None, "profile_time": "none"}),
        "query, one vector": Method(trained={**pooled, "profile_form": "whole"}),
        "query, as published": Method(trained={**pooled, "profile_time": "published"}),
    }


class Work(NamedTuple):
    """A training or a ranking of one method with one seed."""

    pair: str
    model: str
    seed: int
    items: str
    trained: dict[str, Any]

    def path(self, folder: Path, suffix: str, **more: Any) -> Path:
        """File of its result; ``more`` are further settings that decide it."""
        parts = json.dumps([*self, more], sort_keys=True)
        return (
            folder / f"{self.pair}-{self.model}-{self.seed}-{hashlib.sha256(parts.encode()).hexdigest()[:12]}.{suffix}"
        )


def load(work: Work, changed: dict[str, Any], device: torch.device) -> tuple[Any, SharedSettings, PairData]:
    """Settings, and the data with the texts of a method."""
    shared = load_block("train", SharedSettings, work.pair, "shared")
    shared = shared.model_copy(update={"seed": work.seed, "device": device.type})
    if not has_bfloat16(device):
        shared = shared.model_copy(update={"precision": "float32"})
    schema = find_model(work.model).settings
    default = load_block("train", schema, work.pair, work.model)
    wanted = {**work.trained, **changed}
    values = {key: getattr(default, key) if value is None else value for key, value in wanted.items()}
    without = values.get("profile_time") == "none"
    if without:
        values["profile_time"] = "before_target"
    settings = schema.model_validate({**default.model_dump(), **values})
    reading = (settings.domains, settings.order, work.seed, settings.profiles_read)
    data = load_pair_data(Artefacts(work.pair), *reading)
    sequences = replace(data.sequences, profiles=None) if without else data.sequences
    info = replace(data.info, item_vectors=item_vectors(work.pair, work.items))
    return settings, shared, PairData(info, sequences)


def item_vectors(pair: str, items: str) -> Tensor:
    """``[N+1, D]`` vectors of the texts of a method, from the vector store where they are known."""
    artefacts = Artefacts(pair)
    answers = read_table(artefacts.answers, ANSWERS).to_pandas()
    described = answers[(answers["kind"] == "item") & answers["text"].notna()].set_index("id")["text"]
    table = read_table(artefacts.items, ITEMS)
    views = ITEM_TEXTS[items](table, described.reindex(range(len(table)), fill_value="").tolist())
    encoder = encoder_of(load_block("embed", EmbedSettings, pair), os.environ)
    with VectorStore(store_path()) as store, silent(True):
        rows = encoder.encode_views(views, store)
    return torch.from_numpy(np.vstack([rows, np.zeros((1, rows.shape[1]), rows.dtype)]))


def train(work: Work, device: torch.device, path: Path) -> None:
    """Train one model, and write its weights."""
    prepare_process()
    settings, shared, data = load(work, {}, device)
    fitted = fit_model(work.model, settings, shared, data, quiet=True)
    with atomic_path(path) as temporary:
        weights = fitted.network.cpu().state_dict()
        save_file({name: value.contiguous() for name, value in weights.items()}, temporary)
    result = fitted.result
    say(f"{work.items}, {work.trained}, seed {work.seed}: epoch {result.best_epoch}, {result.best_score:.4f}")


def rank(work: Work, changed: dict[str, Any], device: torch.device, weights: Path, path: Path) -> None:
    """Rank the validation and test targets with trained weights, some settings changed."""
    prepare_process()
    settings, _, data = load(work, changed, device)
    network = build(work.model, settings, data.info, work.seed)
    if weights.exists():
        network.load_state_dict(load_file(weights), strict=False)
        network.to(device)
        valid = data.sequences.of_split(VALID)
        fit_term_weights(network, valid, data.info, settings.history_length, device, work.seed)
    else:
        network.count(data.sequences.of_split(0))
    network.to(device)
    chosen = load_block("evaluate", EvaluateSettings, work.pair)
    candidates = read_table(Artefacts(work.pair).candidates, CANDIDATES)
    with silent(True):
        ranks = rank_held_out(network, data.sequences, data.info, candidates, settings.history_length, chosen, device)
    write_table(path, ranks, RANKS)


class Bench(NamedTuple):
    """Where methods are trained and ranked, each in a process of its own; results that the folder has are kept."""

    folder: Path
    pair: str
    model: str
    device: torch.device

    def work(self, method: Method, seed: int) -> Work:
        """Return the training of a method."""
        return Work(self.pair, self.model, seed, method.items, method.trained)

    def train(self, work: Work) -> None:
        """Train, unless nothing is to be trained."""
        weights = work.path(self.folder, "safetensors")
        if find_model(self.model).recommender.objective != "counts" and not weights.exists():
            measure(train, work, self.device, weights)

    def ranks(self, method: Method, seed: int, more: dict[str, Any] | None = None) -> pa.Table:
        """Train and rank one method with one seed; ``more`` are further settings changed after training."""
        work, changed = self.work(method, seed), {**method.ranked, **(more or {})}
        path = work.path(self.folder, "parquet", **changed)
        if not path.exists():
            self.train(work)
            measure(rank, work, changed, self.device, work.path(self.folder, "safetensors"), path)
        return read_table(path, RANKS)

    def prepare(self, methods: Sequence[Method], seeds: Sequence[int], jobs: int) -> None:
        """Train and rank several methods at once; a training that methods share is done once."""
        runs = [(method, seed) for seed in seeds for method in methods]
        works = {str(work.path(self.folder, "")): work for work in (self.work(*run) for run in runs)}
        with ThreadPoolExecutor(jobs) as pool:
            list(pool.map(self.train, works.values()))
            list(pool.map(lambda run: self.ranks(*run), runs))


def sweep(bench: Bench, method: Method, seed: int, key: str, values: Sequence[float]) -> None:
    """Print the validation metrics of some values of a setting."""
    for value in values:
        metrics = metrics_of(bench.ranks(method, seed, {key: value}))[SPLITS[VALID]]
        found = {
            domain: f"{block['full']['ndcg@10']:.4f} {block['sampled']['ndcg@10']:.4f}"
            for domain, block in metrics.items()
        }
        say(f"{key} {value}: NDCG@10 over all items and among negatives: {found}")


def report(rows: Sequence[Row], names: Sequence[str], title: str) -> None:
    """Print both sides of each comparison and their difference with its interval."""
    table = Table(
        "method",
        "domain",
        "slice",
        "protocol",
        "metric",
        "targets",
        "against",
        "method",
        "difference",
        "p",
        title=title,
    )
    for row in rows:
        tested = row.paired
        low, high = tested.low or 0.0, tested.high or 0.0
        share = f"{tested.difference / row.b.mean:+.1%}" if row.b.mean else ""
        difference = f"{tested.difference:+.4f} ({low:+.4f} to {high:+.4f}) {share}"
        p = "" if tested.p is None else f"{tested.p:.3f}"
        cells = (row.domain, row.slice, row.protocol, row.metric, f"{row.targets:,}")
        table.add_row(names[row.comparison], *cells, f"{row.b.mean:.4f}", f"{row.a.mean:.4f}", difference, p)
    console.print(table)


@exit_on_user_error()
def main() -> None:
    """Train and rank the chosen methods, and compare each with what it adds to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pair", default="food_kitchen")
    parser.add_argument("--model", default="tandem")
    parser.add_argument("--methods", nargs="+", help="by default all")
    parser.add_argument("--against", help="method that all are compared with; by default what each adds to")
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3])
    parser.add_argument("--split", choices=SPLITS[1:], default="valid", help="look at test once, at the end")
    parser.add_argument("--slices", nargs="*", default=[], help="kinds of slices: training, history, ties")
    parser.add_argument("--sweep", nargs="+", help="a setting and its values, for the first method and seed")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--jobs", type=int, default=1, help="trainings at once")
    parser.add_argument("--folder", type=Path, required=True)
    chosen = parser.parse_args()
    enter_repository()
    load_pair(chosen.pair)
    os.environ["OMP_NUM_THREADS"] = str(chosen.threads)
    folder = chosen.folder.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    methods = methods_of(chosen.model)
    if chosen.against:
        methods = {name: replace(method, against=chosen.against) for name, method in methods.items()}
    names = chosen.methods or list(methods)
    if unknown := [name for name in [*names, *filter(None, [chosen.against])] if name not in methods]:
        parser.error(f"{chosen.model} has no method {unknown[0]!r}; it has {'; '.join(methods)}")
    compared = [name for name in names if name != methods[name].against]
    if not compared and not chosen.sweep:
        parser.error(f"nothing is compared: name a method beside {names[0]!r} with --methods")
    bench = Bench(folder, chosen.pair, chosen.model, choose_device(chosen.device, "--device"))

    def found(name: str) -> Side:
        sources = [str(seed) for seed in chosen.seeds]
        ranks = [bench.ranks(methods[name], seed) for seed in chosen.seeds]
        return Side(name, sources, ranks)

    if chosen.sweep:
        values = [float(value) for value in chosen.sweep[1:]]
        sweep(bench, methods[names[0]], chosen.seeds[0], chosen.sweep[0], values)
        return
    used = {name: methods[name] for name in [*names, *(methods[name].against for name in names)]}
    bench.prepare(list(used.values()), chosen.seeds, chosen.jobs)
    options = Options(SPLITS.index(chosen.split), slices=tuple(chosen.slices))
    rows = compare([Comparison(found(name), found(methods[name].against)) for name in compared], options)
    report(rows, compared, f"{chosen.model} on {chosen.pair}, {chosen.split}, {len(chosen.seeds)} seeds")


if __name__ == "__main__":
    main()
