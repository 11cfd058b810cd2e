"""The review script that users and CI call, in a repository that was built."""

import json

import pytest


@pytest.fixture
def changed(copy):
    """Make a committed copy, then change a setting, a metric and a training log."""
    copy.run("git", "init", "-q", "-b", "main")
    copy.run("git", "config", "user.name", "tests")
    copy.run("git", "config", "user.email", "tests@example.org")
    copy.commit("base")
    copy.replace("params.yaml", "temperature: 0.1", "temperature: 0.2")
    path = copy.folder / "metrics/demo/sasrec.json"
    metrics = json.loads(path.read_text())
    metrics["test"]["x"]["full"]["ndcg@10"] = 0.75
    path.write_text(json.dumps(metrics))
    log = copy.folder / "metrics/demo/training/sasrec.csv"
    log.write_text(log.read_text() + "2,,,0.5,0.5,0.5\n")
    return copy


def test_it_tells_settings_metrics_and_training(changed):
    shown = changed.run("python", "scripts/review.py", "main")
    assert "train.tandem.temperature | 0.1" in shown
    assert "test.x.full.ndcg@10" in shown.split("<details>")[0]
    assert "0.75" in shown
    assert "sasrec on demo" in shown
    assert "popularity on demo" not in shown
    assert shown.count("    line [") == 2
    assert ", 0.5000]" in shown
    folder = changed.folder / "build/review"
    assert (folder / "review.md").read_text().strip() == shown[shown.index("<!-- lecdsr") :].strip()
    assert (folder / "comment.md").exists()
    assert "valid_ndcg@10" in (folder / "plots/index.html").read_text()
    assert changed.run("git", "status", "--short", "--", "build") == ""


def test_a_branch_is_held_against_where_it_began(changed):
    changed.run("git", "checkout", "-q", "-b", "change")
    changed.commit("change")
    changed.run("git", "checkout", "-q", "main")
    changed.replace("params.yaml", "tau: 9.0", "tau: 8.0")
    changed.commit("meanwhile")
    changed.run("git", "checkout", "-q", "change")
    shown = changed.run("python", "scripts/review.py", "main")
    assert "train.tandem.temperature" in shown
    assert "lecdsr.tau" not in shown


def test_an_unknown_revision_is_one_clear_message(changed):
    shown = changed.run("python", "scripts/review.py", "nowhere", check=False)
    assert "nowhere" in shown
    assert "where: git " in shown
    assert "Traceback" not in shown
