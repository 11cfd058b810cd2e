"""The page as one self-contained HTML file; every text from data is escaped by the template engine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import jinja2

from lecdsr.base.console import format_value
from lecdsr.base.schemas import DOMAINS
from lecdsr.recommend.shop import Line

PROTOCOLS = ("sampled", "full")
METRICS = ("hr@1", "hr@5", "hr@10", "ndcg@5", "ndcg@10", "mrr", "mrr@10")


class Example(NamedTuple):
    """One user of the page: what he had, his profile, what comes next."""

    reviewer: str
    profile: str
    history: list[Line]
    recommendations: dict[str, list[Line]]


class Content(NamedTuple):
    """All that the page shows."""

    pair: str
    domains: tuple[str, str]
    synthetic: bool
    metrics: dict[str, dict[str, Any]]
    stages: dict[str, dict[str, Any]]
    curves: str
    example_model: str
    examples: list[Example]


def render(content: Content) -> str:
    """The page as HTML."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("lecdsr.report", "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["fact"] = format_value
    return environment.get_template("page.html.jinja").render(
        content._asdict(),
        tables=[
            {"split": split, "protocol": protocol, "key": key, "domain": domain, "rows": rows}
            for split in ("test", "valid")
            for protocol in PROTOCOLS
            for key, domain in zip(DOMAINS, content.domains, strict=True)
            if (rows := _rows(content.metrics, split, key, protocol))
        ],
        metric_names=METRICS,
        negatives=content.stages["candidates"]["negatives_mean"],
        domain_names=dict(zip(DOMAINS, content.domains, strict=True)),
    )


def _rows(metrics: Mapping[str, Mapping[str, Any]], split: str, domain: str, protocol: str) -> list[dict[str, Any]]:
    """One row per model, with a mark on the best value of every metric."""
    blocks = {name: model[split][domain] for name, model in metrics.items() if domain in model.get(split, {})}
    best = {metric: max((block[protocol][metric] for block in blocks.values()), default=0.0) for metric in METRICS}
    return [
        {
            "model": name,
            "users": block["users"],
            "cells": [
                (f"{block[protocol][metric]:.4f}", block[protocol][metric] == best[metric]) for metric in METRICS
            ],
        }
        for name, block in blocks.items()
    ]
