"""Tables whose rows are spread over two real processes: as one process with whole tables, through kills too."""

import csv
import json
import subprocess

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from lecdsr.core.errors import UserError
from lecdsr.core.paths import Artefacts
from lecdsr.models.saved import build
from lecdsr.train.distributed import DistributedContext
from lecdsr.train.fit import fit
from lecdsr.train.memory_estimate import estimate_memory
from lecdsr.train.sharded import shard_tables
from tests.models.settings import settings_for, shared_settings
from tests.programs import KILL, program
from tests.tiny import info
from tests.train.sharded_run import CASES, CPU, RESUMED, STEPS, Run, checkpoint
from tests.train.toy import ROOT, addresses, environment, finish, pair_of_processes, write_pair

ALONE = DistributedContext()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("two")


@pytest.fixture(scope="module")
def two(folder):
    """What two processes found."""
    common, command = addresses(), [program("python"), "-m", "tests.train.sharded_run", str(folder)]
    started = [
        subprocess.Popen(
            command,
            cwd=ROOT,
            env=environment(**common, RANK=rank, LOCAL_RANK=rank),
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        for rank in "01"
    ]
    for process in started:
        finish(process)
    return json.loads((folder / "two.json").read_text())


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_losses_and_ranks_are_those_of_one_process(two, case):
    run = Run(case, ALONE, "dense")
    assert two[case]["losses"] == pytest.approx(run.train(STEPS), rel=1e-5)
    np.testing.assert_array_equal(two[case]["ranks"], run.validator._rank())


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_weights_gradients_and_moments_are_sharded(two, case):
    assert two[case]["rows"] == [[13] * 4, [12] * 4]


@pytest.mark.slow
def test_one_process_reads_the_checkpoint_of_two(two, folder, monkeypatch):
    monkeypatch.chdir(folder)
    run = Run(RESUMED, ALONE, "sharded")
    run.state().load_state_dict(checkpoint().read())
    run.taken = STEPS
    np.testing.assert_array_equal(two[RESUMED]["ranks"], run.validator._rank())
    assert two[RESUMED]["next"] == pytest.approx(run.train(2), rel=1e-5)


@pytest.mark.slow
def test_a_process_that_stops_answering_ends_the_other_in_time(two):
    message, seconds = two["lost"]
    assert "process 0 of 2" in message
    assert seconds < 30


@pytest.mark.slow
def test_a_killed_process_ends_the_other_and_both_resume(tmp_path, monkeypatch):
    write_pair(tmp_path)
    settings = {"width": 16, "layers": 1, "history_length": 6, "dropout": 0.0, "item_text": "vectors", "batch_size": 4}
    shared = {"seed": 3, "device": "cpu", "epochs": 4, "patience": 4, "tables": "sharded"}
    chosen = json.dumps({"model": "sasrec", "settings": settings, "shared": shared})
    main, other = pair_of_processes(tmp_path, chosen)
    assert any("epoch 2:" in line for line in main.stdout)  # the checkpoint of epoch 1 is written
    other.send_signal(KILL)
    other.communicate()
    printed, _ = main.communicate(timeout=120)
    assert main.returncode != 0
    assert "UserError" in printed
    assert "process 0 of 2" in printed
    main, other = pair_of_processes(tmp_path, chosen)
    assert "resuming in epoch" in finish(main)
    finish(other)
    monkeypatch.chdir(tmp_path)
    alone = fit(
        Artefacts("toy"),
        "sasrec",
        settings_for("sasrec", **{**settings, "batch_size": 8}),
        shared_settings(**{**shared, "tables": "dense"}),
    )
    rows = list(csv.DictReader((tmp_path / "out" / "log.csv").open()))
    assert len(rows) == len(alone.result.log)
    for ours, theirs in zip(rows[1:], alone.result.log[1:], strict=True):
        assert float(ours["loss"]) == pytest.approx(theirs["loss"], rel=1e-4)
    saved = load_file(tmp_path / "out" / "model.safetensors")
    expected = alone.network.state_dict()
    assert {name: value.shape for name, value in saved.items()} == {n: value.shape for n, value in expected.items()}
    table = "item_embeddings.weight"
    torch.testing.assert_close(saved[table], expected[table], atol=2e-3, rtol=0)


@pytest.mark.parametrize("size", [1, 2])
def test_a_model_that_reads_whole_tables_is_refused(size):
    model = build("lecdsr", settings_for("lecdsr", width=8, hidden=8), info(), 1)
    with pytest.raises(UserError) as caught:
        shard_tables(model, DistributedContext(0, size), CPU)
    assert caught.value.where == "train.shared.tables"


@pytest.mark.parametrize("model", ["popularity", "tandem"])
def test_alone_nothing_is_sharded_and_a_model_that_counts_is_not_refused(model):
    network = build(model, settings_for(model), info(), 1)
    before = dict(network.state_dict())
    shard_tables(network, ALONE, CPU)
    assert all(
        value is before[name] or torch.equal(value, before[name]) for name, value in network.state_dict().items()
    )


def test_each_process_needs_memory_for_its_own_rows():
    settings, data, shared = settings_for("sasrec", width=64), info(300, 299, 4), shared_settings(tables="sharded")
    alone, shared_by_four = (estimate_memory("sasrec", settings, data, shared, CPU, processes=p) for p in (1, 4))
    table = 600 * 64 * 4
    assert alone.weights - shared_by_four.weights == table * 3 // 4
    assert alone.best_copy - shared_by_four.best_copy == table * 3 // 4
