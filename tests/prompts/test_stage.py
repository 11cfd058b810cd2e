import shutil
from pathlib import Path

from lecdsr.config.resolve import write_resolved
from lecdsr.core.files import read_json, read_table, write_table
from lecdsr.core.paths import Artefacts
from lecdsr.core.schemas import INTERACTIONS, ITEMS, QUESTIONS, TRAIN, USERS
from stages.prompts import main
from tests.prompts.prompt_tables import interactions, item, items, users

ROOT = Path(__file__).parents[2]


def test_the_stage_writes_questions_and_facts(tmp_path, monkeypatch, capsys):
    shutil.copy(ROOT / "params.yaml", tmp_path)
    shutil.copytree(ROOT / "pairs", tmp_path / "pairs")
    monkeypatch.chdir(tmp_path)
    write_resolved("demo")
    artefacts = Artefacts("demo")
    write_table(artefacts.items, items([item(0, 0, "Tea"), item(1, 1, "Pot")]), ITEMS)
    write_table(artefacts.users, users(2), USERS)
    rows = [(0, 0, 0, TRAIN), (0, 1, 1, TRAIN), (1, 1, 1, TRAIN)]
    write_table(artefacts.interactions, interactions(rows), INTERACTIONS)
    main("demo")
    questions = read_table(artefacts.questions, QUESTIONS)
    assert questions["id"].to_pylist() == [0, 0, 1]
    assert questions["as_of"].to_pylist() == [0, 1, 2]
    assert "Pot" not in questions["facts"][0].as_py()
    assert read_json(artefacts.stage_metrics("prompts")) == {
        "questions": 3,
        "profiles": 3,
        "descriptions": 0,
        "profiles_by_version": {"first_half": 2, "training": 1, "before_test": 0},
        "users_without_profile": 0,
    }
    assert "first_half 2, training 1" in capsys.readouterr().out
