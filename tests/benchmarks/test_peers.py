"""Peers are ranked, stopped and chosen by the rules of our own models."""

import numpy as np
import pyarrow as pa
import pytest
import torch

from benchmarks.peers.clock import Budget, EpochClock
from benchmarks.peers.histories import pad_histories
from benchmarks.peers.plan import Run, chosen, for_git, grid_runs, seed_runs
from benchmarks.peers.vectors import UNKNOWN, TargetVectors, of_known, rank_vectors, score
from lecdsr.core.schemas import CANDIDATES, SECONDS_PER_DAY, TEST, VALID
from lecdsr.data.load import PairData
from lecdsr.evaluate.evaluate import held_out, metrics_of, rank_held_out
from lecdsr.evaluate.settings import Settings
from lecdsr.models.registry import find_model
from lecdsr.models.saved import build
from tests.tiny import info, sequences

N_X, N_Y = 4, 3
CPU = torch.device("cpu")
#: Items of two users in time order; the last two are the targets of validation and test.
HISTORIES = [[0, 4, 1, 2, 5], [3, 6, 0, 4, 1]]


def pair(histories=HISTORIES, n_x=N_X, n_y=N_Y):
    return PairData(info(n_x, n_y, len(histories)), sequences(histories, n_x))


def candidates(data, negatives):
    held = held_out(data.sequences)
    return pa.table({"split": held.split, "row": held.target_row, "negatives": negatives}).cast(CANDIDATES)


def ranked(data, scores, negatives, bias=None):
    """Ranks if ``scores[t][i]`` is the score of item ``i`` for target ``t``."""
    queries = torch.eye(len(scores))
    keys = torch.tensor(scores, dtype=torch.float32).T.contiguous()
    bias = torch.zeros(len(keys)) if bias is None else torch.tensor(bias)
    vectors = TargetVectors(queries, keys, bias)
    return vectors, rank_vectors(vectors, data, candidates(data, negatives), Settings())


def test_ranks_by_hand():
    data = pair()
    held = held_out(data.sequences)
    order = sorted(range(4), key=lambda place: (held.user[place], held.split[place]))
    assert [held.target[place] for place in order] == [2, 5, 4, 1]
    scores, negatives = [None] * 4, [None] * 4
    # User 0, validation, target 2 of X: 0 and 1 were bought before, so 3 alone is above it.
    scores[order[0]], negatives[order[0]] = [9, 8, 1, 5, 9, 9, 9], [3]
    # User 0, test, target 5 of Y: 4 was bought, 6 has the same score, which counts half.
    scores[order[1]], negatives[order[1]] = [9, 9, 9, 9, 7, 2, 2], [6]
    # User 1, validation, target 4 of Y: 6 was bought, 5 is below; among the negatives 6 is above.
    scores[order[2]], negatives[order[2]] = [0, 0, 0, 0, 3, 1, 8], [5, 6]
    # User 1, test, target 1 of X: 3 and 0 were bought, 2 is above.
    scores[order[3]], negatives[order[3]] = [9, 4, 6, 9, 0, 0, 0], [2]
    vectors, ranks = ranked(data, scores, negatives)
    full, sampled, users = (ranks[name].to_numpy() for name in ("rank_full", "rank_sampled", "user"))
    assert [full[place] for place in order] == [2, 1.5, 1, 2]
    assert [sampled[place] for place in order] == [2, 1.5, 2, 2]
    assert [users[place] for place in order] == [0, 0, 1, 1]
    valid = held.split == VALID
    own = TargetVectors(vectors.queries[torch.from_numpy(valid)], vectors.keys, vectors.bias)
    # The mean of the domains: 1 / log2(3) in X, 1 in Y.
    assert score(own, data.sequences.of_split(VALID), data.info) == pytest.approx((1 / np.log2(3) + 1) / 2)


def test_items_that_a_library_does_not_know_share_the_last_ranks():
    data = pair([[0, 4, 1, 2, 5]])
    held = held_out(data.sequences)
    place = int(np.flatnonzero(held.split == TEST)[0])
    scores = [[0.0] * 7 for _ in held.split]
    scores[place] = [0, 0, 0, 0, 0, 0, -50]
    bias = [0, 0, 0, 0, 0, UNKNOWN, 0]  # target 5 is unknown, 4 was bought, 6 is known and scored low
    _, ranks = ranked(data, scores, [[3], [4, 6]], bias)
    assert ranks["rank_full"][place].as_py() == 2
    assert ranks["rank_sampled"][place].as_py() == 3
    keys, bias = of_known(torch.tensor([[1.0], [2.0]]), torch.tensor([2, 0]), 4)
    assert keys.flatten().tolist() == [2, 0, 1, 0]
    assert bias.tolist() == [0, UNKNOWN, 0, UNKNOWN]


def test_the_vectors_of_our_own_model_give_its_own_ranks():
    generator = np.random.default_rng(3)
    histories = [generator.permutation(20)[: generator.integers(4, 9)].tolist() for _ in range(15)]
    data = pair(histories, 12, 8)
    held = held_out(data.sequences)
    negatives = [(np.arange(3) if target < 12 else np.arange(12, 15)).tolist() for target in held.target]
    drawn = candidates(
        data, [[item for item in row if item != target] for row, target in zip(negatives, held.target, strict=True)]
    )
    model = build("sasrec", find_model("sasrec").settings(width=8, heads=2), data.info, 5).eval()
    wanted = rank_held_out(model, data.sequences, data.info, drawn, 50, Settings(), CPU)
    from lecdsr.data.batch import Gatherer

    gatherer = Gatherer(held, 50, data.info.n_x, data.info.padding, CPU)
    with torch.no_grad():
        queries = model.queries(gatherer.histories(held.user, held.start, held.end - 1))
        vectors = TargetVectors(queries, *model.keys())
    found = rank_vectors(vectors, data, drawn, Settings())
    assert found.equals(wanted)
    assert metrics_of(found) == metrics_of(wanted)


def test_histories_are_padded_without_unknown_items():
    data = pair()
    targets = data.sequences.of_split(TEST)
    time = np.tile(np.arange(5), 2) * SECONDS_PER_DAY
    numbers = np.array([1, 2, 0, 4, 5, 6, 0])  # items 2 and 6 are unknown
    found = pad_histories(targets, time, numbers, 3)
    users = targets.user.tolist()
    first, second = users.index(0), users.index(1)
    # User 0 had 0, 4, 1, 2 before the target 5; user 1 had 3, 6, 0, 4 before the target 1.
    assert found.items[first].tolist() == [1, 5, 2]
    assert found.items[second].tolist() == [4, 1, 5]
    assert (found.times[first] // SECONDS_PER_DAY).tolist() == [0, 1, 2, 4]
    assert (found.times[second] // SECONDS_PER_DAY).tolist() == [0, 2, 3, 4]
    longer = pad_histories(targets, time, numbers, 4)
    assert longer.items[second].tolist() == [0, 4, 1, 5]
    assert (longer.times[second] // SECONDS_PER_DAY).tolist() == [0, 0, 2, 3, 4]
    none = pad_histories(targets, time, np.zeros(7, np.int64), 2)
    assert not none.items.any()
    assert (none.times // SECONDS_PER_DAY == 4).all()


def test_a_training_ends_by_patience_epochs_or_time():
    clock = EpochClock(Budget(epochs=9, patience=2), CPU)
    better = [clock.record(score) for score in (0.1, 0.3, 0.2, 0.3)]
    assert better == [True, True, False, False]  # the first of equals is the best
    assert (clock.ended, clock.best["epoch"]) == ("patience", 2)
    short = EpochClock(Budget(epochs=2, patience=5), CPU)
    short.record(0.1)
    assert short.ended is None
    short.record(0.2)
    assert short.ended == "epochs"
    late = EpochClock(Budget(epochs=9, patience=5, deadline=0.0), CPU)
    late.record(0.1)
    assert late.ended == "time"
    long = EpochClock(Budget(epochs=9, patience=5, seconds=-1.0), CPU)
    long.record(0.1)
    assert long.ended == "time"
    long = EpochClock(Budget(epochs=9, patience=5, seconds=-1.0), torch.device("cuda"))
    long.record(0.1)
    assert long.ended is None  # two epochs at least on a GPU
    long.record(0.1)
    assert long.ended == "time"


def test_only_what_runs_between_resume_and_pause_counts(monkeypatch):
    now = iter((10.0, 13.0, 20.0, 21.0))
    monkeypatch.setattr("benchmarks.peers.clock.time.perf_counter", lambda: next(now))
    clock = EpochClock(Budget(9, 9), CPU)
    for _ in range(2):
        clock.resume()
        clock.pause()
    clock.pause()
    clock.record(0.1)
    assert clock.log[0]["seconds"] == 4.0
    clock.record(0.2)
    assert clock.log[1]["seconds"] == 0.0


def test_the_setting_is_chosen_on_validation():
    grids = {"a": [{}, {"width": 8}], "b": [{}]}
    runs = grid_runs(grids, 1)
    assert [(run.side, run.setting, run.seed) for run in runs] == [("a", {}, 1), ("a", {"width": 8}, 1), ("b", {}, 1)]
    records = [
        {"side": "a", "role": "grid", "setting": {}, "valid_ndcg@10": 0.2},
        {"side": "a", "role": "grid", "setting": {"width": 8}, "valid_ndcg@10": 0.3},
        {"side": "a", "role": "grid", "setting": {"width": 9}, "valid_ndcg@10": 0.9},  # no longer in the grid
        {"side": "a", "role": "seed", "setting": {}, "valid_ndcg@10": 0.8},
    ]
    assert chosen(records, grids) == {"a": {"width": 8}}
    order = [(run.seed, run.side) for run in seed_runs({"a": {}, "b": {}}, [1, 2, 3])]
    assert order == [(2, "a"), (2, "b"), (3, "a"), (3, "b")]
    assert Run("a", "grid", {"x": 1, "y": 2}, 1).name == Run("a", "seed", {"y": 2, "x": 1}, 1).name
    assert Run("a", "time", {}, 1).name != Run("a", "seed", {}, 1).name


def test_only_the_chosen_setting_is_recorded_with_its_test_metrics():
    metrics = {"valid": 1, "test": 2}
    records = [
        {"side": "a", "role": "grid", "setting": {}, "metrics": metrics, "log": [1]},
        {"side": "a", "role": "grid", "setting": {"width": 8}, "metrics": metrics, "log": [1]},
        {"side": "a", "role": "time", "setting": {}, "metrics": None, "log": [1]},
    ]
    kept = for_git(records, {"a": {}})
    assert [record["metrics"] for record in kept] == [{"test": 2}, None, None]
    assert [record["log"] for record in kept] == [[1], [], [1]]
