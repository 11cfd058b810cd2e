"""Real processes: killed at any moment and resumed, repeated, and two of them sharing a batch."""

import json
import random
import re

import pytest
import torch
from safetensors.torch import load_file

from tests.programs import KILL
from tests.train.toy import finish, kill, launch, pair_of_processes, write_pair

pytestmark = pytest.mark.slow  # every test starts trainings

LECDSR = {
    "model": "lecdsr",
    "settings": {
        "width": 16,
        "hidden": 16,
        "history_length": 6,
        "batch_size": 4,
        "negatives": 5,
        "learning_rate": 0.003,
        "projection": "moe",  # draws noise and dropout in every step
        "experts": 2,
    },
    "shared": {"seed": 3, "device": "cpu", "epochs": 4, "patience": 4, "warmup_steps": 7},
}
SASREC = {
    "model": "sasrec",
    "settings": {"width": 16, "layers": 1, "history_length": 6, "batch_size": 2, "item_text": "vectors"},
    "shared": {"seed": 3, "device": "cpu", "epochs": 6, "patience": 6},
}


def changed(chosen, **shared):
    return json.dumps({**chosen, "shared": {**chosen["shared"], **shared}})


def outcome(folder):
    return {name: (folder / "out" / name).read_bytes() for name in ("model.safetensors", "config.json", "log.csv")}


def checkpoint(folder):
    return next((folder / ".checkpoints" / "toy").glob("*.safetensors"))


@pytest.fixture
def folders(tmp_path):
    for name in ("one", "other"):
        write_pair(tmp_path / name)
    return tmp_path / "one", tmp_path / "other"


@pytest.mark.parametrize("chosen", [LECDSR, SASREC], ids=["lecdsr", "sasrec"])
def test_a_run_repeats_byte_for_byte(folders, chosen):
    for folder in folders:
        finish(launch(folder, json.dumps(chosen)))
    assert outcome(folders[0]) == outcome(folders[1])


@pytest.mark.parametrize(
    "chosen",
    [
        json.dumps(LECDSR),
        changed({**LECDSR, "settings": {**LECDSR["settings"], "projection": "mlp"}}, tables="rows"),
        json.dumps(SASREC),
    ],
    ids=["lecdsr", "lecdsr by rows", "sasrec"],
)
def test_a_run_killed_at_any_moment_ends_as_an_unbroken_one(folders, chosen):
    unbroken, broken = folders
    finish(launch(unbroken, chosen))
    draw, kills = random.Random(1), 0
    while kills < 4:
        # It says so before it begins, or takes over the checkpoint.
        kill(launch(broken, chosen), "GB of memory", draw.uniform(0.1, 0.9))
        kills += 1
    printed = finish(launch(broken, chosen))
    assert "resuming in epoch" in printed
    assert outcome(broken) == outcome(unbroken)


def test_two_processes_are_one_with_the_doubled_batch(folders):
    together, alone = folders
    half = {**LECDSR, "settings": {**LECDSR["settings"], "projection": "mlp", "batch_size": 8}}
    whole = {**half, "settings": {**half["settings"], "batch_size": 16}}
    finish(launch(alone, json.dumps(whole)))
    torchrun = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
    printed = finish(launch(together, json.dumps(half), *torchrun))
    assert printed.count("epoch 1:") == 1  # one of the two speaks
    ours, theirs = (load_file(folder / "out" / "model.safetensors") for folder in folders)
    for name, value in theirs.items():
        torch.testing.assert_close(ours[name], value, atol=2e-4, rtol=1e-3, msg=lambda m, n=name: f"{n}: {m}")
    logs = [(folder / "out" / "log.csv").read_text().splitlines() for folder in folders]
    for mine, other in zip(*logs, strict=True):
        if mine[0].isdigit():
            assert [float(v or 0) for v in mine.split(",")] == pytest.approx(
                [float(v or 0) for v in other.split(",")], rel=1e-3, abs=0.02
            )


def test_two_processes_killed_and_resumed_end_as_unbroken_ones(folders):
    unbroken, broken = folders
    chosen = changed(SASREC, epochs=3)  # dropout draws differently in each process
    for process in pair_of_processes(unbroken, chosen):
        finish(process)
    main, other = pair_of_processes(broken, chosen)
    kill(main, "epoch 2:", 0.1)
    other.send_signal(KILL)
    other.communicate()
    main, other = pair_of_processes(broken, chosen)
    assert "resuming in epoch" in finish(main)
    assert "resuming" not in finish(other)
    assert outcome(broken) == outcome(unbroken)


def test_a_checkpoint_of_other_settings_is_named_and_kept(folders):
    folder = folders[0]
    kill(launch(folder, json.dumps(SASREC)), "epoch 2")
    kept = checkpoint(folder)
    other = {**SASREC, "settings": {**SASREC["settings"], "width": 8}}
    printed = finish(launch(folder, json.dumps(other)))
    assert re.search(r"settings\.width\D*16\D*8\b", " ".join(printed.split()))
    assert kept.exists()
    assert "resuming in epoch" in finish(launch(folder, json.dumps(SASREC)))


def test_a_checkpoint_that_is_not_one_is_a_clear_error(folders):
    folder = folders[0]
    kill(launch(folder, json.dumps(SASREC)), "epoch 1:")
    path = checkpoint(folder)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    process = launch(folder, json.dumps(SASREC))
    printed, _ = process.communicate()
    assert process.returncode != 0
    assert "the checkpoint cannot be read" in printed
    assert path.exists()
    torch.save({}, path)  # a pickle is not read, whatever is in it
    printed, _ = launch(folder, json.dumps(SASREC)).communicate()
    assert "the checkpoint cannot be read" in printed
