"""Write the results page, whose tables are filled only from recorded runs; missing runs are marked."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jinja2
import numpy as np

from lecdsr.core.markdown import Markdown, escape, table
from lecdsr.core.schemas import DOMAINS
from lecdsr.evaluate.compare import PROTOCOLS
from lecdsr.evaluate.slices import ALL
from lecdsr.experiments.config import Experiments
from lecdsr.experiments.plan import CONTROL, GRID, SEED
from lecdsr.experiments.records import Row, compact, has_parameters
from lecdsr.report.rank_order import RankOrder, rank_order

PUBLISHED_BASELINES = Path(__file__).with_name("published_baselines.csv")
METRICS = ("hr@10", "ndcg@10", "mrr")
HEADINGS = {"hr@5": "HR@5", "hr@10": "HR@10", "ndcg@10": "NDCG@10", "mrr": "MRR"}
MISSING = Markdown("not run")


class PairFacts(NamedTuple):
    """Name of a pair, its domains, its split and its number of negatives."""

    pair: str
    domains: tuple[str, str]
    split: str
    negatives: int


class Recorded(NamedTuple):
    """Records of a pair: declared experiments, runs, slices, and comparisons of the best method."""

    facts: PairFacts
    declared: Experiments
    rows: list[Row]
    slices: list[Row]
    tests: dict[str, Any] | None


def page(pairs: Sequence[Recorded]) -> str:
    """Write the results page as Markdown."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("lecdsr.report", "templates"),
        autoescape=False,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    command = " ".join(["lecdsr results", *(f"--pair {one.facts.pair}" for one in pairs)])
    sections = [_section(one) for one in pairs]
    return environment.get_template("results.md.jinja").render(pairs=sections, order=_order(pairs), command=command)


def best_method(recorded: Recorded) -> str | None:
    """Return the method with the best mean validation score among those with complete runs; None without records."""
    scores = {
        method: float(np.mean([float(row["valid_ndcg@10"]) for row in rows]))
        for method in recorded.declared.methods
        if (rows := complete_runs(recorded, method))
    }
    return max(scores, key=lambda method: scores[method], default=None)


def other_methods(recorded: Recorded, best: str) -> list[str]:
    """List the methods with complete runs that use another model than the best method."""
    methods = recorded.declared.methods
    others = [method for method in methods if methods[method].model != methods[best].model]
    return [method for method in others if complete_runs(recorded, method)]


def most_seeds(recorded: Recorded) -> int:
    """Return the largest number of seeds of a trainable method; methods with fewer are shown but not compared."""
    runs = [_of(recorded.rows, method, SEED) for method in recorded.declared.methods]
    return max((len(rows) for rows in runs if _any_parameters(rows)), default=1)


def complete_runs(recorded: Recorded, method: str) -> list[Row]:
    """Return the runs of a method's chosen setting; none if it is trainable and another method has more seeds."""
    rows = _of(recorded.rows, method, SEED)
    return rows if not _any_parameters(rows) or len(rows) == most_seeds(recorded) else []


def _any_parameters(rows: Sequence[Row]) -> bool:
    return any(map(has_parameters, rows))


def compared_runs(recorded: Recorded, best: str) -> dict[str, list[str]]:
    """Return the experiments to compare by method: the best method, and the methods of other models."""
    methods = (best, *other_methods(recorded, best))
    return {method: [row["experiment"] for row in complete_runs(recorded, method)] for method in methods}


def matches_runs(tests: dict[str, Any], best: str, names: dict[str, list[str]]) -> bool:
    """Return whether stored comparisons are of ``best`` and only of runs in ``names`` (see :func:`compared_runs`)."""
    return bool(tests["best"] == best) and all(
        names.get(method) == some for method, some in tests["experiments"].items()
    )


def _section(one: Recorded) -> dict[str, Any]:
    best = best_method(one)
    rankings = _rankings(one)
    return {
        **one.facts._asdict(),
        "seeds": len(one.declared.seeds),
        "budget": one.declared.budget,
        "best": best,
        "compared_seeds": most_seeds(one),
        "left": [method for method in one.declared.methods if not complete_runs(one, method)],
        "published": sorted({row["source"] for row in _published_baselines(one.facts)}),
        "methods": [{"title": _title(name, way), "table": _methods(one, code, way)} for code, name, way in rankings],
        "tests": None if best is None else _tests(one, best),
        "controls": _controls(one) if one.declared.controls else None,
        "slices": [{"title": _title(name, way), "table": _slices(one, code, way)} for code, name, way in rankings],
        "tried": _tried(one),
        "machines": _machines(one),
        "commands": _commands(one),
    }


def _order(pairs: Sequence[Recorded]) -> RankOrder | None:
    """Compare the order of the methods that have a run in every pair; None for fewer than two methods."""
    methods = [method for method in pairs[0].declared.methods if all(_of(one.rows, method, SEED) for one in pairs)]
    if len(methods) < 2:
        return None
    scores = {}
    for one in pairs:
        for code, name, way in _rankings(one):
            column = f"test.{code}.{way}.ndcg@10"
            means = [_average(_of(one.rows, method, SEED), column) for method in methods]
            scores[f"{escape(one.facts.pair)}, {_title(name, way)}"] = dict(zip(methods, means, strict=True))
    return rank_order(scores)


def _average(rows: Sequence[Row], column: str) -> float:
    """Average a metric over runs; 0 if the domain has no targets."""
    values = _values(rows, column)
    return float(np.mean(values)) if values else 0.0


def _rankings(one: Recorded) -> list[tuple[str, str, str]]:
    """List code and name of each domain together with each protocol."""
    return [(code, name, way) for code, name in zip(DOMAINS, one.facts.domains, strict=True) for way in PROTOCOLS]


def _title(domain: str, protocol: str) -> str:
    return f"{escape(domain)}, {protocol} ranking"


def _methods(one: Recorded, domain: str, protocol: str) -> str:
    head = [Markdown("method"), *(Markdown(HEADINGS[metric]) for metric in METRICS), "parameters", "seconds"]
    body: list[list[object]] = []
    if protocol == "sampled":
        for method, rows in _grouped(_published_baselines(one.facts), "method"):
            found = {row["metric"]: row for row in rows if row["domain"] == domain}
            cells = [_published_cell(found.get(metric)) for metric in METRICS]
            body.append([Markdown(f"{escape(method)} (published)"), *cells, None, None])
    for method in one.declared.methods:
        rows = _of(one.rows, method, SEED)
        cells = [mean(rows, f"test.{domain}.{protocol}.{metric}") for metric in METRICS]
        size = int(rows[0]["parameters"]) if rows else None
        body.append([_named(method, rows, one), *cells, size, _mean(rows, "seconds", "{:.0f}")])
    return table(head, body)


def _controls(one: Recorded) -> str:
    columns = {_title(name, way): f"test.{code}.{way}.ndcg@10" for code, name, way in _rankings(one)}
    head = [Markdown("control"), *map(Markdown, columns)]
    body: list[list[object]] = []
    for method in dict.fromkeys(control.method for control in one.declared.controls.values()):
        chosen = _of(one.rows, method, SEED)
        body.append([_named(method, chosen, one), *(mean(chosen, column) for column in columns.values())])
        for name, control in one.declared.controls.items():
            if control.method == method:
                rows = _of(one.rows, method, CONTROL, name)
                cells = [_against(rows, chosen, column) for column in columns.values()]
                body.append([_named(name, rows, one), *cells])
    return table(head, body)


def _slices(one: Recorded, domain: str, protocol: str) -> str | None:
    rows = [row for row in one.slices if (row["domain"], row["ranking"]) == (domain, protocol)]
    if not rows:
        return None
    names = [name for name in dict.fromkeys(row["slice"] for row in rows) if name != ALL]
    names = sorted(names, key=_slice_order)
    size = {row["slice"]: int(row["targets"]) for row in rows}
    body: list[list[object]] = [[Markdown("targets"), *(size[name] for name in names)]]
    sets = [(method, method, "") for method in one.declared.methods]
    sets += [(name, control.method, name) for name, control in one.declared.controls.items()]
    for label, method, control in sets:
        own = [row for row in rows if (row["method"], row["control"]) == (method, control)]
        if not own:
            continue
        cells = [mean([row for row in own if row["slice"] == name], "ndcg@10") for name in names]
        body.append([_named(label, _of(one.rows, method, CONTROL if control else SEED, control), one), *cells])
    return table(["method", *(Markdown(name) for name in names)], body)


def _slice_order(name: str) -> tuple[int, int, str]:
    kind = 1 if name.startswith("history") else 2 if name.endswith("tied") else 0
    number = "".join(filter(str.isdigit, name.split("–")[0]))
    return kind, int(number or 0), name


def _tests(one: Recorded, best: str) -> dict[str, Any] | None:
    """Make tables of the stored comparisons and list the methods not in them; None if they are of other runs."""
    runs = compared_runs(one, best)
    if one.tests is None or not matches_runs(one.tests, best, runs):
        return None
    names = dict(zip(DOMAINS, one.facts.domains, strict=True))
    head = ["domain", "ranking", "metric", "users", Markdown("A"), Markdown("B"), Markdown("A − B")]
    head += [Markdown("95 % interval"), Markdown("d_z"), Markdown("Holm p"), "detectable"]
    tables = []
    for comparison in one.tests["comparisons"]:
        body = [[names[row["domain"]], row["protocol"], Markdown(HEADINGS[row["metric"]]), row["users"],
                 *_statistics(row)] for row in comparison["rows"]]  # fmt: skip
        title = f"A = {escape(comparison['a']['name'])}, B = {escape(comparison['b']['name'])}"
        tables.append({"title": title, "table": table(head, body), "conclusion": escape(comparison["conclusion"])})
    unread = [method for method in runs if method not in one.tests["experiments"]]
    return {"tables": tables, "count": one.tests["tests"], "unread": unread}


def _statistics(row: dict[str, Any]) -> list[Markdown]:
    def shown(value: float | None, form: str) -> str:
        return "–" if value is None else form.format(value)

    low_high = row["interval"]
    p = row["p_holm"]
    return [
        Markdown(text)
        for text in (
            shown(row["a"]["mean"], "{:.4f}"),
            shown(row["b"]["mean"], "{:.4f}"),
            shown(row["difference"], "{:+.4f}"),
            "–" if low_high is None else f"{low_high[0]:+.4f} … {low_high[1]:+.4f}",
            shown(row["effect_size"], "{:+.3f}"),
            "<.0001" if p is not None and p < 0.0001 else shown(p, "{:.4f}"),
            shown(row["detectable"], "{:.4f}"),
        )
    ]


def _tried(one: Recorded) -> str:
    body: list[list[object]] = []
    for method, given in one.declared.methods.items():
        found = {row["setting"]: row for row in _of(one.rows, method, GRID)}
        chosen = {row["setting"] for row in _of(one.rows, method, SEED)}
        for point in given.grid:
            setting = compact({**given.set, **point})
            row = found.get(setting)
            score = Markdown(f"{float(row['valid_ndcg@10']):.4f}") if row else MISSING
            cells: list[object] = [int(row["best_epoch"]), _mean([row], "seconds", "{:.0f}")] if row else [None, None]
            body.append([method, Markdown(f"`{setting}`"), "chosen" if setting in chosen else "", score, *cells])
    return table(["method", "setting", "", Markdown("NDCG@10"), "best epoch", "seconds"], body)


def _commands(one: Recorded) -> list[dict[str, Any]]:
    """Return the command that repeats the runs of each method, and the names of its experiments."""
    found = []
    for method in one.declared.methods:
        rows = _of(one.rows, method, SEED)
        line = f"lecdsr tune --pair {one.facts.pair} --method {method}"
        found.append({"method": method, "command": line, "experiments": [row["experiment"] for row in rows]})
    return found


def _machines(one: Recorded) -> list[str]:
    """Describe what the runs were made on, most runs first; runs that did not record it are left out."""
    runs = {row["experiment"]: (row["processor"], row["torch"]) for row in one.rows if row["processor"]}
    return [
        f"{escape(name)} with PyTorch {torch} ({count} {'run' if count == 1 else 'runs'})"
        for (name, torch), count in Counter(runs.values()).most_common()
    ]


def mean(rows: Sequence[Row], column: str) -> Markdown:
    """Format the mean ± standard deviation (n - 1) over runs; only the value for one run."""
    return _mean(rows, column, "{:.4f}")


def _mean(rows: Sequence[Row], column: str, form: str) -> Markdown:
    values = _values(rows, column)
    if not values:
        return MISSING if not rows else Markdown("–")
    text = form.format(np.mean(values))
    return Markdown(text if len(values) == 1 else f"{text} ± {form.format(np.std(values, ddof=1))}")


def _values(rows: Sequence[Row], column: str) -> list[float]:
    """List the values of a column, without the runs that have none."""
    return [float(row[column]) for row in rows if row[column]]


def _against(rows: Sequence[Row], chosen: Sequence[Row], column: str) -> Markdown:
    """Format the mean of a control and, in brackets, its difference to the method under the same seeds."""
    seeds = {row["seed"] for row in rows}
    same = [row for row in chosen if row["seed"] in seeds]
    own, other = (_values(some, column) for some in (rows, same))
    text = mean(rows, column)
    return Markdown(f"{text} ({np.mean(own) - np.mean(other):+.4f})") if own and other else text


def _named(name: str, rows: Sequence[Row], one: Recorded) -> Markdown:
    """Format the name of a method, with the number of its seeds if some are missing."""
    seeds = len(one.declared.seeds)
    missing = _any_parameters(rows) and len(rows) < seeds
    return Markdown(f"{escape(name)} ({len(rows)} of {seeds} seeds)" if missing else escape(name))


def _of(rows: Iterable[Row], method: str, role: str, control: str = "") -> list[Row]:
    return [row for row in rows if (row["method"], row["role"], row["control"]) == (method, role, control)]


def _published_baselines(facts: PairFacts) -> list[Row]:
    """Read the published baselines of the same pair, split and number of negatives."""
    with open(PUBLISHED_BASELINES, encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    wanted = (facts.pair, facts.split, str(facts.negatives))
    return [row for row in rows if (row["pair"], row["split"], row["negatives"]) == wanted]


def _published_cell(row: Row | None) -> Markdown:
    return Markdown("–" if row is None else f"{float(row['mean']):.4f} ± {float(row['deviation']):.4f}")


def _grouped(rows: Iterable[Row], column: str) -> list[tuple[str, list[Row]]]:
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(row[column], []).append(row)
    return list(groups.items())
