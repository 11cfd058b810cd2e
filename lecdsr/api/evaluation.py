"""Metrics of a model and comparisons of two models, as data frames."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pandas as pd
import pyarrow as pa
import torch

from lecdsr.api.dataset import Dataset, require_dataset
from lecdsr.config.load import check_values
from lecdsr.core.console import silent
from lecdsr.core.device import choose_device
from lecdsr.core.errors import InputError, input_errors
from lecdsr.core.schemas import DOMAINS, SPLITS
from lecdsr.data.everything import is_production
from lecdsr.data.load import PairData
from lecdsr.evaluate.beyond import beyond_accuracy
from lecdsr.evaluate.compare import METRICS, PROTOCOLS, Comparison, Options, Row, Side
from lecdsr.evaluate.compare import compare as compare_ranks
from lecdsr.evaluate.evaluate import held_out, metrics_of, rank_held_out
from lecdsr.evaluate.lists import TopItems
from lecdsr.evaluate.metrics import per_target
from lecdsr.evaluate.ranks import Observer
from lecdsr.evaluate.settings import Settings
from lecdsr.evaluate.significance import RESAMPLES
from lecdsr.evaluate.slices import KINDS

if TYPE_CHECKING:
    from lecdsr.api.model import Model

HELD_OUT = SPLITS[1:]


@input_errors()
def evaluate(model: Model, data: Dataset, *, exclude_history: bool = True, batch_size: int = 512) -> pd.DataFrame:
    """Rank the validation and test targets of a dataset with a model, and average the metrics over users.

    Args:
        model: a fitted or loaded model.
        data: the dataset it was fitted on, or one with the same items and users.
        exclude_history: exclude items of the history from the full ranking.
        batch_size: number of targets scored at once.

    Returns:
        Columns ``split`` (``valid``, ``test``), ``domain``, ``protocol`` (``full``: all items of the domain,
        ``sampled``: the drawn negatives), ``metric`` and ``value``. The test rows of ``full`` also hold the
        beyond-accuracy metrics of the ten best items of every target, such as ``coverage@10`` (docs/evaluation.md).

    Raises:
        ValueError: the model is not fitted, or fitted on other items or users.
    """
    pair = _pair_data(model, data)
    top = TopItems(held_out(pair.sequences), pair.info.n_x)
    ranks = _rank(model, data, pair, {"exclude_history": exclude_history, "batch_size": batch_size}, top)
    categories = data.tables.items["categories"]
    metrics = metrics_of(ranks, beyond_accuracy(top.table(), pair.sequences, pair.info, categories))
    names = dict(zip(DOMAINS, data.domains, strict=True))
    rows = [
        (split, names[domain], protocol, metric, value)
        for split, domains in metrics.items()
        for domain, block in domains.items()
        for protocol in PROTOCOLS
        for metric, value in block[protocol].items()
    ]
    return pd.DataFrame(rows, columns=["split", "domain", "protocol", "metric", "value"])


@input_errors()
def compare(
    a: Model | Sequence[Model],
    b: Model | Sequence[Model],
    data: Dataset,
    *,
    split: str = "test",
    protocols: Sequence[str] = PROTOCOLS,
    metrics: Sequence[str] = METRICS,
    slices: Sequence[str] = (),
    resamples: int = RESAMPLES,
) -> pd.DataFrame:
    """Compare two models on the same targets, and test whether the difference may be chance.

    Tests are paired by user (docs/evaluation.md); ``p_holm`` is adjusted for all rows of the frame.

    Args:
        a: a model, or a list of models trained with several seeds, whose metrics are averaged.
        b: the model or models to compare with.
        data: dataset whose targets are ranked.
        split: ``test`` or ``valid``.
        protocols: ``full``, ``sampled`` or both.
        metrics: names such as ``ndcg@10``, ``hr@10``, ``mrr``.
        slices: kinds of slices, of ``training``, ``history``, ``ties``; adds a column ``slice``.
        resamples: number of bootstrap resamples per interval.

    Returns:
        Columns ``domain``, ``protocol``, ``metric``, ``a``, ``b`` (means over users), ``difference``, ``low`` and
        ``high`` (95 % interval), ``effect_size``, ``p``, ``p_holm``, ``better`` (``a``, ``b`` or missing).

    Raises:
        ValueError: a model is not fitted, or fitted on other items or users; or an option is unknown.
    """
    known = tuple(per_target(torch.ones(1).numpy()))
    for name, values, choices in (
        ("split", (split,), HELD_OUT), ("protocols", protocols, PROTOCOLS), ("metrics", metrics, known),
        ("slices", slices, KINDS),
    ):  # fmt: skip
        _require(name, values, choices)
    sides = [_side(name, models, data) for name, models in (("a", a), ("b", b))]
    options = Options(SPLITS.index(split), tuple(protocols), tuple(metrics), tuple(slices), resamples)
    with silent():
        rows = compare_ranks([Comparison(*sides)], options)
    names = dict(zip(DOMAINS, data.domains, strict=True))
    found = pd.DataFrame([_described(row, names) for row in rows])
    return found if slices else found.drop(columns="slice")


def rank(model: Model, data: Dataset, exclude_history: bool = True, batch_size: int = 512) -> pa.Table:
    """Rank every validation and test target, as the stage ``evaluate`` does.

    Raises:
        UserError: the model is not fitted, or fitted on other items or users.
    """
    values = {"exclude_history": exclude_history, "batch_size": batch_size}
    return _rank(model, data, _pair_data(model, data), values)


def _pair_data(model: Model, data: Dataset) -> PairData:
    """Return the data as a model reads them, if it can be evaluated on them."""
    require_dataset(data)
    if is_production(model.config):
        raise InputError(
            f"the model {model.model!r} was trained on every interaction, so no target is left to evaluate it on",
            do="evaluate the model that it was refitted from",
        )
    trained = model.settings
    if not model.data.same_ids(data):
        raise InputError(
            f"the model {model.model!r} was fitted on {model.data.name!r}, which has other items or users",
            where="data",
            do="pass the data that it was fitted on",
            code="other-data",
        )
    return data.pair_data(trained.domains, trained.order, model.config["seed"], trained.profiles_read)


def _rank(
    model: Model, data: Dataset, pair: PairData, values: dict[str, Any], observe: Observer | None = None
) -> pa.Table:
    device, length = choose_device(), model.settings.history_length
    settings = check_values(Settings, values, "evaluate")
    network = model.network.to(device)
    try:
        return rank_held_out(network, pair.sequences, pair.info, data.candidates, length, settings, device, observe)
    finally:
        network.cpu()


def _side(name: str, models: Model | Sequence[Model], data: Dataset) -> Side:
    listed = list(models) if isinstance(models, Sequence) else [models]
    if not listed:
        raise InputError(
            "the list of models is empty", where=name, do="pass at least one fitted model", code="empty-list"
        )
    return Side(name, [f"{name} ({model.model})" for model in listed], [rank(model, data) for model in listed])


def _require(name: str, values: Sequence[str], choices: Sequence[str]) -> None:
    if isinstance(values, str) or not all(value in choices for value in values) or (name != "slices" and not values):
        raise InputError(
            f"{name!r} is {values!r}, expected a list of some of {', '.join(choices)}",
            where=f"compare: {name}",
            do=f"pass a list, such as [{choices[0]!r}]",
            code="wrong-value",
        )


def _described(row: Row, domains: dict[str, str]) -> dict[str, Any]:
    return {
        "domain": domains[row.domain],
        "slice": row.slice,
        "protocol": row.protocol,
        "metric": row.metric,
        "a": row.a.mean,
        "b": row.b.mean,
        "difference": row.paired.difference,
        "low": row.paired.low,
        "high": row.paired.high,
        "effect_size": row.paired.effect_size,
        "p": row.paired.p,
        "p_holm": row.p_holm,
        "better": row.better,
    }


class _CallablePackage(ModuleType):
    """Module type that makes ``lecdsr.evaluate(model, data)`` callable, although it is also a package."""

    def __call__(self, model: Model, data: Dataset, **options: Any) -> pd.DataFrame:
        return evaluate(model, data, **options)


sys.modules["lecdsr.evaluate"].__class__ = _CallablePackage
