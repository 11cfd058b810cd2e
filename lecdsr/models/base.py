"""Base class of all recommenders, the terms of their losses, and the settings they have in common.

Shape legend: B batch, N items of both domains, d width of queries and keys.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, ClassVar, Literal, NamedTuple, Self, cast

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional as F

from lecdsr.config.schema import Block
from lecdsr.core.schemas import DOMAINS
from lecdsr.data.batch import Histories
from lecdsr.data.info import DatasetInfo
from lecdsr.data.negatives import Draws
from lecdsr.data.profiles import ProfileTime
from lecdsr.data.sequences import Sequences
from lecdsr.models.layers.terms import TermWeights

#: How a model uses the user of a history: not at all, through the profile's text vector, or a learned embedding.
UserInput = Literal["none", "profile", "embedding"]
#: Scores a slice of N item ids for B histories: ``[B, N]``.
Scorer = Callable[[Histories, slice], Tensor]


@dataclass(frozen=True)
class LossTerm:
    """Term of a training loss, kept as a sum and a count.

    In distributed training every process holds a share of the batch. The mean over the whole batch is then the sum
    of all totals over the sum of all counts.

    Args:
        total: scalar, summed over the batch.
        count: number of summands for a mean, as a scalar tensor if only the device knows it; ``None`` keeps the sum,
            as in the published ranking loss.
        weight: factor in the loss.
    """

    total: Tensor
    count: int | Tensor | None
    weight: float = 1.0

    def times(self, weight: float) -> LossTerm:
        """Return the same term with another weight."""
        return replace(self, weight=weight)

    def value(self) -> Tensor:
        """Return the contribution to the loss if this process holds the whole batch."""
        count = self.count.clamp(min=1) if isinstance(self.count, Tensor) else max(1, self.count or 1)
        return self.weight * self.total / count


@dataclass(frozen=True)
class Contract:
    """Declaration of how the contract tests (tests/models/test_every_model.py) build and train a model.

    They start from the default settings, with small values for the usual size settings (``width``, ``heads``,
    ``hidden``, ``history_length``, ``batch_size``), so a model that declares nothing is tested too.

    Args:
        settings: settings changed for every variant, for example more small sizes.
        variants: settings changed for each variant, by the variant's name.
        exceptions: contracts that some variants break on purpose, with the names of these variants, or ``all``:
            ``ignores_padding`` (values in padding rows change no score), ``any_length`` (more padding changes no
            score), ``causal_loss`` (later items change no earlier loss), ``trains_all`` (every weight has a gradient).
        toys: settings with which the model learns a toy dataset within 40 epochs, in which the next item follows from
                the last one; empty for a model that cannot learn it.
    """

    settings: Mapping[str, Any] = field(default_factory=dict)
    variants: Mapping[str, Mapping[str, Any]] = field(default_factory=lambda: {"default": {}})
    exceptions: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    toys: Mapping[str, Mapping[str, Any]] = field(default_factory=lambda: {"default": {}})


class GivenPhrases(NamedTuple):
    """How a model reads profiles that are given as text vectors, in place of those of the pair's users.

    Args:
        phrases: phrases of a profile that it reads for a domain, K.
        width: width D of a text vector.
        whole: whether it reads the whole text as one phrase; K is 1.
        tables: turns ``[B, K, D]`` text vectors, zero where there is none, into the model's tables of profiles, by
            the names of their buffers. Row b is the profile of history b, for whichever domain.
    """

    phrases: int
    width: int
    whole: bool
    tables: Callable[[Tensor], dict[str, Tensor]]


class Recommender(nn.Module):
    """Base class of all models; a two-tower model scores a history and an item by query · key + bias.

    A two-tower model defines :meth:`queries` and :meth:`keys`, and ranking all items is one matrix product. Any other
    model overrides :meth:`scorer`, the only method that ranking and recommending call.

    A model is built as ``Model(settings, info, seed)`` and keeps ``settings`` and ``info`` as attributes.
    """

    #: What the model was built for.
    info: DatasetInfo

    #: ``prefix``: one training sample per target; ``sequence``: one per window, with a loss at every position;
    #: ``counts``: nothing is trained, :meth:`count` is called once instead.
    objective: str = "prefix"

    #: Whether the learning rate has fallen to a third: the last epochs, in which a model can use a costlier loss.
    low_rate: bool = False

    #: What the bias of an item means, as a name of a part of the score.
    bias_name: ClassVar[str] = "bias"

    #: How the contract tests build the model; by default from its default settings.
    contract: ClassVar[Contract] = Contract()

    @classmethod
    def user_input(cls, settings: Any) -> UserInput:
        """Return how a model with these settings uses the user of a history.

        A model that reads ``Histories.user`` must override this. With a learned embedding for every user it cannot
        recommend to an anonymous user; with profiles it reads the zero row ``DatasetInfo.anonymous_user`` for one.
        """
        return "none"

    def row_tables(self) -> list[nn.Embedding]:
        """Return the tables of which a training step reads and updates few rows; empty if there are none."""
        return []

    def sharded_tables(self) -> list[str]:
        """Names of the item tables whose rows can be spread over processes; empty if the model reads whole tables.

        A model that names one reads it by :func:`lecdsr.models.layers.sharded.look_up` alone, and defines
        :meth:`keys_of` for ranges of items that this process keeps.
        """
        return []

    def scorer(self, rerank: Scorer | None = None) -> Scorer:
        """Return a function that scores a slice of item ids for a batch of histories: ``[B, N_slice]``.

        Work that does not depend on the history is done once, when the function is created, and not for every batch.

        Args:
            rerank: the :meth:`rerank_term`, if the caller has it already.
        """
        (keys, bias), encode, rerank = self.keys(), self.query_encoder(), rerank or self.rerank_term()

        def score(histories: Histories, items: slice) -> Tensor:
            scores = torch.addmm(bias[items], encode(histories), keys[items].T)
            return scores if rerank is None else scores + rerank(histories, items)

        return score

    def rerank_term(self) -> Scorer | None:
        """Return a function for a term of the score ``[B, N_slice]`` that is no product of a query and a key.

        It is added to the score of a two-tower model. It depends on no weight, so that training does not change it, and
        of a batch only on its profiles. ``None`` if there is no such term.
        """
        return None

    def rerank_vectors(self) -> tuple[Tensor, Callable[[Histories], Tensor]] | None:
        """Return the vectors that :meth:`rerank_term` compares, for an export; ``None`` if there is no such term.

        Returns:
            ``[N, D]`` vectors of items, and a function that gives ``[B, K, D]`` vectors for histories. The term is
            the largest product of the two, or 0 if all are negative.
        """
        return None

    @property
    def queries_by_domain(self) -> bool:
        """Whether queries depend on the domain of the candidates, :attr:`Histories.domain`."""
        return False

    def query_encoder(self) -> Callable[[Histories], Tensor]:
        """Return a function that computes :meth:`queries`; what does not depend on the history is computed once here.

        A model that builds a table of all items for its queries overrides this.
        """
        return self.queries

    def given_phrases(self) -> GivenPhrases | None:
        """Return how profiles can be given with a history, for an export without a table of users.

        A model that reads ``Histories.profile`` must override this; ``None`` is for one that does not.
        """
        return None

    def count(self, training: Sequences) -> None:
        """Fill the buffers that count something in the training windows; all that ``objective = "counts"`` does."""

    @property
    def term_weights(self) -> TermWeights | None:
        """Weights of the terms of the score, which are fitted on validation after training; ``None`` without."""
        return None

    def score_terms(self) -> Callable[[Histories, slice], Tensor]:
        """Return a function for the terms ``[J, B, N_slice]`` that :attr:`term_weights` weigh, without the weights."""
        raise TypeError(f"{type(self).__name__} does not define terms of its score")

    def queries(self, histories: Histories) -> Tensor:
        """Compute one query per history, ``[B, d]``."""
        raise TypeError(f"{type(self).__name__} does not define queries")

    def keys(self) -> tuple[Tensor, Tensor]:
        """Return keys ``[N, d]`` and biases ``[N]`` of all items."""
        raise TypeError(f"{type(self).__name__} does not define keys")

    def keys_of(self, items: slice) -> tuple[Tensor, Tensor]:
        """``[n, d]`` keys and ``[n]`` biases of a range of item ids."""
        keys, bias = self.keys()
        return keys[items], bias[items]

    @property
    def is_two_tower(self) -> bool:
        """Whether every score is query · key + bias, so that vectors can be exported and compared."""
        return type(self).keys is not Recommender.keys

    def key_parts(self) -> dict[str, Tensor] | None:
        """Split the keys into summands ``[N, d]`` by name, such as ``id`` and ``text``.

        Returns:
            Summands that add up to the keys, so that a score is the sum of query · summand and the bias;
            ``None`` if the score cannot be split. :meth:`score_note` then says why.
        """
        return None

    def score_note(self) -> str:
        """Return why the score is not split into id and text; used where :meth:`key_parts` returns ``None``."""
        return "this model does not separate ids from texts"

    @torch.no_grad()
    def item_directions(self) -> Tensor | None:
        """Return unit vectors of the items, whose cosine measures similarity.

        Returns:
            ``[N, d]``, by default the normalised keys, zero where a key is zero; ``None`` if the model has no keys, or
            keys of a single number, which have no direction.
        """
        if not self.is_two_tower:
            return None
        keys = self.keys()[0]
        return F.normalize(keys.float(), dim=1) if keys.shape[1] > 1 else None

    @torch.no_grad()
    def item_similarities(self, item: int) -> Tensor | None:
        """Compute the similarity of every item to ``item``, by default the cosine of their directions.

        Returns:
            ``[N]`` from -1 to 1, zero for items without information; ``None`` if the model does not compare items.
        """
        directions = self.item_directions()
        return None if directions is None else directions @ directions[item]

    def compute_loss(self, batch: object, draws: Draws) -> dict[str, LossTerm]:
        """Compute the terms of the training loss of a batch, by their names in the log."""
        raise TypeError(f"{type(self).__name__} does not define a loss")

    def loss(self, batch: object, draws: Draws) -> tuple[Tensor, dict[str, float]]:
        """Compute the training loss of a whole batch, and the value of each of its terms."""
        values = {name: term.value() for name, term in self.compute_loss(batch, draws).items()}
        return torch.stack(list(values.values())).sum(), {name: value.item() for name, value in values.items()}


def weights_by_domain(network: Recommender) -> dict[str, dict[str, float]] | None:
    """Return the fitted weights of the terms of a model by domain and term, for ``config.json``; ``None`` without."""
    weights = network.term_weights
    if weights is None:
        return None
    return {
        domain: {name: round(value, 6) for name, value in zip(weights.names, row, strict=True)}
        for domain, row in zip(DOMAINS, cast(Tensor, weights.factors).tolist(), strict=True)
    }


def take_weights(network: Recommender, by_domain: Mapping[str, Mapping[str, float]]) -> None:
    """Give a model the weights of its terms that another training fitted, see :func:`weights_by_domain`."""
    weights = network.term_weights
    if weights is not None:
        weights.set(torch.tensor([[by_domain[domain][name] for name in weights.names] for domain in DOMAINS]))


# Settings of many models with their bounds and descriptions; each model sets its own defaults.
HistoryLength = Annotated[int, Field(ge=1, description="Number of latest items of the history that the model reads.")]
BatchSize = Annotated[
    int,
    Field(ge=1, description="Samples per batch: training targets or whole sequences, depending on the model."),
]
LearningRate = Annotated[float, Field(gt=0, description="Learning rate of AdamW.")]
LearningRateSchedule = Annotated[
    Literal["steps", "linear", "auto"],
    Field(
        description="How the learning rate falls: in `steps`, whenever validation stops improving "
        "(`train.shared.patience`, `lr_decays`, `lr_decay_factor`); `linear`, from the beginning to the end of a "
        "training of fixed length, after a warm-up of 50 steps; `auto` is `linear`, but `steps` on small data, where "
        "`linear_epochs` make fewer than `linear_steps` steps."
    ),
]
#: Metric of validation that selects the best epoch.
StopBy = Literal["ndcg@10", "sampled_mrr"]
WeightDecay = Annotated[float, Field(ge=0, description="Weight decay of AdamW.")]
Width = Annotated[int, Field(ge=1, description="Width of embeddings and hidden layers.")]
Dropout = Annotated[float, Field(ge=0, lt=1, description="Dropout rate of activations during training.")]
SoftmaxItems = Annotated[
    Literal["full", "sampled", "sampled_then_full"],
    Field(
        description="Items in the denominator of the softmax: `full` is every item of the target's domain; `sampled` "
        "is the targets of the batch and `negatives` uniform items, corrected for how likely each was drawn "
        "(docs/model.md), so that the time and memory of a step do not depend on the number of items; "
        "`sampled_then_full` is `sampled` until the learning rate has fallen to a third, and then `full`; in a small "
        "catalogue, of no more items than `negatives` in a domain, it is `full` from the beginning."
    ),
]
SharedNegatives = Annotated[
    int,
    Field(
        ge=0,
        description="Uniform items of each domain that all targets of a batch are compared with; with `loss: sampled`.",
    ),
]
WhichProfile = Annotated[
    ProfileTime,
    Field(
        description="Version of a user's profile that a target reads: the latest written from interactions "
        "`before_target`; as a control the `older` version before that one; or as `published`, where all training "
        "targets read the version of the validation target and so a profile that has seen them.",
    ),
]
HistoryDecay = Annotated[
    float,
    Field(gt=0, le=1, description="Weight of a history item relative to the next later one; 1 weights all equally."),
]


class ModelSettings(Block):
    """Settings of all models: how many items of a history a model reads, of which domains, and in which order."""

    history_length: HistoryLength = 50
    domains: Literal["both", "own"] = Field(
        default="both",
        description="Interactions that the model is trained on and reads: `both` domains in one sequence, or only "
        "those of the target's `own` domain.",
    )
    order: Literal["time", "shuffled"] = Field(
        default="time",
        description="Order of a history: by `time`, or `shuffled` by the seed as a control. The targets of validation "
        "and test stay last.",
    )

    @property
    def profiles_read(self) -> ProfileTime:
        """Which profile a target reads; a model without the setting reads none, so that it does not matter."""
        found: ProfileTime = getattr(self, "profile_time", "before_target")
        return found

    @property
    def stopped_by(self) -> StopBy:
        """Which metric selects the best epoch; NDCG@10 under full ranking, unless a model has the setting."""
        found: StopBy = getattr(self, "stop_by", "ndcg@10")
        return found

    @property
    def trained_after(self) -> int | None:
        """Items before the first training target, if a model has the setting; ``None`` leaves it to the sequences."""
        found: int | None = getattr(self, "min_history", None)
        return found


class TrainedSettings(ModelSettings):
    """Settings of a model with trained weights: the batch size and the optimiser."""

    batch_size: BatchSize = 128
    learning_rate: LearningRate = 0.001
    weight_decay: WeightDecay = 0.0
    lr_schedule: LearningRateSchedule = "steps"
    linear_epochs: int = Field(
        default=6,
        ge=1,
        description="Epochs of a training whose learning rate falls linearly; never more than `train.shared.epochs`.",
    )
    linear_steps: int = Field(
        default=300,
        ge=0,
        description="Steps that a training with `lr_schedule: linear` has at least: on small data it takes more epochs "
        "than `linear_epochs`. With `lr_schedule: auto`, the steps from which the rate falls linearly.",
    )


class AttentionSettings(TrainedSettings):
    """Settings of a model with self-attention."""

    width: Width = 64
    heads: int = Field(default=2, ge=1, description="Number of attention heads; must divide `width`.")
    dropout: Dropout = 0.2

    @model_validator(mode="after")
    def _heads_divide_width(self) -> Self:
        if self.width % self.heads:
            raise ValueError(f"a number of heads that divides the width {self.width}, got {self.heads}")
        return self
