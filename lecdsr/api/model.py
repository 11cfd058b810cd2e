"""Models as estimators: create with settings, fit on a dataset, recommend, save and load."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd
import pyarrow as pa
import torch

from lecdsr.api.dataset import Dataset, require_dataset
from lecdsr.api.evaluation import rank
from lecdsr.api.folder import replaced
from lecdsr.api.histories import Histories, anonymous, of_users
from lecdsr.config.load import check_values
from lecdsr.core.device import choose_device
from lecdsr.core.errors import InputError, input_errors
from lecdsr.data.everything import info_for
from lecdsr.data.info import DatasetInfo
from lecdsr.evaluate.evaluate import metrics_of
from lecdsr.models import saved
from lecdsr.models.base import Recommender, weights_by_domain
from lecdsr.models.registry import find_model
from lecdsr.recommend.batch import Options, batch_recommender
from lecdsr.recommend.recommender import PairRecommender
from lecdsr.report.model_card import model_card
from lecdsr.train.fit import Fitted, fit_model
from lecdsr.train.settings import SharedSettings

_COLUMNS = ["user", "domain", "rank", "item", "score"]


class Model:
    """A model given by its name and settings; :attr:`lecdsr.models` has a class for each name.

    Args:
        model: name of the model, such as ``tandem``.
        **settings: settings of the model, see docs/parameters.md; each has a default.

    Attributes:
        settings: the settings, checked and complete.
        data: the dataset that it was fitted on, or loaded with.
        config: description of the trained model, as in ``config.json``.
        log: one row per epoch; empty for a loaded model.

    Raises:
        ValueError: there is no such model, or a setting is unknown or ill-typed.
    """

    @input_errors()
    def __init__(self, model: str, /, **settings: Any) -> None:
        schema = find_model(model).settings
        self.model = model
        self.settings: Any = check_values(schema, settings, model)
        self.config: dict[str, Any] = {}
        self.log = pd.DataFrame()
        self._data: Dataset | None = None
        self._network: Recommender | None = None

    @input_errors()
    def fit(self, data: Dataset, *, seed: int = 1, quiet: bool = False, **training: Any) -> Self:
        """Train on a dataset, and keep the best epoch on its validation targets.

        Args:
            data: the dataset to train on.
            seed: seed of weights, sample order and negatives. The same seed gives the same weights on one machine.
            quiet: print nothing.
            **training: settings of training that hold for every model, such as ``epochs``, ``patience``, ``device``
                (docs/parameters.md, block ``train.shared``).

        Returns:
            The model itself.

        Raises:
            ValueError: a setting is invalid, the data lack texts that the model needs, or the training fails.
            TypeError: the data is not a dataset.
        """
        require_dataset(data)
        shared = check_values(SharedSettings, {**training, "seed": seed}, "fit")
        self._require_texts(data)
        sequences = data.pair_data(self.settings.domains, self.settings.order, shared.seed, self.settings.profiles_read)
        with torch.random.fork_rng():
            fitted = fit_model(self.model, self.settings, shared, sequences, label=data.name, quiet=quiet)
        self._network, self._data = fitted.network.cpu().eval(), data
        self._unload()
        self.log = pd.DataFrame(fitted.result.log)
        self.config = self._describe(fitted, shared)
        return self

    @property
    def data(self) -> Dataset:
        """Dataset that the model was fitted on.

        Raises:
            InputError: the model is not fitted.
        """
        if self._data is None:
            raise InputError(f"the model {self.model!r} is not fitted", do="call fit(data) first", code="not-fitted")
        return self._data

    @property
    def network(self) -> Recommender:
        """Trained network, a PyTorch module.

        Raises:
            InputError: the model is not fitted.
        """
        if self._network is None:
            raise InputError(f"the model {self.model!r} is not fitted", do="call fit(data) first", code="not-fitted")
        return self._network

    @torch.no_grad()
    @input_errors()
    def recommend(
        self,
        users: Iterable[Any] | None = None,
        k: int = 10,
        *,
        histories: Mapping[Any, Sequence[Any]] | Sequence[Sequence[Any]] | None = None,
        domain: Any = None,
        include_owned: bool = False,
    ) -> pd.DataFrame:
        """Recommend the ``k`` best items of each domain to users of the data, or for anonymous histories.

        Args:
            users: ids of users; ``None`` without ``histories`` means all users. All their interactions are read.
            k: number of items per domain.
            histories: items of anonymous users, latest last: a list of lists, or a dict of lists by label. An item is
                its id, or ``(domain, id)`` if both domains have that id. All count as bought on the data's last day.
            domain: recommend from this domain only.
            include_owned: recommend items of the history too.

        Returns:
            Columns ``user``, ``domain``, ``rank`` (from 1), ``item``, ``score``; sorted by the first three.

        Raises:
            ValueError: a user, an item or a domain is unknown, or the model cannot serve anonymous users.
        """
        if k < 1:
            raise InputError(
                f"k is {k!r}, expected at least 1", where="k", do="pass a whole number such as 10", code="wrong-value"
            )
        if users is not None and histories is not None:
            raise InputError(
                "users and histories are both given",
                where="users, histories",
                do="pass users for users of the data, or histories for anonymous users",
                code="both-given",
            )
        codes = (0, 1) if domain is None else (self.data.domain_code(domain),)
        if histories is None:
            people = of_users(self.data, users)
        else:
            self._recommender.check_anonymous()
            people = anonymous(self.data, histories, self._recommender.info.anonymous_user)
        return self._frame(people, Options(k, codes, include_owned))

    def _frame(self, people: Histories, options: Options) -> pd.DataFrame:
        """Recommendations as a data frame, computed in blocks of users on a GPU if there is one."""
        device = choose_device()
        try:
            recommender = batch_recommender(
                self.network, self.settings, self._recommender.info, people.interactions, options, device
            )
            blocks = list(recommender.blocks(people.numbers, people.rows))
        finally:
            self.network.cpu()
        if not blocks:
            return pd.DataFrame(columns=_COLUMNS)
        place, domain, rank, item, score = (np.concatenate(parts) for parts in zip(*blocks, strict=True))
        columns = {
            "user": np.array(people.labels, object)[place],
            "domain": np.array(self.data.domains, object)[domain],
            "rank": rank,
            "item": self.data.tables.items["asin"].take(pa.array(item)).to_pandas(),
            "score": score.astype(np.float64),
        }
        return pd.DataFrame(columns)

    @input_errors()
    def save(self, folder: Path | str) -> None:
        """Write ``model.safetensors``, ``config.json``, the model card ``card.md`` and, in ``data``, the dataset.

        No file can execute code. A model already in the folder is replaced completely.

        Raises:
            ValueError: the model is not fitted, or the folder holds other files.
        """
        folder, network, data = Path(folder), self.network, self.data
        metrics = metrics_of(rank(self, data))
        with replaced(folder, "config.json") as new:
            data.save(new / "data")
            write_card = functools.partial(model_card, data.name, metrics=metrics)
            self.config = saved.save(new, network, self.config, write_card)

    def __repr__(self) -> str:
        state = "not fitted" if self._data is None else f"fitted on {self._data.name!r}"
        return f"Model {self.model!r}, {state}"

    def _require_texts(self, data: Dataset) -> None:
        """Refuse settings that need vectors which the data lack."""
        for key, there in (("item_text", data.tables.item_vectors), ("user_text", data.tables.profiles)):
            if there is None and getattr(self.settings, key, "none") != "none":
                raise InputError(
                    f"{key}={getattr(self.settings, key)!r} needs text vectors, and the data has none",
                    where=f"{self.model}: {key}",
                    do=f"build the data with texts and an encoder, or set {key}='none' if the model allows it",
                    code="no-vectors",
                )
        if getattr(self.settings, "start", "random") == "text" and data.tables.item_vectors is None:
            raise InputError(
                "start='text' needs text vectors, and the data has none",
                where=f"{self.model}: start",
                do="build the data with items and an encoder, or set start='random'",
                code="no-vectors",
            )

    def _describe(self, fitted: Fitted, shared: SharedSettings) -> dict[str, Any]:
        """Describe the trained model as in the ``config.json`` that the stage ``train`` writes."""
        info, result = fitted.data.info, fitted.result
        return {
            "model": self.model,
            "seed": shared.seed,
            "settings": self.settings.model_dump(),
            "n_x": info.n_x,
            "n_y": info.n_y,
            "n_users": info.n_users,
            "best_epoch": result.best_epoch,
            "schedule": result.schedule,
            "valid_ndcg@10": result.ndcg,
            "term_weights": weights_by_domain(fitted.network),
            "parameters": sum(parameter.numel() for parameter in fitted.network.parameters()),
        }

    @functools.cached_property
    def _recommender(self) -> PairRecommender:
        tables = self.data.tables
        info = _info_of(self.config, self.data)
        return PairRecommender(
            tables.items, tables.users, tables.interactions, {}, info, self.network.cpu().eval(), self.settings
        )

    def _unload(self) -> None:
        self.__dict__.pop("_recommender", None)


@functools.cache
def estimator(model: str) -> Callable[..., Model]:
    """Create the class of a model, for example :attr:`lecdsr.models.Tandem` from ``estimator("tandem")``.

    Raises:
        UserError: there is no such model.
    """
    entry = find_model(model)
    name = entry.recommender.__name__

    def __init__(self: Model, **settings: Any) -> None:
        Model.__init__(self, model, **settings)

    __init__.__signature__ = _signature(entry.settings)  # type: ignore[attr-defined]
    doc = f"{inspect.getdoc(entry.recommender)}\n\nSettings: docs/parameters.md, block ``train.{model}``."
    return type(name, (Model,), {"__init__": __init__, "__doc__": doc, "__module__": "lecdsr.models"})


@input_errors()
def load(folder: Path | str, data: Dataset | None = None) -> Model:
    """Load a saved model, ready to recommend and to be evaluated.

    Args:
        folder: folder that :meth:`Model.save` or the stage ``train`` wrote.
        data: the dataset it was trained on; ``None`` reads the dataset saved with it.

    Raises:
        ValueError: a file is missing or broken, or the model does not belong to this data.
    """
    folder = Path(folder)
    if not any((folder / name).exists() for name in (saved.CONFIG, saved.WEIGHTS)):
        raise InputError(
            "no model is saved here",
            where=str(folder),
            do="name a folder that Model.save wrote, or data/PAIR/models/MODEL of the pipeline",
            code="missing-file",
        )
    config, settings = saved.read_config(folder)
    if data is None:
        if not (folder / "data" / "dataset.json").exists():
            raise InputError(
                "no data set is saved with this model",
                where=str(folder),
                do="pass data=, such as load_pair(NAME)",
                code="no-data",
            )
        data = Dataset.load(folder / "data")
    model: Model = estimator(config["model"])(**settings.model_dump())
    model._network = saved.load(folder, _info_of(config, data))
    model._data, model.config = data, config
    return model


def _info_of(config: Mapping[str, Any], data: Dataset) -> DatasetInfo:
    """What a model of this data was built for."""
    return info_for(config, data.pair_data().info, data.tables.interactions)


def _signature(settings: Any) -> inspect.Signature:
    """Build a signature with the settings as keywords, for ``help`` and for completion in notebooks."""
    kind = inspect.Parameter.KEYWORD_ONLY
    parameters = [inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY)]
    for name, field in settings.model_fields.items():
        parameters.append(inspect.Parameter(name, kind, default=field.default, annotation=field.annotation))
    return inspect.Signature(parameters)
