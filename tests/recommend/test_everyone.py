"""One file of the recommendations to all users: its rows, what is refused, and a run that was killed."""

import os
import subprocess
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch
from typer.testing import CliRunner

from lecdsr.cli.main import app
from lecdsr.core.errors import UserError
from lecdsr.core.paths import Artefacts
from lecdsr.core.schemas import RECOMMENDATIONS
from lecdsr.data.load import load_info
from lecdsr.models.saved import load, read_config, save
from lecdsr.recommend import everyone
from lecdsr.recommend.batch import Options
from lecdsr.recommend.recommender import open_recommender
from tests.models import zoo
from tests.programs import KILL, program
from tests.recommend.built import ROOT, USER_IDS, write_pair

CPU = torch.device("cpu")
OUT = Path("out.parquet")
#: Recommends to one user at a time and says so before each.
SCRIPT = """
import sys, time
from pathlib import Path
import torch
from lecdsr.core.paths import Artefacts
from lecdsr.recommend import batch, everyone
original = batch.BatchRecommender.recommend
def slow(self, *arguments):
    print("block", flush=True)
    time.sleep(float(sys.argv[1]))
    return original(self, *arguments)
batch.BatchRecommender.recommend = slow
demo, options = Artefacts("demo"), batch.Options(k=3, users_per_block=1)
written = everyone.recommend_to_everyone(demo, demo.model("tandem"), Path("out.parquet"), options, torch.device("cpu"))
print("resumed", written.resumed, flush=True)
"""


@pytest.fixture
def demo(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LECDSR_CHECKPOINTS", str(tmp_path / "kept"))
    write_pair(tmp_path, {"tandem": "default", "hgn": "ids"})
    return Artefacts("demo")


def written(artefacts, model="tandem", reviewers=None, **options):
    folder = artefacts.model(model)
    chosen = Options(**{"k": 3, "users_per_block": 3, **options})
    facts = everyone.recommend_to_everyone(artefacts, folder, OUT, chosen, CPU, reviewers)
    assert not list(Path("kept").glob("*/*"))  # nothing is left behind
    return facts, pq.read_table(OUT)


def test_rows_are_those_of_single_users(demo):
    facts, table = written(demo)
    assert table.schema.equals(RECOMMENDATIONS)
    assert facts[:3] == (4, 0, len(table))
    one, rows = open_recommender(demo, "tandem"), table.to_pylist()
    wanted = [
        (user, name, "xy"[domain], rank, line.item, line.asin)
        for user, name in enumerate(USER_IDS)
        for domain in (0, 1)
        for rank, line in enumerate(one.recommend(user, *one.history(user), domain, 3), start=1)
    ]
    assert [tuple(row[key] for key in RECOMMENDATIONS.names[:6]) for row in rows] == wanted


def test_users_by_their_ids(demo):
    whole = written(demo)[1]
    _, table = written(demo, reviewers=["CARL", "ANNA", "CARL"])
    assert table["reviewer"].unique().to_pylist() == ["ANNA", "CARL"]
    columns = ["user", "domain", "rank", "item"]
    wanted = [row for row in whole.select(columns).to_pylist() if row["user"] in (0, 2)]
    assert table.select(columns).to_pylist() == wanted


def test_unknown_users_are_counted_and_named_and_nothing_is_written(demo):
    names = ["ANNA", *(f"N{number}" for number in range(7))]
    with pytest.raises(UserError) as caught:
        written(demo, reviewers=names)
    assert all(word in str(caught.value) for word in ("7 of 8", "N0", "N4", "2 more"))
    assert "N5" not in str(caught.value)
    assert not OUT.exists()
    assert not Path("kept").exists()
    with pytest.raises(UserError, match="no user"):
        written(demo, reviewers=[])


def test_a_folder_in_the_way_and_a_model_that_is_not_there(demo):
    OUT.mkdir()
    with pytest.raises(UserError, match="folder"):
        written(demo)
    with pytest.raises(UserError, match="missing"):
        everyone.recommend_to_everyone(demo, demo.model("sasrec"), Path("x"), Options(3), CPU)


def test_nan_leaves_nothing_half_written(demo):
    folder = demo.model("hgn")
    network, (config, _) = load(folder, load_info(demo)), read_config(folder)
    with torch.no_grad():
        network.output_embeddings.weight.fill_(float("nan"))
    save(folder, network, config)
    with pytest.raises(UserError, match="NaN"):
        written(demo, "hgn")
    assert not OUT.exists()


def launch(folder, seconds):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [program("python"), "-c", SCRIPT, str(seconds)]
    return subprocess.Popen(command, cwd=folder, env=environment, text=True, stdout=subprocess.PIPE)


@pytest.mark.slow
def test_a_killed_run_goes_on_and_gives_the_same_bytes(demo, tmp_path):
    process = launch(tmp_path, 0.3)
    for _ in range(3):  # the first two blocks are finished when the third one begins
        assert process.stdout.readline() == "block\n"
    process.send_signal(KILL)
    process.wait()
    assert not OUT.exists()
    printed = launch(tmp_path, 0).communicate(timeout=120)[0].splitlines()
    assert printed[-3:] == ["block", "block", "resumed 2"]
    resumed = OUT.read_bytes()
    OUT.unlink()
    printed = launch(tmp_path, 0).communicate(timeout=120)[0].splitlines()
    assert printed == ["block"] * 4 + ["resumed 0"]
    assert OUT.read_bytes() == resumed


def test_blocks_of_other_inputs_or_broken_ones_are_not_used(demo, monkeypatch):
    wanted = written(demo, users_per_block=1)[1]
    kept = {}
    original = everyone.Parts.remove
    monkeypatch.setattr(everyone.Parts, "remove", lambda self: kept.update(parts=self))
    everyone.recommend_to_everyone(demo, demo.model("tandem"), OUT, Options(3, users_per_block=1), CPU)
    parts = kept["parts"]
    assert [parts.finished(number) for number in range(5)] == [True] * 4 + [False]
    parts.path(1).write_bytes(b"PAR1")
    facts = everyone.recommend_to_everyone(demo, demo.model("tandem"), OUT, Options(3, users_per_block=1), CPU)
    assert facts.resumed == 3
    assert pq.read_table(OUT).equals(wanted)
    facts = everyone.recommend_to_everyone(demo, demo.model("tandem"), OUT, Options(2, users_per_block=1), CPU)
    assert facts.resumed == 0
    original(parts)


def run(*arguments):
    return CliRunner().invoke(app, ["recommend", "--pair", "demo", *arguments])


def test_command(demo):
    shown = run("--all", "--out", "all.parquet", "-k", "2", "--model", "tandem", "--domain", "y")
    assert shown.exit_code == 0, shown.output
    table = pq.read_table("all.parquet")
    assert set(table["domain"].to_pylist()) == {"y"}
    assert len(table) == 7  # ANNA has all items of Y but one
    Path("ids.txt").write_text("CARL\n\nANNA\n")
    assert run("--users", "ids.txt", "--out", "some.parquet", "--include-owned").exit_code == 0
    some = pq.read_table("some.parquet")
    assert some["reviewer"].unique().to_pylist() == ["ANNA", "CARL"]
    assert len(some) == 2 * (zoo.N_X + zoo.N_Y)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--all"], ["--out"]),
        (["--out", "x"], ["--all"]),
        (["--all", "--user", "ANNA", "--out", "x"], ["--user"]),
        (["--all", "--users", "ids.txt", "--out", "x"], ["--users"]),
        (["--users", "nowhere.txt", "--out", "x"], ["nowhere.txt"]),
        (["--users", "empty.txt", "--out", "x"], ["empty.txt", "no user"]),
        (["--users", "unknown.txt", "--out", "x"], ["1 of 2", "EVE"]),
        (["--all", "--out", "x", "--model", "sasrec"], ["sasrec", "tandem"]),
    ],
)
def test_mistakes_of_the_command(demo, arguments, words):
    Path("empty.txt").write_text("\n")
    Path("unknown.txt").write_text("ANNA\nEVE\n")
    shown = run(*arguments)
    assert isinstance(shown.exception, UserError), shown.output
    assert all(word in str(shown.exception) for word in words)
    assert not Path("x").exists()
