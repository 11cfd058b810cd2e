"""A trained pair, loaded to answer questions: items, users, histories, profiles and one model."""

from __future__ import annotations

import datetime
import difflib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from numpy.typing import NDArray

from lecdsr.base.errors import UserError
from lecdsr.base.files import read_json, read_table
from lecdsr.base.paths import Artefacts
from lecdsr.base.schemas import ANSWERS, DOMAINS, INTERACTIONS, ITEMS, SECONDS_PER_DAY, USERS
from lecdsr.models.saved import load, read_config
from lecdsr.ranking.frame import Catalogue, Histories, Recommender
from lecdsr.ranking.histories import recency
from lecdsr.ranking.tables import load_catalogue

IntArray = NDArray[np.int64]


class Line(NamedTuple):
    """One item as a person reads it; ``when`` for a history, ``score`` for a recommendation."""

    item: int
    domain: str
    asin: str
    title: str
    categories: str
    when: str = ""
    score: float = 0.0


@dataclass(frozen=True)
class Shop:
    """All that is needed to recommend on one pair with one model."""

    items: pa.Table
    users: pa.Table
    interactions: pa.Table
    profiles: dict[int, str]
    catalogue: Catalogue
    network: Recommender
    trained: Any

    @cached_property
    def _scores(self) -> Callable[[Histories, slice], torch.Tensor]:
        """Made once: a model may read its whole catalogue for it."""
        return self.network.scorer()

    def user_id(self, reviewer: str) -> int:
        """Id of a reviewer.

        Raises:
            UserError: the pair has no such reviewer.
        """
        place = pc.index(self.users["reviewer"], reviewer).as_py()
        if place >= 0:
            return int(place)
        known = self.users["reviewer"].to_pylist()
        near = difflib.get_close_matches(reviewer, known[:50_000], n=1)
        hint = f"did you mean {near[0]}? " if near else ""
        raise UserError(
            f"there is no user {reviewer!r} in this pair",
            do=f"{hint}a reviewer id is wanted, for example {known[0]}; users may be filtered out (sequences)",
        )

    def history(self, user: int) -> tuple[IntArray, IntArray]:
        """Items and times of all interactions of a user, in time order."""
        column = self.interactions["user"].to_numpy()
        rows = slice(np.searchsorted(column, user, "left"), np.searchsorted(column, user, "right"))
        items, times = (self.interactions[name].to_numpy()[rows].astype(np.int64) for name in ("item", "time"))
        return items, times

    @torch.no_grad()
    def recommend(self, user: int, history: IntArray, times: IntArray, domain: int, k: int) -> list[Line]:
        """The ``k`` items of a domain that score highest after ``history``, without those in it."""
        items = self.catalogue.items_of(domain)
        inside = (history >= items.start) & (history < items.stop)
        read = inside if self.trained.domains == "own" else np.ones_like(inside)
        scores = self._scores(self._histories(user, history[read], times[read]), items)[0]  # [N_domain]
        scores[torch.from_numpy(history[inside] - items.start)] = float("-inf")
        count = min(k, int(torch.isfinite(scores).sum()))
        top = torch.topk(scores, count)
        return [
            self.line(int(place) + items.start, score=float(score))
            for score, place in zip(top.values, top.indices, strict=True)
        ]

    def _histories(self, user: int, history: IntArray, times: IntArray) -> Histories:
        length, padding = self.trained.history_length, self.catalogue.padding
        sequence = torch.full((1, length), padding, dtype=torch.long)  # [1, L]
        day = torch.zeros_like(sequence)
        if len(history):
            latest = slice(-min(length, len(history)), None)
            sequence[0, latest] = torch.from_numpy(history[latest])
            day[0, latest] = torch.from_numpy(times[latest] // SECONDS_PER_DAY)
        return Histories(sequence, recency(sequence, self.catalogue.n_x, padding), torch.tensor([user]), day)

    def line(self, item: int, time: int | None = None, score: float = 0.0) -> Line:
        """An item with its texts."""
        row = self.items.slice(item, 1).to_pylist()[0]
        when = "" if time is None else str(datetime.datetime.fromtimestamp(time, datetime.UTC).date())
        title = row["title"] or "(no title)"
        categories = " › ".join(row["categories"])
        return Line(item, DOMAINS[row["domain"]], row["asin"], title, categories, when, score)


def open_shop(artefacts: Artefacts, model: str) -> Shop:
    """Load a pair and one of its trained models.

    Raises:
        UserError: an artefact is missing.
    """
    _, trained = read_config(artefacts.model(model))
    catalogue = load_catalogue(artefacts)
    answers = read_table(artefacts.answers, ANSWERS)
    profiles = answers.filter(pc.and_(pc.equal(answers["kind"], "user"), pc.is_valid(answers["text"])))
    return Shop(
        items=read_table(artefacts.items, ITEMS),
        users=read_table(artefacts.users, USERS),
        interactions=read_table(artefacts.interactions, INTERACTIONS),
        profiles=dict(zip(profiles["id"].to_pylist(), profiles["text"].to_pylist(), strict=True)),
        catalogue=catalogue,
        network=load(artefacts.model(model), catalogue),
        trained=trained,
    )


def best_model(artefacts: Artefacts) -> str:
    """The trained model with the best validation score of this pair.

    Raises:
        UserError: no model is trained.
    """
    configs = sorted((artefacts.root / "models").glob("*/config.json"))
    if not configs:
        raise UserError(
            f"no model is trained on the pair {artefacts.pair!r}",
            where=str(artefacts.root / "models"),
            do=f"add {artefacts.pair!r} to `active` in params.yaml and run `dvc repro`",
        )
    scores = {path.parent.name: float(read_json(path)["valid_ndcg@10"]) for path in configs}
    return max(scores, key=lambda name: scores[name])
