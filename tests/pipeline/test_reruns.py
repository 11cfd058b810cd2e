"""What DVC reruns after a change of code or of a setting, and what `-S` accepts."""

import pytest

MODELS = ("popularity", "sasrec", "lecdsr", "tandem")
SASREC = {f"{stage}@demo-sasrec" for stage in ("train", "evaluate", "refit", "recommend")} | {"report@demo"}


def append(repository, file: str, text: str) -> None:
    with open(repository.folder / file, "a", encoding="utf-8") as handle:
        handle.write(text)


def test_a_line_of_one_model_reruns_that_model_alone(repository):
    append(repository, "lecdsr/models/sasrec.py", "\n\nUNUSED = 1\n")
    # The defaults of a model stand in its file, so the settings are resolved again; the same ones stop there.
    assert repository.stages_run("dvc", "repro") == {"settings@demo", *SASREC}
    repository.run("git", "checkout", "-q", "lecdsr")
    assert repository.stages_run("dvc", "repro") == set()


def test_a_default_that_changes_in_code_is_a_changed_setting(repository):
    path = repository.folder / "lecdsr/models/sasrec.py"
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace("layers: int = Field(default=2", "layers: int = Field(default=1"), encoding="utf-8")
    assert path.read_text(encoding="utf-8") != text
    assert repository.stages_run("dvc", "repro") == {"settings@demo", *SASREC}


def test_a_setting_of_the_prompts_reruns_from_there_on_and_back_nothing(repository):
    repository.change("prompts.profile_instruction", "Say what they like.")
    ran = repository.stages_run("dvc", "repro")
    assert {"settings@demo", "prompts@demo", "ask@demo", "embed@demo"} <= ran
    assert not ran & {"download@demo", "sequences@demo", "card@demo", "candidates@demo"}
    repository.run("git", "checkout", "-q", ".")
    assert repository.stages_run("dvc", "repro") == set()


def test_adding_a_model_trains_it_alone(repository):
    params = repository.folder / "params.yaml"
    text = params.read_text(encoding="utf-8")
    params.write_text(text.replace("models: [", "models: [content, "), encoding="utf-8")
    ran = repository.stages_run("dvc", "repro")
    content = {f"{stage}@demo-content" for stage in ("train", "evaluate", "refit", "recommend")}
    assert ran == {"settings@demo", *content, "report@demo"}


def test_a_setting_of_recommend_reruns_it_alone_and_back_nothing(repository):
    repository.change("recommend.k", 3)
    ran = repository.stages_run("dvc", "repro")
    assert ran == {"settings@demo"} | {f"recommend@demo-{model}" for model in MODELS}
    repository.run("git", "checkout", "-q", ".")
    assert repository.stages_run("dvc", "repro") == set()


def test_refit_trains_for_production_and_evaluates_nothing_again(repository):
    repository.change("train.shared.refit", "all")
    ran = repository.stages_run("dvc", "repro")
    assert ran == {"settings@demo"} | {f"{stage}@demo-{model}" for stage in ("refit", "recommend") for model in MODELS}
    assert (repository.folder / "data/demo/production/sasrec/model.safetensors").exists()
    repository.run("git", "checkout", "-q", ".")
    assert repository.stages_run("dvc", "repro") == set()
    assert not (repository.folder / "data/demo/production/sasrec/model.safetensors").exists()


def test_a_line_of_the_report_leaves_recommendations_alone(repository):
    append(repository, "lecdsr/recommend/explain.py", "\n\nUNUSED = 1\n")
    assert repository.stages_run("dvc", "repro") == {"report@demo"}


def test_an_unwritten_key_needs_two_plus_signs(repository):
    shown = repository.run("dvc", "exp", "run", "-S", "train.sasrec.dropout=0.5", check=False)
    assert "train.sasrec.dropout" in shown
    assert "+train.sasrec.dropout=0.5" in shown  # DVC's advice
    assert "Running stage" not in shown


@pytest.mark.parametrize("change", ["++train.sasrec.droput=0.5", "pairs/demo.yaml:++train.sasrec.droput=0.5"])
def test_an_unknown_key_is_refused_before_anything_else_runs(repository, change):
    shown = repository.run("dvc", "exp", "run", "-S", change, check=False)
    assert [line.split("'")[1] for line in shown.splitlines() if line.startswith("Running stage")] == ["settings@demo"]
    assert "train.sasrec.droput" in shown
    assert "'dropout'" in shown
    assert "Traceback" not in shown
    repository.run("git", "checkout", "-q", ".")
    assert repository.stages_run("dvc", "repro") == set()
