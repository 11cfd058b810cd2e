"""Evaluation of held-out targets: the table of ranks, and metrics computed by hand."""

import json

import numpy as np
import pyarrow as pa
import pytest
import torch
from torch import Tensor

from lecdsr.candidates.draw import draw_candidates
from lecdsr.candidates.settings import Settings as CandidateSettings
from lecdsr.core.files import write_json, write_table
from lecdsr.core.schemas import CANDIDATES, RANKS, TEST, TRAIN, VALID
from lecdsr.data.batch import Histories
from lecdsr.data.info import DatasetInfo
from lecdsr.data.sequences import from_tables, own_domain
from lecdsr.evaluate import evaluate
from lecdsr.evaluate.evaluate import metrics_of, rank_held_out, summary_of
from lecdsr.evaluate.metrics_table import beyond_table, metrics_table
from lecdsr.evaluate.provenance import provenance
from lecdsr.evaluate.settings import Settings
from lecdsr.models.base import Recommender
from lecdsr.sequences.split import leave_one_out
from tests.errors import refused
from tests.tiny import interactions, items_table

N_X, N_Y = 6, 5
HISTORIES = [[0, 6, 1, 7, 2, 8], [3, 9, 4], [5, 10], [6, 7, 8, 9, 0, 1]]
CATALOGUE = DatasetInfo(N_X, N_Y, len(HISTORIES), None, None, torch.arange(N_X + N_Y))
CPU = torch.device("cpu")


class ByNumber(Recommender):
    """Model that scores an item by its number."""

    def queries(self, histories: Histories) -> Tensor:
        return torch.ones(len(histories.user), 1)

    def keys(self) -> tuple[Tensor, Tensor]:
        return torch.arange(N_X + N_Y).float().unsqueeze(1), torch.zeros(N_X + N_Y)


def ranks_table(rows: list[tuple[int, int, int, bool, float, float]]) -> pa.Table:
    """Build ranks from rows of (split, user, domain, day_tied, rank_sampled, rank_full)."""
    split, user, domain, tied, sampled, full = zip(*rows, strict=True)
    nothing = [0] * len(rows)
    columns = [split, user, domain, nothing, tied, nothing, nothing, nothing, sampled, full]
    return pa.table(dict(zip(RANKS.names, columns, strict=True))).cast(RANKS)


def test_the_summary_holds_few_metrics_of_the_full_ranking():
    rows = [(VALID, 0, 1, False, 2, 8), (TEST, 0, 0, False, 1, 3), (TEST, 1, 0, True, 1, 20)]
    metrics = metrics_of(ranks_table(rows))
    metrics["run"] = {"seed": 1}
    full = metrics["test"]["x"]["full"]
    assert summary_of("sasrec", metrics) == {
        "sasrec": {
            "valid": {"y": {"ndcg@10": metrics["valid"]["y"]["full"]["ndcg@10"]}},
            "test": {"x": {"ndcg@10": full["ndcg@10"], "hr@10": full["hr@10"]}},
        }
    }
    assert full["hr@10"] == 0.5


def test_metrics_by_hand():
    metrics = metrics_of(
        ranks_table(
            [
                # User 0 has two targets, user 1 one: means over users, not over targets.
                (TEST, 0, 0, False, 1, 3),
                (TEST, 0, 0, True, 2, 4),
                (TEST, 1, 0, False, 4, 20),
                (TEST, 2, 1, True, 1, 1),
                (VALID, 0, 1, False, 2, 8),
            ]
        )
    )
    assert set(metrics) == {"valid", "test"}
    assert set(metrics["test"]) == {"x", "y"}
    assert set(metrics["valid"]) == {"y"}  # no validation target of X
    x = metrics["test"]["x"]
    assert (x["users"], x["targets"]) == (2, 3)
    assert x["sampled"]["mrr"] == pytest.approx(((1 + 1 / 2) / 2 + 1 / 4) / 2)
    assert x["sampled"]["hr@1"] == pytest.approx((1 / 2 + 0) / 2)
    assert x["full"]["mrr"] == pytest.approx(((1 / 3 + 1 / 4) / 2 + 1 / 20) / 2)
    assert x["full"]["mrr@10"] == pytest.approx(((1 / 3 + 1 / 4) / 2 + 0) / 2)
    assert x["full"]["hr@5"] == 0.5
    assert x["full"]["ndcg@5"] == pytest.approx((1 / np.log2(4) + 1 / np.log2(5)) / 2 / 2)
    assert (x["untied"]["users"], x["untied"]["targets"]) == (2, 2)
    assert x["untied"]["sampled"]["mrr"] == pytest.approx((1 + 1 / 4) / 2)
    assert x["untied"]["full"]["mrr"] == pytest.approx((1 / 3 + 1 / 20) / 2)
    y = metrics["test"]["y"]
    assert (y["users"], y["targets"], y["full"]["hr@1"]) == (1, 1, 1)
    assert "untied" not in y  # its only target is tied
    assert metrics["valid"]["y"]["untied"]["full"] == metrics["valid"]["y"]["full"]
    assert metrics["valid"]["y"]["full"]["mrr"] == pytest.approx(1 / 8)


def test_training_rows_are_no_result():
    assert metrics_of(ranks_table([(TRAIN, 0, 0, False, 1, 1)])) == {}


def test_metrics_are_json_without_nan(tmp_path):
    metrics = metrics_of(ranks_table([(VALID, 3, 0, True, 999.5, 12000.5), (TEST, 3, 1, False, 1, 1.5)]))
    write_json(tmp_path / "m.json", metrics)
    text = (tmp_path / "m.json").read_text()
    assert "NaN" not in text
    assert json.loads(text) == metrics


@pytest.fixture
def tables():
    table = interactions(HISTORIES, N_X, days=[[0, 1, 2, 3, 4, 4], [0, 1, 2], [0, 0], [0, 1, 2, 3, 4, 5]])
    windows = leave_one_out(table["user"].to_numpy(), table["time"].to_numpy(), 1).windows
    drawn = CandidateSettings(negatives=2, exclude="history", seed=0)
    return table, windows, draw_candidates(table, windows, items_table(N_X, N_Y), drawn)


def ranked(tables, sequences=None, candidates=None, exclude_history=True, batch_size=2):
    table, windows, drawn = tables
    return rank_held_out(
        ByNumber(),
        sequences or from_tables(table, windows),
        CATALOGUE,
        drawn if candidates is None else candidates,
        3,
        Settings(exclude_history=exclude_history, batch_size=batch_size),
        CPU,
    )


def test_the_table_of_ranks(tables, tmp_path):
    found = ranked(tables)
    assert found.schema == RANKS
    rows = {(row["split"], row["user"]): row for row in found.to_pylist()}
    assert set(rows) == {(VALID, 0), (VALID, 1), (VALID, 3), (TEST, 0), (TEST, 1), (TEST, 2), (TEST, 3)}
    # User 0: test target 8 on the day of the item before; Y is 6 … 10, of which 9 and 10 score higher.
    assert rows[TEST, 0]["target"] == 8
    assert rows[TEST, 0]["domain"] == 1
    assert rows[TEST, 0]["day_tied"] is True
    assert rows[TEST, 0]["history"] == 5
    assert rows[TEST, 0]["history_own"] == 2  # 6 and 7
    assert rows[TEST, 0]["train_count"] == 8
    assert rows[TEST, 0]["rank_full"] == 3
    assert rows[TEST, 0]["rank_sampled"] == 3  # 9 and 10 are the only items that the user never had
    # User 1: test target 4 of X with 3 before it; only 5 scores higher.
    assert (rows[TEST, 1]["rank_full"], rows[TEST, 1]["day_tied"], rows[TEST, 1]["history"]) == (2, False, 2)
    # User 3: validation target 0 of X, without history in X.
    assert (rows[VALID, 3]["target"], rows[VALID, 3]["rank_full"]) == (0, 6)
    # Test target 1 with 0 before it: 2 … 5 score higher.
    assert (rows[TEST, 3]["target"], rows[TEST, 3]["rank_full"]) == (1, 5)
    write_table(tmp_path / "r", found, RANKS)


def test_history_may_stay_in_the_ranking(tables):
    rows = {(row["split"], row["user"]): row for row in ranked(tables, exclude_history=False).to_pylist()}
    excluded = {(row["split"], row["user"]): row for row in ranked(tables).to_pylist()}
    assert rows[VALID, 0]["target"] == 2
    assert rows[VALID, 0]["rank_full"] == 4
    table = interactions([[5, 4, 0, 1]], N_X)
    windows = leave_one_out(table["user"].to_numpy(), table["time"].to_numpy(), 1).windows
    drawn = draw_candidates(
        table, windows, items_table(N_X, N_Y), CandidateSettings(negatives=2, exclude="target", seed=0)
    )
    for exclude, ranks in ((True, [4, 3]), (False, [6, 5])):
        assert ranked((table, windows, drawn), exclude_history=exclude)["rank_full"].to_pylist() == ranks
    assert all(rows[key]["rank_sampled"] == excluded[key]["rank_sampled"] for key in rows)


@pytest.mark.parametrize("batch_size", [1, 3, 100])
def test_the_batch_size_changes_nothing(tables, batch_size):
    assert ranked(tables, batch_size=batch_size).equals(ranked(tables))


def test_the_size_of_a_block_changes_nothing(tables, monkeypatch):
    whole = ranked(tables)
    monkeypatch.setattr(evaluate, "BLOCK", 3)
    assert ranked(tables).equals(whole)


def test_candidates_of_other_windows_are_refused(tables):
    *_, drawn = tables
    for other in (
        drawn.slice(1),
        drawn.take(list(range(len(drawn)))[::-1]),
        drawn.set_column(1, "row", pa.array(drawn["row"].to_numpy() + 1)).cast(CANDIDATES),
    ):
        with refused("other-windows", "candidates") as caught:
            ranked(tables, candidates=other)
        assert "dvc repro" in caught.value.do


def test_ranks_belong_to_their_candidates(tables):
    # Lists of different lengths, each with its own target: sampled ranks from the table itself.
    table, windows, _ = tables
    for count in (1, 3, 999):
        drawn = draw_candidates(
            table, windows, items_table(N_X, N_Y), CandidateSettings(negatives=count, exclude="history", seed=4)
        )
        found = ranked((table, windows, drawn))
        expected = [
            1 + sum(item > target for item in negatives)
            for target, negatives in zip(found["target"].to_pylist(), drawn["negatives"].to_pylist(), strict=True)
        ]
        assert found["rank_sampled"].to_pylist() == expected


def test_one_domain_control_is_ranked_on_the_same_targets(tables):
    table, windows, _ = tables
    mixed, own = ranked(tables), ranked(tables, own_domain(from_tables(table, windows), N_X))
    names = [name for name in RANKS.names if name != "history"]
    assert own.select(names).equals(mixed.select(names))
    rows = {(row["split"], row["user"]): row["history"] for row in own.to_pylist()}
    assert rows[TEST, 0] == 2  # 6 and 7 of Y, without the three of X
    assert rows[VALID, 3] == 0


def test_nobody_to_evaluate():
    table = interactions([[1], [2]], N_X)
    windows = leave_one_out(table["user"].to_numpy(), table["time"].to_numpy(), 1).windows
    drawn = draw_candidates(
        table, windows, items_table(N_X, N_Y), CandidateSettings(negatives=2, exclude="history", seed=0)
    )
    found = ranked((table, windows, drawn))
    assert len(found) == 0
    assert metrics_of(found) == {}


def test_metrics_table_leaves_out_what_is_not_there():
    metrics = metrics_of(ranks_table([(TEST, 0, 0, False, 1, 2), (VALID, 0, 1, False, 1, 2)]))
    table = metrics_table("title", {"a": metrics, "b": {}, "c": {"test": {}}})
    assert table.row_count == 1
    assert metrics_table("title", {"a": metrics}, "valid").row_count == 1


def test_beyond_accuracy_is_a_part_of_the_full_ranking_of_test():
    ranks = ranks_table([(TEST, 0, 0, False, 1, 2), (VALID, 0, 0, False, 1, 2), (TEST, 1, 1, False, 1, 2)])
    plain = metrics_of(ranks)
    metrics = metrics_of(ranks, {"x": {"coverage@10": 0.5, "popularity@10": 1234.5}})
    added = metrics["test"]["x"]["full"]
    assert {name: added.pop(name) for name in ("coverage@10", "popularity@10")} == {
        "coverage@10": 0.5,
        "popularity@10": 1234.5,
    }
    assert metrics == plain


def test_table_beyond_accuracy_leaves_out_what_is_not_there():
    ranks = ranks_table([(TEST, 0, 0, False, 1, 2), (TEST, 1, 1, False, 1, 2)])
    metrics = metrics_of(ranks, {"x": {"coverage@10": 0.5, "popularity@10": 1234.5}})
    table = beyond_table("title", {"a": metrics, "former": metrics_of(ranks), "b": {}})
    assert table.row_count == 1
    cells = [next(iter(column.cells)) for column in table.columns]
    assert cells == ["x", "a", "0.500", "–", "1,234.5", "–", "–", "–", "–", "–"]


class Folder:
    """Return the only path that provenance reads."""

    def __init__(self, root):
        self.root = root

    def stage_metrics(self, stage):
        return self.root / f"{stage}.json"


def test_provenance(tmp_path):
    facts = {
        "ask": {"provider": "offline", "model": "rules"},
        "embed": {"encoder": "e"},
        "candidates": {"sha256": "abc"},
        "prompts": {"profiles_by_version": {"training": 9}},
    }
    for stage, values in facts.items():
        write_json(tmp_path / f"{stage}.json", values)
    config = {"seed": 3, "best_epoch": 2, "parameters": 9, "settings": {}}
    found = provenance(Folder(tmp_path), config, True)
    assert found["seed"] == 3
    assert found["text_provider"] == "offline"
    assert found["encoder"] == "e"
    assert found["candidates_sha256"] == "abc"
    assert found["profiles_by_version"] == {"training": 9}
    (tmp_path / "embed.json").unlink()
    with refused("missing-file"):
        provenance(Folder(tmp_path), config, True)
