"""Parse the two sides of a comparison on the command line, and read the ranks they name."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from lecdsr.core.errors import UserError
from lecdsr.core.files import broken_parquet, require, wrong_columns
from lecdsr.core.paths import Artefacts
from lecdsr.core.schemas import RANKS
from lecdsr.evaluate.targets import UNKNOWN
from lecdsr.experiments.revisions import Revision
from lecdsr.models.registry import model_names

#: Columns of ranks of an earlier version, which had no `history_own`.
FORMER = [name for name in RANKS.names if name != "history_own"]
RANK_FILES = "name a rank file that the stage `evaluate` wrote, such as data/PAIR/ranks/MODEL.parquet"
SYNTAX = "[LABEL=]SOURCE[,SOURCE…], a source being MODEL, REV:MODEL, REV, or a rank file or folder of rank files"


class Source(NamedTuple):
    """Where to find the ranks of one seed: a rank file, or a model in the workspace (``rev`` None) or a revision.

    The model of a revision may be left open (None); :func:`pair_sides` fills it in.
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
        """Whether the model of the revision is still to be filled in."""
        return self.path is None and self.model is None


class MethodSources(NamedTuple):
    """One side of a comparison as typed: a label, and one source per seed."""

    label: str
    sources: list[Source]


class RankProvenance(NamedTuple):
    """Provenance of ranks where known: hash of the negatives, and whether history items were excluded."""

    negatives: str | None = None
    exclude_history: bool | None = None


class RankReader:
    """Reader of a pair's ranks; it opens every revision once and closes all of them at the end."""

    def __init__(self, artefacts: Artefacts) -> None:
        self.artefacts = artefacts
        self._revisions: dict[str, Revision] = {}

    def __enter__(self) -> RankReader:
        return self

    def __exit__(self, *_: object) -> None:
        for revision in self._revisions.values():
            revision.close()

    def models(self, rev: str) -> list[str]:
        """List the models that have ranks in a revision."""
        return [Path(name).stem for name in self._revision(rev).names(self.artefacts.ranks("").parent)]

    def ranks(self, source: Source) -> pa.Table:
        """Read the ranks of one source.

        Raises:
            UserError: the file is missing or is not a table of ranks.
        """
        if source.path is not None:
            return _read(source.path)
        assert source.model is not None, "the model is named by `pair_sides`"
        path = self.artefacts.ranks(source.model)
        if source.rev is None:
            return _read(path)
        return parse_ranks(self._revision(source.rev).data(path), f"{path} of {source.rev}")

    def provenance(self, source: Source) -> RankProvenance:
        """Read the provenance from the model's metrics; unknown for a rank file and for metrics without provenance."""
        if source.model is None:
            return RankProvenance()
        path = self.artefacts.model_metrics(source.model)
        metrics = self._text(source, path)
        try:
            run = json.loads(metrics).get("run", {}) if metrics else {}
            return RankProvenance(run.get("candidates_sha256"), run.get("exclude_history"))
        except (ValueError, AttributeError) as error:  # for example the conflict markers of an unfinished merge
            raise UserError(
                f"the metrics of {source} cannot be read ({type(error).__name__})",
                where=str(path),
                do="run `dvc repro` to rebuild them",
                code="broken-file",
            ) from error

    def _text(self, source: Source, path: Path) -> str | None:
        if source.rev is not None:
            return self._revision(source.rev).text(path)
        return path.read_text(encoding="utf-8") if path.exists() else None

    def _revision(self, name: str) -> Revision:
        if name not in self._revisions:
            self._revisions[name] = Revision(name)
        return self._revisions[name]


def parse_side(text: str, artefacts: Artefacts) -> MethodSources:
    """Parse one side of a comparison.

    Raises:
        UserError: a source is missing, given twice, or a folder without rank files.
    """
    label, given, rest = text.partition("=")
    parts = (rest if given else text).split(",")
    if not all(parts) or (given and not label):
        raise UserError("a name is missing", where=text, do=f"write {SYNTAX}", code="missing-name")
    sources = [source for part in parts for source in _sources(part, artefacts)]
    twice = [source for source in sources if sources.count(source) > 1]
    if twice:
        raise UserError(
            f"{twice[0]} is given twice and would count as two seeds", where=text, do="name it once", code="repeated"
        )
    return MethodSources(label if given else text, sources)


def _sources(text: str, artefacts: Artefacts) -> list[Source]:
    path = Path(text)
    if text.endswith(".parquet"):
        return [Source(path, None, None)]
    if "/" in text and path.is_dir():
        found = sorted(path.glob("*.parquet"))
        if not found:
            raise UserError(
                "the folder holds no rank file", where=text, do="name a folder with .parquet files", code="missing-file"
            )
        return [Source(file, None, None) for file in found]
    if text in model_names() or artefacts.ranks(text).exists():
        return [Source(None, None, text)]
    rev, colon, model = text.rpartition(":")
    if colon and not (rev and model):
        raise UserError("a name is missing", where=text, do=f"write {SYNTAX}", code="missing-name")
    return [Source(None, rev, model) if colon else Source(None, text, None)]


def pair_sides(
    a: MethodSources, b: MethodSources, models: Sequence[str], reader: RankReader
) -> list[tuple[MethodSources, MethodSources]]:
    """Fill in missing models: those of --model, or else all models that every revision has.

    Raises:
        UserError: the model is ambiguous, or there is none.
    """
    both = [*a.sources, *b.sources]
    if not any(source.open for source in both):
        if models:
            raise UserError(
                "--model has no effect: every source names its model already",
                where="--model",
                do="leave it out",
                code="needless-model",
            )
        return [(a, b)]
    wanted = (
        list(models) or list(dict.fromkeys(source.model for source in both if source.model)) or _common(both, reader)
    )
    if len(wanted) > 1 and not all(source.open for source in both):
        raise UserError(
            "a revision is given without a model, and several models are possible",
            where=", ".join(str(source) for source in both if source.open),
            do=f"write REV:MODEL, or add --model with one of {', '.join(wanted)}",
            code="several-models",
        )
    return [(_filled(a, model), _filled(b, model)) for model in wanted]


def _common(sources: Sequence[Source], reader: RankReader) -> list[str]:
    revs = list(dict.fromkeys(source.rev for source in sources if source.open and source.rev))
    found = [reader.models(rev) for rev in revs]
    common = [model for model in found[0] if all(model in models for models in found)]
    if not common:
        raise UserError(
            f"no model of the pair {reader.artefacts.pair!r} is in every revision",
            where="; ".join(f"{rev}: {', '.join(models) or 'none'}" for rev, models in zip(revs, found, strict=True)),
            do="write REV:MODEL on both sides, or add --pair for another pair",
            code="no-common-model",
        )
    return common


def _filled(side: MethodSources, model: str) -> MethodSources:
    if not any(source.open for source in side.sources):
        return side
    sources = [source._replace(model=model) if source.open else source for source in side.sources]
    return MethodSources(f"{side.label}:{model}", sources)


def check_provenance(named: Sequence[tuple[str, RankProvenance]], protocols: Sequence[str]) -> list[str]:
    """Check that ranks have the same negatives and exclusion rule; return the sources with unknown provenance.

    Raises:
        UserError: two sources are known to differ in negatives or exclusion rule.
    """
    rules = (
        ("sampled", "negatives", "the negatives of the sampled protocol", "full"),
        ("full", "exclude_history", "evaluate.exclude_history", "sampled"),
    )
    unknown: dict[str, None] = {}
    for protocol, key, what, other in rules:
        if protocol not in protocols:
            continue
        known = [(name, getattr(provenance, key)) for name, provenance in named if getattr(provenance, key) is not None]
        unknown |= dict.fromkeys(name for name, provenance in named if getattr(provenance, key) is None)
        for name, value in known[1:]:
            if value != known[0][1]:
                raise UserError(
                    f"{known[0][0]} and {name} differ in {what}: {_short(known[0][1])} and {_short(value)}",
                    where=f"{protocol} ranking",
                    do=f"add --protocol {other}, or rebuild both with the same setting",
                    code="other-protocol",
                )
    return list(unknown)


def _short(value: Any) -> str:
    return value[:8] if isinstance(value, str) else str(value).lower()


def _read(path: Path) -> pa.Table:
    return parse_ranks(require(path).read_bytes(), str(path))


def parse_ranks(data: bytes, where: str) -> pa.Table:
    """Parse a rank file from its bytes.

    Raises:
        UserError: it is not a rank file.
    """
    try:
        table = pq.read_table(pa.BufferReader(data))
    except (pa.ArrowException, OSError) as error:
        raise broken_parquet(where, error, RANK_FILES) from error
    return _typed(table, where)


def _typed(table: pa.Table, where: str) -> pa.Table:
    """Check columns and types, because other revisions may differ; add ``history_own`` if it is missing."""
    if table.column_names == FORMER:
        place = RANKS.get_field_index("history_own")
        table = table.add_column(place, "history_own", pa.array(np.full(len(table), UNKNOWN)))
    if table.column_names != RANKS.names:
        raise wrong_columns(where, table.column_names, RANKS.names, RANK_FILES)
    try:
        ranks = table.cast(RANKS)
    except (pa.ArrowException, ValueError) as error:
        raise UserError(
            f"the file is not a table of ranks ({error})", where=where, do=RANK_FILES, code="wrong-columns"
        ) from error
    if any(column.null_count for column in ranks.columns):
        raise UserError("the table of ranks has empty cells", where=where, do=RANK_FILES, code="empty-cells")
    return ranks
