"""Write the results page, whose tables are filled only from recorded runs; missing runs are marked."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import jinja2
import numpy as np

from lecdsr.core.markdown import ENTITIES, Markdown, escape, table, text_table
from lecdsr.core.schemas import DOMAINS
from lecdsr.evaluate.slices import ALL
from lecdsr.experiments.plan import CONTROL, GRID, SEED
from lecdsr.experiments.records import Row, compact
from lecdsr.report.claims import OLDER, opening, users_with_targets
from lecdsr.report.draw import Plot
from lecdsr.report.not_shown import not_shown
from lecdsr.report.rank_order import RankOrder, rank_order
from lecdsr.report.recorded import (
    Recorded,
    any_parameters,
    best_method,
    compared_runs,
    current_controls,
    current_tests,
    is_older,
    published_baselines,
    rankings,
    runs_of,
    values_of,
)

METRICS = ("hr@10", "ndcg@10", "mrr")
HEADINGS = {"hr@5": "HR@5", "hr@10": "HR@10", "ndcg@10": "NDCG@10", "mrr": "MRR"}
MISSING = Markdown("not run")


def page(
    pairs: Sequence[Recorded],
    others: Sequence[str] = (),
    images: Mapping[str, Plot] | None = None,
    sections: Sequence[str] = (),
) -> str:
    """Write the results page as Markdown: sentences to quote, charts, and an appendix of tables.

    Args:
        pairs: records of the pairs to show; that of a twin stands in the appendix.
        others: names of the other pairs of the repository, which are not shown.
        images: charts by path relative to the page.
        sections: sections written elsewhere, as Markdown that begins with a heading; placed after the charts.
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("lecdsr.report", "templates"),
        autoescape=False,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    every = [each for one in pairs for each in (one, one.twin) if each is not None]
    command = " ".join(["lecdsr results", *(f"--pair {one.facts.pair}" for one in every)])
    charts = [
        {"path": path, "alt": _image_text(plot.alt), "caption": _image_text(plot.caption)}
        for path, plot in (images or {}).items()
    ]
    return environment.get_template("results.md.jinja").render(
        pairs=[_section(one) for one in every],
        sentences=opening(pairs),
        users=users_with_targets(pairs),
        not_shown=not_shown(pairs, others),
        charts=charts,
        sections=[text.strip() for text in sections],
        order=_order(pairs),
        ordered=len(pairs),
        command=command,
        older=any(is_older(row, one) for one in every for row in one.rows),
    )


def _image_text(text: str) -> str:
    """Escape what would end the description of an image, or begin an HTML element."""
    return re.sub(r"[\[\]\\<&]", lambda match: ENTITIES.get(match[0], f"\\{match[0]}"), text)


def _section(one: Recorded) -> dict[str, Any]:
    best = best_method(one)
    places = rankings(one)
    return {
        **one.facts._asdict(),
        "seeds": len(one.declared.seeds),
        "budget": one.declared.budget,
        "best": best,
        "published": sorted({row["source"] for row in published_baselines(one.facts)}),
        "methods": [{"title": _title(name, way), "table": _methods(one, code, way)} for code, name, way in places],
        "times": _times(one),
        "tests": None if best is None else _tests(one, best),
        "controls": _controls(one) if one.declared.controls else None,
        "control_tests": _control_tests(one),
        "slices": [{"title": _title(name, way), "table": _slices(one, code, way)} for code, name, way in places],
        "tried": _tried(one),
        "machines": _machines(one),
        "runs": _runs(one),
    }


def _order(pairs: Sequence[Recorded]) -> RankOrder | None:
    """Compare the order of the methods that have a run in every pair; None for fewer than two methods."""
    methods = [method for method in pairs[0].declared.methods if all(runs_of(one.rows, method, SEED) for one in pairs)]
    if len(methods) < 2:
        return None
    scores = {}
    for one in pairs:
        for code, name, way in rankings(one):
            column = f"test.{code}.{way}.ndcg@10"
            means = [_average(runs_of(one.rows, method, SEED), column) for method in methods]
            scores[f"{escape(one.facts.pair)}, {_title(name, way)}"] = dict(zip(methods, means, strict=True))
    return rank_order(scores)


def _average(rows: Sequence[Row], column: str) -> float:
    """Average a metric over runs; 0 if the domain has no targets."""
    values = values_of(rows, column)
    return float(np.mean(values)) if values else 0.0


def _title(domain: str, protocol: str) -> str:
    return f"{escape(domain)}, {protocol} ranking"


def _methods(one: Recorded, domain: str, protocol: str) -> str:
    head = [Markdown("method"), *(Markdown(HEADINGS[metric]) for metric in METRICS), "parameters", "code"]
    body: list[list[object]] = []
    if protocol == "sampled":
        for method, rows in _grouped(published_baselines(one.facts), "method"):
            found = {row["metric"]: row for row in rows if row["domain"] == domain}
            cells = [_published_cell(found.get(metric)) for metric in METRICS]
            body.append([Markdown(f"{escape(method)} (published)"), *cells, None, None])
    for method in one.declared.methods:
        rows = runs_of(one.rows, method, SEED)
        cells = [mean(rows, f"test.{domain}.{protocol}.{metric}") for metric in METRICS]
        size = int(rows[0]["parameters"]) if rows else None
        body.append([_named(method, rows, one), *cells, size, _code(rows)])
    return table(head, body)


def _times(one: Recorded) -> str | None:
    """Seconds of training of every method on each machine, the machine with most runs first; None without runs."""
    runs = {method: rows for method in one.declared.methods if (rows := runs_of(one.rows, method, SEED))}
    places = Counter(row["processor"] for rows in runs.values() for row in rows)
    machines = [name for name, _ in places.most_common()]
    body: list[list[object]] = []
    for method, rows in runs.items():
        on = dict(_grouped(rows, "processor"))
        body.append([_named(method, rows, one), *(_seconds(on.get(name, [])) for name in machines)])
    return table(["method", *(name or "not recorded" for name in machines)], body) if body else None


def _seconds(rows: Sequence[Row]) -> Markdown:
    """Format the mean ± standard deviation of the seconds and, in brackets, the number of runs."""
    return Markdown(f"{_mean(rows, 'seconds', '{:,.0f}')} ({len(rows)})" if rows else "–")


def _controls(one: Recorded) -> str:
    columns = {_title(name, way): f"test.{code}.{way}.ndcg@10" for code, name, way in rankings(one)}
    head = [Markdown("control"), *map(Markdown, columns), "code"]
    body: list[list[object]] = []
    for method in dict.fromkeys(control.method for control in one.declared.controls.values()):
        chosen = runs_of(one.rows, method, SEED)
        cells = [mean(chosen, column) for column in columns.values()]
        body.append([_named(method, chosen, one), *cells, _code(chosen)])
        for name, control in one.declared.controls.items():
            if control.method == method:
                rows = runs_of(one.rows, method, CONTROL, name)
                cells = [_against(rows, chosen, column) for column in columns.values()]
                body.append([_named(name, rows, one), *cells, _code(rows)])
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
        body.append([_named(label, runs_of(one.rows, method, CONTROL if control else SEED, control), one), *cells])
    return table(["method", *(Markdown(name) for name in names)], body)


def _slice_order(name: str) -> tuple[int, int, str]:
    kind = 1 if name.startswith("history") else 2 if name.endswith("tied") else 0
    number = "".join(filter(str.isdigit, name.split("–")[0]))
    return kind, int(number or 0), name


def _tests(one: Recorded, best: str) -> dict[str, Any] | None:
    """Make tables of the stored comparisons and list the methods not in them; None if they are of other runs."""
    tests = current_tests(one)
    if tests is None:
        return None
    unread = [method for method in compared_runs(one, best) if method not in tests["experiments"]]
    return {"tables": _comparison_tables(one, tests["comparisons"]), "count": tests["tests"], "unread": unread}


def _control_tests(one: Recorded) -> dict[str, Any] | None:
    """Make tables of the stored comparisons of controls with their methods; None if there are none."""
    found = current_controls(one)
    if one.controls is None or not found:
        return None
    return {"tables": _comparison_tables(one, list(found.values())), "count": one.controls["tests"]}


def _comparison_tables(one: Recorded, comparisons: Sequence[dict[str, Any]]) -> list[dict[str, str]]:
    names = dict(zip(DOMAINS, one.facts.domains, strict=True))
    head = ["domain", "ranking", "metric", "users", Markdown("A"), Markdown("B"), Markdown("A − B")]
    head += [Markdown("95 % interval"), Markdown("d_z"), Markdown("Holm p"), "detectable"]
    tables = []
    for comparison in comparisons:
        body = [[names[row["domain"]], row["protocol"], Markdown(HEADINGS[row["metric"]]), row["users"],
                 *_statistics(row)] for row in comparison["rows"]]  # fmt: skip
        sides = [f"{letter} = {_counted(comparison[letter.lower()])}" for letter in "AB"]
        conclusion = escape(comparison["conclusion"])
        tables.append({"title": ", ".join(sides), "table": table(head, body), "conclusion": conclusion})
    return tables


def _counted(side: dict[str, Any]) -> str:
    """Format the name of one side of a comparison with the number of its seeds."""
    seeds = len(side["seeds"])
    return f"{escape(side['name'])} ({seeds} seed{'' if seeds == 1 else 's'})"


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
        found = {row["setting"]: row for row in runs_of(one.rows, method, GRID)}
        chosen = {row["setting"] for row in runs_of(one.rows, method, SEED)}
        for point in given.grid:
            setting = compact({**given.set, **point})
            row = found.get(setting)
            score = Markdown(f"{float(row['valid_ndcg@10']):.4f}") if row else MISSING
            cells: list[object] = [int(row["best_epoch"]), _mean([row], "seconds", "{:.0f}")] if row else [None, None]
            body.append([method, Markdown(f"`{setting}`"), "chosen" if setting in chosen else "", score, *cells])
    return table(["method", "setting", "", Markdown("NDCG@10"), "best epoch", "seconds"], body)


def _runs(one: Recorded) -> str:
    """List the runs of every method and control: command that repeats them, code, and names of the experiments."""
    body: list[list[str]] = []
    for method in one.declared.methods:
        controls = [name for name, control in one.declared.controls.items() if control.method == method]
        for name, role in ((method, SEED), *((name, CONTROL) for name in controls)):
            rows = runs_of(one.rows, method, role, name if role == CONTROL else "")
            names = ", ".join(f"`{row['experiment']}`" for row in rows)
            command = f"`lecdsr tune --pair {one.facts.pair} --method {method}`" if role == SEED else ""
            body.append([_named(name, rows, one), command, _code(rows), names or MISSING])
    return text_table(["method or control", "command", "code", "experiments"], body)


def _code(rows: Sequence[Row]) -> Markdown:
    """Format the fingerprints of the code that made these runs."""
    found = dict.fromkeys(f"`{row['code']}`" if row["code"] else "not recorded" for row in rows)
    return Markdown(", ".join(found) or "–")


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
    values = values_of(rows, column)
    if not values:
        return MISSING if not rows else Markdown("–")
    text = form.format(np.mean(values))
    return Markdown(text if len(values) == 1 else f"{text} ± {form.format(np.std(values, ddof=1))}")


def _against(rows: Sequence[Row], chosen: Sequence[Row], column: str) -> Markdown:
    """Format the mean of a control and, in brackets, its difference to the method under the same seeds."""
    seeds = {row["seed"] for row in rows}
    same = [row for row in chosen if row["seed"] in seeds]
    own, other = (values_of(some, column) for some in (rows, same))
    text = mean(rows, column)
    return Markdown(f"{text} ({np.mean(own) - np.mean(other):+.4f})") if own and other else text


def _named(name: str, rows: Sequence[Row], one: Recorded) -> Markdown:
    """Format the name of a method, with the number of its seeds if some are missing, and a mark for older code."""
    seeds = len(one.declared.seeds_of_controls if name in one.declared.controls else one.declared.seeds)
    missing = any_parameters(rows) and len(rows) < seeds
    older = OLDER if any(is_older(row, one) for row in rows) else ""
    return Markdown(f"{escape(name)}{f' ({len(rows)} of {seeds} seeds)' if missing else ''}{older}")


def _published_cell(row: Row | None) -> Markdown:
    return Markdown("–" if row is None else f"{float(row['mean']):.4f} ± {float(row['deviation']):.4f}")


def _grouped(rows: Iterable[Row], column: str) -> list[tuple[str, list[Row]]]:
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(row[column], []).append(row)
    return list(groups.items())
