"""`lecdsr recommend`: print a user's history and the items that a model recommends."""

from __future__ import annotations

from pathlib import Path

from rich.text import Text

from lecdsr.cli.show import history_lines, history_table, line_json, print_json, print_notes, scored_table, user_json
from lecdsr.config.load import load_pair
from lecdsr.core.console import console, say, summary
from lecdsr.core.device import choose_device
from lecdsr.core.errors import UserError
from lecdsr.core.files import require
from lecdsr.core.paths import Artefacts
from lecdsr.core.schemas import DOMAINS
from lecdsr.recommend.batch import Options
from lecdsr.recommend.everyone import model_folder, recommend_to_everyone
from lecdsr.recommend.recommender import PairRecommender, best_model, check_trained, open_recommender
from lecdsr.recommend.user import target_user

EXAMPLES = 5


def choose_model(artefacts: Artefacts, model: str | None, history: list[str]) -> str:
    """Return the named model, else the best one; with a typed history, the best that can serve an anonymous user.

    Raises:
        UserError: there is no such model.
    """
    return model or best_model(artefacts, anonymous=bool(history))


def write_all(
    artefacts: Artefacts,
    users: Path | None,
    out: Path | None,
    domain: str | None,
    k: int,
    model: str | None,
    include_owned: bool,
    evaluated: bool,
    device: str = "cpu",
) -> None:
    """Write the recommendations to all users, or to those of a file, as Parquet.

    Raises:
        UserError: no output file is named, a user is unknown, or the pair or the trained model does not exist.
    """
    names = load_pair(artefacts.pair).domains
    if out is None:
        raise UserError("no output file is named", do="add --out, for example --out recommendations.parquet")
    reviewers = None if users is None else read_users(users)
    model = choose_model(artefacts, model, [])
    check_trained(artefacts, model)
    folder = model_folder(artefacts, model, evaluated)
    domains = tuple(code for code, key in enumerate(DOMAINS) if domain in (None, key))
    options, place = Options(k, domains, include_owned), choose_device(device, "--device")
    written = recommend_to_everyone(artefacts, folder, out, options, place, reviewers)
    chosen = {DOMAINS[code]: names[code] for code in domains}
    facts = {"model": model, "from": str(folder), "domains": chosen, "device": str(place)}
    summary(f"Recommendations of {artefacts.pair}", {**facts, **written.facts(), "file": str(out)})


def read_users(path: Path) -> list[str]:
    """Read original user ids from a text file, one on each line; empty lines are skipped.

    Raises:
        UserError: the file is missing, is no text, or names no user.
    """
    require(path, do="name a text file with one user id on each line")
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    except (OSError, ValueError) as error:
        raise UserError(f"not a text file ({error})", str(path), "write one user id on each line, as UTF-8") from error
    users = [line for line in lines if line]
    if not users:
        raise UserError("the file names no user", where=str(path), do="write one user id on each line")
    return users


def show(
    artefacts: Artefacts,
    reviewer: str | None,
    history: list[str],
    day: str | None,
    domain: str | None,
    k: int,
    model: str | None,
    latest: int,
    include_owned: bool,
    evaluated: bool,
    as_json: bool,
    device: str = "cpu",
) -> None:
    """Print history, profile and recommendations of a user.

    Raises:
        UserError: the pair, the user, an item or the trained model does not exist.
    """
    names = load_pair(artefacts.pair).domains
    named = f" --model {model}" if model else ""
    model = choose_model(artefacts, model, history)
    recommender = open_recommender(artefacts, model, choose_device(device, "--device"), evaluated)
    if reviewer is None and not history:
        _show_users(recommender, f"lecdsr recommend --pair {artefacts.pair}{named}", artefacts.pair, as_json)
        return
    user = target_user(recommender, reviewer, history, day)
    top = {
        key: recommender.recommend(user.row, user.items, user.times, code, k, include_owned)
        for code, key in enumerate(DOMAINS)
        if domain in (None, key)
    }
    if as_json:
        recommended = {key: [line_json(line, score=line.score) for line in lines] for key, lines in top.items()}
        facts = {"pair": artefacts.pair, "model": model, "domains": dict(zip(DOMAINS, names, strict=True))}
        print_json({**facts, **user_json(recommender, user), "recommendations": recommended})
        return
    print_notes(user.notes)
    lines = history_lines(recommender, user)
    shown = lines[-latest:] if latest else []
    if shown:
        title = f"History of {user.name}: the latest {len(shown)} of {len(lines)}"
        console.print(history_table(title, shown, names))
    if user.reviewer is not None:
        console.print(Text.assemble(("Profile ", "bold"), user.profile or "none", "\n"))
    for key, best in top.items():
        console.print(scored_table(f"{names[DOMAINS.index(key)]}: recommended by {model}", best))


def _show_users(recommender: PairRecommender, command: str, pair: str, as_json: bool) -> None:
    some = recommender.users["reviewer"].slice(0, EXAMPLES).to_pylist()
    if as_json:
        print_json({"pair": pair, "users": len(recommender.users), "examples": some})
        return
    say(f"{len(recommender.users):,} users; for example:")
    for reviewer in some:
        say(f"  {command} --user {reviewer}")
    item = recommender.items["asin"][0].as_py()
    say(f"or an anonymous user, by items of their history:\n  {command} --history {item}")
