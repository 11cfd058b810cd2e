"""Export the query tower of a two-tower model as an ONNX graph: a history in, its query out (docs/onnx.md).

The graph holds the weights and the tables of items, and no user: what a model reads of a user, such as the phrases of
their profile, is an input. Only a model that learned an embedding for every user carries these embeddings.

Shape legend: B histories, L items given, H items that the model reads, K phrases, D width of a text vector, d width of
a query, N items.
"""

from __future__ import annotations

import copy
import logging
import os
import tempfile
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram
from torch.func import functional_call

from lecdsr import __version__
from lecdsr.core.errors import UserError
from lecdsr.data.batch import Histories, HistoryProfiles, recency
from lecdsr.models.base import Recommender
from lecdsr.recommend.recommender import PairRecommender

#: The graph, and its weights where they do not fit into the 2 GB of one ONNX file.
GRAPH = "query.onnx"
WEIGHTS = "query.onnx.data"
OPSET = 18
#: Number of no item, which fills up the histories of a batch.
PADDING = -1
#: Packages of the extra `onnx` that PyTorch needs for an export.
_PACKAGES = ("onnx", "onnxscript")
#: What is written about each input into the graph.
INPUTS = {
    "history": "numbers of the items of a history, latest last; negative where there is none",
    "days": "days of these interactions, since 1970-01-01 UTC",
    "domain": "domain of the items to score: 0 is x, 1 is y",
    "user": "number of the user",
    "phrases": "text vectors of the phrases of the profile, most likely first; zero where there is none",
    "age": "interactions of the user since the profile was written",
}
_OUTPUTS = ("query", "rerank")


def write_graph(recommender: PairRecommender, folder: Path, wanted: bool = True) -> dict[str, Any] | None:
    """Write the query tower to ``query.onnx`` in a folder; remove the graph of an earlier export.

    Args:
        recommender: a two-tower model and its pair.
        folder: where to write.
        wanted: whether to write a graph at all.

    Returns:
        Description of the graph for ``facts.json``: its inputs and outputs with types and shapes; ``None`` without one.

    Raises:
        UserError: the packages for an export are not installed, or PyTorch cannot turn the model into a graph.
    """
    for name in (GRAPH, WEIGHTS):
        (folder / name).unlink(missing_ok=True)
    if not wanted:
        return None
    check_installed()
    tower = QueryTower(recommender).eval()
    program = query_graph(tower)
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".query-", dir=folder) as temporary:
        program.save(Path(temporary) / GRAPH)
        for path in sorted(Path(temporary).iterdir(), reverse=True):  # the weights first
            os.replace(path, folder / path.name)
    graph, given = program.model.graph, tower.given
    return {
        "files": [name for name in (GRAPH, WEIGHTS) if (folder / name).exists()],
        "opset": OPSET,
        "padding": PADDING,
        "inputs": {value.name: _described(value) for value in graph.inputs},
        "outputs": {value.name: _described(value) for value in graph.outputs},
        "phrases": None if given is None else {"read": given.phrases, "of": "whole profile" if given.whole else "list"},
    }


def check_installed() -> None:
    """Refuse to export a graph without the packages that this needs.

    Raises:
        UserError: one is missing.
    """
    missing = [name for name in _PACKAGES if find_spec(name) is None]
    if missing:
        raise UserError(
            f"a graph for ONNX needs packages that are not installed: {', '.join(missing)}",
            where="--onnx",
            do="run `pip install -e '.[onnx]'`, or leave --onnx out",
            code="no-onnx",
        )


@torch.no_grad()
def query_graph(tower: QueryTower) -> Any:
    """Build the ONNX graph of a query tower, a ``torch.onnx.ONNXProgram``, with the inputs that the model reads.

    Raises:
        UserError: PyTorch cannot turn the model into a graph.
    """
    inputs = tower.examples()
    with _silent(), _refused(type(tower.encoder.network)):
        exported = _traced(tower, inputs)
        read = _read(exported)
        # The history also says how many queries are wanted, if the model reads nothing of it.
        kept = {name: value for name, value in inputs.items() if name in read or name == "history"}
        if len(kept) < len(inputs):
            exported = _traced(tower, kept)
        names = list(_OUTPUTS[: 1 + (tower.encoder.phrases is not None)])
        program = torch.onnx.export(
            exported,
            kwargs=kept,
            dynamo=True,
            input_names=list(kept),
            output_names=names,
            opset_version=OPSET,
            dynamic_shapes=_shapes(kept),
            verbose=False,
        )
    assert program is not None
    for value in program.model.graph.inputs:
        value.doc_string = INPUTS[str(value.name)]
    facts = {"version": __version__, "model": type(tower.encoder.network).__name__, "items": tower.info.n_items}
    program.model.metadata_props.update({f"lecdsr.{key}": str(value) for key, value in facts.items()})
    return program


class QueryTower(nn.Module):
    """The query tower with plain tensors as inputs, named as in ``INPUTS``; a model need not read all of them.

    Args:
        recommender: a two-tower model and its pair.
    """

    def __init__(self, recommender: PairRecommender) -> None:
        super().__init__()
        network = recommender.network
        if recommender.device.type != "cpu":
            network = copy.deepcopy(network).cpu()
        self.encoder = Encoder(network)
        self.info, self.length = recommender.info, int(recommender.trained.history_length)
        self.reads_own = recommender.trained.domains == "own"
        self.by_domain = self.reads_own or network.queries_by_domain
        self.reads_user = recommender.user_input == "embedding"
        self.given = network.given_phrases()

    def examples(self) -> dict[str, Tensor]:
        """Inputs of every kind that the model may read, of two histories."""
        found = {"history": torch.zeros(2, 3, dtype=torch.long), "days": torch.zeros(2, 3, dtype=torch.long)}
        if self.by_domain:
            found["domain"] = torch.tensor([0, 1])
        if self.reads_user:
            found["user"] = torch.zeros(2, dtype=torch.long)
        if self.given is not None:
            found["phrases"] = torch.ones(2, self.given.phrases + 1, self.given.width)
            found["age"] = torch.zeros(2, dtype=torch.long)
        return found

    def forward(
        self,
        history: Tensor,
        days: Tensor | None = None,
        domain: Tensor | None = None,
        user: Tensor | None = None,
        phrases: Tensor | None = None,
        age: Tensor | None = None,
    ) -> Tensor | tuple[Tensor, Tensor]:
        """Compute queries ``[B, d]``, and the phrases of a rerank term ``[B, K, D]`` where there is one.

        Args:
            history: ``[B, L]`` items in time order, latest last; negative numbers are padding, wherever they are.
            days: ``[B, L]`` days of the interactions since 1970-01-01 UTC.
            domain: ``[B]`` domain of the candidates.
            user: ``[B]`` users.
            phrases: ``[B, any, D]`` text vectors of the phrases of the profile; zeros are padding.
            age: ``[B]`` interactions since the profile was written.
        """
        batch = history.shape[0]
        none = torch.zeros(batch, dtype=torch.long)
        domain = none if domain is None else _in_range(domain, 2)
        user = none if user is None else _in_range(user, self.info.n_users)
        sequence, day = self._latest(history, torch.zeros_like(history) if days is None else days, domain)
        position = recency(sequence, self.info.n_x, self.info.padding)
        profile, tables = None, {}
        if phrases is not None:
            profile = HistoryProfiles(torch.arange(batch).unsqueeze(1), (none if age is None else age).unsqueeze(1))
            tables = self._tables(phrases)
        histories = Histories(sequence, position, user, day, domain=domain, profile=profile)
        return cast(Tensor, functional_call(self.encoder, tables, (histories,)))

    def _latest(self, history: Tensor, days: Tensor, domain: Tensor) -> tuple[Tensor, Tensor]:
        """``[B, H]`` the latest items that the model reads and their days, without gaps and padded on the left."""
        padding = self.info.padding
        real = (history >= 0) & (history != padding)  # [B, L]
        if self.reads_own:
            real = real & ((history >= self.info.n_x) == (domain == 1).unsqueeze(1))
        back = real.flip(1).cumsum(1).flip(1)  # 1 for the latest
        # Whatever is not read goes to one more column, which is cut off.
        place = torch.where(real & (back <= self.length), self.length - back, self.length)
        empty = torch.full((history.shape[0], self.length + 1), padding)
        sequence = empty.scatter(1, place, history)[:, : self.length]
        return sequence, torch.zeros_like(empty).scatter(1, place, days)[:, : self.length]

    def _tables(self, phrases: Tensor) -> dict[str, Tensor]:
        """The model's tables of profiles, made of the given ones alone, by name in ``encoder``."""
        assert self.given is not None
        count = self.given.phrases
        padded = torch.cat([phrases, phrases.new_zeros(phrases.shape[0], count, phrases.shape[2])], dim=1)[:, :count]
        return {f"network.{name}": table for name, table in self.given.tables(padded).items()}


class Encoder(nn.Module):
    """The query tower of a model as a module, with the phrases of its rerank term where there is one."""

    def __init__(self, network: Recommender) -> None:
        super().__init__()
        self.network, self.encode = network, network.query_encoder()
        reranks = network.rerank_vectors()
        self.phrases = None if reranks is None else reranks[1]

    def forward(self, histories: Histories) -> Tensor | tuple[Tensor, Tensor]:
        """Compute queries ``[B, d]``, and phrases ``[B, K, D]``."""
        query = self.encode(histories)
        return query if self.phrases is None else (query, self.phrases(histories))


def _in_range(number: Tensor, count: int) -> Tensor:
    """Let numbers below 0 be refused like those above the last: ONNX would count them from the end of a table."""
    return torch.arange(count)[torch.where(number < 0, count, number)]


def _traced(tower: QueryTower, inputs: dict[str, Tensor]) -> ExportedProgram:
    return torch.export.export(tower, (), kwargs=inputs, dynamic_shapes=_shapes(inputs))


def _shapes(inputs: Iterable[str]) -> dict[str, dict[int, Dim]]:
    """Names of the sizes of inputs that can have any value."""
    second = {"history": Dim("length"), "days": Dim("length"), "phrases": Dim("phrases")}
    return {name: {0: Dim("batch")} | ({1: second[name]} if name in second else {}) for name in inputs}


def _read(exported: ExportedProgram) -> set[str]:
    """Names of the inputs of which more than the size is read."""
    sizes = torch.ops.aten.sym_size.int
    exported.graph.eliminate_dead_code()
    return {
        node.name
        for node in exported.graph.nodes
        if node.op == "placeholder" and any(user.target is not sizes for user in node.users)
    }


@contextmanager
def _silent() -> Iterator[None]:
    """Hide what the exporter reports about itself, which no user of this project can change."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)


@contextmanager
def _refused(model: type[Recommender]) -> Iterator[None]:
    """Tell which model PyTorch cannot turn into a graph, whatever the exporter raises; the traceback stays as cause."""
    try:
        yield
    except Exception as error:
        raise UserError(
            f"PyTorch cannot turn the queries of {model.__name__} into a graph: {str(error).strip().splitlines()[0]}",
            where=f"{model.__module__}.{model.__name__}",
            do="write its queries without steps that depend on values, such as len() or .item() of a tensor "
            "(docs/onnx.md), or leave --onnx out",
            code="no-graph",
        ) from error


def _described(value: Any) -> dict[str, Any]:
    """Type and shape of an input or output; a name stands for a size of any value."""
    shape = [size if isinstance(size, int) else str(size) for size in value.shape]
    return {"type": value.dtype.numpy().name, "shape": shape}
