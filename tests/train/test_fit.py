"""Training on data in memory: no files, the same result as on tables, quiet if requested, switches restored."""

import numpy as np
import pytest
import torch

from lecdsr.core.paths import Artefacts
from lecdsr.data.load import PairData, load_pair_data
from lecdsr.train.checkpoint import Checkpoints
from lecdsr.train.fit import fit, fit_model
from tests.models.settings import lecdsr_settings, settings_for, shared_settings
from tests.tiny import circle, info, sequences
from tests.train.toy import write_pair

N = 12
SETTINGS = lecdsr_settings(width=16, hidden=16, history_length=6, batch_size=16, negatives=5)
SHARED = shared_settings(seed=2, device="cpu", epochs=2, patience=2)


@pytest.fixture
def data():
    walks = circle(N)
    return PairData(info(N, N, len(walks)), sequences(walks, N))


@pytest.fixture(autouse=True)
def empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LECDSR_CHECKPOINT_S", "0")
    return tmp_path


@pytest.mark.parametrize("model", ["lecdsr", "popularity"])
def test_data_in_memory_needs_and_leaves_no_files(data, empty_folder, model):
    settings = SETTINGS if model == "lecdsr" else settings_for(model)
    fitted = fit_model(model, settings, SHARED, data)
    fitted.remove_checkpoint()
    assert list(empty_folder.iterdir()) == []
    assert fitted.checkpoints is None
    found = fitted.network.state_dict()
    assert all(torch.equal(found[name], value) for name, value in fitted.result.weights.items())
    assert len(fitted.result.log) == (3 if model == "lecdsr" else 1)


def test_tables_and_the_same_data_in_memory_have_one_result(empty_folder):
    write_pair(empty_folder)
    first = fit(Artefacts("toy"), "lecdsr", SETTINGS, SHARED)
    assert first.checkpoints.path.exists()
    first.remove_checkpoint()
    assert not first.checkpoints.path.exists()
    again = fit_model("lecdsr", SETTINGS, SHARED, load_pair_data(Artefacts("toy"), "both"))
    assert first.result.log == again.result.log
    assert all(torch.equal(value, again.result.weights[name]) for name, value in first.result.weights.items())


def test_quiet_training_prints_nothing(data, capsys):
    loud = fit_model("lecdsr", SETTINGS, SHARED, data, label="toy training")
    printed = capsys.readouterr().out
    assert "toy training" in printed
    assert "epoch 2" in printed
    quiet = fit_model("lecdsr", SETTINGS, SHARED, data, quiet=True)
    assert capsys.readouterr().out == ""
    assert quiet.result.log == loud.result.log
    fit_model("lecdsr", SETTINGS, SHARED, data)
    assert "epoch 2" in capsys.readouterr().out


def test_a_checkpoint_depends_on_all_that_decides_the_result(data):
    paths = set()
    for settings, shared, hashed in (
        (SETTINGS, SHARED, "1"),
        (SETTINGS, SHARED, "2"),
        (SETTINGS, SHARED.model_copy(update={"seed": 3}), "1"),
        (SETTINGS.model_copy(update={"negatives": 4}), SHARED, "1"),
    ):
        checkpoints = Checkpoints("toy", "lecdsr", {"data": hashed})
        paths.add(fit_model("lecdsr", settings, shared, data, checkpoints=checkpoints).checkpoints.path)
    assert len(paths) == 4
    assert all(path.exists() for path in paths)


@pytest.mark.parametrize("before", [False, True])
def test_switches_of_pytorch_are_restored(data, before):
    switches = torch.utils.deterministic
    kept = torch.are_deterministic_algorithms_enabled(), switches.fill_uninitialized_memory
    try:
        torch.use_deterministic_algorithms(before)
        switches.fill_uninitialized_memory = True
        fit_model("popularity", settings_for("popularity"), SHARED, data)
        assert torch.are_deterministic_algorithms_enabled() == before
        assert switches.fill_uninitialized_memory
    finally:
        torch.use_deterministic_algorithms(kept[0], warn_only=True)
        switches.fill_uninitialized_memory = kept[1]


def test_a_fitted_model_ranks(data):
    fitted = fit_model("lecdsr", SETTINGS, SHARED, data, quiet=True)
    assert np.isfinite(fitted.result.best_score)
    assert (fitted.device.type, fitted.precision, fitted.context.size) == ("cpu", "float32", 1)
