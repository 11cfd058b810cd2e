import pytest

from lecdsr.ask.access import read_access
from lecdsr.ask.metrics import answer_metrics
from lecdsr.ask.openai_provider import RetryPolicy
from lecdsr.ask.providers import answer_questions
from lecdsr.ask.run import answer_table, ask, check_failures
from lecdsr.ask.settings import Settings
from lecdsr.ask.store import Store
from lecdsr.config.load import load_block
from tests.ask.loopback import KEY, Reply, chat, error, question_table
from tests.errors import refused


@pytest.fixture
def store(tmp_path):
    with Store(tmp_path / "store") as opened:
        yield opened


def scripted(*replies):
    """Return the n-th reply to the n-th request, and the last reply to all later ones."""
    return lambda prompt, number: replies[min(number, len(replies) - 1)]


def test_answers_come_back_in_the_order_of_the_questions(server, store):
    questions = question_table([f"p{k}" for k in range(40)])
    result = ask(questions, server.provider(), store)
    answers = answer_table(questions, result)
    assert answers["text"].to_pylist() == [f"about p{k}" for k in range(40)]
    assert answers["id"].to_pylist() == list(range(40))
    assert answers["reason"].null_count == 40
    assert answer_metrics(answers, questions, result, ("Pantry", "Cookware")) == {
        "questions": 40,
        "answered": 40,
        "failed": 0,
        "provider": "openai",
        "model": "test-model",
        "prompt_tokens": 280,
        "completion_tokens": 120,
        "profiles": 40,
        "users_with_profile": 40,
        "profiles_with_phrases": {"x": 0.0, "y": 0.0},
        "phrases_per_profile": {"x": 0.0, "y": 0.0},
        "repeats_of_prompt": 0.0,
    }
    assert set(server.requests[0]) == {"model", "messages", "temperature", "max_tokens"}
    assert set(server.keys) == {f"Bearer {KEY}"}


def test_begins_alone_and_never_exceeds_the_concurrency(server, store):
    server.behave = lambda prompt, number: Reply(wait=0.02, body=chat().body)
    ask(question_table([f"p{k}" for k in range(30)]), server.provider(LECDSR_LLM_CONCURRENCY="3"), store)
    assert 2 <= server.most_at_once <= 3
    assert server.times[1] - server.times[0] >= 0.02


def test_429_with_retry_after_pauses_everybody(server, store):
    server.behave = scripted(chat(), chat(), error(429, "rate_limit_exceeded", Retry_After="0.4"), chat())
    result = ask(question_table("abcdef"), server.provider(), store)
    assert len(result.texts) == 6
    assert len(server.requests) == 7
    # Only what was under way together with the refused request comes in before the pause is over.
    since = [at - server.times[2] for at in server.times]
    assert not [late for late in since if 0.1 < late < 0.38]
    assert max(since) >= 0.38


def test_429_halves_and_does_not_fail(server, store):
    server.behave = lambda prompt, number: error(429) if 8 < number < 14 else Reply(wait=0.01, body=chat().body)
    assert len(ask(question_table([f"p{k}" for k in range(30)]), server.provider(), store).texts) == 30


@pytest.mark.parametrize("status", [408, 409, 500, 503])
def test_passing_errors_are_tried_again(server, store, status):
    server.behave = scripted(error(status), error(status), chat("at last"))
    assert list(ask(question_table("a"), server.provider(), store).texts.values()) == ["at last"]
    assert len(server.requests) == 3


def test_server_error_without_end_fails_the_item(server, store):
    server.behave = lambda prompt, number: error(500, message="boom") if prompt == "bad" else chat()
    result = ask(question_table(["bad", "good"]), server.provider(), store)
    assert [str(failure) for failure in result.reasons.values()] == ["server error (500): boom"]
    assert server.prompts.count("bad") == 8


def test_a_timeout_is_repeated_once(server, store):
    server.behave = lambda prompt, number: Reply(wait=0.5, body=chat().body) if prompt == "slow" else chat()
    result = ask(question_table(["slow", "quick"]), server.provider(LECDSR_LLM_TIMEOUT_S="0.1"), store)
    assert [failure.reason for failure in result.reasons.values()] == ["timeout"]
    assert server.prompts.count("slow") == 2


@pytest.mark.parametrize(
    ("reply", "code", "word"),
    [
        (error(401, "invalid_api_key", f"Incorrect API key provided: {KEY}"), "wrong-key", "[key]"),
        (error(403, message="region"), "no-permission", "region"),
        (error(404, "model_not_found"), "unknown-model", "'test-model'"),
        (error(400, "model_not_found"), "unknown-model", "'test-model'"),
        (error(429, "insufficient_quota"), "no-credit", ""),
        (error(402), "no-credit", ""),
        (error(429, Retry_After="7200"), "wait", "2.0 hours"),
    ],
)
def test_what_every_request_would_meet_stops_the_run_at_once(server, store, reply, code, word, capsys):
    server.behave = scripted(reply)
    with refused(code) as stopped:
        ask(question_table([f"p{k}" for k in range(20)]), server.provider(), store)
    assert word in stopped.value.what
    assert len(server.requests) == 1
    assert KEY not in str(stopped.value) + repr(stopped.value) + "".join(capsys.readouterr())


def test_stopping_keeps_what_was_answered(server, store):
    server.behave = scripted(chat(), chat(), chat(), error(429, "insufficient_quota"))
    questions = question_table([f"p{k}" for k in range(20)])
    with refused("no-credit"):
        ask(questions, server.provider(LECDSR_LLM_CONCURRENCY="1"), store)
    assert len(list(store.answers(questions["key"].to_pylist()))) == 3
    assert len(server.requests) == 4


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (error(400, message="too long"), "request refused (400): too long"),
        (error(422, message="odd"), "request refused (422): odd"),
        (error(400, "content_filter", "violence"), "content filter: violence"),
        (error(403, "content_filter", "violence"), "content filter: violence"),
        (chat(delete_job="content_filter"), "content filter"),
        (chat("half a", delete_job="length"), "cut off: finish_reason length"),
        (chat(delete_job=None), "cut off: finish_reason None"),
        (chat(""), "empty"),
        (chat(None), "empty"),
        (chat("<think>hm</think>  "), "empty"),
        (chat(None, refusal="I cannot"), "refused: I cannot"),
        (Reply(body="<html>\x1b[31mhello"), "reply is not JSON: <html> [31mhello"),
        (Reply(body={"error": {"message": "busy"}}), "reply has no choice: busy"),
        (Reply(body="[]"), "reply has no choice"),
        (Reply(body={"choices": [{"message": "x"}]}), "reply has no choice"),
    ],
)
def test_what_is_not_an_answer_fails_the_item_after_one_request(server, store, reply, reason):
    server.behave = lambda prompt, number: reply if prompt == "bad" else chat()
    questions = question_table(["bad", "good"])
    result = ask(questions, server.provider(), store)
    answers = answer_table(questions, result).to_pylist()
    assert [(row["text"], row["reason"]) for row in answers] == [(None, reason), ("a text", None)]
    assert server.prompts.count("bad") == 1
    assert [str(failure) for _, failure in store.failures()] == [reason]


def test_failed_questions_are_asked_again_and_forgotten_when_answered(server, store):
    server.behave = scripted(error(400), chat())
    questions = question_table("a")
    assert ask(questions, server.provider(), store).texts == {}
    assert list(ask(questions, server.provider(), store).texts.values()) == ["a text"]
    assert store.failures() == []


def test_failure_after_failure_stops_the_run(server, store):
    server.behave = scripted(error(400, message="max_tokens is not supported"))
    retry_policy = RetryPolicy(first_s=0.01, failures_in_a_row=5)
    with refused("failures-in-a-row", "prompts.model") as stopped:
        ask(
            question_table([f"p{k}" for k in range(50)]),
            server.provider(retry_policy, LECDSR_LLM_CONCURRENCY="1"),
            store,
        )
    assert all(word in stopped.value.what for word in ("5 requests", "max_tokens is not supported"))
    assert len(server.requests) == 5


def test_too_many_failures_are_refused_and_explained(server, store):
    server.behave = lambda prompt, number: error(400, message="no") if prompt in "ab" else chat()
    questions = question_table("abcdef")
    result = ask(questions, server.provider(), store)
    answers = answer_table(questions, result)
    check_failures(answers, result, 0.4)
    with refused("failed-questions", "ask.max_failed_share") as caught:
        check_failures(answers, result, 0.3)
    assert all(word in caught.value.what for word in ("2 of 6", "(400) (2)"))


def test_unreachable_server_stops_the_run(store, server):
    provider = server.provider(RetryPolicy(attempts=2, first_s=0.01), OPENAI_BASE_URL="http://127.0.0.1:9/v1")
    with refused("unreachable", "OPENAI_BASE_URL") as stopped:
        ask(question_table("abc"), provider, store)
    assert "127.0.0.1:9" in stopped.value.what


@pytest.mark.parametrize("cap", [0, 1, 5])
def test_cap_on_requests_holds(server, store, cap):
    server.behave = lambda prompt, number: error(500) if number == 0 else chat()
    with refused("limit-reached", "LECDSR_LLM_MAX_REQUESTS") as stopped:
        ask(question_table([f"p{k}" for k in range(20)]), server.provider(LECDSR_LLM_MAX_REQUESTS=str(cap)), store)
    assert f"{cap} requests" in stopped.value.what
    assert len(server.requests) == cap


def test_cap_that_suffices_is_no_error(server, store):
    assert len(ask(question_table("abc"), server.provider(LECDSR_LLM_MAX_REQUESTS="3"), store).texts) == 3


def test_missing_key_names_the_way_out(store, server):
    with refused("no-key", "OPENAI_API_KEY") as missing:
        ask(question_table("a"), server.provider(OPENAI_API_KEY="", OPENAI_BASE_URL=""), store)
    assert "ask.provider: offline" in missing.value.do


def test_loopback_needs_no_key(server, store):
    assert ask(question_table("a"), server.provider(OPENAI_API_KEY=""), store).texts


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("LECDSR_LLM_CONCURRENCY", "0"),
        ("LECDSR_LLM_CONCURRENCY", "many"),
        ("LECDSR_LLM_MAX_REQUESTS", "-1"),
        ("LECDSR_LLM_TIMEOUT_S", "inf"),
        ("OPENAI_BASE_URL", "api.example.org/v1"),
        ("OPENAI_API_KEY", "sk-with-a-line\nbreak-0123"),
        ("OPENAI_API_KEY", "sk-wíth-an-accent-0123"),
    ],
)
def test_unreadable_environment_names_the_variable(name, value):
    with refused("wrong-value", name) as wrong:
        read_access({"OPENAI_API_KEY": KEY, name: value})
    assert name != "OPENAI_API_KEY" or value not in str(wrong.value)


def test_the_key_reaches_no_store_file_output_or_repr(server, store, tmp_path, capsys):
    replies = [chat(f"you sent {KEY}"), error(400, message=f"bad key {KEY}"), Reply(body=f"<html>{KEY}")]
    server.behave = lambda prompt, number: replies["abc".index(prompt)]
    questions = question_table("abc")
    result = ask(questions, server.provider(), store)
    assert list(result.texts.values()) == ["you sent [key]"]
    assert KEY not in repr(result) + str(answer_table(questions, result).to_pylist())
    assert KEY not in repr(read_access(server.environment()))
    store.close()
    assert all(KEY.encode() not in path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert KEY not in "".join(capsys.readouterr())


def test_half_a_surrogate_pair_does_not_break_the_table(server, store):
    server.behave = scripted(chat("odd \ud83d end"))
    questions = question_table("a")
    assert answer_table(questions, ask(questions, server.provider(), store))["text"].to_pylist() == ["odd ? end"]


def test_the_model_of_the_offline_writer_is_not_sent_anywhere(server, monkeypatch):
    monkeypatch.setenv("OPENAI_BASE_URL", server.url)
    with refused("no-model", "prompts.model"):
        answer_questions(question_table("a", model="offline"), Settings(provider="openai", max_failed_share=0.0))
    assert server.requests == []


def test_a_defect_in_a_thread_reaches_the_caller(server, store, monkeypatch):
    monkeypatch.setattr("lecdsr.ask.openai_provider.read_reply", lambda raw: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        ask(question_table("abc"), server.provider(), store)


def test_settings_match_params():
    assert load_block("ask", Settings, "demo").provider == "offline"
    with pytest.raises(ValueError, match="max_failed_share"):
        Settings(provider="offline", max_failed_share=1.5)
