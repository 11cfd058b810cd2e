"""Metrics as fractions computed by hand, and compared with an independent library."""

from itertools import combinations

import ir_measures
import numpy as np
import pytest
import torch
from ir_measures import RR, Qrel, R, ScoredDoc, Success, nDCG

from lecdsr.evaluate.metrics import MONITOR, expected_reciprocal_rank, mean_over_users, per_target
from lecdsr.evaluate.ranks import rank

NAMES = {"hr@1", "hr@5", "hr@10", "ndcg@5", "ndcg@10", "mrr", "mrr@10"}


def test_per_target_by_hand():
    metrics = per_target(np.array([1.0, 2, 3, 5, 6, 10, 11]))
    assert set(metrics) == NAMES
    expected = {
        "hr@1": [1, 0, 0, 0, 0, 0, 0],
        "hr@5": [1, 1, 1, 1, 0, 0, 0],
        "hr@10": [1, 1, 1, 1, 1, 1, 0],
        "ndcg@5": [1, 1 / np.log2(3), 1 / 2, 1 / np.log2(6), 0, 0, 0],
        "ndcg@10": [1, 1 / np.log2(3), 1 / 2, 1 / np.log2(6), 1 / np.log2(7), 1 / np.log2(11), 0],
        "mrr": [1, 1 / 2, 1 / 3, 1 / 5, 1 / 6, 1 / 10, 1 / 11],
        "mrr@10": [1, 1 / 2, 1 / 3, 1 / 5, 1 / 6, 1 / 10, 0],
    }
    for name, values in expected.items():
        np.testing.assert_allclose(metrics[name], values, rtol=1e-12, err_msg=name)


def test_half_ranks():
    # A tie for the first place is no hit at 1; a tie for the tenth and eleventh none at 10.
    metrics = per_target(np.array([1.5, 10.5]))
    assert metrics["hr@1"].tolist() == [0, 0]
    assert metrics["hr@10"].tolist() == [1, 0]
    np.testing.assert_allclose(metrics["mrr"], [2 / 3, 2 / 21])
    np.testing.assert_allclose(metrics["ndcg@10"], [1 / np.log2(2.5), 0])


def test_users_count_once():
    # User 7 has ranks 1, 2 and 4, user 3 has rank 5: ((1 + 1/2 + 1/4) / 3 + 1/5) / 2.
    metrics = mean_over_users(np.array([1.0, 5, 2, 4]), np.array([7, 3, 7, 7]))
    assert metrics["mrr"] == pytest.approx((7 / 12 + 1 / 5) / 2)
    assert metrics["hr@1"] == pytest.approx((1 / 3 + 0) / 2)
    assert metrics["hr@5"] == 1
    assert set(metrics) == NAMES
    assert all(type(value) is float for value in metrics.values())
    assert MONITOR in metrics


def test_float32_ranks_are_averaged_in_double():
    ranks = np.full(100_000, 3, np.float32)
    assert mean_over_users(ranks, np.arange(100_000))["mrr"] == pytest.approx(1 / 3, rel=1e-12)


def test_as_ir_measures_has_them():
    generator = torch.Generator().manual_seed(3)
    targets, items = 60, 25
    scores = torch.stack([torch.randperm(items, generator=generator) for _ in range(targets)]).float() / 7 - 1
    target = torch.randint(items, (targets,), generator=generator)
    ours = per_target(rank(scores, target).double().numpy())

    qrels = [Qrel(f"{q}", f"{int(item)}", 1) for q, item in enumerate(target)]
    run = [ScoredDoc(f"{q}", f"{d}", float(scores[q, d])) for q in range(targets) for d in range(items)]
    measures = {
        "hr@1": [R @ 1, Success @ 1],
        "hr@5": [R @ 5, Success @ 5],
        "hr@10": [R @ 10, Success @ 10],
        "ndcg@5": [nDCG @ 5],
        "ndcg@10": [nDCG @ 10],
        "mrr": [RR],
        "mrr@10": [RR @ 10],
    }
    wanted = [measure for several in measures.values() for measure in several]
    theirs = {(m.measure, int(m.query_id)): m.value for m in ir_measures.iter_calc(wanted, qrels, run)}
    for name, several in measures.items():
        for measure in several:
            reference = [theirs[measure, q] for q in range(targets)]
            np.testing.assert_allclose(ours[name], reference, atol=1e-9, err_msg=f"{name} against {measure}")
    mean = ir_measures.calc_aggregate([nDCG @ 10], qrels, run)[nDCG @ 10]
    ranks = rank(scores, target).numpy()
    assert mean_over_users(ranks, np.arange(targets))["ndcg@10"] == pytest.approx(mean, abs=1e-9)


@pytest.mark.parametrize("negatives", [1, 3, 6, 9])
def test_the_expected_reciprocal_rank_is_the_mean_over_all_samples(negatives):
    others = 6
    for rank_of_target in range(1, others + 2):
        better = rank_of_target - 1
        samples = combinations(range(others), min(negatives, others))
        expected = np.mean([1 / (1 + sum(item < better for item in sample)) for sample in samples])
        found = expected_reciprocal_rank(np.array([rank_of_target]), np.array([others]), negatives)
        assert found == pytest.approx(expected, rel=1e-6)


def test_the_expected_reciprocal_rank_at_the_size_of_food_kitchen():
    found = expected_reciprocal_rank(np.array([1.0, 2.0, 2.5, 3.0, 16_000.0]), np.full(5, 16_000.0), 999)
    # The one better item is among the negatives with a chance of 999 / 16,000, which halves the reciprocal rank.
    assert found[:2] == pytest.approx([1, 1 - 999 / 16_000 / 2])
    assert (np.diff(found) < 0).all()
    assert found[4] == pytest.approx(1 / 1000, rel=1e-2)
