"""The lists of test targets are the first places of the full ranking, and keeping them changes no rank."""

from types import SimpleNamespace

import numpy as np
import torch
from hypothesis import given, settings

from lecdsr.candidates.draw import draw_candidates
from lecdsr.candidates.settings import Settings as CandidateSettings
from lecdsr.core.schemas import LISTS, TEST
from lecdsr.data.info import DatasetInfo
from lecdsr.data.sequences import from_tables
from lecdsr.evaluate import evaluate
from lecdsr.evaluate.evaluate import held_out, rank_held_out
from lecdsr.evaluate.lists import NONE, TopItems, to_array, to_table
from lecdsr.evaluate.ranks import rank_targets
from lecdsr.evaluate.settings import Settings
from lecdsr.sequences.split import leave_one_out
from tests.evaluate.test_ranks import CPU, Table, scored_pairs
from tests.tiny import interactions, items_table

small = settings(max_examples=50, deadline=None)
K = 3


def observed(pair, scores, exclude_history=True, batch_size=3):
    info = DatasetInfo(pair.n_x, pair.n_y, len(pair.histories), None, None, torch.zeros(pair.n_x + pair.n_y))
    windows = from_tables(*pair.tables)
    top = TopItems(windows, pair.n_x, K)
    model = Table(scores)
    found = rank_targets(model, windows, info, 4, batch_size, CPU, exclude_history, observe=top)
    alone = rank_targets(model, windows, info, 4, batch_size, CPU, exclude_history)
    assert (found.full == alone.full).all()
    return windows, found.full, top


@small
@given(scored_pairs())
def test_lists_are_the_first_places_of_the_full_ranking(case):
    pair, scores = case[0], case[1]
    for exclude_history in (True, False):
        windows, ranks, top = observed(pair, scores, exclude_history)
        for place in range(len(windows)):
            kept = [int(item) for item in top.items[place] if item != NONE]
            if windows.split[place] != TEST:
                assert kept == []
                continue
            user, target = windows.user[place], int(windows.target[place])
            items = range(pair.n_x, pair.n_x + pair.n_y) if target >= pair.n_x else range(pair.n_x)
            had = set(windows.seen_items[windows.seen_start[place] : windows.target_row[place]].tolist())
            left = [item for item in items if not exclude_history or item == target or item not in had]
            wanted = sorted(left, key=lambda item: (-float(scores[user, item]), item))
            assert kept == wanted[:K]
            ties = sum(scores[user, item] == scores[user, target] for item in left) - 1
            if not ties:
                assert (target in kept) == (ranks[place] <= K)


def test_a_table_and_back():
    pair_items = np.array([[2, 0, 1], [1, NONE, NONE], [NONE, NONE, NONE]], np.int32)
    table = interactions([[0, 1], [1, 2], [2, 3]], 9)
    windows = from_tables(table, leave_one_out(table["user"].to_numpy(), table["time"].to_numpy(), 1).windows)
    targets = windows.of_split(TEST)
    written = to_table(targets, 9, pair_items)
    assert written.schema == LISTS
    assert written["items"].to_pylist() == [[2, 0, 1], [1], []]
    assert written["target"].to_pylist() == [1, 2, 3]
    assert to_array(written).tolist() == pair_items.tolist()
    assert to_array(written.slice(1)).tolist() == [[1], [NONE]]
    assert to_array(written.slice(0, 0)).shape == (0, 0)


def test_block_by_block_the_lists_are_the_same(monkeypatch):
    n_x, n_y = 6, 5
    histories = [[0, 6, 1, 7, 2, 8], [3, 9, 4], [5, 10], [6, 7, 8, 9, 0, 1]]
    table = interactions(histories, n_x)
    windows = leave_one_out(table["user"].to_numpy(), table["time"].to_numpy(), 1).windows
    drawn = draw_candidates(
        table, windows, items_table(n_x, n_y), CandidateSettings(negatives=2, exclude="history", seed=0)
    )
    info = DatasetInfo(n_x, n_y, len(histories), None, None, torch.arange(n_x + n_y))
    scores = torch.rand(len(histories), n_x + n_y, generator=torch.Generator().manual_seed(0))
    arguments = (Table(scores), from_tables(table, windows), info, drawn, 3, Settings(batch_size=2), CPU)

    def ranks_and_lists():
        top = TopItems(held_out(arguments[1]), n_x)
        return SimpleNamespace(ranks=rank_held_out(*arguments, top), lists=top.table())

    found = ranks_and_lists()
    assert len(found.lists) == 4
    for name in ("user", "domain", "target"):  # the test targets of the ranks, in their order
        ranks = found.ranks.to_pandas()
        assert found.lists[name].to_pylist() == ranks[ranks["split"] == TEST][name].tolist()
    monkeypatch.setattr(evaluate, "BLOCK", 3)
    again = ranks_and_lists()
    assert again.lists.equals(found.lists)
    assert again.ranks.equals(found.ranks)
    assert rank_held_out(*arguments).equals(found.ranks)
