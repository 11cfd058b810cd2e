"""Ranks compared with brute force over lists, with ties, exclusions and short lists of negatives."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from lecdsr.core.schemas import TEST
from lecdsr.data.batch import Histories
from lecdsr.data.info import DatasetInfo
from lecdsr.data.sequences import from_tables
from lecdsr.evaluate import ranks as ranking
from lecdsr.evaluate.ranks import rank, rank_targets
from lecdsr.models.base import Recommender
from lecdsr.models.saved import build
from tests.data.pairs import random_pairs
from tests.errors import refused
from tests.models import zoo
from tests.tiny import circle, info, interactions, sequences, windows_table

small = settings(max_examples=50, deadline=None)
CPU = torch.device("cpu")


class Table(Recommender):
    """Model that reads the score of user and item from a table; halves make the bias matter."""

    def __init__(self, scores: Tensor) -> None:
        super().__init__()
        self.scores = scores

    def queries(self, histories: Histories) -> Tensor:
        return torch.eye(len(self.scores))[histories.user]

    def keys(self) -> tuple[Tensor, Tensor]:
        return (self.scores / 2).T, self.scores.new_zeros(self.scores.shape[1])


class Biased(Table):
    """Model with the same score for every user, in the bias alone."""

    def keys(self) -> tuple[Tensor, Tensor]:
        return torch.zeros_like(self.scores).T, self.scores[0]


def plain_rank(scores: list[float], own: float) -> float:
    """Compute the rank of ``own`` among other ``scores``."""
    return 1 + sum(score > own for score in scores) + sum(score == own for score in scores) / 2


def ranked(model, pair, batch_size=3, exclude_history=True, negatives=None):
    info = DatasetInfo(pair.n_x, pair.n_y, len(pair.histories), None, None, torch.zeros(pair.n_x + pair.n_y))
    built = from_tables(*pair.tables)
    return rank_targets(model, built, info, 4, batch_size, CPU, exclude_history, negatives)


@st.composite
def scored_pairs(draw):
    pair = draw(random_pairs())
    n = pair.n_x + pair.n_y
    row = st.lists(st.integers(-2, 2), min_size=n, max_size=n)  # few values, many ties
    scores = draw(st.lists(row, min_size=len(pair.histories), max_size=len(pair.histories)))
    return pair, torch.tensor(scores, dtype=torch.float32)


@small
@given(scored_pairs(), st.booleans(), st.integers(1, 4), st.data())
def test_ranks_as_by_brute_force(scored, exclude_history, batch_size, data):
    pair, scores = scored
    domains = (range(pair.n_x), range(pair.n_x, pair.n_x + pair.n_y))
    negatives, full, sampled = [], [], []
    for _, user, _, _, end in pair.rows:
        target, score = pair.items[end - 1], scores[user].tolist()
        others = [item for item in domains[pair.domain(target)] if item != target]
        some = data.draw(st.lists(st.sampled_from(others), unique=True)) if others else []
        negatives.append(np.array(some, np.int64))
        sampled.append(plain_rank([score[item] for item in some], score[target]))
        before = pair.items[pair.first_row[user] : end - 1] if exclude_history else []
        full.append(plain_rank([score[item] for item in others if item not in before], score[target]))
    ranks = ranked(Table(scores), pair, batch_size, exclude_history, negatives)
    assert ranks.full.tolist() == full
    assert ranks.sampled is not None
    assert ranks.sampled.tolist() == sampled


@small
@given(scored_pairs())
def test_the_bias_counts(scored):
    pair, scores = scored
    same = Table(scores[:1].expand(len(scores), -1))
    assert ranked(Biased(scores), pair).full.tolist() == ranked(same, pair).full.tolist()


def rank_one(history: list[int], scores: list[float], **options) -> float:
    """Return the full rank of the last item of a user's history; X is 0 … 3, Y is 4 and 5."""
    built = from_tables(interactions([history], 4), windows_table([(TEST, 0, 0, len(history) - 1, len(history))]))
    info = DatasetInfo(4, 2, 1, None, None, torch.zeros(6))
    return float(rank_targets(Table(torch.tensor([scores])), built, info, 4, 2, CPU, **options).full[0])


def test_history_is_left_out():
    scores = [9.0, 5, 7, 1, 99, 99]
    assert rank_one([0, 2, 1], scores) == 1  # both better items were had before; Y is of no concern
    assert rank_one([0, 2, 1], scores, exclude_history=False) == 3
    assert rank_one([0, 3, 1], scores) == 2


def test_a_target_that_is_in_the_history_stays():
    assert rank_one([1, 0, 1], [9.0, 5, 7, 1, 0, 0]) == 2  # item 2 is better, 0 is history, 1 itself stays
    assert rank_one([1, 1, 1], [9.0, 5, 7, 1, 0, 0]) == 3


def test_history_before_the_window_is_left_out_too():
    # The window starts at row 2; rows 0 and 1 are known of the user all the same.
    built = from_tables(interactions([[0, 2, 3, 1, 2]], 4), windows_table([(TEST, 0, 2, 3, 4)]))
    model, info = Table(torch.tensor([[9.0, 5, 7, 1, 0, 0]])), DatasetInfo(4, 2, 1, None, None, torch.zeros(6))
    assert rank_targets(model, built, info, 4, 2, CPU).full.tolist() == [1]


def test_what_comes_after_the_target_is_not_left_out():
    built = from_tables(interactions([[3, 1, 0]], 4), windows_table([(TEST, 0, 0, 1, 2)]))
    model, info = Table(torch.tensor([[9.0, 5, 7, 1, 0, 0]])), DatasetInfo(4, 2, 1, None, None, torch.zeros(6))
    assert rank_targets(model, built, info, 4, 2, CPU).full.tolist() == [3]


def test_rank_counts_ties_half():
    scores = torch.tensor([[3.0, 1, 3, 3, 0], [1, 1, 1, 1, 1], [5, 4, 3, 2, 1]])
    assert rank(scores, torch.tensor([0, 4, 4])).tolist() == [2, 3, 5]


def test_minus_infinity_leaves_an_item_out():
    assert rank(torch.tensor([[float("-inf"), 1.0, 2.0]]), torch.tensor([1])).tolist() == [2]


@pytest.mark.parametrize("place", [0, 2])
def test_nan_is_refused(place):
    scores = torch.tensor([[1.0, 2, 3]])
    scores[0, place] = float("nan")
    with refused("nan-score"):
        rank(scores, torch.tensor([2]))


def test_nan_of_an_item_in_no_history_is_refused():
    with refused("nan-score"):
        rank_one([0, 2, 1], [1, 2, 3, float("nan"), 0, 0])


def test_no_negatives_no_sampled_ranks():
    built = from_tables(interactions([[0, 1]], 4), windows_table([(TEST, 0, 0, 1, 2)]))
    info = DatasetInfo(4, 2, 1, None, None, torch.zeros(6))
    assert rank_targets(Table(torch.zeros(1, 6)), built, info, 4, 2, CPU).sampled is None


def test_fewer_negatives_than_the_others():
    histories = [[0, 1], [0, 1], [0, 1]]
    rows = [(TEST, user, 2 * user, 2 * user + 1, 2 * user + 2) for user in range(3)]
    built = from_tables(interactions(histories, 4), windows_table(rows))
    model, info = (
        Table(torch.tensor([[-9.0, -5, -1, -7, 0, 0]] * 3)),
        DatasetInfo(4, 2, 3, None, None, torch.zeros(6)),
    )
    negatives = [np.array([0, 2, 3]), np.array([], np.int64), np.array([2])]
    ranks = rank_targets(model, built, info, 4, 5, CPU, True, negatives)
    assert ranks.sampled is not None
    assert ranks.sampled.tolist() == [2, 1, 2]
    assert ranks.full.tolist() == [2, 2, 2]


def test_no_windows():
    built = from_tables(interactions([[0, 1]], 4), windows_table([]))
    ranks = rank_targets(Table(torch.zeros(1, 6)), built, DatasetInfo(4, 2, 1, None, None, torch.zeros(6)), 4, 2, CPU)
    assert len(ranks.full) == 0


def test_ranking_puts_the_model_into_evaluation_mode():
    model = Table(torch.zeros(1, 6)).train()
    built = from_tables(interactions([[0, 1]], 4), windows_table([(TEST, 0, 0, 1, 2)]))
    rank_targets(model, built, DatasetInfo(4, 2, 1, None, None, torch.zeros(6)), 4, 2, CPU)
    assert not model.training


@pytest.mark.parametrize("threads", [2, 5])
def test_ranks_are_the_same_by_any_number_of_threads(monkeypatch, threads):
    walks = circle(12)
    built, sizes = sequences(walks, 12), info(12, 12, len(walks))
    network = zoo.perturb(build("sasrec", zoo.settings_of("sasrec", "ids"), sizes, 1))
    negatives = [np.array([1, 2]) if target < 12 else np.array([13, 14]) for target in built.target]

    def ranked():
        return rank_targets(network, built, sizes, 5, 4, torch.device("cpu"), True, negatives)

    alone, before = ranked(), torch.get_num_threads()
    monkeypatch.setattr(ranking, "ranking_threads", lambda *_: threads)
    together = ranked()
    assert np.array_equal(alone.full, together.full)
    assert np.array_equal(alone.sampled, together.sampled)
    assert torch.get_num_threads() == before


def test_threads_that_rank_are_bounded_by_memory(monkeypatch):
    sizes, cpu = info(1_000, 10, 4), torch.device("cpu")
    monkeypatch.setattr(torch, "get_num_threads", lambda: 8)
    monkeypatch.setattr(ranking, "free_memory", lambda: 10**9)
    assert ranking.ranking_threads(sizes, 100, cpu) == 8
    monkeypatch.setattr(ranking, "free_memory", lambda: 4 * 3 * 800_000)
    assert ranking.ranking_threads(sizes, 100, cpu) == 3
    monkeypatch.setattr(ranking, "free_memory", lambda: 0)
    assert ranking.ranking_threads(sizes, 100, cpu) == 1
    assert ranking.ranking_threads(sizes, 100, torch.device("cuda")) == 1
