"""The table of an ablation: slices and averages by hand, unfinished studies taken up again."""

import json

import numpy as np
import pyarrow as pa
import pytest

from lecdsr.base.errors import UserError
from lecdsr.base.paths import Artefacts
from lecdsr.base.schemas import RANKS, TEST, VALID
from lecdsr.evaluate.evaluate import Settings as Evaluate
from lecdsr.models.registry import MODELS
from lecdsr.study import ablation
from lecdsr.study.ablation import VARIANTS, Given, Study, run_study, sliced, to_markdown
from tests.models.settings import published_settings, sasrec_settings


def ranks(rows):
    """``rows`` of (split, user, domain, train_count, rank)."""
    split, user, domain, count, rank = zip(*rows, strict=True)
    columns = {
        "split": split,
        "user": user,
        "domain": domain,
        "target": np.zeros(len(rows)),
        "day_tied": [False] * len(rows),
        "train_count": count,
        "history": np.ones(len(rows)),
        "history_own": np.ones(len(rows)),
        "rank_sampled": rank,
        "rank_full": np.array(rank) * 2.0,
    }
    return pa.table(columns).cast(RANKS)


def test_slices_by_hand():
    table = ranks([(TEST, 0, 0, 0, 1.0), (TEST, 1, 0, 7, 3.0), (TEST, 2, 1, 20, 7.0), (VALID, 3, 0, 0, 1.0)])
    values, targets = sliced(table)
    assert targets == {"x all": 2, "x 0–4": 1, "x 5–19": 1, "y all": 1, "y 20+": 1}
    assert values["x sampled 0–4"] == 1.0
    assert values["x sampled 5–19"] == 0.5  # 1 / log2(4)
    assert values["x sampled all"] == 0.75
    assert values["y sampled 20+"] == pytest.approx(1 / 3)  # 1 / log2(8)
    assert values["y full 20+"] == 0.0  # rank 14


def test_markdown_holds_mean_and_deviation():
    runs = {"ids": {"1": {"x full all": 0.1, "x sampled all": 0.2}, "2": {"x full all": 0.3, "x sampled all": 0.2}}}
    text = to_markdown(Study("demo", "sasrec", runs, {"x all": 1234}))
    assert "| ids | 0.2000 ± 0.1414 |" in text
    assert "| ids | 0.2000 ± 0.0000 |" in text
    assert "1,234" in text
    assert "lecdsr ablate --pair demo --model sasrec --seeds 2" in text


def test_variants_are_settings_of_their_models():
    settings = {"sasrec": sasrec_settings, "published": published_settings}
    for model, variants in VARIANTS.items():
        assert model in MODELS
        made = [settings[model](**changed) for changed in variants.values()]
        assert len({variant.model_dump_json() for variant in made}) == len(variants)


def test_finished_runs_are_not_repeated(tmp_path, monkeypatch):
    trained = []

    def train(given, model, settings, shared):
        trained.append((settings.item_text, settings.domains, shared.seed))
        if len(trained) == 3:
            raise KeyboardInterrupt
        return ranks([(TEST, 0, 0, 0, float(shared.seed)), (TEST, 1, 1, 0, 2.0)])

    monkeypatch.setattr(ablation, "_ranks", train)
    monkeypatch.setattr(ablation, "read_table", lambda path, schema: None)
    monkeypatch.setattr(ablation, "sha256_file", lambda path: "same")
    with pytest.raises(KeyboardInterrupt):
        run_study(Artefacts("demo"), "sasrec", 1, tmp_path)
    assert len(list(tmp_path.glob("*.json"))) == 2
    study = run_study(Artefacts("demo"), "sasrec", 1, tmp_path)
    assert len(trained) == len(set(trained)) + 1 == len(VARIANTS["sasrec"]) + 1  # only the interrupted one twice
    assert study.runs["ids"]["1"]["x full all"] == pytest.approx(1 / np.log2(3))
    assert json.loads(next(tmp_path.glob("*.json")).read_text())["targets"]["x all"] == 1


def test_another_rule_of_evaluation_is_another_run(tmp_path, monkeypatch):
    monkeypatch.setattr(ablation, "_ranks", lambda *_: ranks([(TEST, 0, 0, 0, 1.0), (TEST, 1, 1, 0, 2.0)]))
    for excluded in (True, False):
        rules = Evaluate(exclude_history=excluded, batch_size=8)
        given = Given(Artefacts("demo"), None, rules, ["same"])
        monkeypatch.setattr(ablation, "_given", lambda artefacts, given=given: given)
        run_study(Artefacts("demo"), "sasrec", 1, tmp_path)
    assert len(list(tmp_path.glob("*.json"))) == 2 * len(VARIANTS["sasrec"])


def test_model_without_switches(tmp_path):
    with pytest.raises(UserError, match="popularity"):
        run_study(Artefacts("demo"), "popularity", 1, tmp_path)
