"""A thousand questions to a server with all faults at once, compared with the server's own log."""

import random
from collections import Counter

import pytest

from lecdsr.ask.budget import EXIT_CODE, BudgetReached
from lecdsr.ask.openai_provider import RetryPolicy
from lecdsr.ask.run import answer_table, ask
from lecdsr.ask.store import Store
from tests.ask.loopback import Reply, chat, error, question_table
from tests.errors import refused

QUESTIONS = 1000
#: Shares of all replies, drawn by the number of the request.
FAULTS = {"429": 0.20, "5xx": 0.05, "cut": 0.02, "hang": 0.01, "malformed": 0.01, "truncated": 0.005, "empty": 0.005}


def faulty_reply(fault, prompt):
    match fault:
        case "429":
            return error(429, "rate_limit_exceeded", "slow down", Retry_After="0.002")
        case "5xx":
            return error(503, message="overloaded")
        case "cut":
            return Reply(body=chat(prompt).body, cut=40)
        case "hang":
            return Reply(wait=4.0)
        case "malformed":
            return Reply(body='{"choices": [{"mess')
        case "truncated":
            return chat("half an ans", delete_job="length")
        case "empty":
            return chat("")
    return chat(f"about {prompt}")


@pytest.fixture
def store(tmp_path):
    with Store(tmp_path / "store") as opened:
        yield opened


@pytest.mark.slow
def test_every_question_is_answered_or_listed_and_none_is_asked_after_its_answer(server, store):
    draw = random.Random(5).choices([*FAULTS, "none"], [*FAULTS.values(), 1 - sum(FAULTS.values())], k=4 * QUESTIONS)
    dealt = {}

    def behave(prompt, number):
        dealt[number] = (prompt, draw[number])
        return faulty_reply(draw[number], prompt)

    server.behave = behave
    questions = question_table([f"p{number}" for number in range(QUESTIONS)])
    retry_policy = RetryPolicy(attempts=12, first_s=0.01, longest_s=0.05)
    result = ask(questions, server.provider(retry_policy, LECDSR_LLM_CONCURRENCY="32", LECDSR_LLM_TIMEOUT_S="2"), store)

    prompts = dict(zip(questions["key"].to_pylist(), (f"p{n}" for n in range(QUESTIONS)), strict=True))
    answered = {prompts[key] for key in result.texts}
    listed = {prompts[key]: failure.reason for key, failure in result.reasons.items()}
    assert answered | listed.keys() == set(prompts.values())
    assert not answered & listed.keys()
    assert all(result.texts[key] == f"about {prompt}" for key, prompt in prompts.items() if prompt in answered)
    # The server's log: the answer of a question is the last thing it was asked, and came once.
    by_prompt = {}
    for number in sorted(dealt):
        prompt, fault = dealt[number]
        by_prompt.setdefault(prompt, []).append(fault)
    assert set(Counter(faults.count("none") for faults in by_prompt.values())) <= {0, 1}
    assert all((prompt in answered) == (faults[-1] == "none") for prompt, faults in by_prompt.items())
    reasons = {"malformed": "reply is not JSON", "truncated": "cut off", "empty": "empty", "hang": "timeout"}
    assert listed == {prompt: reasons[faults[-1]] for prompt, faults in by_prompt.items() if prompt in listed}
    assert all(faults.count("hang") <= 2 for faults in by_prompt.values())
    # The store agrees, and a second run asks those that failed alone.
    assert {prompts[key] for key, _ in store.answers(list(prompts))} == answered
    assert {prompts[key] for key, _ in store.failures()} == listed.keys()
    assert answer_table(questions, result)["text"].null_count == len(listed)
    server.behave, before = (lambda prompt, number: chat()), len(server.requests)
    ask(questions, server.provider(retry_policy), store)
    assert sorted(server.prompts[before:]) == sorted(listed)


def test_an_empty_account_is_met_once(server, store):
    server.behave = lambda prompt, number: error(429, "insufficient_quota", "You exceeded your current quota")
    with refused("no-credit") as stopped:
        ask(question_table([f"p{k}" for k in range(100)]), server.provider(LECDSR_LLM_CONCURRENCY="64"), store)
    assert len(server.requests) == 1
    assert stopped.value.exit_code == 1


@pytest.fixture
def prices(tmp_path):
    """Price of a dollar per thousand tokens: an answer of the local server costs one cent."""
    path = tmp_path / "prices.csv"
    path.write_text("model,input,output,batch_share,as_of\ntest-model,1000,1000,0.5,2026-01\n", encoding="utf-8")
    return str(path)


@pytest.mark.parametrize("concurrency", ["1", "16"])
def test_no_request_is_sent_that_might_break_the_cap_on_cost(server, store, prices, concurrency):
    table = question_table([f"p{k}" for k in range(300)])
    # The worst case of one request: its bytes as tokens, a frame, and max_tokens; then three cents more.
    provider = server.provider(LECDSR_LLM_PRICES=prices, LECDSR_LLM_MAX_COST="0.60", LECDSR_LLM_CONCURRENCY=concurrency)
    with refused("limit-reached", "LECDSR_LLM_MAX_COST", error=BudgetReached) as stopped:
        ask(table, provider, store)
    assert "0.6 USD" in stopped.value.what
    assert stopped.value.exit_code == EXIT_CODE == 3
    answered = len(list(store.answers(table["key"].to_pylist())))
    assert len(server.requests) == answered  # nothing was sent that was not stored
    assert 0.10 <= answered * 0.01 <= 0.60
    assert provider.spent == pytest.approx(answered * 0.01)
    # With a larger budget the rest is asked, and nothing twice.
    ask(table, server.provider(), store)
    assert len(server.requests) == 300


def test_timeouts_and_broken_replies_count_as_spent(server, store, prices):
    server.behave = lambda prompt, number: Reply(body=chat().body, cut=30) if number < 3 else chat()
    provider = server.provider(LECDSR_LLM_PRICES=prices, LECDSR_LLM_CONCURRENCY="1")
    ask(question_table("a"), provider, store)
    assert provider.spent > 0.01 + 3 * 0.1


def test_a_cap_on_cost_without_a_price_is_refused_before_anything_is_sent(server, store):
    with refused("no-price", "LECDSR_LLM_PRICES") as unknown:
        ask(question_table("abc"), server.provider(LECDSR_LLM_MAX_COST="1"), store)
    assert "'test-model'" in unknown.value.what
    assert server.requests == []
