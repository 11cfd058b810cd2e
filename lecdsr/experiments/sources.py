"""What the sides of a comparison are called on the command line, and the ranks behind the names."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from lecdsr.core.errors import UserError
from lecdsr.core.files import require
from lecdsr.core.paths import Artefacts
from lecdsr.core.schemas import RANKS
from lecdsr.evaluate.targets import UNKNOWN
from lecdsr.experiments.revisions import Revision
from lecdsr.models.registry import model_names

#: Columns of ranks before `history_own` was one of them.
FORMER = [name for name in RANKS.names if name != "history_own"]
SYNTAX = "[LABEL=]SOURCE[,SOURCE…], a source being MODEL, REV:MODEL, REV, or a rank file or folder of rank files"


class Source(NamedTuple):
    """The ranks of one seed: a rank file, or a model in the workspace (``rev`` None) or in a revision.

    A revision may leave its model open (None).
    """

    path: Path | None
    rev: str | None
    model: str | None

    def __str__(self) -> str:
        if self.path is not None:
            return str(self.path)
        return ":".join(part for part in (self.rev, self.model) if part)

    @property
    def open(self) -> bool:
        """Whether a model is still to be named."""
        return self.path is None and self.model is None


class Named(NamedTuple):
    """One side as it was written: a label, and the seeds of one method."""

    label: str
    sources: list[Source]


class Basis(NamedTuple):
    """What ranks rest on, where it is known: hash of the negatives, and whether the history was left out."""

    negatives: str | None = None
    exclude_history: bool | None = None


class Library:
    """Ranks of one pair, by source; every revision is opened once, and closed at the end."""

    def __init__(self, artefacts: Artefacts) -> None:
        self.artefacts = artefacts
        self._revisions: dict[str, Revision] = {}

    def __enter__(self) -> Library:
        return self

    def __exit__(self, *_: object) -> None:
        for revision in self._revisions.values():
            revision.close()

    def models(self, rev: str) -> list[str]:
        """Models that a revision has ranks of."""
        return [Path(name).stem for name in self._revision(rev).names(self.artefacts.ranks("").parent)]

    def ranks(self, source: Source) -> pa.Table:
        """The table of one source.

        Raises:
            UserError: it is missing, or is no table of ranks.
        """
        if source.path is not None:
            return _read(source.path)
        assert source.model is not None, "the model is named by `pairings`"
        path = self.artefacts.ranks(source.model)
        if source.rev is None:
            return _read(path)
        return parse_ranks(self._revision(source.rev).data(path), f"{path} of {source.rev}")

    def basis(self, source: Source) -> Basis:
        """Negatives by the model's metrics, rules by dvc.lock; a rank file tells neither."""
        if source.model is None:
            return Basis()
        metrics = self._text(source, self.artefacts.model_metrics(source.model))
        lock = self._text(source, Path("dvc.lock"))
        try:
            return Basis(
                json.loads(metrics).get("run", {}).get("candidates_sha256") if metrics else None,
                _rule(lock, self.artefacts.pair, source.model) if lock else None,
            )
        except (ValueError, YAMLError, AttributeError) as error:  # a merge that was not finished, for example
            raise UserError(
                f"the metrics or the lock of {source} cannot be read ({type(error).__name__})",
                where=f"{self.artefacts.model_metrics(source.model)}, dvc.lock",
                do="run `dvc repro` to make them anew",
            ) from error

    def _text(self, source: Source, path: Path) -> str | None:
        if source.rev is not None:
            return self._revision(source.rev).text(path)
        return path.read_text(encoding="utf-8") if path.exists() else None

    def _revision(self, name: str) -> Revision:
        if name not in self._revisions:
            self._revisions[name] = Revision(name)
        return self._revisions[name]


def parse(text: str, artefacts: Artefacts) -> Named:
    """Read one side.

    Raises:
        UserError: a source is missing, twice there, or a folder without rank files.
    """
    label, given, rest = text.partition("=")
    parts = (rest if given else text).split(",")
    if not all(parts) or (given and not label):
        raise UserError("a name is missing", where=text, do=f"write {SYNTAX}")
    sources = [source for part in parts for source in _sources(part, artefacts)]
    twice = [source for source in sources if sources.count(source) > 1]
    if twice:
        raise UserError(f"{twice[0]} is there twice, and would count as two seeds", where=text)
    return Named(label if given else text, sources)


def _sources(text: str, artefacts: Artefacts) -> list[Source]:
    path = Path(text)
    if text.endswith(".parquet"):
        return [Source(path, None, None)]
    if "/" in text and path.is_dir():
        found = sorted(path.glob("*.parquet"))
        if not found:
            raise UserError("the folder holds no rank file", where=text, do="rank files end with .parquet")
        return [Source(file, None, None) for file in found]
    if text in model_names() or artefacts.ranks(text).exists():
        return [Source(None, None, text)]
    rev, colon, model = text.rpartition(":")
    if colon and not (rev and model):
        raise UserError("a name is missing", where=text, do=f"write {SYNTAX}")
    return [Source(None, rev, model) if colon else Source(None, text, None)]


def pairings(a: Named, b: Named, models: Sequence[str], library: Library) -> list[tuple[Named, Named]]:
    """Put a model to every revision that names none; without --model all that every such revision has.

    Raises:
        UserError: it is not clear which model is meant, or there is none.
    """
    both = [*a.sources, *b.sources]
    if not any(source.open for source in both):
        if models:
            raise UserError("every side says its model already", where="--model", do="leave it out")
        return [(a, b)]
    wanted = (
        list(models) or list(dict.fromkeys(source.model for source in both if source.model)) or _common(both, library)
    )
    if len(wanted) > 1 and not all(source.open for source in both):
        raise UserError(
            "which model of the revision is meant?",
            where=", ".join(str(source) for source in both if source.open),
            do=f"name one: REV:MODEL, or --model with one of {', '.join(wanted)}",
        )
    return [(_filled(a, model), _filled(b, model)) for model in wanted]


def _common(sources: Sequence[Source], library: Library) -> list[str]:
    revs = list(dict.fromkeys(source.rev for source in sources if source.open and source.rev))
    found = [library.models(rev) for rev in revs]
    common = [model for model in found[0] if all(model in models for models in found)]
    if not common:
        raise UserError(
            f"no model of the pair {library.artefacts.pair!r} is in every revision",
            where="; ".join(f"{rev}: {', '.join(models) or 'none'}" for rev, models in zip(revs, found, strict=True)),
            do="name REV:MODEL on both sides, or another pair by --pair",
        )
    return common


def _filled(side: Named, model: str) -> Named:
    if not any(source.open for source in side.sources):
        return side
    sources = [source._replace(model=model) if source.open else source for source in side.sources]
    return Named(f"{side.label}:{model}", sources)


def check_basis(named: Sequence[tuple[str, Basis]], protocols: Sequence[str]) -> list[str]:
    """Refuse ranks that rest on other negatives or another rule; name those of which nothing is known.

    Raises:
        UserError: two sources are known to differ in what a protocol rests on.
    """
    rules = (
        ("sampled", "negatives", "the negatives of the sampled protocol", "full"),
        ("full", "exclude_history", "evaluate.exclude_history", "sampled"),
    )
    unknown: dict[str, None] = {}
    for protocol, key, what, other in rules:
        if protocol not in protocols:
            continue
        known = [(name, getattr(basis, key)) for name, basis in named if getattr(basis, key) is not None]
        unknown |= dict.fromkeys(name for name, basis in named if getattr(basis, key) is None)
        for name, value in known[1:]:
            if value != known[0][1]:
                raise UserError(
                    f"{known[0][0]} and {name} differ in {what}: {_short(known[0][1])} and {_short(value)}",
                    where=f"{protocol} ranking",
                    do=f"compare by --protocol {other} alone, or make both with the same setting",
                )
    return list(unknown)


def _short(value: Any) -> str:
    return value[:8] if isinstance(value, str) else str(value).lower()


def _rule(lock: str, pair: str, model: str) -> bool | None:
    stages = (YAML(typ="safe").load(lock) or {}).get("stages", {})
    params = stages.get(f"evaluate@{pair}-{model}", {}).get("params", {})
    own, common = (params.get(file, {}).get("evaluate") or {} for file in (f"pairs/{pair}.yaml", "params.yaml"))
    value = own.get("exclude_history", common.get("exclude_history"))
    return None if value is None else bool(value)


def _read(path: Path) -> pa.Table:
    return parse_ranks(require(path).read_bytes(), str(path))


def parse_ranks(data: bytes, where: str) -> pa.Table:
    """A rank file from its bytes.

    Raises:
        UserError: it is none.
    """
    try:
        table = pq.read_table(pa.BufferReader(data))
    except (pa.ArrowException, OSError) as error:
        raise UserError(f"not a readable Parquet file ({error})", where=where) from error
    return _typed(table, where)


def _typed(table: pa.Table, where: str) -> pa.Table:
    """Another revision may have had other columns, and a file may come from anywhere."""
    if table.column_names == FORMER:
        place = RANKS.get_field_index("history_own")
        table = table.add_column(place, "history_own", pa.array(np.full(len(table), UNKNOWN)))
    if table.column_names != RANKS.names:
        raise UserError(f"columns are {table.column_names}, expected {RANKS.names}", where=where)
    try:
        ranks = table.cast(RANKS)
    except (pa.ArrowException, ValueError) as error:
        raise UserError(f"no table of ranks ({error})", where=where) from error
    if any(column.null_count for column in ranks.columns):
        raise UserError("a table of ranks has no empty cells, this one does", where=where)
    return ranks
