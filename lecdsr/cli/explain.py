"""`lecdsr explain` explains the score of an item; `lecdsr similar` lists similar items."""

from __future__ import annotations

from rich.markup import escape
from rich.table import Table
from rich.text import Text

from lecdsr.cli.recommend import choose_model
from lecdsr.cli.show import line_json, print_json, print_notes, scored_table, user_json
from lecdsr.config.load import load_pair
from lecdsr.core.console import console, say, summary
from lecdsr.core.device import choose_device
from lecdsr.core.paths import Artefacts
from lecdsr.core.schemas import DOMAINS
from lecdsr.recommend.explain import Contribution, Explanation, explain, similar
from lecdsr.recommend.lookup import Finder
from lecdsr.recommend.recommender import best_model, open_recommender
from lecdsr.recommend.user import target_user


def show_explanation(
    artefacts: Artefacts,
    item: str,
    reviewer: str | None,
    history: list[str],
    day: str | None,
    model: str | None,
    latest: int,
    as_json: bool,
    device: str = "cpu",
) -> None:
    """Print an explanation of an item's score for a user.

    Raises:
        UserError: the pair, the user, the item or the trained model does not exist.
    """
    names = load_pair(artefacts.pair).domains
    model = choose_model(artefacts, model, history)
    recommender = open_recommender(artefacts, model, choose_device(device, "--device"))
    user = target_user(recommender, reviewer, history, day)
    found = Finder(recommender.items).find(item)
    why = explain(recommender, user, found.item)
    notes = [note for note in (found.note, *user.notes) if note]
    if as_json:
        facts = {"pair": artefacts.pair, "model": model}
        print_json({**facts, **user_json(recommender, user), **_json(why), "notes": notes})
        return
    print_notes(notes)
    line = why.item
    shown = {
        "item": f"{line.asin} {line.title}",
        "domain": names[DOMAINS.index(line.domain)],
        "score": why.item.score,
        "rank": f"{why.rank:,.10g} of {why.among:,}" + (", already owned" if why.owned else ""),
        "parts of the score": _parts_text(why),
    }
    summary(escape(f"{model} on {line.asin} for {user.name}"), shown)
    if why.contributions:
        console.print(_contributions_table(why.contributions, latest, names))
        say("contribution: drop in score when this item is removed from the history; –: the model does not read it")


def _parts_text(why: Explanation) -> str:
    if not why.parts:
        return f"not split: {why.not_split}"
    return ", ".join(f"{name} {value:.3f}" for name, value in why.parts.items())


def _json(why: Explanation) -> dict[str, object]:
    history = [
        line_json(one.line, day=one.line.when, contribution=one.drop, similarity=one.similarity)
        for one in why.contributions
    ]
    return {
        "item": line_json(why.item),
        "score": why.item.score,
        "rank": why.rank,
        "among": why.among,
        "owned": why.owned,
        "parts": why.parts or None,
        "not_split": why.not_split or None,
        "history": history,
    }


def _contributions_table(contributions: list[Contribution], shown_at_most: int, names: tuple[str, str]) -> Table:
    def order(one: Contribution) -> tuple[float, float, str]:
        # Break ties by similarity, then by day.
        return abs(one.drop or 0), one.similarity or 0, one.line.when

    shown = sorted(contributions, key=order, reverse=True)[:shown_at_most]
    title = f"Contributions: {len(shown)} of {len(contributions)} items of the history, largest first"
    table = Table(title=Text(title), title_justify="left")
    table.add_column("day")
    table.add_column("asin", no_wrap=True)
    table.add_column("title", ratio=3)
    table.add_column("domain", ratio=1)
    table.add_column("contribution", justify="right")
    table.add_column("similarity", justify="right")
    for one in shown:
        line = one.line
        cells = (line.when, line.asin, line.title, names[DOMAINS.index(line.domain)])
        numbers = (_signed(one.drop), _signed(one.similarity))
        table.add_row(*(Text(cell) for cell in cells), *numbers)
    return table


def _signed(value: float | None) -> str:
    return "–" if value is None else f"{value:+.3f}"


def show_similar(
    artefacts: Artefacts,
    item: str,
    domain: str | None,
    k: int,
    model: str | None,
    as_json: bool,
    device: str = "cpu",
) -> None:
    """Print the items that are most similar to one according to a model.

    Raises:
        UserError: the pair, the item or the trained model does not exist, or the model does not compare items.
    """
    names = load_pair(artefacts.pair).domains
    model = model or best_model(artefacts)
    recommender = open_recommender(artefacts, model, choose_device(device, "--device"))
    found = Finder(recommender.items).find(item)
    near = {key: similar(recommender, found.item, code, k) for code, key in enumerate(DOMAINS) if domain in (None, key)}
    line = recommender.line(found.item)
    if as_json:
        lists = {key: [line_json(other, similarity=other.score) for other in lines] for key, lines in near.items()}
        notes = [found.note] if found.note else []
        print_json({"pair": artefacts.pair, "model": model, "item": line_json(line), "notes": notes, "similar": lists})
        return
    print_notes([found.note] if found.note else [])
    for key, lines in near.items():
        title = f"{names[DOMAINS.index(key)]}: most similar to {line.asin} {line.title}, by {model}"
        console.print(scored_table(title, lines, "similarity"))
