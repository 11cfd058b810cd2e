"""Export and import of files, sharing, verification, and the estimate."""

import json
import sqlite3

import pytest
from typer.testing import CliRunner

from lecdsr.ask import maintenance
from lecdsr.ask.estimate import estimate
from lecdsr.ask.files import FilesProvider
from lecdsr.ask.jobs import open_jobs
from lecdsr.ask.prices import read_price
from lecdsr.ask.run import ask
from lecdsr.ask.store import Store
from lecdsr.cli.main import app
from tests.ask.loopback import KEY, chat, error, question_table
from tests.errors import refused

PROMPTS = [f"p{number}" for number in range(10)]


@pytest.fixture
def store(tmp_path):
    with Store(tmp_path / "store") as opened:
        yield opened


def hand_out(store, prompts=PROMPTS, requests_per_file=4):
    with refused("answers-pending"):
        ask(question_table(prompts), FilesProvider(store, requests_per_file), store)
    return sorted((store.path.parent / "requests").glob("requests-*.jsonl"))


def results(path, lines, answer):
    """Write what `vllm run-batch` writes for these request lines."""
    rows = []
    for line in lines:
        request = json.loads(line)
        body = answer(request["body"]["messages"][-1]["content"]).body
        rows.append({"id": "v", "custom_id": request["custom_id"], "response": {"status_code": 200, "body": body}})
    path.write_text("".join(json.dumps(row) + "\n" for row in reversed(rows)), encoding="utf-8")
    return path


def test_files_go_out_and_their_results_come_back(store, tmp_path):
    files = hand_out(store)
    requests = [json.loads(line) for file in files for line in file.read_text().splitlines()]
    assert len(files) == 3
    assert sorted(request["body"]["messages"][-1]["content"] for request in requests) == PROMPTS
    assert all(request["method"] == "POST" and "resample" not in request["body"] for request in requests)
    assert hand_out(store) == files  # a second run writes no new file
    for number, file in enumerate(files):
        lines = file.read_text().splitlines()
        report = maintenance.import_answers(store, results(tmp_path / f"r{number}", lines, lambda prompt: chat(prompt)))
        assert report.answers == len(lines)
    assert open_jobs(store) == []
    result = ask(question_table(PROMPTS), FilesProvider(store), store)
    assert sorted(result.texts.values()) == PROMPTS


def test_a_file_that_was_deleted_is_written_again(store):
    files = hand_out(store)
    before = files[0].read_bytes()
    files[0].unlink()
    assert hand_out(store) == files
    assert files[0].read_bytes() == before


def test_results_that_are_no_answers_fail_and_are_handed_out_anew(store, tmp_path):
    (file,) = hand_out(store, requests_per_file=100)
    cut = lambda prompt: chat("half", delete_job="length") if prompt == "p3" else chat(prompt)  # noqa: E731
    report = maintenance.import_answers(store, results(tmp_path / "r", file.read_text().splitlines(), cut))
    assert (report.answers, report.failures) == (9, {"cut off": 1})
    with refused("answers-pending"):
        ask(question_table(PROMPTS), FilesProvider(store), store)
    (job,) = open_jobs(store)
    assert "p3" in (store.path.parent / "requests" / f"requests-{job.job}.jsonl").read_text()


def test_an_export_fills_another_store_and_is_believed_in_nothing(server, store, tmp_path):
    table = question_table(PROMPTS)
    ask(table, server.provider(), store)
    assert maintenance.export(store, tmp_path / "e.jsonl") == 10
    rows = [json.loads(line) for line in (tmp_path / "e.jsonl").read_text().splitlines()]
    assert [row["key"] for row in rows] == sorted(table["key"].to_pylist())
    rows[0]["body"] = rows[0]["body"].replace("test-model", "other")
    rows[1]["reply"] = json.dumps(chat("half", delete_job="length").body)
    lines = [json.dumps(row) for row in rows] + ["not json", "[]", json.dumps({"custom_id": "x"})]
    (tmp_path / "e.jsonl").write_text("\n".join(lines) + "\n")
    with Store(tmp_path / "other") as other:
        report = maintenance.import_answers(other, tmp_path / "e.jsonl")
        assert report.answers == 8
        assert sum(report.refused.values()) == 5
        assert maintenance.import_answers(other, tmp_path / "e.jsonl").known == 8
        ask(table, server.provider(), other)
    assert len(server.requests) == 12


def test_verify_names_what_was_tampered_with(server, store):
    ask(question_table(PROMPTS), server.provider(), store)
    assert maintenance.verify(store) == []
    with sqlite3.connect(store.path) as other:
        other.execute("UPDATE answers SET body = '{}' WHERE key = (SELECT min(key) FROM answers)")
        other.execute("UPDATE answers SET reply = '' WHERE key = (SELECT max(key) FROM answers)")
    faults = maintenance.verify(store)
    assert len(faults) == 2
    assert "key" in faults[0]
    assert "reply" in faults[1]


def test_prune_keeps_what_is_used(server, store):
    table = question_table(PROMPTS)
    server.behave = lambda prompt, number: error(400) if prompt == "p9" else chat()
    ask(table, server.provider(), store)
    assert len(store.failures()) == 1
    assert maintenance.prune(store, None) == 0
    assert store.failures() == []
    assert maintenance.prune(store, set(table["key"].to_pylist()[:4])) == 5
    assert len(list(store.answers(table["key"].to_pylist()))) == 4


def test_the_estimate_is_measured_on_what_was_answered(server, store, tmp_path):
    prices = tmp_path / "prices.csv"
    prices.write_text("model,input,output,batch_share,as_of\ntest-model,1000000,2000000,0.5,2026-01\n")
    environment = {"LECDSR_LLM_PRICES": str(prices)}
    before = estimate(question_table(PROMPTS), store, environment)
    assert (before.questions, before.answered, before.missing, before.measured_on) == (10, 0, 10, 0)
    assert (before.profiles, before.users) == (10, 10)
    assert before.most.completion_tokens == 90  # ten answers of at most nine tokens
    ask(question_table(PROMPTS[:5]), server.provider(), store)
    after = estimate(question_table(PROMPTS), store, environment)
    # The loopback counts 7 tokens in a prompt and 3 in an answer.
    assert (after.answered, after.likely.prompt_tokens, after.likely.completion_tokens) == (5, 35, 15)
    assert after.price.of(after.likely) == pytest.approx(35 + 2 * 15)
    assert after.price.batched().of(after.likely) == pytest.approx((35 + 2 * 15) / 2)
    assert after.hours(per_minute=1, tokens_per_minute=float("inf")) == pytest.approx(5 / 60)
    assert after.hours(per_minute=1e9, tokens_per_minute=10) == pytest.approx(5 / 60)


def test_prices_of_dated_names_and_of_a_table_of_ones_own(tmp_path):
    assert read_price("gpt-4o-mini-2024-07-18", {}) == read_price("gpt-4o-mini", {})
    assert read_price("unheard-of", {}) is None
    own = tmp_path / "p.csv"
    own.write_text("model,input,output,batch_share,as_of\ngpt-4o-mini,9,9,1,2026-01\n")
    assert read_price("gpt-4o-mini", {"LECDSR_LLM_PRICES": str(own)}).input == 9
    header = "model,input,output,batch_share,as_of\n"
    for wrong, code in (
        ("model,price\na,1\n", "wrong-columns"),
        (f"{header}a,x,1,1,2026\n", "wrong-price"),
        (f"{header}a,-1,1,1,2026\n", "wrong-price"),
    ):
        own.write_text(wrong)
        with refused(code, f"LECDSR_LLM_PRICES: {own}") as caught:
            read_price("a", {"LECDSR_LLM_PRICES": str(own)})
        assert code == "wrong-columns" or "line 2" in caught.value.what


def test_the_command_line_counts_shares_and_checks(server, store, tmp_path):
    ask(question_table(PROMPTS), server.provider(), store)
    for arguments, report in (
        (["answers", "stats"], "served-model"),
        (["answers", "export", str(tmp_path / "e.jsonl")], "10 answers written"),
        (["answers", "import", str(tmp_path / "e.jsonl")], "already known"),
        (["answers", "verify"], "every answer has the key"),
        (["answers", "prune"], "0 answers removed"),
    ):
        result = CliRunner().invoke(app, arguments)
        assert result.exit_code == 0, result.output
        assert report in result.output
        assert KEY not in result.output
