import os
import subprocess
import threading
import time

import pytest

from lecdsr.ask.batch import BatchProvider
from lecdsr.ask.budget import BudgetReached
from lecdsr.ask.jobs import open_jobs
from lecdsr.ask.providers import answer_questions
from lecdsr.ask.run import ask
from lecdsr.ask.settings import Settings
from lecdsr.ask.store import Store
from lecdsr.core.files import write_table
from lecdsr.core.schemas import QUESTIONS
from tests.ask.batch_server import BatchServer
from tests.ask.loopback import Loopback, chat, question_table
from tests.ask.test_processes import ASK, ROOT, wait_for
from tests.errors import refused
from tests.programs import KILL, program

PROMPTS = [f"p{number}" for number in range(10)]


@pytest.fixture
def api():
    with BatchServer() as server:
        yield server


@pytest.fixture
def store(tmp_path):
    with Store(tmp_path / "store") as opened:
        yield opened


def run(api, store, prompts=PROMPTS, **variables):
    table = question_table(prompts)
    result = ask(table, BatchProvider(api.environment(**variables), store, poll_s=0.01), store)
    texts = {body["key"]: result.texts.get(body["key"]) for body in table.to_pylist()}
    return result, list(texts.values())


def test_results_out_of_order_find_their_questions(api, store):
    _, texts = run(api, store)
    assert texts == [f"about {prompt}" for prompt in PROMPTS]
    assert api.asked == sorted(PROMPTS) or sorted(api.asked) == PROMPTS
    assert open_jobs(store) == []


def test_a_batch_with_only_an_error_file_lists_every_reason(api, store):
    api.fate = lambda number: "errors only"
    result, texts = run(api, store)
    assert texts == [None] * 10
    assert {str(reason) for reason in result.reasons.values()} == {"request refused (400): bad request"}
    assert open_jobs(store) == []


def test_half_of_an_expired_batch_is_kept_and_the_other_half_asked_anew(api, store):
    api.fate = lambda number: "expired" if number == 0 else "completed"
    result, texts = run(api, store)
    assert sum(text is not None for text in texts) == 5
    assert {reason.reason for reason in result.reasons.values()} == {"expired"}
    _, texts = run(api, store)
    assert None not in texts
    assert len(api.asked) == 15


def test_a_batch_that_failed_after_creation_says_why(api, store):
    api.fate = lambda number: "failed"
    result, _ = run(api, store)
    assert {str(reason) for reason in result.reasons.values()} == {"batch failed: too many"}


def test_what_is_no_answer_is_none_in_a_batch_either(api, store):
    api.answer = lambda prompt: chat("half", delete_job="length").body if prompt == "p3" else chat(prompt).body
    result, texts = run(api, store)
    assert texts[3] is None
    assert [str(reason) for reason in result.reasons.values()] == ["cut off: finish_reason length"]


@pytest.mark.parametrize("lost", range(5))
def test_no_reply_that_is_lost_makes_a_second_batch(api, store, lost):
    api.drop = {lost}
    _, texts = run(api, store)
    assert None not in texts
    assert len(api.batches) == 1


def test_submitted_twice_is_one_batch(api, store):
    api.polls = 10**9
    provider = BatchProvider(api.environment(), store, poll_s=0.01)
    for outcomes in provider.answer(iter(question_rows())):
        assert outcomes == []
        if api.batches:
            break
    assert len(open_jobs(store)) == 1
    api.polls = 1
    _, texts = run(api, store)
    assert None not in texts
    assert len(api.batches) == 1


def question_rows():
    from lecdsr.ask.run import _unique_questions

    table = question_table(PROMPTS)
    return list(_unique_questions(table, set(table["key"].to_pylist())))


@pytest.mark.slow
@pytest.mark.parametrize("step", ["POST /v1/files", "POST /v1/batches", "GET /v1/batches/batch_0"])
def test_killed_after_any_step_it_goes_on_and_pays_once(api, tmp_path, step):
    api.polls = 10**9
    write_table(tmp_path / "questions.parquet", question_table(PROMPTS), QUESTIONS)
    command = [program("python"), "-c", ASK, str(tmp_path / "questions.parquet")]
    process = subprocess.Popen(command, cwd=ROOT, env={**os.environ, **api.environment()})
    wait_for(lambda: step in api.log)
    process.send_signal(KILL)
    process.wait()
    api.polls = 1
    with Store(tmp_path / "store") as store:
        _, texts = run(api, store)
    assert texts == [f"about {prompt}" for prompt in PROMPTS]
    assert len(api.batches) == 1
    assert sorted(api.asked) == PROMPTS


def at_once(api, folder, first, second):
    """Run the second function in a separate thread as soon as the first has started to create its batch."""
    begun, errors = threading.Event(), []

    def slow(call):
        if call == "POST /batches":
            begun.set()
            time.sleep(1)  # the server has the request, and shows no batch yet

    def other():
        begun.wait(30)
        try:
            second()
        except BaseException as error:
            errors.append(error)

    api.before = slow
    thread = threading.Thread(target=other)
    thread.start()
    first()
    thread.join(60)
    assert not thread.is_alive()
    assert errors == []


def test_a_job_that_one_run_is_submitting_is_left_alone_by_another(api, tmp_path):
    texts = []

    def one():
        with Store(tmp_path / "store") as store:
            texts.append(run(api, store)[1])

    at_once(api, tmp_path, one, one)
    assert len(api.batches) == 1
    assert texts == [[f"about {prompt}" for prompt in PROMPTS]] * 2


def test_a_run_submits_its_own_job_and_collects_one_that_another_is_submitting(api, tmp_path):
    def ask_for(prompts):
        with Store(tmp_path / "store") as store:
            assert run(api, store, prompts)[1] == [f"about {prompt}" for prompt in prompts]

    at_once(api, tmp_path, lambda: ask_for(PROMPTS[:6]), lambda: ask_for(PROMPTS[6:]))
    assert len(api.batches) == 2
    assert sorted(api.asked) == PROMPTS


@pytest.mark.slow
def test_two_runs_at_once_submit_once(api, tmp_path):
    write_table(tmp_path / "questions.parquet", question_table(PROMPTS), QUESTIONS)
    command = [program("python"), "-c", ASK, str(tmp_path / "questions.parquet")]
    runs = [subprocess.Popen(command, cwd=ROOT, env={**os.environ, **api.environment()}) for _ in range(2)]
    wait_for(lambda: bool(api.batches))
    time.sleep(1)
    assert len(api.batches) == 1
    for one in runs:
        one.send_signal(KILL)
        one.wait()


def test_other_transports_leave_alone_what_a_batch_holds(api, store, monkeypatch):
    test_submitted = BatchProvider(api.environment(), store, poll_s=0.01)
    api.polls = 10**9
    next(iter(test_submitted.answer(iter(question_rows()))))
    with Loopback() as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        with refused("open-jobs", "LECDSR_LLM_TRANSPORT") as caught:
            answer_questions(question_table(PROMPTS), Settings(provider="openai", max_failed_share=0.0))
        assert "batch" in caught.value.what
        assert server.requests == []


def test_a_batch_at_another_server_is_named(api, store):
    provider = BatchProvider(api.environment(), store, poll_s=0.01)
    api.polls = 10**9
    next(iter(provider.answer(iter(question_rows()))))
    with BatchServer() as other, refused("open-jobs", "OPENAI_BASE_URL"):
        run(other, store)


def test_the_cap_on_cost_counts_batches_at_their_price(api, store, tmp_path):
    prices = tmp_path / "prices.csv"
    prices.write_text("model,input,output,batch_share,as_of\ntest-model,1000,1000,0.5,2026-01\n", encoding="utf-8")
    caps = {"LECDSR_LLM_PRICES": str(prices), "LECDSR_LLM_MAX_COST": "0.6"}
    with refused("limit-reached", "LECDSR_LLM_MAX_COST", error=BudgetReached) as capped:
        run(api, store, **caps)
    assert "0.6 USD" in capped.value.what
    answered = len(api.asked)
    assert 0 < answered < 10
    provider = BatchProvider(api.environment(LECDSR_LLM_PRICES=str(prices)), store, poll_s=0.01)
    ask(question_table(PROMPTS), provider, store)
    assert provider.spent == pytest.approx((10 - answered) * 0.005)
    assert sorted(api.asked) == PROMPTS
