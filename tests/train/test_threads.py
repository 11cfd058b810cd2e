"""Threads of a training: one for a small network, the given number where the environment says so."""

import pytest
import torch

from lecdsr.data.load import PairData
from lecdsr.train import fit
from lecdsr.train.fit import fit_model
from tests.models.settings import sasrec_settings, shared_settings
from tests.tiny import circle, info, sequences


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("small", "variable", "threads"), [(10**6, None, 1), (1, None, 2), (10**6, "2", 2)], ids=["small", "large", "told"]
)
def test_a_small_network_is_trained_by_one_thread(two_threads, monkeypatch, small, variable, threads):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if variable:
        monkeypatch.setenv("OMP_NUM_THREADS", variable)
    monkeypatch.setattr(fit, "SMALL", small)
    seen = []
    plain = fit.train
    monkeypatch.setattr(fit, "train", lambda *given: seen.append(torch.get_num_threads()) or plain(*given))
    walks = circle(12)
    data = PairData(info(12, 12, len(walks)), sequences(walks, 12))
    settings = sasrec_settings(width=16, layers=1, history_length=6)
    fitted = fit_model("sasrec", settings, shared_settings(device="cpu", epochs=1), data, quiet=True)
    assert seen == [threads]
    assert fitted.threads == threads
    assert torch.get_num_threads() == 2
