"""`lecdsr explain` and `lecdsr similar`."""

from __future__ import annotations

from rich.markup import escape
from rich.table import Table
from rich.text import Text

from lecdsr.cli.recommend import choose_model
from lecdsr.cli.show import line_json, person_json, print_json, scored_table, tell
from lecdsr.config.load import load_pair
from lecdsr.core.console import console, say, summary
from lecdsr.core.paths import Artefacts
from lecdsr.core.schemas import DOMAINS
from lecdsr.recommend.explain import Explanation, Reason, explain, similar
from lecdsr.recommend.lookup import Finder
from lecdsr.recommend.recommender import best_model, open_recommender
from lecdsr.recommend.user import person_of


def show_explanation(
    artefacts: Artefacts,
    item: str,
    reviewer: str | None,
    history: list[str],
    day: str | None,
    model: str | None,
    latest: int,
    as_json: bool,
) -> None:
    """Print why an item has its score for a user or a visitor.

    Raises:
        UserError: the pair, the person, the item or the trained model does not exist.
    """
    names = load_pair(artefacts.pair).domains
    model = choose_model(artefacts, model, history)
    recommender = open_recommender(artefacts, model)
    person = person_of(recommender, reviewer, history, day)
    found = Finder(recommender.items).find(item)
    why = explain(recommender, person, found.item)
    notes = [note for note in (found.note, *person.notes) if note]
    if as_json:
        facts = {"pair": artefacts.pair, "model": model}
        print_json({**facts, **person_json(recommender, person), **_json(why), "notes": notes})
        return
    tell(notes)
    line = why.item
    shown = {
        "item": f"{line.asin} {line.title}",
        "domain": names[DOMAINS.index(line.domain)],
        "score": why.item.score,
        "rank": f"{why.rank:,.10g} of {why.among:,}" + (", though he has it already" if why.owned else ""),
        "of the score": _parts_text(why),
    }
    summary(escape(f"{model} on {line.asin} for {person.name}"), shown)
    if why.reasons:
        console.print(_reasons_table(why.reasons, latest, names))
        say("contribution: what the score loses without this item, all else kept; – the model does not read it")


def _parts_text(why: Explanation) -> str:
    if not why.parts:
        return f"not split: {why.whole}"
    return ", ".join(f"{name} {value:.3f}" for name, value in why.parts.items())


def _json(why: Explanation) -> dict[str, object]:
    reasons = [
        line_json(reason.line, day=reason.line.when, contribution=reason.contribution, cosine=reason.cosine)
        for reason in why.reasons
    ]
    return {
        "item": line_json(why.item),
        "score": why.item.score,
        "rank": why.rank,
        "among": why.among,
        "owned": why.owned,
        "parts": why.parts or None,
        "not_split": why.whole or None,
        "history": reasons,
    }


def _reasons_table(reasons: list[Reason], shown_at_most: int, names: tuple[str, str]) -> Table:
    def weight(reason: Reason) -> tuple[float, float, str]:
        # Of those that bring the same the likest first, then the latest.
        return abs(reason.contribution or 0), reason.cosine or 0, reason.line.when

    shown = sorted(reasons, key=weight, reverse=True)[:shown_at_most]
    title = f"Why: {len(shown)} of {len(reasons)} items of the history, what weighs most first"
    table = Table(title=Text(title), title_justify="left")
    table.add_column("day")
    table.add_column("asin", no_wrap=True)
    table.add_column("title", ratio=3)
    table.add_column("domain", ratio=1)
    table.add_column("contribution", justify="right")
    table.add_column("cosine", justify="right")
    for reason in shown:
        line = reason.line
        cells = (line.when, line.asin, line.title, names[DOMAINS.index(line.domain)])
        numbers = (_signed(reason.contribution), _signed(reason.cosine))
        table.add_row(*(Text(cell) for cell in cells), *numbers)
    return table


def _signed(value: float | None) -> str:
    return "–" if value is None else f"{value:+.3f}"


def show_similar(artefacts: Artefacts, item: str, domain: str | None, k: int, model: str | None, as_json: bool) -> None:
    """Print the items that a model holds to be most like one.

    Raises:
        UserError: the pair, the item or the trained model does not exist, or the model does not compare items.
    """
    names = load_pair(artefacts.pair).domains
    model = model or best_model(artefacts)
    recommender = open_recommender(artefacts, model)
    found = Finder(recommender.items).find(item)
    near = {key: similar(recommender, found.item, code, k) for code, key in enumerate(DOMAINS) if domain in (None, key)}
    line = recommender.line(found.item)
    if as_json:
        lists = {key: [line_json(other, likeness=other.score) for other in lines] for key, lines in near.items()}
        notes = [found.note] if found.note else []
        print_json({"pair": artefacts.pair, "model": model, "item": line_json(line), "notes": notes, "similar": lists})
        return
    tell([found.note] if found.note else [])
    for key, lines in near.items():
        title = f"{names[DOMAINS.index(key)]}: most like {line.asin} {line.title}, by {model}"
        console.print(scored_table(title, lines, "likeness"))
