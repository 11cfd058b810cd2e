"""Real processes that are killed, interrupted or orphaned; the server's log shows what was asked."""

import os
import random
import shlex
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from lecdsr.ask import shutdown
from lecdsr.ask.run import ask
from lecdsr.ask.store import Store
from lecdsr.core.files import write_table
from lecdsr.core.schemas import QUESTIONS
from tests.ask.loopback import KEY, Reply, chat, question_table
from tests.programs import KILL, program
from tests.waiting import wait_for

ROOT = Path(__file__).parents[2]
AT_ONCE = 4
#: Maximum number of requests that a kill can lose, in flight or not yet stored: see `lecdsr.ask.rate_limit`.
AT_RISK = 2 * AT_ONCE
ASK = """
import sys
from pathlib import Path
from lecdsr.ask.providers import answer_questions
from lecdsr.ask.settings import Settings
from lecdsr.core.files import read_table
from lecdsr.core.schemas import QUESTIONS
answer_questions(read_table(Path(sys.argv[1]), QUESTIONS), Settings(provider="openai", max_failed_share=0.0))
"""
PARENT = "import subprocess, sys, time; subprocess.Popen(sys.argv[1:]); time.sleep(60)"


@pytest.fixture
def questions(tmp_path):
    table = question_table([f"p{number}" for number in range(200)])
    write_table(tmp_path / "questions.parquet", table, QUESTIONS)
    return table


@pytest.fixture
def command(tmp_path, questions):
    return [sys.executable, "-c", ASK, str(tmp_path / "questions.parquet")]


def start(command, server, tmp_path):
    environment = {**os.environ, **server.environment(LECDSR_LLM_CONCURRENCY=str(AT_ONCE))}
    log = open(tmp_path / "log", "wb")  # noqa: SIM115 - the process outlives this function
    return subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log, preexec_fn=heed_interrupts)


def heed_interrupts():
    """Undo that a shell starts background jobs with interrupts ignored, which their children inherit."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def kept(tmp_path, questions):
    with Store(tmp_path / "store") as store:
        return [key for key, _ in store.answers(questions["key"].to_pylist())]


@pytest.mark.slow
def test_sigkill_loses_nothing_that_arrived_and_the_rest_is_asked(server, tmp_path, questions, command):
    server.behave = lambda prompt, number: Reply(wait=0.02, body=chat(f"about {prompt}").body)
    process = start(command, server, tmp_path)
    wait_for(lambda: len(server.requests) >= 30)
    process.send_signal(signal.SIGKILL)
    process.wait()
    before, survived = len(server.requests), kept(tmp_path, questions)
    assert before - AT_RISK <= len(survived) <= before < 200

    with Store(tmp_path / "store") as store:
        result = ask(questions, server.provider(), store)
    assert sorted(result.texts.values()) == sorted(f"about p{number}" for number in range(200))
    assert result.from_store == len(survived)
    again = server.prompts[before:]
    assert len(again) == len(set(again)) == 200 - len(survived)
    assert KEY.encode() not in (tmp_path / "log").read_bytes()


@pytest.mark.slow
def test_an_interrupt_keeps_what_is_under_way(server, tmp_path, questions, command):
    server.behave = lambda prompt, number: Reply(wait=0.2, body=chat().body)
    process = start(command, server, tmp_path)
    wait_for(lambda: len(server.requests) >= 12)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=60) != 0
    assert len(kept(tmp_path, questions)) == len(server.requests) < 30


@pytest.mark.slow
def test_a_second_interrupt_waits_for_nothing(server, tmp_path, command):
    server.behave = lambda prompt, number: chat() if number < 8 else Reply(wait=8.0, body=chat().body)
    process = start(command, server, tmp_path)
    wait_for(lambda: len(server.requests) >= 10)
    process.send_signal(signal.SIGINT)
    wait_for(lambda: b"once more" in (tmp_path / "log").read_bytes())
    process.send_signal(signal.SIGINT)
    started = time.monotonic()
    assert process.wait(timeout=60) != 0
    assert time.monotonic() - started < 5.0


@pytest.mark.slow
@pytest.mark.parametrize("shell", [None, "/bin/sh"], ids=["direct", "below the shell of DVC"])
def test_an_orphan_stops_asking_within_two_seconds(server, tmp_path, questions, command, shell, monkeypatch):
    server.behave = lambda prompt, number: Reply(wait=0.1, body=chat().body)
    if shell:
        monkeypatch.setenv("DVC_ROOT", str(tmp_path))
        command = [shell, "-c", f"{shlex.join(command)}; exit"]  # `exit` keeps any shell in between
    above = start([sys.executable, "-c", PARENT, *command], server, tmp_path)
    wait_for(lambda: len(server.requests) >= 8)
    above.send_signal(signal.SIGKILL)
    above.wait()
    killed_at = time.monotonic()
    time.sleep(2.5)
    assert max(server.times) - killed_at < 2.0
    assert len(kept(tmp_path, questions)) == len(server.requests) < 150
    assert KEY.encode() not in (tmp_path / "log").read_bytes()


def test_the_watch_stops_closes_and_leaves_with_143(monkeypatch):
    parents, steps, left = iter([10, 10, 10]), [], threading.Event()
    monkeypatch.setattr(shutdown, "POLL_S", 0.01)
    monkeypatch.setattr(shutdown, "GRACE_S", 0.01)
    monkeypatch.setattr(os, "getppid", lambda: next(parents, 1))

    def leave(code):
        steps.append(code)
        left.wait()  # as little happens in the thread after this as after os._exit

    monkeypatch.setattr(os, "_exit", leave)
    with shutdown.stop_with_parent(lambda reason: steps.append(reason.code), lambda: steps.append("closed")):
        wait_for(lambda: len(steps) == 3, 5.0)
    assert steps == [143, "closed", 143]


def test_the_watch_ends_with_its_block(monkeypatch):
    monkeypatch.setattr(shutdown, "POLL_S", 0.01)
    steps = []
    with shutdown.stop_with_parent(steps.append, lambda: steps.append("closed")):
        pass
    monkeypatch.setattr(os, "getppid", lambda: 1)
    time.sleep(0.05)
    assert steps == []


@pytest.mark.slow
def test_twenty_kills_in_a_row_lose_nothing_that_was_stored(server, tmp_path):
    table = question_table([f"p{number}" for number in range(1500)])
    write_table(tmp_path / "questions.parquet", table, QUESTIONS)
    command = [program("python"), "-c", ASK, str(tmp_path / "questions.parquet")]
    server.behave = lambda prompt, number: Reply(wait=0.03, body=chat(f"about {prompt}").body)
    draw, survived, at_kills = random.Random(3), set(), 0
    for _ in range(20):
        before = len(server.requests)
        process = start(command, server, tmp_path)
        # At a random moment after it has begun to ask; starting alone takes a second.
        wait_for(lambda before=before: len(server.requests) > before)
        time.sleep(draw.uniform(0, 0.3))
        process.send_signal(KILL)
        process.wait()
        at_kills += AT_RISK
        now = set(kept(tmp_path, table))
        assert survived <= now
        survived = now
    assert 0 < len(survived) < 1500
    assert start(command, server, tmp_path).wait() == 0
    assert len(kept(tmp_path, table)) == 1500
    asked_again = len(server.requests) - len(set(server.prompts))
    assert 0 <= asked_again <= at_kills


@pytest.mark.slow
def test_two_runs_at_once_pay_once(server, tmp_path, questions, command):
    server.behave = lambda prompt, number: Reply(wait=0.1, body=chat(f"about {prompt}").body)
    runs = [start(command, server, tmp_path) for _ in range(2)]
    assert [run.wait() for run in runs] == [0, 0]
    assert len(server.requests) == len(kept(tmp_path, questions)) == 200


@pytest.mark.slow
def test_a_run_takes_over_what_a_killed_one_had_claimed(server, tmp_path, questions, command):
    server.behave = lambda prompt, number: Reply(wait=0.05, body=chat(f"about {prompt}").body)
    first = start(command, server, tmp_path)
    wait_for(lambda: len(server.requests) >= 10)
    second = start(command, server, tmp_path)
    wait_for(lambda: len(server.requests) >= 40)
    first.send_signal(signal.SIGKILL)
    first.wait()
    assert second.wait() == 0
    assert len(kept(tmp_path, questions)) == 200
    assert len(server.requests) <= 200 + AT_RISK
