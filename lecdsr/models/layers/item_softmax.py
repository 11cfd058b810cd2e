"""What models share that have one table of items on both sides of the score and a softmax at every position."""

from __future__ import annotations

from typing import Any, cast

from torch import Tensor, nn

from lecdsr.data.batch import Histories, SequenceBatch, distinct
from lecdsr.data.info import DatasetInfo
from lecdsr.data.negatives import Draws
from lecdsr.models.base import LossTerm, Recommender
from lecdsr.models.layers.losses import sampled_softmax_by_domain, softmax_by_domain
from lecdsr.models.layers.profiles import Asked, asked_at
from lecdsr.models.layers.sampling import sample_items, samples_items
from lecdsr.models.layers.sharded import own_rows, sharded_softmax_by_domain


class ItemSoftmax(Recommender):
    """Base class of such a model: its losses, over all items or a sample of them, with a whole or a sharded table.

    A model has ``item_embeddings``, the buffer ``shares`` (:func:`~lecdsr.models.layers.sampling.domain_shares`), and
    the settings ``loss`` and ``negatives``. It defines :meth:`table` and :meth:`_states`.
    """

    objective = "sequence"
    settings: Any
    info: DatasetInfo
    item_embeddings: nn.Embedding

    def row_tables(self) -> list[nn.Embedding]:
        """The item table, unless the loss reads all of it."""
        return [self.item_embeddings] if self.settings.loss == "sampled" else []

    def sharded_tables(self) -> list[str]:
        """The item table, whatever the loss."""
        return ["item_embeddings"]

    def table(self, items: Tensor | slice | None = None) -> Tensor:
        """``[R, d]`` vectors of items.

        Args:
            items: ``[R]`` item ids, or a range of them; ``None`` is all of them and padding, R = N+1.
        """
        raise TypeError(f"{type(self).__name__} does not define a table of items")

    def _states(self, histories: Histories, table: Tensor, rows: Tensor | None = None) -> Tensor:
        """``[B, L, d]`` states, each of its own and earlier items.

        Args:
            histories: B of them.
            table: ``[R, d]`` vectors of items.
            rows: ``[B, L]`` row of each item in ``table``; ``None`` if these are the item ids.
        """
        raise TypeError(f"{type(self).__name__} does not define states")

    def _directions(self, states: Tensor, asked: Asked | None) -> Tensor:
        """Turn states ``[M, d]`` into queries of the same shape; by default they are the queries.

        Args:
            states: ``[M, d]``.
            asked: what each query may read of a profile.
        """
        return states

    def compute_loss(self, batch: object, draws: Draws) -> dict[str, LossTerm]:
        """Softmax over all items of the target's domain, or a sample of them, at every position with a target."""
        samples = cast(SequenceBatch, batch)
        if samples_items(self.settings, self.low_rate, self.info):
            return self._sampled_loss(samples, draws)
        own = self._own_items()
        if own is not None:
            return self._sharded_loss(samples, own)
        table = self.table()
        wanted, targets = samples.wanted(self.info.padding)  # [M] both
        states = self._states(samples.histories, table)
        queries = self._wanted_queries(states, samples, wanted, targets)  # [M, d]
        keys = table[: self.info.n_items]
        return {"softmax": softmax_by_domain(queries, keys, None, targets, self.info.n_x, samples.in_domain)}

    def _sampled_loss(self, batch: SequenceBatch, draws: Draws) -> dict[str, LossTerm]:
        """Softmax over items shared by the batch; no other row of the item table is read or updated."""
        sample = sample_items(batch, self.info, cast(Tensor, self.shares), self.settings.negatives, draws)
        rows = self.table(sample.ids)  # [R, d]
        states = self._states(batch.histories, rows, sample.history).flatten(0, 1)  # [B * L, d]
        queries = [
            self._directions(states[drawn.targets], asked_at(batch.histories, drawn.targets, domain))
            for domain, drawn in enumerate(sample.domains)
        ]  # [M, d] of each domain
        keys = [rows[row] for row in sample.keys]  # [S, d] of each domain
        return {"softmax": sampled_softmax_by_domain(queries, keys, sample)}

    def _sharded_loss(self, batch: SequenceBatch, own: slice) -> dict[str, LossTerm]:
        """Softmax over all items, each process scoring its own."""
        wanted, targets = batch.wanted(self.info.padding)  # [M] both
        states = self._states(batch.histories, *self._history_rows(batch.histories))
        queries = self._wanted_queries(states, batch, wanted, targets)  # [M, d]
        return {"softmax": sharded_softmax_by_domain(queries, self.table(own), own, targets, self.info.n_x)}

    def _wanted_queries(self, states: Tensor, batch: SequenceBatch, wanted: Tensor, targets: Tensor) -> Tensor:
        """``[M, d]`` queries at the places ``wanted [M]`` with ``targets [M]``, from states ``[B, L, d]``."""
        asked = asked_at(batch.histories, wanted, (targets >= self.info.n_x).long())
        return self._directions(states.flatten(0, 1)[wanted], asked)

    def _own_items(self) -> slice | None:
        """Items of this process if the table is sharded, ``None`` if it is not."""
        return own_rows(self.item_embeddings, slice(0, self.info.n_items))

    def _history_rows(self, histories: Histories) -> tuple[Tensor, Tensor]:
        """``[R, d]`` table of the items of a batch and ``[B, L]`` the row of each."""
        ids, rows = distinct(histories.sequence)
        return self.table(ids), rows
