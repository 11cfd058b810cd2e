"""Write the sentences that open the results page: each states a figure, its 95 % interval, pair and seeds.

Every function returns one sentence, or None if the records do not hold what it states.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from scipy import stats

from lecdsr.core.markdown import escape
from lecdsr.core.schemas import DOMAINS
from lecdsr.evaluate.compare import PROTOCOLS
from lecdsr.evaluate.significance import LEVEL
from lecdsr.experiments.config import Setting
from lecdsr.experiments.plan import SEED
from lecdsr.experiments.records import Row
from lecdsr.models.registry import find_model
from lecdsr.report.peers import own_sides, tested_runs
from lecdsr.report.recorded import (
    NO_DESCRIPTIONS,
    NO_PROFILE,
    TITLES,
    Recorded,
    any_parameters,
    best_method,
    complete_runs,
    current_controls,
    current_tests,
    is_older,
    machine_of,
    other_methods,
    paired_runs,
    published_baselines,
    runs_of,
    timed_runs,
    validation_score,
    values_of,
)

#: Mark of a figure that older code made.
OLDER = " †"
TEMPORAL = "temporal"
#: Settings that say how a model reads text.
TEXT_SETTINGS = ("item_text", "user_text", "profile_text")

#: What a figure is of, and the figure with its interval, pair and seeds.
Clause = tuple[str, str]
#: Results of a comparison by domain: rows of the stored JSON.
ByDomain = dict[str, dict[str, Any]]


def opening(pairs: Sequence[Recorded]) -> list[str]:
    """Write the sentences that the records support, in a fixed order, at most one for each claim."""
    return [sentence for claim in CLAIMS if (sentence := claim(pairs)) is not None]


def users_with_targets(pairs: Sequence[Recorded]) -> str | None:
    """State the split of every pair and the users with a test target in its domains; None without estimates."""
    clauses = []
    for one in pairs:
        best = best_method(one)
        found = {} if best is None else estimates_of(one, "sampled", "hr@10")
        if found:
            users = " and ".join(f"{row['users']:,} users in {_domain(one, key)}" for key, row in found.items())
            clauses.append((f"`{one.facts.pair}`", f"has the split `{one.facts.split}` and test targets of {users}"))
    return _sentence(clauses)


def against_published(pairs: Sequence[Recorded]) -> str | None:
    """Compare HR@10 of the best method in sampled ranking with the published baseline, whose mean counts as exact."""
    clauses = []
    for one in pairs:
        published = [row for row in published_baselines(one.facts) if row["metric"] == "hr@10"]
        best, found = best_method(one), estimates_of(one, "sampled", "hr@10")
        given = {row["domain"]: row for row in published}
        if best is None or not found or not found.keys() <= given.keys():
            continue
        parts = [
            f"{_mean_over_seeds(one, best, f'test.{key}.sampled.hr@10')} in {_domain(one, key)} "
            f"({_relative(row, given[key])})"
            for key, row in found.items()
        ]
        runs = complete_runs(one, best)
        basis = _basis(one, [len(runs)], runs)
        start = f"among {one.facts.negatives} negatives `{best}` reaches HR@10"
        clauses.append((start, f"of {' and '.join(parts)} {basis}"))
    return _sentence(clauses)


def against_second_best(pairs: Sequence[Recorded]) -> str | None:
    """Compare the best method with the second best on validation, by NDCG@10 in full ranking; temporal pairs apart."""
    clauses = []
    for one in pairs:
        second = None if one.facts.split == TEMPORAL else best_other(one, one.declared.methods)
        clauses.append(_against(one, second, "the best of another model on validation"))
    return _sentence(clauses)


def against_peers(pairs: Sequence[Recorded]) -> str | None:
    """Compare the best method with the best model that others wrote, whose mean counts as exact."""
    clauses = []
    for one in pairs:
        best, found, own = best_method(one), estimates_of(one, "full", "ndcg@10"), own_sides(one.peers)
        peers = {side: runs for side, runs in tested_runs(one.peers).items() if side not in own}
        if not peers or best is None or not found:
            continue
        peer = max(peers, key=lambda side: validation_score(peers[side]))
        parts = []
        for key, row in found.items():
            mean = float(np.mean([run["metrics"]["test"][key]["full"]["ndcg@10"] for run in peers[peer]]))
            parts.append(f"{_change(row, mean, f'`{peer}`')} in {_domain(one, key)}")
        runs = complete_runs(one, best)
        basis = _basis(one, [len(runs), len(peers[peer])], runs)
        start = f"NDCG@10 of `{best}`, against the best on validation of the models that others wrote, is"
        clauses.append((start, f"{' and '.join(parts)} {basis}"))
    return _sentence(clauses)


def under_the_temporal_split(pairs: Sequence[Recorded]) -> str | None:
    """Compare the best method of temporal pairs with untrained text similarity and with the best model without text."""
    clauses = []
    for one in pairs:
        if one.facts.split == TEMPORAL:
            methods = one.declared.methods
            untrained = best_other(one, [name for name, method in methods.items() if method.model == "content"])
            ids_only = best_other(one, [name for name in methods if not reads_text(one, name)])
            clauses += [_against(one, untrained, "which is not trained", way) for way in PROTOCOLS]
            clauses.append(_against(one, ids_only, "the best on validation that reads no text"))
    return _sentence(clauses)


def text(pairs: Sequence[Recorded]) -> str | None:
    """State what the best method loses without any text, and if its vectors are noise or those of other items."""
    return _controls(
        pairs,
        {
            "without any text, of items and of users": {"item_text": "none"},
            "with noise in place of text vectors": {"item_text": "random"},
            "with the text vectors of other items": {"item_text": "shuffled"},
        },
    )


def descriptions(pairs: Sequence[Recorded]) -> str | None:
    """State what the best method loses without descriptions, and with profiles left out too; then the other methods."""
    without, bare = "without the descriptions of a language model", "without its descriptions and profiles"
    clauses = [_control(one, f"{best_method(one)}{NO_DESCRIPTIONS}", without) for one in pairs]
    clauses += [_control(one, f"{best_method(one)}{TITLES}", bare) for one in pairs]
    for one in pairs:
        others = [method for method in one.declared.methods if method != best_method(one)]
        clauses += [_control(one, f"{method}{NO_DESCRIPTIONS}", without) for method in others]
    return _sentence(clauses)


def profiles(pairs: Sequence[Recorded]) -> str | None:
    """State what the best method loses without profiles, and with those of other users."""
    return _controls(
        pairs, {"without profiles": NO_PROFILE, "with the profile of another user": {"profile_text": "shuffled"}}
    )


def second_domain(pairs: Sequence[Recorded]) -> str | None:
    """State what the best method loses if each domain is trained and ranked by its own history."""
    return _controls(pairs, {"without the history in the other domain": {"domains": "own"}})


def cost(pairs: Sequence[Recorded]) -> str | None:
    """State seconds and parameters of the best and the second best trained method, both timed on one machine.

    They are of the first pair that has such runs.
    """
    for one in pairs:
        best = best_method(one)
        second = best_other(one, [name for name in one.declared.methods if _is_trained(one, name)])
        if best is None or second is None:
            continue
        timed = timed_runs(one, (best, second))
        if len(timed) == 2:
            sides = [_cost(method, timed[method]) for method in (best, second)]
            rows = [*timed[best], *timed[second]]
            basis = _basis(one, [len(timed[best]), len(timed[second])], rows)
            return _sentence([("one training takes", f"{' and '.join(sides)} {basis}")])
    return None


def protocols(pairs: Sequence[Recorded]) -> str | None:
    """State how many method pairs full and sampled ranking put in the same order."""
    clauses = []
    for one in pairs:
        tests, best = current_tests(one), best_method(one)
        found = {} if tests is None else {row["domain"]: row for row in tests.get("agreement", [])}
        if found and tests is not None and best is not None:
            parts = [f"{_share(row)} in {_domain(one, key)}" for key, row in found.items()]
            start = "full and sampled ranking order the methods alike by NDCG@10"
            rows = [row for names in tests["experiments"].values() for row in one.rows if row["experiment"] in names]
            numbers = [len(names) for method, names in tests["experiments"].items() if _is_trained(one, method)]
            clauses.append((start, f"in {' and '.join(parts)} {_basis(one, numbers, rows)}"))
    return _sentence(clauses)


#: Claims in the order of the page.
CLAIMS: tuple[Callable[[Sequence[Recorded]], str | None], ...] = (
    against_published, against_second_best, against_peers, under_the_temporal_split, text, descriptions, profiles,
    second_domain, cost, protocols,
)  # fmt: skip


def _seed_runs(one: Recorded, method: str) -> list[Row]:
    return runs_of(one.rows, method, SEED)


def _is_trained(one: Recorded, method: str) -> bool:
    return any_parameters(_seed_runs(one, method))


def reads_text(one: Recorded, method: str) -> bool:
    """Return whether a method reads text vectors, by the defaults of its model and its fixed settings."""
    declared = one.declared.methods[method]
    values = find_model(declared.model).settings().model_dump() | declared.set
    return values.get("start") == "text" or any(values.get(name, "none") != "none" for name in TEXT_SETTINGS)


def best_other(one: Recorded, among: Iterable[str]) -> str | None:
    """Return the best of some methods on validation that is of another model than the best of all.

    ``None`` if there is none, or if it shares no seed with the best of all, so that the two cannot be compared.
    """
    best, methods = best_method(one), one.declared.methods
    if best is None:
        return None
    rivals = [method for method in among if methods[method].model != methods[best].model]
    scores = {method: validation_score(rows) for method in rivals if (rows := _seed_runs(one, method))}
    found = max(scores, key=lambda method: scores[method], default=None)
    return found if found in other_methods(one, best) else None


def estimates_of(one: Recorded, protocol: str, metric: str, method: str | None = None) -> ByDomain:
    """Return the stored estimates of a method, or of the best, by domain; none if they are of other runs."""
    tests, name = current_tests(one), method or best_method(one)
    found = [] if tests is None else tests.get("estimates", {}).get(name, [])
    return {row["domain"]: row for row in found if (row["protocol"], row["metric"]) == (protocol, metric)}


def comparison_of(comparison: dict[str, Any] | None, protocol: str = "full", metric: str = "ndcg@10") -> ByDomain:
    """Return the rows of a stored comparison, by domain."""
    rows = [] if comparison is None else comparison["rows"]
    return {row["domain"]: row for row in rows if (row["protocol"], row["metric"]) == (protocol, metric)}


def tested_against(one: Recorded, method: str) -> dict[str, Any] | None:
    """Return the stored comparison of the best method with another one."""
    tests = current_tests(one)
    found = [] if tests is None else tests["comparisons"]
    return next((each for each in found if each["b"]["name"] == method), None)


def _against(one: Recorded, rival: str | None, words: str, protocol: str = "full") -> Clause | None:
    """State how far the best method is from another one, by NDCG@10."""
    best, found = best_method(one), {} if rival is None else comparison_of(tested_against(one, rival), protocol)
    if best is None or rival is None or not found:
        return None
    parts = [f"{_effect(row, row['p_holm'])} in {_domain(one, key)}" for key, row in found.items()]
    ours, theirs = paired_runs(one, best, rival)
    among = f" among {one.facts.negatives} negatives" if protocol == "sampled" else ""
    start = f"NDCG@10{among} of `{best}` minus that of `{rival}`, {words}, is"
    return start, f"{' and '.join(parts)} {_basis(one, [len(ours)], [*ours, *theirs])}"


def _controls(pairs: Sequence[Recorded], settings: Mapping[str, Setting]) -> str | None:
    """State how far the controls of the best method that change it by these settings are from it."""
    clauses = []
    for words, setting in settings.items():
        for one in pairs:
            for name, control in one.declared.controls.items():
                if control.method == best_method(one) and control.set == setting:
                    clauses.append(_control(one, name, words))
    return _sentence(clauses)


def _control(one: Recorded, name: str, words: str) -> Clause | None:
    """State how far a control is from its method; None if they are not compared."""
    comparison = current_controls(one).get(name)
    found = comparison_of(comparison)
    if comparison is None or not found:
        return None
    parts = [f"{_effect(row)} in {_domain(one, key)}" for key, row in found.items()]
    names = {*comparison["a"]["seeds"], *comparison["b"]["seeds"]}
    rows = [row for each in (one, one.twin) if each is not None for row in each.rows if row["experiment"] in names]
    start = f"{words}, NDCG@10 of `{comparison['b']['name']}` changes"
    return start, f"by {' and '.join(parts)} {_basis(one, [len(comparison['a']['seeds'])], rows)}"


def _sentence(clauses: Iterable[Clause | None]) -> str | None:
    """Join clauses to a sentence that begins with a capital letter; None without clauses.

    The start of a clause is left out after one with the same start, as for two pairs.
    """
    found = [clause for clause in clauses if clause is not None]
    before = ["", *(start for start, _ in found)]
    parts = [rest if start == last else f"{start} {rest}" for (start, rest), last in zip(found, before, strict=False)]
    whole = "; ".join(parts)
    return f"{whole[0].upper()}{whole[1:]}." if whole else None


def _effect(row: dict[str, Any], p: float | None = None) -> str:
    """Format the difference of a comparison, also in per cent of B, with its interval and its corrected p-value."""
    parts = [f"{100 * row['difference'] / row['b']['mean']:+.0f} %"] if row["b"]["mean"] else []
    parts.append("no interval" if row["interval"] is None else _interval(*(f"{end:+.4f}" for end in row["interval"])))
    if p is not None:
        parts.append("Holm p below 0.0001" if p < 0.0001 else f"Holm p {p:.4f}")
    return f"{row['difference']:+.4f} ({', '.join(parts)})"


def _relative(row: dict[str, Any], published: Row) -> str:
    """Format how far an estimate is above or below a published mean, in per cent, with its interval."""
    return _change(row, float(published["mean"]), f"{escape(published['method'])} as published")


def _change(row: dict[str, Any], given: float, of: str) -> str:
    """Format how far an estimate is above or below a figure, in per cent, with its interval."""
    side = "above" if row["mean"] >= given else "below"
    change = f"{100 * abs(row['mean'] / given - 1):.1f} % {side} the {given:.4f} of {of}"
    ends = [row[end] for end in ("low", "high") if row[end] is not None]
    interval = _interval(*(f"{100 * (end / given - 1):+.1f} %" for end in ends)) if ends else "no interval"
    return f"{change}, {interval}"


def _share(row: dict[str, Any]) -> str:
    """Format the share of method pairs that keep their order."""
    interval = _interval(f"{100 * row['low']:.0f} %", f"{100 * row['high']:.0f} %")
    return f"{row['same']} of {row['pairs']} pairs ({100 * row['same'] / row['pairs']:.0f} %, {interval})"


def _interval(low: str, high: str) -> str:
    return f"95 % interval {low} to {high}"


def _mean_over_seeds(one: Recorded, method: str, column: str) -> str:
    values = values_of(complete_runs(one, method), column)
    return f"{np.mean(values):.4f}" + (f" ± {np.std(values, ddof=1):.4f}" if len(values) > 1 else "")


def _cost(method: str, rows: Sequence[Row]) -> str:
    """State seconds of training and parameters of a method, with the t interval of the mean over seeds."""
    values = values_of(rows, "seconds")
    parts = []
    if len(values) > 1:
        half = stats.t.ppf(1 - LEVEL / 2, len(values) - 1) * np.std(values, ddof=1) / len(values) ** 0.5
        parts.append(_interval(f"{max(0.0, np.mean(values) - half):,.0f}", f"{np.mean(values) + half:,.0f}"))
    parts.append(
        f"{escape(machine_of(rows[0]))}, {rows[0]['threads']} thread{'' if rows[0]['threads'] == '1' else 's'}"
    )
    parts.append(f"{int(rows[0]['parameters']):,} parameters")
    return f"{np.mean(values):,.0f} seconds for `{method}` ({', '.join(parts)})"


def _domain(one: Recorded, key: str) -> str:
    return escape(one.facts.domains[DOMAINS.index(key)])


def _basis(one: Recorded, seeds: Sequence[int], rows: Iterable[Row]) -> str:
    """State the pair and the number of seeds; mark figures of older code.

    Args:
        one: records of the pair.
        seeds: numbers of seeds of the methods.
        rows: rows that the figures are from.
    """
    least, most = min(seeds), max(seeds)
    number = f"{most}" if least == most else f"{least} to {most}"
    of = f"[`{one.facts.pair}`, {number} seed{'' if most == 1 else 's'}]"
    return f"{of}{OLDER if any(is_older(row, one) for row in rows) else ''}"
