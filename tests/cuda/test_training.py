"""Every model trains, resumes and ranks on a GPU as on the CPU; one variant of each is fast, all are slow."""

import numpy as np
import pytest

from lecdsr.models import saved
from lecdsr.train.checkpoint import Checkpoints
from tests.cuda.machine import pretended_cuda
from tests.cuda.pretended import CUDA
from tests.cuda.runs import BY_ROWS, CPU, ranked, trained
from tests.models import zoo
from tests.tiny import info

CASES = [(*case, "float32", "dense") for case in zoo.ALL]
CASES += [(*case, "bfloat16", "dense") for case in zoo.TRAINED]
CASES += [(*case, "float32", "rows") for case in BY_ROWS]
FAST = {(*case, "float32", "dense") for case in zoo.ONE_EACH} | {(*BY_ROWS[0], "float32", "rows")}
FAST |= {("tandem", "default", "bfloat16", "dense")}
PARAMETERS = [pytest.param(*case, marks=() if case in FAST else pytest.mark.slow) for case in CASES]


def losses(result):
    return [[value for name, value in row.items() if name.startswith("loss")] for row in result.log]


@pytest.mark.parametrize(("model", "variant", "precision", "tables"), PARAMETERS)
def test_trains_and_ranks_as_on_the_cpu(cuda, tmp_path, model, variant, precision, tables):
    network, result = trained(model, variant, CUDA, precision=precision, tables=tables, epochs=1)
    assert all(weight.device == CUDA for weight in network.state_dict().values())
    ranks = ranked(network, CUDA)
    # Saved and loaded for the CPU, it gives the same ranks.
    saved.save(tmp_path / "model", network, zoo.config_of(model, network.settings, 1))
    back = saved.load(tmp_path / "model", info(zoo.N_X, zoo.N_Y, zoo.USERS))
    on_cpu = ranked(back, CPU)
    np.testing.assert_allclose(ranks.full, on_cpu.full)
    np.testing.assert_allclose(ranks.sampled, on_cpu.sampled)
    # A mixture of experts draws noise, and tandem's id dropout, for every distinct item on the CPU, and for every
    # item on a GPU.
    drawn = model == "tandem" and network.settings.loss != "full" and network.settings.id_dropout
    if precision == "float32" and not variant.startswith("moe") and not drawn:
        _, there = trained(model, variant, CPU, tables=tables, epochs=1)
        assert losses(result) == [pytest.approx(row, rel=1e-3) for row in losses(there)]


#: Variants that draw nothing from a default generator, which cannot be pretended: only they repeat exactly.
EXACT = ("no dropout", "masked", "bce", "psl", "ids only")
RESUMED = [(*case, "dense") for case in zoo.TRAINED if case in zoo.ONE_EACH or case[1] in (*EXACT, "moe")]
RESUMED += [(*case, "rows") for case in BY_ROWS]
FAST_RESUMED = {("sasrec", "no dropout", "dense"), ("lecdsr", "bce", "rows")}


@pytest.mark.parametrize(
    ("model", "variant", "tables"),
    [pytest.param(*case, marks=() if case in FAST_RESUMED else pytest.mark.slow) for case in RESUMED],
)
def test_a_resumed_training_ends_as_an_unbroken_one(cuda, model, variant, tables):
    checkpoints = Checkpoints("toy", model, {"tables": tables})
    trained(model, variant, CUDA, checkpoints, epochs=1, tables=tables)
    _, resumed = trained(model, variant, CUDA, checkpoints, epochs=2, tables=tables)
    assert [row["epoch"] for row in resumed.log] == [0, 1, 2]
    if variant in EXACT:
        _, unbroken = trained(model, variant, CUDA, epochs=2, tables=tables)
        assert losses(resumed) == [pytest.approx(row, rel=1e-4) for row in losses(unbroken)]


@pytest.mark.parametrize(("model", "variant"), [("lecdsr", "masked"), ("sasrec", "ids"), ("lecdsr", "bce")])
def test_a_checkpoint_of_the_cpu_resumes_on_a_gpu_and_back(capsys, model, variant):
    checkpoints = Checkpoints("toy", model, {})
    trained(model, variant, CPU, checkpoints, epochs=1)
    with pretended_cuda():
        _, result = trained(model, variant, CUDA, checkpoints, epochs=2)
    assert [row["epoch"] for row in result.log] == [0, 1, 2]
    assert "another kind of device" in capsys.readouterr().out
    _, result = trained(model, variant, CPU, checkpoints, epochs=3)
    assert [row["epoch"] for row in result.log] == [0, 1, 2, 3]
    assert "another kind of device" in capsys.readouterr().out
    assert all(np.isfinite(row).all() for row in losses(result))
    trained(model, variant, CPU, checkpoints, epochs=4)
    assert "another kind of device" not in capsys.readouterr().out
