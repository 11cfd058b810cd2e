"""`lecdsr recommend`, `explain`, `similar` and `export` on the command line."""

import json
import os
import re
import sys

import pytest

from lecdsr.cli.main import run
from tests.models import zoo
from tests.recommend.built import write_pair

MODELS = {
    "popularity": "counts", "itemknn": "all neighbours", "content": "whitened", "hgn": "ids", "sasrec": "ids",
    "tandem": "default", "lecdsr": "masked",
}  # fmt: skip
SALT = "B000000005"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("repository")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        write_pair(folder, MODELS)
    return folder


@pytest.fixture
def lecdsr(folder, monkeypatch, capsys):
    """Run a command; return exit code, output and errors, without the line breaks of the terminal's width.

    ``command.error`` is the user mistake that ended the last one.
    """
    monkeypatch.chdir(folder)

    def command(name, *arguments):
        monkeypatch.setattr(sys, "argv", ["lecdsr", name, "--pair", "demo", *arguments])
        with pytest.raises(SystemExit) as ended:
            run()
        command.error = ended.value.__context__
        out, err = capsys.readouterr()
        assert "Traceback" not in out + err
        return ended.value.code or 0, out, " ".join(err.split())

    return command


def strict(text):
    def refuse(name):
        raise AssertionError(f"{name} is no JSON")

    return json.loads(text, parse_constant=refuse)


def test_recommend_to_a_user(lecdsr):
    code, out, err = lecdsr("recommend", "--user", "ANNA", "--model", "popularity", "-k", "2")
    assert (code, err) == (0, "")
    assert "Pantry: recommended by popularity" in out
    assert "Cookware: recommended by popularity" in out
    assert "likes [red]tea[/red]" in out
    # ANNA owns 0–3 and 6–9; of X remain 4 and 5, of Y 10.
    shown = [line.split("│")[2].strip() for line in out.splitlines() if line.startswith(("│ 1 ", "│ 2 "))]
    assert shown == [SALT, "B000000004", "B000000010"]
    assert "[bold]Salt[/bold] <script> \\ " in out  # unchanged from the data, with one backslash


def test_owned_items_when_asked_for(lecdsr):
    arguments = ("--user", "ANNA", "--model", "popularity", "--domain", "x", "--json")
    without = strict(lecdsr("recommend", *arguments)[1])["recommendations"]
    with_owned = strict(lecdsr("recommend", *arguments, "--include-owned")[1])["recommendations"]
    assert set(without) == {"x"}
    assert [line["asin"][-1] for line in without["x"]] == ["5", "4"]
    assert [line["asin"][-1] for line in with_owned["x"]] == ["5", "4", "3", "2", "1", "0"]


def test_anonymous_user_as_json(lecdsr):
    history = ("--history", "B000000000,B000000006@1970-01-03", "--history", "caste iron pann")
    code, out, err = lecdsr("recommend", *history, "--day", "1970-01-05", "--json")
    found = strict(out)
    assert (code, err) == (0, "")
    assert found["model"] == "tandem"  # hgn is better, but cannot recommend to an anonymous user
    assert found["user"] is None
    assert [(line["asin"], line["day"]) for line in found["history"]] == [
        ("B000000006", "1970-01-03"),
        ("B000000000", "1970-01-05"),
        ("B000000007", "1970-01-05"),
    ]
    note, without_profile = found["notes"]
    assert "profile" in without_profile
    assert all(word in note for word in ("'caste iron pann'", "B000000007 (Cast Iron Pan)"))
    assert len(found["recommendations"]["x"]) == 5
    assert {line["title"] for line in found["recommendations"]["x"]} >= {None, "[bold]Salt[/bold] <script> \\"}


def test_notes_say_how_a_history_was_understood(lecdsr):
    code, out, err = lecdsr("recommend", "--history", "caste iron pann", "--model", "lecdsr")
    assert code == 0
    assert "History of an anonymous user" in out
    assert err.count("warning: ") == 2  # the title and the missing profile
    assert "'caste iron pann'" in err
    assert "profile" in err


@pytest.mark.parametrize("day", ["1960-01-01", "2200-01-01"])
def test_days_outside_the_training(lecdsr, day):
    assert lecdsr("recommend", "--history", SALT, "--day", day)[0] == 0


def test_examples_without_a_user(lecdsr):
    assert "lecdsr recommend --pair demo --user ANNA" in lecdsr("recommend")[1]
    assert "lecdsr recommend --pair demo --model hgn --user ANNA" in lecdsr("recommend", "--model", "hgn")[1]
    assert strict(lecdsr("recommend", "--json")[1])["examples"] == ["ANNA", "BERT", "CARL", "DORA"]


def test_explain(lecdsr):
    code, out, err = lecdsr("explain", "--user", "ANNA", "--item", "Whisk", "--model", "tandem", "--show", "3")
    assert (code, err) == (0, "")
    assert re.search(r"rank +1 of 1 ", out)
    assert "id " in out
    assert "text " in out
    assert "Contributions: 3 of 8 items of the history" in out


def test_explain_as_json(lecdsr):
    found = strict(lecdsr("explain", "--user", "ANNA", "--item", SALT, "--model", "tandem", "--json")[1])
    assert found["item"]["title"] == "[bold]Salt[/bold] <script> \\"
    assert sum(found["parts"].values()) == pytest.approx(found["score"], abs=1e-4)
    contributions = [line["contribution"] for line in found["history"]]
    assert contributions[:3] == [None] * 3  # older than what the model reads
    assert None not in contributions[-zoo.LENGTH :]
    whole = strict(lecdsr("explain", "--history", "Whisk", "--item", SALT, "--model", "popularity", "--json")[1])
    assert whole["parts"] is None
    assert "counts interactions" in whole["not_split"]
    assert whole["history"][0]["similarity"] is None


def test_explain_an_owned_item(lecdsr):
    assert "already owned" in lecdsr("explain", "--user", "ANNA", "--item", "B000000000")[1]


def test_similar(lecdsr):
    found = strict(lecdsr("similar", SALT, "--model", "sasrec", "-k", "3", "--json")[1])
    assert {key: len(lines) for key, lines in found["similar"].items()} == {"x": 3, "y": 3}
    out = lecdsr("similar", SALT, "--domain", "y", "--model", "sasrec")[1]
    assert "Cookware: most similar to B000000005 [bold]Salt[/bold] <script> \\, by sasrec" in " ".join(out.split())
    assert "Pantry: most" not in out


def test_export(lecdsr, folder):
    assert lecdsr("export", "--model", "sasrec", "--out", "vectors")[0] == 0
    assert strict((folder / "vectors" / "facts.json").read_text())["model"] == "sasrec"
    assert not (folder / "vectors" / "query.onnx").exists()


@pytest.mark.slow
def test_export_with_a_graph(lecdsr, folder):
    code, out, err = lecdsr("export", "--model", "content", "--onnx", "--out", "graph")
    assert (code, err) == (0, "")
    assert "query.onnx" in out
    assert strict((folder / "graph" / "facts.json").read_text())["onnx"]["files"] == ["query.onnx"]
    assert (folder / "graph" / "query.onnx").stat().st_size > 1000


@pytest.mark.parametrize(
    ("arguments", "code", "where", "words"),
    [
        (("recommend", "--user", "ANNE"), "unknown-user", "--user", ["'ANNE'", "'ANNA'"]),
        (("recommend", "--user", "ANNA", "--history", SALT), "both-given", "--user, --history", []),
        (("recommend", "--user", "ANNA", "--day", "1970-01-01"), "needless-day", "--day", []),
        (("recommend", "--history", ""), "empty-history", "--history", []),
        (("recommend", "--history", "B00000000X"), "unknown-item", None, ["'B00000000X'", "B000000000 "]),
        (("recommend", "--history", "zzzz qqqq"), "no-match", None, ["'zzzz qqqq'"]),
        (("recommend", "--history", f"{SALT}@1970-02-30"), "wrong-day", "--day or --history", ["'1970-02-30'"]),
        (
            ("recommend", "--history", SALT, "--model", "hgn"), "no-anonymous", "--model",
            ["content, itemknn, lecdsr, popularity"],
        ),
        (
            ("recommend", "--history", SALT, "--model", "abxi"), "not-trained", "data/demo/models/abxi",
            ["'abxi'", "'demo'"],
        ),
        (
            ("recommend", "--user", "ANNA", "--model", "sasrek"), "unknown-model", "params.yaml: models",
            ["'sasrek'", "'sasrec'"],
        ),
        (("explain", "--user", "ANNA", "--item", "B00000000X"), "unknown-item", None, ["'B00000000X'"]),
        (("explain", "--item", SALT), "empty-history", "--history", []),
        (("similar", "B00000000X"), "unknown-item", None, ["'B00000000X'"]),
        (("similar", SALT, "--model", "popularity"), "no-similarity", "--model", []),
        (("export", "--model", "itemknn", "--out", "nothing"), "no-two-towers", "--model", []),
    ],
)  # fmt: skip
def test_mistakes_end_in_one_message(lecdsr, arguments, code, where, words):
    status, out, err = lecdsr(*arguments)
    assert status == 1
    assert out == ""
    assert err.startswith("error: ")
    assert lecdsr.error.code == code
    assert where is None or lecdsr.error.where == where.replace("/", os.sep)
    assert all(word in err for word in words), err
