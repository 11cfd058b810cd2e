"""A trained model loaded for inference, with the items, users, histories and profiles of its pair."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from numpy.typing import NDArray

from lecdsr.core.arrays import IntArray
from lecdsr.core.errors import UserError, did_you_mean
from lecdsr.core.files import read_json, read_table
from lecdsr.core.paths import Artefacts
from lecdsr.core.schemas import ANSWERS, DOMAINS, INTERACTIONS, ITEMS, SECONDS_PER_DAY, USERS
from lecdsr.data.batch import Histories, HistoryProfiles, as_columns, recency
from lecdsr.data.everything import info_for
from lecdsr.data.info import DatasetInfo
from lecdsr.data.load import load_info
from lecdsr.data.profiles import history_profiles
from lecdsr.models.base import Recommender, UserInput
from lecdsr.models.registry import find_model, model_names
from lecdsr.models.saved import load, read_config
from lecdsr.recommend.best import best_of
from lecdsr.recommend.everyone import model_folder

#: Shown in place of a missing title.
NO_TITLE = "(no title)"


class Line(NamedTuple):
    """An item with its texts for printing; ``when`` is the day of an interaction, ``score`` of a recommendation."""

    item: int
    domain: str
    asin: str
    title: str
    categories: str
    when: str = ""
    score: float = 0.0


@dataclass(frozen=True)
class PairRecommender:
    """A trained model of a pair, with the data needed to recommend with it.

    Args:
        items: table ``ITEMS``.
        users: table ``USERS``.
        interactions: table ``INTERACTIONS``.
        profiles: text of the profile by user, for users who have one.
        info: sizes and vectors of the pair.
        network: the trained model.
        trained: settings of the model.
        anonymous_models: trained models of the pair that can recommend to an anonymous user.
        device: where the network is, and where scores are computed; results are on the CPU.
        config: ``config.json`` of the model, which an export repeats.
    """

    items: pa.Table
    users: pa.Table
    interactions: pa.Table
    profiles: dict[int, str]
    info: DatasetInfo
    network: Recommender
    trained: Any
    anonymous_models: tuple[str, ...] = ()
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    config: dict[str, Any] = field(default_factory=dict)

    @cached_property
    def _scorer(self) -> Callable[[Histories, slice], torch.Tensor]:
        """Scoring function, created once because a model may process every item for it."""
        return self.network.scorer()

    @cached_property
    def query_encoder(self) -> Callable[[Histories], torch.Tensor]:
        """The query tower of a two-tower model, ``[B, d]``; created once, because a model may process every item."""
        return self.network.query_encoder()

    @cached_property
    def _directions(self) -> torch.Tensor | None:
        return self.network.item_directions()

    @cached_property
    def key_parts(self) -> dict[str, torch.Tensor] | None:
        """Summands of the item keys by name, see :meth:`Recommender.key_parts`; computed once."""
        with torch.no_grad():
            return self.network.key_parts()

    @cached_property
    def bias(self) -> torch.Tensor | None:
        """``[N]`` biases of the items of a two-tower model; ``None`` if all are 0."""
        with torch.no_grad():
            bias = self.network.keys()[1].cpu()
        return bias if bool(bias.any()) else None

    @torch.no_grad()
    def item_similarities(self, item: int) -> torch.Tensor | None:
        """Compute the similarity of every item to ``item``, ``[N]``; ``None`` if the model does not compare items."""
        directions = self._directions
        found = self.network.item_similarities(item) if directions is None else directions @ directions[item]
        return None if found is None else found.cpu()

    @property
    def user_input(self) -> UserInput:
        """How the model uses the user of a history; not at all if it reads profiles and the pair has none."""
        declared = self.network.user_input(self.trained)
        return "none" if declared == "profile" and not self.info.profiles else declared

    def check_anonymous(self) -> None:
        """Refuse anonymous users if the model learned an embedding for every user.

        Raises:
            UserError: it did; the message names models that can serve anonymous users.
        """
        if self.user_input == "embedding":
            raise UserError(
                "this model learned an embedding for every user, so it cannot recommend to an anonymous user",
                where="--model",
                do=self.anonymous_advice(),
                code="no-anonymous",
            )

    def user_id(self, reviewer: str) -> int:
        """Return the user number of a reviewer id.

        Raises:
            UserError: the pair has no such reviewer.
        """
        place = pc.index(self.users["reviewer"], reviewer).as_py()
        if place >= 0:
            return int(place)
        known = self.users["reviewer"].to_pylist()
        raise UserError(
            f"there is no user {reviewer!r} in this pair{did_you_mean(reviewer, known)}",
            where="--user",
            do=f"give a reviewer id, for example {known[0]}; filters of `sequences` may have removed the user",
            code="unknown-user",
        )

    def history(self, user: int) -> tuple[IntArray, IntArray]:
        """Return items and times ``[H]`` (seconds since 1970-01-01 UTC) of a user's interactions, in time order."""
        column = self.interactions["user"].to_numpy()
        rows = slice(np.searchsorted(column, user, "left"), np.searchsorted(column, user, "right"))
        items, times = (self.interactions[name].to_numpy()[rows].astype(np.int64) for name in ("item", "time"))
        return items, times

    @torch.no_grad()
    def recommend(
        self, user: int, history: IntArray, times: IntArray, domain: int, k: int, include_owned: bool = False
    ) -> list[Line]:
        """Return the ``k`` items of a domain with the highest scores after ``history``; of equal ones the lower ids.

        Args:
            user: number of the user, or ``info.anonymous_user``.
            history: ``[H]`` items in time order.
            times: ``[H]`` times of the items, in seconds since 1970-01-01 UTC.
            domain: 0 (X) or 1 (Y).
            k: number of items.
            include_owned: also recommend items of the history.

        Raises:
            UserError: a score is NaN.
        """
        items = self.info.items_of(domain)
        scores = self.scores(user, history, times, domain)
        if not include_owned:
            scores[torch.from_numpy(history[self._of(history, domain)] - items.start)] = float("-inf")
        best = best_of(scores.unsqueeze(0), k, items.start)
        return [
            self.line(int(item), score=float(score))
            for score, item in zip(best.scores[0], best.items[0], strict=True)
            if score > float("-inf")
        ]

    @torch.no_grad()
    def scores(self, user: int, history: IntArray, times: IntArray, domain: int) -> torch.Tensor:
        """Score all items of a domain after ``history``, ``[N_domain]``.

        Raises:
            UserError: a score is NaN.
        """
        histories = self._read(user, history, times, domain)
        with self._anonymous_errors(user):
            scores = self._scorer(histories, self.info.items_of(domain))[0].cpu()
        if torch.isnan(scores).any():
            raise UserError(
                "the model returns NaN as a score", do="lower its learning_rate and run `dvc repro`", code="nan-score"
            )
        return scores

    @torch.no_grad()
    def query(self, user: int, history: IntArray, times: IntArray, domain: int) -> torch.Tensor:
        """Compute the query of a two-tower model after ``history``, for items of a domain, ``[d]``."""
        histories = self._read(user, history, times, domain)
        with self._anonymous_errors(user):
            return self.query_encoder(histories)[0].cpu()

    @torch.no_grad()
    def rerank_part(self, user: int, history: IntArray, times: IntArray, item: int) -> float | None:
        """Compute the part of the score of an item that is no product of query and key; ``None`` if there is none."""
        term = self.network.rerank_term()
        if term is None:
            return None
        histories = self._read(user, history, times, int(item >= self.info.n_x))
        return float(term(histories, slice(item, item + 1)).sum())

    def _read(self, user: int, history: IntArray, times: IntArray, domain: int) -> Histories:
        """Build a batch of one history: the part of ``history`` that the model reads for a domain."""
        read = self.reads(history, domain)
        return self.histories([user], [(history[read], times[read])], domain, [times])

    @contextmanager
    def _anonymous_errors(self, user: int) -> Iterator[None]:
        """Replace the IndexError of a model without a row for anonymous users by a helpful message."""
        try:
            yield
        except IndexError as error:
            if user != self.info.anonymous_user:
                raise
            model = type(self.network)
            raise UserError(
                f"{model.__name__} looks up the user and has no row for an anonymous user (index {user})",
                where=f"{model.__module__}.{model.__name__}.user_input",
                do=f"return 'embedding' there, so that anonymous users are refused; {self.anonymous_advice()}",
                code="no-anonymous",
            ) from error

    def anonymous_advice(self) -> str:
        """Return which models can recommend to an anonymous user, as advice in an error message."""
        if self.anonymous_models:
            return f"name a model that needs no user id with --model: {', '.join(self.anonymous_models)}"
        return train_anonymous_advice()

    def reads(self, history: IntArray, domain: int) -> IntArray:
        """Return the positions of the history items that the model reads to score a domain."""
        return self._visible(history, domain)[-self.trained.history_length :]

    @torch.no_grad()
    def contributions(self, user: int, history: IntArray, times: IntArray, item: int) -> NDArray[np.float32]:
        """Compute the contribution of each history item to the score of ``item``: the drop in score without it.

        The score is recomputed for every shortened history, so this works for every model. If the history is longer
        than the model reads, the next older item moves in.

        Returns:
            ``[H]``, NaN for items that the model does not read.
        """
        domain = int(item >= self.info.n_x)
        parts = np.full(len(history), np.nan, np.float32)
        read = self.reads(history, domain)
        if not len(read):
            return parts
        visible = self._visible(history, domain)
        kept = [visible, *(visible[visible != place] for place in read)]
        rows = [(history[places], times[places]) for places in kept]
        histories = self.histories([user] * len(kept), rows, domain, [times] * len(kept))
        with self._anonymous_errors(user):
            scores = self._scorer(histories, slice(item, item + 1))[:, 0].cpu()  # [1 + R]
        parts[read] = (scores[0] - scores[1:]).numpy()
        return parts

    def _visible(self, history: IntArray, domain: int) -> IntArray:
        return self._of(history, domain) if self.trained.domains == "own" else np.arange(len(history))

    def _of(self, history: IntArray, domain: int) -> IntArray:
        items = self.info.items_of(domain)
        return np.flatnonzero((history >= items.start) & (history < items.stop))

    def histories(
        self,
        users: Sequence[int],
        rows: Sequence[tuple[IntArray, IntArray]],
        domain: int,
        times: Sequence[IntArray],
        earlier_than: IntArray | None = None,
    ) -> Histories:
        """Build a batch of histories; only the latest items are kept.

        Args:
            users: B of them.
            rows: items and times ``[H]`` that the model reads of each.
            domain: domain of the items to score.
            times: times of all that is known of each user, which decide which profile is the latest.
            earlier_than: ``[B]`` times of the next items, before which profiles must lie, if these are known.
        """
        length, padding = self.trained.history_length, self.info.padding
        sequence = torch.full((len(rows), length), padding, dtype=torch.long)  # [B, L]
        day = torch.zeros_like(sequence)
        for place, (history, when) in enumerate(rows):
            if len(history):
                latest = slice(-min(length, len(history)), None)
                sequence[place, latest] = torch.from_numpy(history[latest])
                day[place, latest] = torch.from_numpy(when[latest] // SECONDS_PER_DAY)
        position = recency(sequence, self.info.n_x, padding)
        profile = self._profiles(users, times, earlier_than)
        return Histories(sequence, position, torch.tensor(users), day, profile=profile, domain=domain).to(self.device)

    def _profiles(
        self, users: Sequence[int], times: Sequence[IntArray], earlier_than: IntArray | None
    ) -> HistoryProfiles | None:
        if self.info.profiles is None:
            return None
        sizes = np.array([len(one) for one in times], np.int64)
        end = np.cumsum(sizes)
        owner = np.repeat(np.arange(len(sizes)), sizes)
        bounds = (end - sizes, end)
        rows = (owner, np.concatenate(times))
        found = history_profiles(self.info.profiles, np.array(users), *rows, bounds, earlier_than)
        return as_columns(found, torch.device("cpu"))

    def line(self, item: int, time: int | None = None, score: float = 0.0) -> Line:
        """Return an item with its texts."""
        row = self.items.slice(item, 1).to_pylist()[0]
        when = "" if time is None else str(datetime.datetime.fromtimestamp(time, datetime.UTC).date())
        title = row["title"] or NO_TITLE
        categories = " › ".join(row["categories"])
        return Line(item, DOMAINS[row["domain"]], row["asin"], title, categories, when, score)


def check_trained(artefacts: Artefacts, model: str) -> None:
    """Refuse a model that is not trained on the pair.

    Args:
        artefacts: of the pair.
        model: name of the model.

    Raises:
        UserError: there is no such model, or it is not trained.
    """
    find_model(model)
    if not (artefacts.model(model) / "config.json").exists():
        names = ", ".join(path.parent.name for path in _trained(artefacts))
        raise UserError(
            f"the model {model!r} is not trained on the pair {artefacts.pair!r}",
            where=str(artefacts.model(model)),
            do=f"use one of {names}, or add it to `models` in params.yaml and run `dvc repro`",
            code="not-trained",
        )


def open_recommender(
    artefacts: Artefacts, model: str, device: torch.device | None = None, evaluated: bool = True
) -> PairRecommender:
    """Load a pair and one of its trained models.

    Args:
        artefacts: of the pair.
        model: name of the model.
        device: where to compute; ``None`` is the CPU.
        evaluated: load the evaluated model; otherwise the one that was trained on everything, where there is one.

    Raises:
        UserError: the model is not trained, or an artefact is missing.
    """
    check_trained(artefacts, model)
    folder = model_folder(artefacts, model, evaluated)
    config, trained = read_config(folder)
    interactions = read_table(artefacts.interactions, INTERACTIONS)
    info = info_for(config, load_info(artefacts, interactions), interactions)
    answers = read_table(artefacts.answers, ANSWERS)
    profiles = answers.filter(pc.and_(pc.equal(answers["kind"], "user"), pc.is_valid(answers["text"])))
    return PairRecommender(
        items=read_table(artefacts.items, ITEMS),
        users=read_table(artefacts.users, USERS),
        interactions=interactions,
        profiles=dict(zip(profiles["id"].to_pylist(), profiles["text"].to_pylist(), strict=True)),
        info=info,
        network=load(folder, info).to(device or "cpu"),
        trained=trained,
        anonymous_models=tuple(_anonymous_models(_trained(artefacts))),
        device=device or torch.device("cpu"),
        config=config,
    )


def best_model(artefacts: Artefacts, anonymous: bool = False) -> str:
    """Return the name of a pair's trained model with the best validation score.

    Args:
        artefacts: paths of the pair's files.
        anonymous: consider only models that can recommend to an anonymous user.

    Raises:
        UserError: no model is trained, or none of them can recommend to an anonymous user.
    """
    configs = _trained(artefacts)
    names = [path.parent.name for path in configs]
    candidates = _anonymous_models(configs) if anonymous else names
    if not candidates:
        raise UserError(
            f"no trained model of the pair {artefacts.pair!r} can recommend to an anonymous user: {', '.join(names)}",
            where=str(artefacts.root / "models"),
            do=train_anonymous_advice(),
            code="no-anonymous",
        )
    scores = {
        path.parent.name: float(read_json(path)["valid_ndcg@10"]) for path in configs if path.parent.name in candidates
    }
    return max(scores, key=lambda name: scores[name])


def train_anonymous_advice() -> str:
    """Return which models can recommend to an anonymous user once they are trained, as advice in an error message."""
    names = [name for name in model_names() if _by_default(name)]
    return f"add a model that needs no user id ({', '.join(names)}) to `models` in params.yaml and run `dvc repro`"


def _by_default(name: str) -> bool:
    """Return whether a model with its default settings can recommend to an anonymous user."""
    entry = find_model(name)
    try:
        settings = entry.settings.model_validate({})
    except ValueError:  # a setting of the model has no default
        return False
    return entry.recommender.user_input(settings) != "embedding"


def _anonymous_models(configs: list[Path]) -> list[str]:
    """Return the names of the trained models that can recommend to an anonymous user."""
    names = []
    for path in configs:
        try:
            config, settings = read_config(path.parent)
        except UserError:  # trained by other code: not usable, and reported when the user asks for it by name
            continue
        if find_model(config["model"]).recommender.user_input(settings) != "embedding":
            names.append(path.parent.name)
    return names


def _trained(artefacts: Artefacts) -> list[Path]:
    configs = sorted((artefacts.root / "models").glob("*/config.json"))
    if not configs:
        raise UserError(
            f"no model is trained on the pair {artefacts.pair!r}",
            where=str(artefacts.root / "models"),
            do=f"run `dvc repro` with {artefacts.pair!r} among the `active` pairs of params.yaml",
            code="not-trained",
        )
    return configs
