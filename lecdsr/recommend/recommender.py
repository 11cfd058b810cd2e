"""A trained pair, loaded to answer questions: items, users, histories, profiles and one model."""

from __future__ import annotations

import datetime
import difflib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from numpy.typing import NDArray

from lecdsr.core.arrays import IntArray
from lecdsr.core.errors import UserError
from lecdsr.core.files import read_json, read_table
from lecdsr.core.paths import Artefacts
from lecdsr.core.schemas import ANSWERS, DOMAINS, INTERACTIONS, ITEMS, SECONDS_PER_DAY, USERS
from lecdsr.data.batch import Histories, recency
from lecdsr.data.info import DatasetInfo
from lecdsr.data.load import load_info
from lecdsr.models.base import Recommender
from lecdsr.models.registry import find_model
from lecdsr.models.saved import load, read_config

#: Stands for the title of an item that has none.
NO_TITLE = "(no title)"


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
class PairRecommender:
    """All that is needed to recommend on one pair with one model."""

    items: pa.Table
    users: pa.Table
    interactions: pa.Table
    profiles: dict[int, str]
    info: DatasetInfo
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
    def recommend(
        self, user: int, history: IntArray, times: IntArray, domain: int, k: int, include_owned: bool = False
    ) -> list[Line]:
        """The ``k`` items of a domain that score highest after ``history``, without those in it unless asked for.

        Raises:
            UserError: a score is NaN.
        """
        items = self.info.items_of(domain)
        scores = self.scores(user, history, times, domain)
        if not include_owned:
            scores[torch.from_numpy(history[self._of(history, domain)] - items.start)] = float("-inf")
        top = torch.topk(scores, min(k, int((scores > float("-inf")).sum())))
        return [
            self.line(int(place) + items.start, score=float(score))
            for score, place in zip(top.values, top.indices, strict=True)
        ]

    @torch.no_grad()
    def scores(self, user: int, history: IntArray, times: IntArray, domain: int) -> torch.Tensor:
        """``[N_domain]`` scores of all items of a domain after ``history``.

        Raises:
            UserError: a score is NaN.
        """
        read = self.reads(history, domain)
        scores = self._scores(self.histories([user], [(history[read], times[read])]), self.info.items_of(domain))[0]
        if torch.isnan(scores).any():
            raise UserError("the model gives NaN as a score", do="lower its learning rate and train it again")
        return scores

    @torch.no_grad()
    def query(self, user: int, history: IntArray, times: IntArray, domain: int) -> torch.Tensor:
        """``[d]`` the query of a two-tower model after what it reads of ``history`` for a domain."""
        read = self.reads(history, domain)
        return self.network.queries(self.histories([user], [(history[read], times[read])]))[0]

    def reads(self, history: IntArray, domain: int) -> IntArray:
        """Places in ``history`` that the model reads for a domain: the latest, or the latest of that domain."""
        return self._visible(history, domain)[-self.trained.history_length :]

    @torch.no_grad()
    def contributions(self, user: int, history: IntArray, times: IntArray, item: int) -> NDArray[np.float32]:
        """``[H]`` what the score of ``item`` loses when an item of the history is taken away; NaN if not read.

        The score is computed anew for every history, so that this holds for every model. Where a history is longer
        than the model reads, the next older item comes in for the one taken away.
        """
        domain = int(item >= self.info.n_x)
        parts = np.full(len(history), np.nan, np.float32)
        read = self.reads(history, domain)
        if not len(read):
            return parts
        visible = self._visible(history, domain)
        kept = [visible, *(visible[visible != place] for place in read)]
        histories = self.histories([user] * len(kept), [(history[places], times[places]) for places in kept])
        scores = self._scores(histories, slice(item, item + 1))[:, 0]  # [1 + R]
        parts[read] = (scores[0] - scores[1:]).numpy()
        return parts

    def _visible(self, history: IntArray, domain: int) -> IntArray:
        return self._of(history, domain) if self.trained.domains == "own" else np.arange(len(history))

    def _of(self, history: IntArray, domain: int) -> IntArray:
        items = self.info.items_of(domain)
        return np.flatnonzero((history >= items.start) & (history < items.stop))

    def histories(self, users: Sequence[int], rows: Sequence[tuple[IntArray, IntArray]]) -> Histories:
        """A batch of histories: for each the user, and items and times ``[H]``, of which the latest count."""
        length, padding = self.trained.history_length, self.info.padding
        sequence = torch.full((len(rows), length), padding, dtype=torch.long)  # [B, L]
        day = torch.zeros_like(sequence)
        for place, (history, times) in enumerate(rows):
            if len(history):
                latest = slice(-min(length, len(history)), None)
                sequence[place, latest] = torch.from_numpy(history[latest])
                day[place, latest] = torch.from_numpy(times[latest] // SECONDS_PER_DAY)
        return Histories(sequence, recency(sequence, self.info.n_x, padding), torch.tensor(users), day)

    def line(self, item: int, time: int | None = None, score: float = 0.0) -> Line:
        """An item with its texts."""
        row = self.items.slice(item, 1).to_pylist()[0]
        when = "" if time is None else str(datetime.datetime.fromtimestamp(time, datetime.UTC).date())
        title = row["title"] or NO_TITLE
        categories = " › ".join(row["categories"])
        return Line(item, DOMAINS[row["domain"]], row["asin"], title, categories, when, score)


def open_recommender(artefacts: Artefacts, model: str) -> PairRecommender:
    """Load a pair and one of its trained models.

    Raises:
        UserError: the model is not trained, or an artefact is missing.
    """
    find_model(model)
    if not (artefacts.model(model) / "config.json").exists():
        names = ", ".join(path.parent.name for path in _trained(artefacts))
        raise UserError(
            f"the model {model!r} is not trained on the pair {artefacts.pair!r}",
            where=str(artefacts.model(model)),
            do=f"use one of {names}, or name it under `models` in params.yaml and run `dvc repro`",
        )
    _, trained = read_config(artefacts.model(model))
    interactions = read_table(artefacts.interactions, INTERACTIONS)
    info = load_info(artefacts, interactions)
    answers = read_table(artefacts.answers, ANSWERS)
    profiles = answers.filter(pc.and_(pc.equal(answers["kind"], "user"), pc.is_valid(answers["text"])))
    return PairRecommender(
        items=read_table(artefacts.items, ITEMS),
        users=read_table(artefacts.users, USERS),
        interactions=interactions,
        profiles=dict(zip(profiles["id"].to_pylist(), profiles["text"].to_pylist(), strict=True)),
        info=info,
        network=load(artefacts.model(model), info),
        trained=trained,
    )


def best_model(artefacts: Artefacts, accept: Callable[[Any], bool] | None = None) -> str:
    """The trained model with the best validation score of this pair, of those whose settings ``accept`` takes.

    Raises:
        UserError: no model is trained, or none is taken.
    """
    configs = _trained(artefacts)
    taken = [path for path in configs if accept is None or accept(read_config(path.parent)[1])]
    if not taken:
        names = ", ".join(path.parent.name for path in configs)
        raise UserError(
            f"no trained model of the pair {artefacts.pair!r} can do this; there are: {names}",
            do="train another: name it under `models` in params.yaml and run `dvc repro`",
        )
    scores = {path.parent.name: float(read_json(path)["valid_ndcg@10"]) for path in taken}
    return max(scores, key=lambda name: scores[name])


def _trained(artefacts: Artefacts) -> list[Path]:
    configs = sorted((artefacts.root / "models").glob("*/config.json"))
    if not configs:
        raise UserError(
            f"no model is trained on the pair {artefacts.pair!r}",
            where=str(artefacts.root / "models"),
            do=f"add {artefacts.pair!r} to `active` in params.yaml and run `dvc repro`",
        )
    return configs
