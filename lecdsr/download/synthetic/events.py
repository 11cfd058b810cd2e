"""Draw the interactions of users, in sessions with a theme and a style that hold in both domains.

A user's interactions are divided into sessions. Each session has a theme and a style drawn from the user's taste,
which hold in both domains, so that purchases in one domain predict the next ones in the other.

Shape legend: U users of a chunk, R interactions of a chunk, G sessions, K themes of a user's taste.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lecdsr.download.synthetic.settings import Settings, stream
from lecdsr.download.synthetic.words import FACETS
from lecdsr.download.synthetic.world import Codes, Floats, Ints, World

Bools = NDArray[np.bool_]

# 2014-01-01 and 2018-09-30, in days since 1970.
FIRST_DAY, LAST_DAY = 16_071, 17_804
# Minimum number of interactions of a user, in total and in each domain, if the mean allows it.
SHORTEST, SHORTEST_DOMAIN = 10, 3
# Maximum number of interactions of a user, as a multiple of the mean.
LONGEST = 10
# Approximate number of rows in a chunk; it affects the random numbers, so it must not depend on the machine.
CHUNK_ROWS = 2_000_000

TASTE_THEMES = 8
LOYALTY = (0.5, 0.25)  # probabilities of the user's first and second style; otherwise by popularity
SAME_DAY = 0.4  # probability that an interaction is on the same day as the last one
SWITCH_SAME_DAY, SWITCH_LATER = 0.15, 0.45  # probability that a new session begins
OFF_TASTE = 0.1  # probability that an interaction is independent of its session
OFF_STYLE = 0.1  # probability that only its style differs from the session's
TRIES = 6  # candidate items per interaction; the first with the noun needed next is taken
REDRAWS = 5  # rounds of redrawing repeated items, each less bound to the session
RATING_EDGES = (1.9, 2.6, 3.4, 4.2)


@dataclass(frozen=True)
class Interactions:
    """Interactions of a chunk of users: users ascending, each in time order.

    Args:
        user: ``[R]`` user, numbered over all chunks.
        domain: ``[R]`` 0 for the first, 1 for the second domain.
        item: ``[R]`` item, numbered within its domain.
        day: ``[R]`` days since 1970.
        rating: ``[R]`` 1 to 5.
    """

    user: Ints
    domain: Codes
    item: Ints
    day: NDArray[np.uint16]
    rating: Codes

    def take(self, rows: NDArray[np.int64]) -> Interactions:
        """Select rows in the given order."""
        return Interactions(self.user[rows], self.domain[rows], self.item[rows], self.day[rows], self.rating[rows])

    @classmethod
    def concatenate(cls, parts: Sequence[Interactions]) -> Interactions:
        """Concatenate the rows of all parts."""
        columns = ("user", "domain", "item", "day", "rating")
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in columns))


@dataclass(frozen=True)
class _Timeline:
    """Users and times of interactions: ``user`` is numbered within the chunk, ``age`` grows from 0 to 1 per user."""

    user: Ints
    first: Bools
    age: Floats
    day: NDArray[np.uint16]
    same_day: Bools


@dataclass(frozen=True)
class _Need:
    """Theme, style and facet (noun) that every interaction asks for, ``[R]`` each."""

    theme: Codes
    style: Codes
    facet: Codes


def interaction_chunks(world: World, settings: Settings) -> Iterator[Interactions]:
    """Yield the interactions of all users in chunks of bounded size."""
    size = max(1, int(CHUNK_ROWS / settings.interactions_per_user))
    for chunk, start in enumerate(range(0, settings.users, size)):
        rng = stream(settings.seed, "events", chunk)
        users = min(size, settings.users - start)
        yield _chunk(rng, world, users, settings.interactions_per_user, start)


def _chunk(rng: np.random.Generator, world: World, users: int, mean: float, start: int) -> Interactions:
    timeline = _timeline(rng, _lengths(rng, users, mean))
    need = _needs(rng, world, timeline, users)
    domain = _domains(rng, timeline.user, users)
    item = _items(rng, world, timeline.user, domain, need)
    rating = _ratings(rng, world, timeline.user, domain, item, users)
    return Interactions(timeline.user + np.int32(start), domain, item, timeline.day, rating)


def _lengths(rng: np.random.Generator, users: int, mean: float) -> NDArray[np.int64]:
    """Draw the number of interactions of each user ``[U]``: the minimum plus a log-normal rest."""
    shortest = min(SHORTEST, int(mean))
    rest = (mean - shortest) * np.exp(rng.standard_normal(users) - 0.5)
    return shortest + np.floor(np.minimum(rest, LONGEST * mean) + rng.random(users)).astype(np.int64)


def _timeline(rng: np.random.Generator, lengths: NDArray[np.int64]) -> _Timeline:
    user = np.repeat(np.arange(len(lengths), dtype=np.int32), lengths)
    ends = np.cumsum(lengths)
    starts = ends - lengths
    first = np.zeros(len(user), dtype=np.bool_)
    first[starts] = True
    waits = np.where(rng.random(len(user)) < SAME_DAY, 0.0, rng.exponential(size=len(user)))
    clock = np.cumsum(np.where(first, 0.0, waits))
    elapsed = clock - clock[starts][user]
    age = elapsed / np.maximum(elapsed[ends - 1], 1e-9)[user]
    life = np.sort(rng.integers(FIRST_DAY, LAST_DAY + 1, size=(len(lengths), 2)), axis=1)
    day = (life[user, 0] + np.floor(age * (life[:, 1] - life[:, 0])[user])).astype(np.uint16)
    same_day = ~first & (day == np.roll(day, 1))
    return _Timeline(user, first, age, day, same_day)


def _needs(rng: np.random.Generator, world: World, timeline: _Timeline, users: int) -> _Need:
    """Draw theme, style and facet of every interaction: those of its session, with some noise."""
    rows = len(timeline.user)
    switch = np.where(timeline.same_day, SWITCH_SAME_DAY, SWITCH_LATER)
    begins = timeline.first | (rng.random(rows) < switch)
    session = np.cumsum(begins) - 1
    # [G]
    owner, age = timeline.user[begins], timeline.age[begins]
    styles = _favourite_styles(rng, world, users)
    theme = _session_themes(rng, world, owner, age, users)[session]
    style = _session_styles(rng, world, styles[owner])[session]

    off_style = rng.random(rows) < OFF_STYLE
    style = np.where(off_style, _session_styles(rng, world, styles[timeline.user]), style)
    off = rng.random(rows) < OFF_TASTE
    theme = np.where(off, _draw(rng, world.theme_share, rows), theme)
    style = np.where(off, _draw(rng, world.style_share, rows), style)
    return _Need(theme, style, _facets(rng, begins, session))


def _session_themes(rng: np.random.Generator, world: World, owner: Ints, age: Floats, users: int) -> Codes:
    """Draw a theme for each session ``[G]`` from its user's taste, whose weights drift over the user's lifetime."""
    liked = _draw(rng, world.theme_share, users * TASTE_THEMES).reshape(users, TASTE_THEMES)
    # Normalised exponentials have a Dirichlet distribution with all parameters one.
    weight = rng.exponential(size=(users, TASTE_THEMES))
    drift = rng.uniform(-0.9, 0.9, size=(users, TASTE_THEMES))
    # [G, K]
    now = weight[owner] * (1.0 + drift[owner] * (2.0 * age[:, None] - 1.0))
    reached = np.cumsum(now, axis=1)
    place = (reached < (rng.random(len(owner)) * reached[:, -1])[:, None]).sum(axis=1)
    theme: Codes = liked[owner, np.minimum(place, TASTE_THEMES - 1)]
    return theme


def _favourite_styles(rng: np.random.Generator, world: World, users: int) -> Codes:
    """Draw the first and second favourite style of every user, ``[U, 2]``."""
    return _draw(rng, world.style_share, 2 * users).reshape(users, 2)


def _session_styles(rng: np.random.Generator, world: World, favourites: Codes) -> Codes:
    """Draw a style for each row of ``favourites`` ``[n, 2]``."""
    uniform = rng.random(len(favourites))
    second = np.where(uniform < sum(LOYALTY), favourites[:, 1], _draw(rng, world.style_share, len(favourites)))
    return np.where(uniform < LOYALTY[0], favourites[:, 0], second).astype(np.int8)


def _facets(rng: np.random.Generator, begins: Bools, session: NDArray[np.int64]) -> Codes:
    """Draw the noun ``[R]`` of each interaction: a session starts anywhere and moves to the next noun half the time."""
    steps = np.cumsum(rng.random(len(begins)) < 0.5)
    origin = steps[begins] - rng.integers(FACETS, size=int(begins.sum()))
    return ((steps - origin[session]) % FACETS).astype(np.int8)


def _domains(rng: np.random.Generator, user: Ints, users: int) -> Codes:
    """Draw the domain ``[R]`` of each interaction by its user's preference, with the minimum of each domain ensured."""
    leaning = rng.beta(6.0, 6.0, users)
    domain = (rng.random(len(user)) < leaning[user]).astype(np.int8)
    for wanted in (0, 1):
        other = domain != wanted
        missing = SHORTEST_DOMAIN - np.bincount(user, weights=~other, minlength=users)
        # If a user has too few in a domain, move randomly chosen interactions of the other domain there.
        order = np.lexsort((rng.random(len(user)), ~other, user))
        place = np.arange(len(user)) - np.searchsorted(user, user)
        changed = order[place < missing[user]]
        domain[changed] = wanted
    return domain


def _items(rng: np.random.Generator, world: World, user: Ints, domain: Codes, need: _Need) -> Ints:
    """Draw the item ``[R]`` of each interaction; redraw repeats, first from the same cell, so that few remain."""
    item = _pick(rng, world, domain, need)
    for attempt in range(REDRAWS):
        again = _repeats(user, domain, item)
        theme, style = need.theme[again], need.style[again]
        if attempt >= 1:
            style = _draw(rng, world.style_share, len(again))
        if attempt >= REDRAWS - 2:
            theme = _draw(rng, world.theme_share, len(again))
        item[again] = _pick(rng, world, domain[again], _Need(theme, style, need.facet[again]))
    return item


def _pick(rng: np.random.Generator, world: World, domain: Codes, need: _Need) -> Ints:
    """Draw items ``[R]`` of the wanted cells; of a few popular candidates, the first with the wanted noun is taken."""
    item = np.empty(len(domain), dtype=np.int32)
    for number, domain_items in enumerate(world.domains):
        rows = np.flatnonzero(domain == number)
        theme, style, facet = need.theme[rows], need.style[rows], need.facet[rows]
        chosen = domain_items.draw(theme, style, rng.random(len(rows)))
        for _ in range(TRIES - 1):
            unfit = np.flatnonzero((domain_items.facet[chosen] - facet) % FACETS > 1)
            chosen[unfit] = domain_items.draw(theme[unfit], style[unfit], rng.random(len(unfit)))
        item[rows] = chosen
    return item


def _repeats(user: Ints, domain: Codes, item: Ints) -> NDArray[np.int64]:
    """Find the rows whose user already had the item."""
    key = ((user.astype(np.int64) << 32) | item) * 2 + domain
    order = np.argsort(key, kind="stable")
    same = key[order[1:]] == key[order[:-1]]
    return np.sort(order[1:][same])


def _ratings(rng: np.random.Generator, world: World, user: Ints, domain: Codes, item: Ints, users: int) -> Codes:
    """Draw ratings ``[R]`` of 1 to 5 from the user's mildness, the item's quality, and chance."""
    score = 4.5 + 0.4 * rng.standard_normal(users)[user] + 0.9 * rng.standard_normal(len(user))
    for number, domain_items in enumerate(world.domains):
        rows = np.flatnonzero(domain == number)
        score[rows] += domain_items.quality[item[rows]]
    return (1 + np.searchsorted(RATING_EDGES, score)).astype(np.int8)


def _draw(rng: np.random.Generator, share: Floats, size: int) -> Codes:
    """Draw ``size`` codes with the given probabilities."""
    place = np.searchsorted(np.cumsum(share), rng.random(size), side="right")
    return np.minimum(place, len(share) - 1).astype(np.int8)
