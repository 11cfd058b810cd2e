"""`lecdsr recommend`."""

from __future__ import annotations

from rich.markup import escape
from rich.table import Table

from lecdsr.base.console import console, say
from lecdsr.base.paths import Artefacts
from lecdsr.base.schemas import DOMAINS
from lecdsr.base.settings import load_pair
from lecdsr.recommend.shop import Line, Shop, best_model, open_shop

EXAMPLES = 5


def show(artefacts: Artefacts, reviewer: str | None, domain: str | None, k: int, model: str | None, n: int) -> None:
    """Print history, profile and recommendations of a user.

    Raises:
        UserError: the pair, the user or the trained model does not exist.
    """
    names = load_pair(artefacts.pair).domains
    model = model or best_model(artefacts)
    shop = open_shop(artefacts, model)
    if reviewer is None:
        _show_users(shop, artefacts.pair)
        return
    user = shop.user_id(reviewer)
    items, times = shop.history(user)
    lines = [shop.line(int(item), int(time)) for item, time in zip(items, times, strict=True)]
    shown = lines[-n:] if n else []
    if shown:
        console.print(_table(f"History of {reviewer}: the latest {len(shown)} of {len(lines)}", shown, names, False))
    console.print(f"[bold]Profile[/] {escape(shop.profiles.get(user, 'none was written'))}\n")
    for code, key in enumerate(DOMAINS):
        if domain in (None, key):
            title = f"{names[code]}: recommended by {model}"
            console.print(_table(title, shop.recommend(user, items, times, code, k), names, True))


def _show_users(shop: Shop, pair: str) -> None:
    some = shop.users.slice(0, EXAMPLES).to_pylist()
    say(f"{len(shop.users):,} users; for example:")
    for row in some:
        say(f"  lecdsr recommend --pair {pair} --user {row['reviewer']}")


def _table(title: str, lines: list[Line], names: tuple[str, str], scored: bool) -> Table:
    table = Table(title=title, title_justify="left")
    table.add_column("rank" if scored else "day")
    table.add_column("asin", no_wrap=True)
    table.add_column("title", ratio=3)
    table.add_column("categories" if scored else "domain", ratio=2)
    if scored:
        table.add_column("score", justify="right")
    for place, line in enumerate(lines, 1):
        cells = [str(place) if scored else line.when, line.asin, line.title]
        cells += [line.categories, f"{line.score:.3f}"] if scored else [names[DOMAINS.index(line.domain)]]
        table.add_row(*(escape(cell) for cell in cells))
    return table
