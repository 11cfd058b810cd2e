"""A dataset of two domains, built from data frames, from the pipeline's output, or from a saved model's folder."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lecdsr.api.build import build_tables, sequence_settings
from lecdsr.api.folder import replaced
from lecdsr.api.frames import check_domains, read_interactions, read_items, read_profiles, require_known_items
from lecdsr.api.vectors import Texts
from lecdsr.config.load import load_pair as read_pair
from lecdsr.core.console import silent
from lecdsr.core.errors import InputError, UserError, did_you_mean, input_errors
from lecdsr.core.files import read_json, read_table, write_json, write_table
from lecdsr.core.paths import Artefacts, find_repository
from lecdsr.core.schemas import CANDIDATES, INTERACTIONS, ITEMS, PROFILES, SPLITS, USERS, WIDTHS, WINDOWS, vectors
from lecdsr.data.load import PairData, PairTables, pair_data
from lecdsr.data.profiles import ProfileTime
from lecdsr.embed.local_encoder import BUNDLED

if TYPE_CHECKING:
    import pandas as pd

_SCHEMAS = {"items": ITEMS, "users": USERS, "interactions": INTERACTIONS, "windows": WINDOWS}
#: Tables that a dataset without texts lacks.
_OPTIONAL = {"item_vectors": vectors(1), "profiles": PROFILES, "phrase_vectors": vectors(1)}


@dataclass(frozen=True, eq=False, repr=False)
class Dataset:
    """A pair of domains: items, users, interactions in time order, splits, negatives and text vectors.

    Build one with :meth:`from_frames`, or load one with :func:`lecdsr.load_pair` or :meth:`load`.

    Args:
        name: name of the dataset on a model card.
        domains: names of domain X and Y.
        tables: tables as the stages of the pipeline write them.
        candidates: negatives of the sampled ranking.
        facts: statistics of the build; empty if they are not known.
    """

    name: str
    domains: tuple[str, str]
    tables: PairTables
    candidates: pa.Table
    facts: dict[str, Any]

    @classmethod
    @input_errors()
    def from_frames(
        cls,
        interactions: Any,
        items: Any = None,
        *,
        domains: Sequence[Any],
        split: str = "leave_one_out",
        encoder: str | None = BUNDLED,
        item_vectors: Any = None,
        profiles: Any = None,
        negatives: int = 999,
        name: str | None = None,
        quiet: bool = False,
        **sequences: Any,
    ) -> Dataset:
        """Build a dataset from data frames of pandas, pyarrow, or any other library that supports Arrow.

        Args:
            interactions: columns ``user``, ``item``, ``domain``, ``time`` (seconds since 1970, datetimes or dates;
                UTC without a zone), optionally ``rating``. Interactions of one moment keep their order per domain.
            items: columns ``item``, optionally ``domain`` (needed where two domains share ids), ``title``, ``brand``,
                ``categories`` (text or lists) and ``description``. Items without a row have no text.
            domains: the two values of the column ``domain``.
            split: ``leave_one_out``, ``temporal`` or ``ratio_windows``.
            encoder: sentence-transformers model or folder that encodes the texts; ``None`` encodes nothing.
            item_vectors: ``[len(items), D]`` vectors instead of encoded texts, one for each row of ``items``.
            profiles: columns ``user``, ``as_of`` (time of the last interaction that a profile was written from) and
                ``text``, structured as in docs/llm.md; a user may have several versions.
            negatives: maximum number of negatives per target in the sampled ranking.
            name: name of the dataset; by default the names of the domains.
            quiet: print nothing.
            **sequences: settings of the stage ``sequences`` (docs/parameters.md), such as ``min_item``,
                    ``min_user_total``, ``overlap``, ``cuts``. Unlike in the pipeline nothing is filtered by default:
                    ``min_item=1, min_user_domain=1, min_user_total=2, max_length=None, min_history=1,
                    overlap="prefer"`` (users of one domain are used for training but not evaluated).

        Raises:
            ValueError: a frame or a setting is invalid; the message says which and what was expected.
            TypeError: an argument is not a frame.
        """
        names = check_domains(domains)
        settings = sequence_settings({"split": split, **sequences})
        rows = read_interactions(interactions, names)
        _require_shared_users(rows, names, settings.overlap)
        texts = None if items is None else read_items(items, names)
        if texts is not None:
            require_known_items(rows, texts, names)
        told = None if profiles is None else read_profiles(profiles, rows["user"])
        if told is not None and encoder is None:
            raise InputError(
                "profiles need an encoder, and encoder is None",
                where="encoder",
                do="name an encoder, or leave out profiles",
                code="no-encoder",
            )
        given = None if item_vectors is None else _item_vectors(item_vectors, texts)
        with silent(quiet):
            built = build_tables(rows, texts, Texts(encoder, given, told, names), settings, negatives)
        return cls(name or f"{names[0]} and {names[1]}", names, *built)

    def pair_data(
        self, domains: str = "both", order: str = "time", seed: int = 0, profile_time: ProfileTime = "before_target"
    ) -> PairData:
        """Arrays and tensors that training and evaluation read, see :func:`lecdsr.data.load.pair_data`."""
        return pair_data(self.tables, domains, order, seed, profile_time)

    @property
    def items(self) -> pd.DataFrame:
        """Items after filtering: ``item``, ``domain``, the texts, and ``train_count``, their training interactions."""
        table = self.tables.items
        columns = {name: table[name] for name in ("title", "brand", "categories", "description", "train_count")}
        return pa.table({"item": table["asin"], "domain": self.domain_names(table["domain"]), **columns}).to_pandas()

    @property
    def users(self) -> pd.DataFrame:
        """Users after filtering, with their number of interactions in each domain."""
        table = self.tables.users
        return pa.table(
            {"user": table["reviewer"], self.domains[0]: table["n_x"], self.domains[1]: table["n_y"]}
        ).to_pandas()

    @property
    def interactions(self) -> pd.DataFrame:
        """Interactions after filtering: ``user``, ``item``, ``domain``, ``time``, ``rating``, ``split``."""
        table = self.tables.interactions
        columns = {
            "user": self.tables.users["reviewer"].take(table["user"]),
            "item": self.tables.items["asin"].take(table["item"]),
            "domain": self.domain_names(table["domain"]),
            "time": table["time"].cast(pa.timestamp("s")),
            "rating": table["rating"],
            "split": pa.array(SPLITS).take(table["split"]),
        }
        return pa.table(columns).to_pandas()

    def __repr__(self) -> str:
        tables, (x, y) = self.tables, self.domains
        n_x = self.n_x
        text = "with text vectors" if tables.item_vectors is not None else "without text vectors"
        return (
            f"Dataset {self.name!r}: {len(tables.users):,} users, {n_x:,} items of {x}, {len(tables.items) - n_x:,} of "
            f"{y}, {len(tables.interactions):,} interactions, {len(self.candidates):,} held-out targets, {text}"
        )

    @property
    def n_x(self) -> int:
        """Number of items of the first domain, whose ids come first."""
        return int(pc.sum(pc.equal(self.tables.items["domain"], 0)).as_py() or 0)

    def domain_names(self, codes: Any) -> pa.Array:
        """Return the names of domains given as 0 and 1."""
        return pa.array(self.domains).take(codes)

    def domain_code(self, domain: Any) -> int:
        """Return the number of a domain, 0 or 1.

        Raises:
            InputError: there is no such domain.
        """
        if str(domain) in self.domains:
            return self.domains.index(str(domain))
        raise InputError(
            f"there is no domain {domain!r}{did_you_mean(domain, self.domains)}",
            where="domain",
            do=f"use {self.domains[0]!r} or {self.domains[1]!r}",
            code="unknown-domain",
        )

    def user_id(self, user: Any) -> int:
        """Return the number of a user.

        Raises:
            InputError: there is no such user.
        """
        return _known(self._users, user, "user")

    def item_id(self, item: Any, domain: int | None = None) -> int:
        """Return the number of an item.

        Args:
            item: id of the item in the frames.
            domain: 0 or 1; needed only if both domains have an item with this id.

        Raises:
            InputError: there is no such item, or both domains have one.
        """
        if domain is not None:
            return _known(self._items[domain], item, f"item of {self.domains[domain]}")
        found = [items[str(item)] for items in self._items if str(item) in items]
        if len(found) > 1:
            raise InputError(
                f"both domains have an item {item!r}",
                where="item",
                do=f"name the domain too: ({self.domains[0]!r}, {item!r})",
                code="ambiguous-item",
            )
        return found[0] if found else _known({**self._items[0], **self._items[1]}, item, "item")

    @cached_property
    def _users(self) -> dict[str, int]:
        return {user: place for place, user in enumerate(self.tables.users["reviewer"].to_pylist())}

    @cached_property
    def _items(self) -> tuple[dict[str, int], dict[str, int]]:
        names, n_x = self.tables.items["asin"].to_pylist(), self.n_x
        return (
            {name: place for place, name in enumerate(names[:n_x])},
            {name: n_x + place for place, name in enumerate(names[n_x:])},
        )

    def same_ids(self, other: Dataset) -> bool:
        """Return whether items and users have the same numbers in both datasets, so that models are interchangeable."""
        return self.tables is other.tables or (
            self.tables.items.select(["domain", "asin"]).equals(other.tables.items.select(["domain", "asin"]))
            and self.tables.users["reviewer"].equals(other.tables.users["reviewer"])
        )

    def save(self, folder: Path | str) -> None:
        """Write the tables as Parquet files and ``dataset.json``; a dataset already in the folder is replaced.

        Raises:
            ValueError: the folder holds other files.
        """
        described = {"name": self.name, "domains": list(self.domains), "facts": self.facts}
        with replaced(Path(folder), "dataset.json") as new:
            for kind, table in (*self.tables._asdict().items(), ("candidates", self.candidates)):
                if table is not None:
                    widths = (table.schema.metadata or {}).get(WIDTHS)
                    schema = table.schema.with_metadata(None if widths is None else {WIDTHS: widths})
                    write_table(new / f"{kind}.parquet", table, schema)
            write_json(new / "dataset.json", described)

    @classmethod
    @input_errors()
    def load(cls, folder: Path | str) -> Dataset:
        """Load a dataset that :meth:`save` wrote.

        Raises:
            ValueError: a file is missing or broken.
        """
        folder = Path(folder)
        if not (folder / "dataset.json").exists():
            raise InputError(
                "no data set is saved here",
                where=str(folder),
                do="name a folder that Dataset.save wrote",
                code="missing-file",
            )
        described = read_json(folder / "dataset.json")
        tables = {kind: read_table(folder / f"{kind}.parquet", schema) for kind, schema in _SCHEMAS.items()}
        for kind, schema in _OPTIONAL.items():
            path = folder / f"{kind}.parquet"
            tables[kind] = read_table(path, schema) if path.exists() else None
        candidates = read_table(folder / "candidates.parquet", CANDIDATES)
        domains = check_domains(described["domains"])
        return cls(described["name"], domains, PairTables(**tables), candidates, described["facts"])


@input_errors()
def load_pair(name: str, root: Path | str = ".") -> Dataset:
    """Load the dataset that the pipeline built for a pair.

    Args:
        name: name of the pair.
        root: a folder inside the clone of this project.

    Raises:
        ValueError: there is no clone around ``root``, no such pair in it, or the pair is not built.
    """
    with contextlib.chdir(_repository(Path(root).expanduser().resolve())):
        artefacts, pair = Artefacts(name), read_pair(name)
        schemas = {**_SCHEMAS, **_OPTIONAL}
        tables = {kind: read_table(getattr(artefacts, kind), schema) for kind, schema in schemas.items()}
        candidates = read_table(artefacts.candidates, CANDIDATES)
    return Dataset(name, pair.domains, PairTables(**tables), candidates, {})


def _repository(root: Path) -> Path:
    try:
        return find_repository(root)
    except UserError as error:
        raise InputError(
            "no lecdsr repository here: no folder at or above this one holds dvc.yaml and params.yaml",
            where=str(root),
            do="name a folder inside a clone with root=, or build the data from tables with Dataset.from_frames",
            code="no-repository",
        ) from error


def require_dataset(data: Any) -> None:
    """Check that an argument is a dataset.

    Raises:
        TypeError: it is not.
    """
    if not isinstance(data, Dataset):
        raise TypeError(f"data is a {type(data).__name__}, expected a Dataset: see Dataset.from_frames and load_pair")


def _known(numbers: dict[str, int], wanted: Any, kind: str) -> int:
    place = numbers.get(str(wanted))
    if place is None:
        example = next(iter(numbers), None)
        raise InputError(
            f"there is no {kind} {wanted!r} in this data{did_you_mean(wanted, numbers)}",
            where=kind,
            do=f"give an id such as {example!r}; the filters (min_item and others) may have removed this one",
            code=f"unknown-{kind}",
        )
    return place


def _require_shared_users(rows: pa.Table, domains: tuple[str, str], overlap: str) -> None:
    """Refuse data in which no user can be evaluated.

    Raises:
        InputError: no user has interactions in both domains, although the settings require it.
    """
    of_x, of_y = (rows.filter(pc.equal(rows["domain"], code))["user"].unique() for code in (0, 1))
    if overlap != "all" and not pc.any(pc.is_in(of_x, value_set=of_y)).as_py():
        raise InputError(
            f"no user has interactions in both domains ({domains[0]} and {domains[1]})",
            where="interactions: user",
            do='use the same user ids in both domains, or overlap="all" to evaluate users of one domain',
            code="no-shared-users",
        )


def _item_vectors(values: Any, items: pa.Table | None) -> np.ndarray[Any, np.dtype[np.float32]]:
    if items is None:
        raise InputError(
            "item_vectors are given without items",
            where="item_vectors",
            do="pass items=, with one row for each vector",
            code="no-items",
        )
    try:
        rows = np.asarray(values, dtype=np.float32)
    except (TypeError, ValueError) as error:
        raise InputError(
            f"item_vectors is a {type(values).__name__}, expected an array of numbers",
            where="item_vectors",
            do="pass an array of the shape [rows of items, width]",
            code="wrong-vectors",
        ) from error
    if rows.ndim != 2 or len(rows) != len(items) or not rows.shape[1]:
        raise InputError(
            f"the shape of item_vectors is {rows.shape}, expected ({len(items)}, width)",
            where="item_vectors",
            do="pass one vector for each row of items",
            code="wrong-vectors",
        )
    if not np.isfinite(rows).all():
        raise InputError(
            "item_vectors holds NaN or infinity",
            where="item_vectors",
            do="replace these values; a vector of zeros stands for an item without a text",
            code="wrong-vectors",
        )
    return rows
