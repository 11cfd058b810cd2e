import sqlite3

from lecdsr.ask.offline import OfflineWriter
from lecdsr.ask.run import ask
from lecdsr.ask.store import Store, store_folder
from lecdsr.ask.types import Answer, Failure, Question, Usage
from tests.ask.loopback import KEY, Reply, chat, question_table
from tests.errors import refused


def test_only_missing_keys_are_asked(server, tmp_path):
    with Store(tmp_path) as store:
        ask(question_table("abc"), server.provider(), store)
    with Store(tmp_path) as store:
        result = ask(question_table("abcde"), server.provider(), store)
    assert sorted(server.prompts) == ["a", "b", "c", "d", "e"]
    assert result.from_store == 3
    assert result.usage == Usage(35, 15)
    assert result.usage_of_run == Usage(14, 6)


def test_switching_a_setting_there_and_back_asks_each_variant_once(server, tmp_path):
    with Store(tmp_path) as store:
        for temperature in (0.0, 0.7, 0.0, 0.7, 0.0):
            ask(question_table("abc", temperature=temperature), server.provider(), store)
        assert len(server.requests) == 6
        ask(question_table("abc", resample=1), server.provider(), store)
    assert len(server.requests) == 9


def test_one_key_is_asked_once_however_many_rows_have_it(server, tmp_path):
    with Store(tmp_path) as store:
        result = ask(question_table("aabba"), server.provider(), store)
    assert len(server.requests) == 2
    assert len(result.texts) == 2


def test_nothing_missing_needs_no_key_and_no_server(server, tmp_path):
    questions = question_table("abc")
    with Store(tmp_path) as store:
        ask(questions, server.provider(), store)
        result = ask(questions, server.provider(OPENAI_API_KEY="", OPENAI_BASE_URL=""), store)
    assert len(result.texts) == 3
    assert len(server.requests) == 3


def test_an_answer_is_in_the_file_before_the_next_is_taken(server, tmp_path):
    counts = []

    def behave(prompt, number):
        with sqlite3.connect(tmp_path / "answers.sqlite") as other:
            counts.append(other.execute("SELECT count(*) FROM answers").fetchone()[0])
        return Reply(wait=0.05, body=chat().body)

    server.behave = behave
    with Store(tmp_path) as store:
        ask(question_table("abcd"), server.provider(LECDSR_LLM_CONCURRENCY="1"), store)
    # The request under way was sent while the answer before it was being written.
    assert all(number - 1 <= seen <= number for number, seen in enumerate(counts))


def test_the_offline_writer_leaves_no_store(tmp_path):
    result = ask(question_table("abc"), OfflineWriter())
    assert len(result.texts) == 3
    assert list(tmp_path.iterdir()) == []


def test_what_a_row_holds(tmp_path):
    with Store(tmp_path) as store:
        store.put([(Question("user", "k", "{}", "[]"), Answer("t", '{"raw": 1}', "m", "stop", Usage(5, 6)))])
    with sqlite3.connect(tmp_path / "answers.sqlite") as other:
        *row, created = other.execute("SELECT * FROM answers").fetchone()
    assert row == ["k", "{}", '{"raw": 1}', 5, 6, "m", "stop"]
    assert created > 1.7e9


def test_more_keys_than_one_statement_takes(tmp_path):
    reply = '{"choices": [{"finish_reason": "stop", "message": {"content": "t"}}]}'
    keys = [f"k{number}" for number in range(1201)]
    with Store(tmp_path) as store:
        for key in keys[::10]:
            store.put([(Question("user", key, "{}", "[]"), Answer("t", reply))])
        assert sorted(key for key, _ in store.answers(keys)) == sorted(keys[::10])


def test_failures_are_listed_by_time(tmp_path):
    with Store(tmp_path) as store:
        for key in "ba":
            store.put([(Question("user", key, "{}", "[]"), Failure("refused", key))])
        assert store.failures() == [("b", Failure("refused", "b")), ("a", Failure("refused", "a"))]


def test_two_openings_share_one_file(tmp_path):
    reply = '{"choices": [{"finish_reason": "stop", "message": {"content": "t"}}]}'
    with Store(tmp_path) as one, Store(tmp_path) as other:
        one.put([(Question("user", "k", "{}", "[]"), Answer("t", reply))])
        assert [key for key, _ in other.answers(["k"])] == ["k"]


def test_a_file_that_is_no_store_is_named(tmp_path):
    (tmp_path / "answers.sqlite").write_text("not a database, but long enough to be taken for one" * 20)
    with refused("broken-store", tmp_path / "answers.sqlite") as wrong:
        Store(tmp_path)
    assert KEY not in str(wrong.value)


def test_a_store_of_another_version_is_refused(tmp_path):
    Store(tmp_path).close()
    with sqlite3.connect(tmp_path / "answers.sqlite") as other:
        other.execute("PRAGMA user_version = 9")
    with refused("other-version", tmp_path / "answers.sqlite") as caught:
        Store(tmp_path)
    assert "version 9" in caught.value.what


def test_where_the_store_lies(tmp_path, monkeypatch):
    assert store_folder({"LECDSR_LLM_STORE": "/elsewhere"}).as_posix() == "/elsewhere"
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    assert store_folder({}) == tmp_path / ".llm-store"
    assert store_folder({"LECDSR_LLM_STORE": ""}) == tmp_path / ".llm-store"
    assert store_folder({"LECDSR_LLM_STORE": "shared"}) == tmp_path / "shared"
