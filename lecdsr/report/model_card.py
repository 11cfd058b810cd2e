"""Write the model card of a trained model as Markdown (after Mitchell et al., FAT* 2019)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lecdsr.core.markdown import text_table
from lecdsr.core.schemas import DOMAINS

COLUMNS = (("full", "ndcg@10"), ("full", "hr@10"), ("full", "mrr"), ("sampled", "ndcg@10"), ("sampled", "hr@10"))
USE = """\
Ranks items of two domains for users and histories of the pair it was trained on. It knows only the items of that pair;
for other items or a later catalogue, train it again. It learned from past interactions and repeats the biases of the
data; see the slices of `lecdsr compare` for rare items and short histories. It was not tested for differences between
groups of people. Do not use it for decisions about people."""
SYNTHETIC = "**The pair is synthetic**: its users, items and texts are generated. Figures say nothing about real data."
#: What the fingerprints in a config are of.
FINGERPRINTS = {
    "weights": "the weights",
    "settings": "name, settings and seed",
    "items": "the ids of the items",
    "users": "the ids of the users",
    "training": "the counts and days of training",
    "texts": "the text vectors of the items",
}
NOT_EVALUATED = (
    "None, because no interaction was held out. `metrics/{}/{}.json` are those of the model that validation chose."
)


def model_card(
    pair: str,
    config: Mapping[str, Any],
    synthetic: bool = False,
    metrics: Mapping[str, Any] | None = None,
    provenance: Mapping[str, Any] | None = None,
) -> str:
    """Write a model card; the same arguments give the same text, so that the hash of a model's folder is reproducible.

    Args:
        pair: name of the domain pair.
        config: content of ``config.json`` of the model.
        synthetic: whether the pair is generated.
        metrics: content of ``metrics/PAIR/MODEL.json``; None before the model is evaluated.
        provenance: provenance of the metrics (their block ``run``); None before the model is evaluated.

    Raises:
        KeyError: the config lacks a key that every trained model has.
    """
    name = str(config["model"])
    parts = [f"# Model card: `{name}` on `{pair}`"]
    if synthetic:
        parts.append(SYNTHETIC)
    parts += ["## What it is", _facts(config), "## Intended use and limitations", USE]
    parts += ["## Training", _training(config), "### Settings", _settings(config["settings"])]
    production = config.get("trained_on") == "all"
    parts += ["## Evaluation", NOT_EVALUATED.format(pair, name) if production else _evaluation(pair, name, metrics)]
    if provenance is not None:
        parts += [
            "## Provenance of the metrics",
            text_table(("", ""), [(key, _value(provenance[key])) for key in provenance]),
        ]
    return "\n\n".join(parts) + "\n"


def _facts(config: Mapping[str, Any]) -> str:
    rows = [
        ("parameters", f"{config['parameters']:,}"),
        ("items of X and of Y", f"{config['n_x']:,} and {config['n_y']:,}"),
        ("users", f"{config['n_users']:,}"),
        ("files", "`model.safetensors` (weights only, no code), `config.json` (model, settings, sizes, fingerprints)"),
        ("formulas", "docs/model.md"),
        ("made with", f"lecdsr {config['lecdsr']}"),
        *((f"SHA-256 of {FINGERPRINTS[name]}", f"`{value}`") for name, value in config["sha256"].items()),
    ]
    return text_table(("", ""), rows)


def _training(config: Mapping[str, Any]) -> str:
    if config.get("trained_on") == "all":
        epochs, falling = len(config["schedule"]), sum(last < first for first, last in config["schedule"])
        return (
            f"Seed {config['seed']}. Trained on every interaction, including those of validation and test, with the "
            f"settings and the schedule that validation chose: {epochs} epochs, the last {falling} of them with a "
            "falling learning rate."
        )
    score = config["valid_ndcg@10"]
    return (
        f"Seed {config['seed']}. The weights are those of epoch {config['best_epoch']}, which has the best NDCG@10 on "
        f"validation (full ranking, mean of both domains): {score:.4f}.{_fitted(config)}"
    )


def _fitted(config: Mapping[str, Any]) -> str:
    """Tell that weights were fitted to validation after the epoch was chosen."""
    if not config.get("term_weights"):
        return ""
    return (
        " The weights of the terms of the score (`term_weights` in `config.json`) were fitted to the validation "
        "targets after that; the figure is the one before."
    )


def _settings(settings: Mapping[str, Any]) -> str:
    if not settings:
        return "None."
    return text_table(("setting", "value"), [(f"`{key}`", _value(value)) for key, value in settings.items()])


def _evaluation(pair: str, name: str, metrics: Mapping[str, Any] | None) -> str:
    if metrics is None:
        return f"See `metrics/{pair}/{name}.json`, written by the stage `evaluate`."
    head = ("domain", "users", *(f"{metric}, {protocol}" for protocol, metric in COLUMNS))
    blocks = [(domain, metrics["test"][domain]) for domain in DOMAINS if domain in metrics.get("test", {})]
    rows = [
        (domain, f"{block['users']:,}", *(f"{block[protocol][metric]:.4f}" for protocol, metric in COLUMNS))
        for domain, block in blocks
    ]
    return "Test split, one seed. Rules: docs/evaluation.md.\n\n" + text_table(head, rows)


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {number:,}" for name, number in value.items())
    return f"`{value}`" if isinstance(value, str) else str(value)
