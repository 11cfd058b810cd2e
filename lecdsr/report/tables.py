"""Tables of the report, which show the content of the figures as numbers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from lecdsr.card.statistics import TEXTS
from lecdsr.core.console import format_value
from lecdsr.core.schemas import DOMAINS
from lecdsr.evaluate.compare import PROTOCOLS
from lecdsr.evaluate.slices import ALL
from lecdsr.report.draw import Value
from lecdsr.report.estimates import MAIN, METRICS, Estimate, pick
from lecdsr.report.experiments import Recorded, methods, seeds, value

Domains = Mapping[str, str]
Facts = Mapping[str, Any]
NONE = "–"


class Cell(NamedTuple):
    """A value, a note in smaller type, and whether the value is the best of its column."""

    text: str
    note: str = ""
    best: bool = False


class Table(NamedTuple):
    """A table whose first column names the row and whose other columns are values."""

    caption: str
    head: Sequence[str]
    rows: Sequence[Sequence[Cell]]


class Training(NamedTuple):
    """Training of a model: its config, its training time, and the epochs in its log."""

    config: Facts
    times: Facts
    epochs: int


def metric_tables(found: Sequence[Estimate], domains: Domains, negatives: float) -> list[Table]:
    """Tabulate every metric with its interval: one table per domain and protocol, one row per model."""
    tables = []
    for key, name in domains.items():
        for protocol in PROTOCOLS:
            chosen = pick(found, domain=key, protocol=protocol, slice=ALL)
            if not chosen:
                continue
            rows = [
                [Cell(model), Cell(f"{own[0].users:,}"), *(_estimate(one, chosen) for one in own)]
                for model in dict.fromkeys(one.model for one in chosen)
                for own in [pick(chosen, model=model)]
            ]
            caption = f"test, {name}, {_against(protocol, negatives)}"
            tables.append(Table(caption, ("model", "users", *METRICS), rows))
    return tables


def validation_tables(metrics: Mapping[str, Facts], domains: Domains, negatives: float) -> list[Table]:
    """Tabulate the validation metrics, by which models and settings are chosen, without intervals."""
    tables = []
    for key, name in domains.items():
        blocks = {model: facts["valid"][key] for model, facts in metrics.items() if key in facts.get("valid", {})}
        for protocol in PROTOCOLS:
            best = {metric: max((one[protocol][metric] for one in blocks.values()), default=0) for metric in METRICS}
            rows = [
                [Cell(model), Cell(f"{one['users']:,}"), *(_plain(one[protocol][m], best[m]) for m in METRICS)]
                for model, one in blocks.items()
            ]
            if rows:
                caption = f"validation, {name}, {_against(protocol, negatives)}"
                tables.append(Table(caption, ("model", "users", *METRICS), rows))
    return tables


def slice_tables(found: Sequence[Estimate], domains: Domains) -> list[Table]:
    """Tabulate NDCG@10 on slices: one table per domain and protocol, one row per slice, one column per model."""
    tables = []
    for key, name in domains.items():
        for protocol in PROTOCOLS:
            chosen = pick(found, domain=key, protocol=protocol, metric=MAIN)
            models = list(dict.fromkeys(one.model for one in chosen))
            rows = []
            for part in dict.fromkeys(one.slice for one in chosen):
                own = {one.model: one for one in pick(chosen, slice=part)}
                cells = [_estimate(own[model], list(own.values())) if model in own else Cell(NONE) for model in models]
                rows.append([Cell(_named(part)), Cell(f"{next(iter(own.values())).targets:,}"), *cells])
            if rows:
                caption = f"test, {name}, {protocol} ranking, {MAIN}"
                tables.append(Table(caption, ("targets", "number", *models), rows))
    return tables


def training_table(trained: Mapping[str, Training]) -> Table:
    """Tabulate the training of each model."""
    head = ("model", "epochs", "best epoch", f"validation {MAIN}", "parameters", "seconds", "device", "threads")
    rows = [
        [
            Cell(model),
            *map(_shown, (one.epochs, one.config.get("best_epoch"))),
            Cell(f"{one.config[f'valid_{MAIN}']:.4f}"),
            *map(_shown, (one.config.get("parameters"), *(one.times.get(n) for n in ("seconds", "device", "threads")))),
        ]
        for model, one in trained.items()
    ]
    return Table("training of each model", head, rows)


def experiment_table(recorded: Recorded, domains: Domains) -> Table:
    """Tabulate methods and controls over seeds: NDCG@10 and HR@10 in both protocols."""
    places = [(key, way, metric) for key in domains for way in PROTOCOLS for metric in (MAIN, "hr@10")]
    head = ("method", "seeds", *(f"{domains[key]}, {way}, {metric}" for key, way, metric in places))
    rows = []
    for one in methods(recorded):
        cells = [_over_seeds(value(recorded, one, f"test.{key}.{way}.{metric}")) for key, way, metric in places]
        rows.append([Cell(one.label), Cell(f"{seeds(recorded, one)}"), *cells])
    return Table("methods and controls, mean and standard deviation over seeds", head, rows)


def card_tables(facts: Facts | None) -> list[Table]:
    """Tabulate the main figures of the data card."""
    if facts is None:
        return []
    names = [facts["pair"]["domains"][key] for key in DOMAINS]
    counts, items, test = facts["counts"], facts["items"], facts["held_out"]["test"]
    lengths = facts["lengths"]
    sizes = [
        _by_domain("items", [counts[f"items_{key}"] for key in DOMAINS]),
        _by_domain("interactions", [counts[f"interactions_{key}"] for key in DOMAINS]),
        _by_domain("users", [lengths[key]["count"] for key in DOMAINS]),
        _by_domain("interactions per user, median", [lengths[key]["median"] for key in DOMAINS]),
        _by_domain("Gini coefficient of the items", [items[key]["gini"] for key in DOMAINS]),
        *(
            _by_domain(
                f"items with {band} training interactions", [items[key]["training_tail"][band] for key in DOMAINS]
            )
            for band in items["x"]["training_tail"]
        ),
        *(
            _by_domain(
                f"items without {'any text' if part == 'all' else part}",
                [facts["texts"][key]["without"][part] for key in DOMAINS],
            )
            for part in (*TEXTS, "all")
        ),
        _by_domain("test targets", [test[key]["targets"] for key in DOMAINS]),
        _by_domain(
            "test targets whose item has no training interactions", [test[key]["unseen_in_training"] for key in DOMAINS]
        ),
    ]
    later = facts["training_later_than_test_share"]
    both = {
        "users": counts["users"],
        "users of both domains": facts["users"]["both"],
        "first day": counts["first_day"],
        "last day": counts["last_day"],
        "test targets on the same day as the item before": _percent(facts["test_tied_share"]),
        "training interactions later than the test target, mean": _percent(later),
    }
    return [Table("each domain", ("", *names), sizes), fact_table("both domains", both)]


def fact_table(caption: str, facts: Facts) -> Table:
    """Tabulate one fact per row."""
    return Table(caption, (), [[Cell(str(name)), Cell(format_value(fact))] for name, fact in facts.items()])


def _against(protocol: str, negatives: float) -> str:
    return f"against a sample of {negatives:.0f} items" if protocol == "sampled" else "against all items"


def _estimate(one: Estimate, rivals: Iterable[Estimate]) -> Cell:
    best = one.mean > 0 and one.mean == max(other.mean for other in rivals if other.metric == one.metric)
    return Cell(f"{one.mean:.4f}", "" if one.low is None else f"{one.low:.4f}–{one.high:.4f}", best)


def _plain(figure: float, best: float) -> Cell:
    return Cell(f"{figure:.4f}", best=figure == best > 0)


def _over_seeds(found: Value | None) -> Cell:
    if found is None:
        return Cell(NONE)
    return Cell(f"{found.mean:.4f}", "" if found.high is None else f"± {found.high - found.mean:.4f}")


def _named(part: str) -> str:
    if part == ALL:
        return "all"
    if part.startswith("history "):
        return f"user with {part.removeprefix('history ')} earlier interactions in the domain"
    if part in ("tied", "untied"):
        return "same day as the item before" if part == "tied" else "later day than the item before"
    return f"item with {part} training interactions"


def _by_domain(name: str, figures: Iterable[object]) -> list[Cell]:
    return [Cell(name), *map(_shown, figures)]


def _shown(figure: object) -> Cell:
    return Cell(NONE if figure is None else format_value(figure))


def _percent(share: float | None) -> str:
    return NONE if share is None else f"{100 * share:.1f} %"
