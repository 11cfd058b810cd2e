"""Render the data card of a pair as Markdown."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from lecdsr.card.statistics import TEXTS
from lecdsr.core.markdown import Markdown, by_domain, cell, escape, percent, table
from lecdsr.core.schemas import DOMAINS

Facts = Mapping[str, Any]


def render(facts: Facts) -> str:
    """Render the data card as Markdown; its images are the plots stored next to it."""
    head = f"# Data card: {escape(facts['pair']['name'])}\n\n{_what(facts)}"
    parts = [f"## {title}\n\n{section(facts).strip()}" for title, section in SECTIONS.items()]
    return "\n\n".join([head, *parts]) + "\n"


def _what(facts: Facts) -> str:
    pair = facts["pair"]
    x, y = (escape(pair["domains"][name]) for name in DOMAINS)
    release = pair["release"] if isinstance(pair["release"], int) else escape(pair["release"])
    origin = f"Layout of the release {release}, source {', '.join(map(escape, pair['source']))}."
    if pair["synthetic"]:
        origin = f"**Synthetic**: users, items and texts are generated, in the layout of the release {release}."
    day = facts["counts"]
    return (
        f"Domains X = {x} and Y = {y}. {origin}\nInteractions from {cell(day['first_day'])} to "
        f"{cell(day['last_day'])} (UTC). Written by the stage `card`; the same figures are in `card.json`."
    )


def _domains(facts: Facts) -> list[object]:
    return [facts["pair"]["domains"][name] for name in DOMAINS]


def _sizes(facts: Facts) -> str:
    counts = facts["counts"]
    rows = [
        by_domain("items", {name: counts[f"items_{name}"] for name in DOMAINS}),
        by_domain("interactions", {name: counts[f"interactions_{name}"] for name in DOMAINS}),
    ]
    users, share = facts["users"], facts["users"]["one_domain_share"]
    return (
        f"{table(['', *_domains(facts)], rows)}\n\n"
        f"{cell(counts['users'])} users: {cell(users['both'])} of both domains, {cell(users['only_x'])} of X only, "
        f"{cell(users['only_y'])} of Y only ({percent(share)} with one domain)."
    )


def _filters(facts: Facts) -> str:
    columns = list(dict.fromkeys(name for left in facts["filters"] for name in left))
    rows = [[escape(left["filter"]), *(left.get(name) for name in columns[1:])] for left in facts["filters"]]
    if not rows:
        return "Counts after each filter are not recorded."
    return "Counts after each filter, in the order in which they are applied.\n\n" + table(columns, rows)


def _lengths(facts: Facts) -> str:
    lengths = facts["lengths"]
    names = [name for name in lengths["all"] if name != "histogram"]
    rows = [[_label(name, "users"), *(lengths[part][name] for part in ("all", *DOMAINS))] for name in names]
    return (
        "Interactions per user: over both domains, and in each domain among its users.\n\n"
        f"{table(['', 'both', *_domains(facts)], rows)}\n\n![Histogram of sequence lengths](lengths.png)"
    )


def _label(name: str, counted: str) -> Markdown:
    if name == "count":
        return Markdown(counted)
    return Markdown(f"{float(name.removeprefix('quantile_')):.0%} quantile" if "_" in name else name)


def _popularity(facts: Facts) -> str:
    items = facts["items"]
    summary = {name: items[name]["interactions_per_item"] for name in DOMAINS}
    spread = [[_label(key, "items"), *(summary[name][key] for name in DOMAINS)] for key in summary["x"]]
    heads = [
        by_domain(f"share of the top {head} of items", {d: percent(items[d]["head_share"][head]) for d in DOMAINS})
        for head in items["x"]["head_share"]
    ]
    gini = by_domain("Gini coefficient", {name: items[name]["gini"] for name in DOMAINS})
    tail = [
        by_domain(f"items with {band} interactions", {d: _of(items[d], "training_tail", band) for d in DOMAINS})
        for band in items["x"]["training_tail"]
    ]
    return (
        f"Interactions per item, over all splits.\n\n{table(['', *_domains(facts)], [*spread, *heads, gini])}\n\n"
        f"Long tail: number of items by training interactions.\n\n{table(['', *_domains(facts)], tail)}\n\n"
        "![Interactions of items by rank](popularity.png)"
    )


def _of(facts: Facts, name: str, band: str) -> Markdown:
    return Markdown(f"{cell(facts[name][band])} ({percent(facts[f'{name}_share'][band])})")


def _repeats(facts: Facts) -> str:
    x, y = (percent(facts["repeat_share"][name]) for name in DOMAINS)
    return f"Share of interactions with an item that the user already had: {x} in X, {y} in Y."


def _months(facts: Facts) -> str:
    months = facts["months"]
    both = [x + y for x, y in zip(months["x"], months["y"], strict=True)]
    busiest = months["month"][both.index(max(both))]
    return (
        f"{cell(len(both))} months; the busiest is {busiest} with {cell(max(both))} interactions.\n\n"
        "![Interactions by month](months.png)"
    )


def _ratings(facts: Facts) -> str:
    ratings = facts["ratings"]
    shares = [
        by_domain(f"rating {step}", {name: _rating_share(ratings[name], step) for name in DOMAINS})
        for step in ratings["x"]["count"]
    ]
    means = [by_domain(key, {name: ratings[name][key] for name in DOMAINS}) for key in ("mean", "median")]
    return table(["", *_domains(facts)], [*shares, *means])


def _rating_share(ratings: Facts, step: str) -> Markdown:
    return _part(ratings["count"][step], sum(ratings["count"].values()))


def _texts(facts: Facts) -> str:
    texts, counts = facts["texts"], facts["counts"]
    rows: list[list[object]] = []
    for part in (*TEXTS, "all"):
        label = "any text" if part == "all" else part
        without = {d: _part(texts[d]["without"][part], counts[f"items_{d}"]) for d in DOMAINS}
        rows.append(by_domain(f"items without {label}", without))
    for part in (*TEXTS, "all"):
        label = "all texts together" if part == "all" else part
        median = {name: texts[name]["median_characters"][part] for name in DOMAINS}
        rows.append(by_domain(f"median length in characters, {label}", median))
    return "Medians are over the items that have the text.\n\n" + table(["", *_domains(facts)], rows)


def _part(some: int, everything: int) -> Markdown:
    return Markdown(f"{cell(some)} ({percent(some / everything if everything else None)})")


def _splits(facts: Facts) -> str:
    splits = facts["interactions_by_split"]
    rows = [by_domain(f"interactions, {split}", splits[split]) for split in splits]
    rows.append(by_domain("targets, train", facts["training_targets"]))
    for split, part in facts["held_out"].items():
        rows.append(by_domain(f"targets, {split}", {name: part[name]["targets"] for name in DOMAINS}))
    return table(["", *_domains(facts)], rows)


def _gaps(facts: Facts) -> str:
    held_out = facts["held_out"]
    head = ["days", *(f"{split}, {name}" for split in held_out for name in _domains(facts))]
    parts = [held_out[split][name] for split in held_out for name in DOMAINS]
    rows = [[Markdown(band), *(part["gap_days"][band] for part in parts)] for band in parts[0]["gap_days"]]
    rows.append([Markdown("median"), *(part["median_gap_days"] for part in parts)])
    valid, test = (percent(facts[f"{split}_tied_share"]) for split in ("valid", "test"))
    return (
        f"On the same day as the item before, so that their order is unknown: {valid} of the validation targets, "
        f"{test} of the test targets.\n\nTargets by days since the item before:\n\n{table(head, rows)}\n\n"
        "![Days between a test target and the item before](gaps.png)"
    )


def _leaks(facts: Facts) -> str:
    later = facts["training_later_than_test_share"]
    test = facts["held_out"]["test"]
    unseen = {name: _part(test[name]["unseen_in_training"], test[name]["targets"]) for name in DOMAINS}
    return (
        "Training interactions on a later day than the test target, mean over test targets: "
        f"{'not recorded' if later is None else percent(later)}. Above 0, training uses interactions from the "
        "future of some targets, such as later popularity.\n\n"
        + table(["", *_domains(facts)], [by_domain("test targets whose item has no training interactions", unseen)])
    )


def _bad_lines(facts: Facts) -> str:
    rows = [[escape(name), bad] for name, bad in facts["bad_lines"].items()]
    repeated = f"Repeated lines of metadata: {cell(facts['repeated_metadata_lines'])}."
    return (table(["raw file", "malformed lines"], rows) + "\n\n" if rows else "") + repeated


SECTIONS: dict[str, Callable[[Facts], str]] = {
    "Size": _sizes,
    "Filters": _filters,
    "Sequence lengths": _lengths,
    "Popularity": _popularity,
    "Repeated consumption": _repeats,
    "Time": _months,
    "Ratings": _ratings,
    "Texts": _texts,
    "Splits": _splits,
    "Ties and gaps": _gaps,
    "Leaks": _leaks,
    "Malformed lines": _bad_lines,
}
