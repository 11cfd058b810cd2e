import shutil
from pathlib import Path

import pytest

from lecdsr.config.resolve import write_resolved
from lecdsr.core.files import read_json, read_table, write_table
from lecdsr.core.paths import Artefacts
from lecdsr.core.schemas import ANSWERS, QUESTIONS
from stages.ask import main
from tests.ask.loopback import KEY, chat, error, question_table
from tests.errors import refused

ROOT = Path(__file__).parents[2]


@pytest.fixture
def repository(tmp_path, monkeypatch, server):
    """Make a repository with the project's settings and questions of the pair demo."""
    shutil.copy(ROOT / "params.yaml", tmp_path)
    shutil.copytree(ROOT / "pairs", tmp_path / "pairs")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OPENAI_BASE_URL", server.url)
    write_resolved("demo")
    return tmp_path


def ask_through(provider):
    params = Path("params.yaml").read_text(encoding="utf-8")
    Path("params.yaml").write_text(params.replace("provider: offline", f"provider: {provider}"), encoding="utf-8")
    write_resolved("demo")


def test_offline_writes_answers_and_facts(repository, server):
    artefacts = Artefacts("demo")
    write_table(artefacts.questions, question_table(["Green Tea", "Iron Pan"], model="offline"), QUESTIONS)
    main("demo")
    first = artefacts.answers.read_bytes()
    assert "green tea" in read_table(artefacts.answers, ANSWERS)["text"][0].as_py()
    assert read_json(artefacts.stage_metrics("ask"))["provider"] == "offline"
    main("demo")
    assert artefacts.answers.read_bytes() == first
    assert server.requests == []
    assert not (repository / "store").exists()


def test_offline_warns_when_another_model_is_named(repository, capsys):
    write_table(Artefacts("demo").questions, question_table("a", model="some-llm"), QUESTIONS)
    main("demo")
    assert "some-llm is not asked" in capsys.readouterr().err


def test_openai_writes_answers_and_facts_without_reading_markup(repository, server, capsys):
    ask_through("openai")
    server.behave = lambda prompt, number: chat(f"[bold]likes[/] {prompt} [/]")
    artefacts = Artefacts("demo")
    write_table(artefacts.questions, question_table(["[red]tea[/]"]), QUESTIONS)
    main("demo")
    assert read_table(artefacts.answers, ANSWERS)["text"].to_pylist() == ["[bold]likes[/] [red]tea[/] [/]"]
    assert read_json(artefacts.stage_metrics("ask"))["prompt_tokens"] == 7
    assert KEY not in "".join(capsys.readouterr())
    assert all(KEY.encode() not in path.read_bytes() for path in repository.rglob("*") if path.is_file())


def test_too_many_failures_leave_no_output_but_keep_the_store(repository, server):
    ask_through("openai")
    server.behave = lambda prompt, number: error(400, message="[/]") if prompt == "a" else chat()
    artefacts = Artefacts("demo")
    write_table(artefacts.questions, question_table("abc"), QUESTIONS)
    with refused("failed-questions", "ask.max_failed_share") as caught:
        main("demo")
    assert "1 of 3" in caught.value.what
    assert not artefacts.answers.exists()
    server.behave = lambda prompt, number: chat()
    main("demo")
    assert server.prompts.count("b") == server.prompts.count("c") == 1


def test_no_question_is_no_trouble(repository):
    artefacts = Artefacts("demo")
    write_table(artefacts.questions, QUESTIONS.empty_table(), QUESTIONS)
    main("demo")
    assert read_json(artefacts.stage_metrics("ask"))["questions"] == 0
