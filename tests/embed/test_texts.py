import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import stages.embed
from lecdsr.config.resolve import write_resolved
from lecdsr.core.files import read_json, read_table, write_table
from lecdsr.core.paths import Artefacts
from lecdsr.core.schemas import ANSWERS, PROFILES, vectors
from lecdsr.embed.joined import JoinedEncoder
from lecdsr.embed.settings import Settings
from lecdsr.embed.texts import mean_cosine, profile_facts, profile_texts, share_of_duplicates
from tests.train.toy import write_pair

DOMAINS = ("Tea_and_Coffee", "Cups")
#: User, as_of and text; not in order, with a question that failed and an empty answer.
TOLD = [
    (4, 20, "Next in Tea and Coffee: green tea, sencha\nNext in Cups: tea bowl"),
    (1, 30, None),
    (1, 20, "Likes tea."),
    (1, 9, "Next in Tea and Coffee: sencha\nNext in Cups: tea bowl, green tea"),
    (7, 1, ""),
    (9, 1, "Likes tea."),
]
WHOLE = [TOLD[3][2], "Likes tea.", TOLD[0][2], "Likes tea."]


def answers(told=TOLD) -> pa.Table:
    rows = [{"kind": "user", "id": user, "as_of": as_of, "key": "k", "text": text} for user, as_of, text in told]
    rows.append({"kind": "item", "id": 3, "as_of": None, "key": "k", "text": "A bowl"})
    return pa.Table.from_pylist([{**row, "reason": None} for row in rows], schema=ANSWERS)


def settings(max_characters: int = 200) -> Settings:
    fixed = {"provider": "sentence-transformers", "encoder": "e", "precision": "float32", "width": None}
    return Settings(**fixed, item_text=["title"], max_characters=max_characters, batch_size=8)


def test_profiles_are_sorted_numbers_of_distinct_texts():
    found = profile_texts(answers(), DOMAINS, settings())
    assert found.table.schema.equals(PROFILES)
    assert found.table["user"].to_pylist() == [1, 1, 4, 9]
    assert found.table["as_of"].to_pylist() == [9, 20, 20, 1]
    named = {name: found.table[name].to_pylist() for name in ("whole", "next_x", "next_y")}
    assert [found.texts[row] for row in named["whole"]] == WHOLE
    assert [[found.texts[row] for row in rows] for rows in named["next_x"]] == [
        ["sencha"],
        [],
        ["green tea", "sencha"],
        [],
    ]
    assert [[found.texts[row] for row in rows] for rows in named["next_y"]] == [
        ["tea bowl", "green tea"],
        [],
        ["tea bowl"],
        [],
    ]
    assert sorted(found.texts) == sorted({*WHOLE, "sencha", "green tea", "tea bowl"})


def test_texts_are_cut_and_then_distinct():
    found = profile_texts(answers([(0, 1, "Likes tea and cups."), (1, 1, "Likes tea.")]), DOMAINS, settings(9))
    assert found.texts == ["Likes tea"]
    assert found.table["whole"].to_pylist() == [0, 0]


def test_no_answers_no_profiles():
    found = profile_texts(answers([]), DOMAINS, settings())
    assert (len(found.table), found.texts) == (0, [])
    assert found.table.schema.equals(PROFILES)
    facts = profile_facts(found, np.zeros((0, 3), np.float32))
    assert facts == {"profiles": 0, "phrases_per_profile": 0.0, "profile_cosine": 0.0, "duplicate_profiles": 0.0}


def test_facts_of_profiles():
    found = profile_texts(answers(), DOMAINS, settings())
    rows = np.zeros((len(found.texts), 3), np.float32)
    rows[found.texts.index("Likes tea."), 0] = rows[found.texts.index(WHOLE[0]), 1] = rows[
        found.texts.index(WHOLE[2]), 2
    ] = 1
    facts = profile_facts(found, rows)
    # Six phrases of four profiles; of six pairs one is alike, and two profiles have one text.
    assert facts == {"profiles": 4, "phrases_per_profile": 1.5, "profile_cosine": 0.166667, "duplicate_profiles": 0.5}


def test_the_stage_writes_profiles_and_their_facts(tmp_path, monkeypatch):
    """With an encoder that gives each text the vector of its length, and 40 users."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LECDSR_VECTOR_STORE", str(tmp_path / "store"))
    write_pair(tmp_path)
    (tmp_path / "pairs").mkdir()
    (tmp_path / "pairs" / "toy.yaml").write_text("domains: [Tea_and_Coffee, Cups]\nrelease: 2018\nsource: here\n")
    (tmp_path / "params.yaml").write_text("active: [toy]\nmodels: [content]\n")
    write_resolved("toy")
    artefacts = Artefacts("toy")
    write_table(artefacts.answers, answers(), ANSWERS)
    monkeypatch.setattr(stages.embed, "encoder_of", lambda *_: JoinedEncoder([Lengths()]))
    stages.embed.main("toy")
    expected = profile_texts(answers(), DOMAINS, settings())
    assert read_table(artefacts.profiles, PROFILES).equals(expected.table)
    phrases = read_table(artefacts.phrase_vectors, vectors(2))
    assert phrases["vector"].to_pylist() == [[len(text), 1] for text in expected.texts]
    facts = read_json(artefacts.stage_metrics("embed"))
    assert (facts["users"], facts["users_without_profile"], facts["profiles"]) == (40, 37, 4)
    assert facts["phrases_per_profile"] == 1.5


class Lengths:
    spent, encoded = 0, 0

    def encode(self, texts, store):
        return np.array([[len(text), 1] for text in texts], np.float32).reshape(-1, 2)

    def made_of(self, texts):
        return "lengths"


@given(st.integers(2, 12), st.integers(0, 1000))
def test_mean_cosine_is_the_mean_over_pairs(count, seed):
    rows = np.random.default_rng(seed).standard_normal((count, 4))
    rows = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    pairs = [float(rows[a] @ rows[b]) for a in range(count) for b in range(a)]
    assert mean_cosine(rows) == pytest.approx(np.mean(pairs), abs=1e-5)


def test_of_nothing_and_of_one():
    assert mean_cosine(np.zeros((0, 3), np.float32)) == mean_cosine(np.ones((1, 3), np.float32)) == 0.0
    assert share_of_duplicates([]) == 0.0
    assert share_of_duplicates(["a", "b", "a", "c"]) == 0.5
