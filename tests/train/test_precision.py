"""bfloat16 where the device supports it, float32 where it does not."""

import pytest
import torch

from lecdsr.core.device import has_bfloat16
from lecdsr.core.paths import Artefacts
from lecdsr.train import fit as fitting
from lecdsr.train.fit import fit
from tests.models.settings import sasrec_settings, settings_for, shared_settings
from tests.train.toy import write_pair


@pytest.fixture
def trained(tmp_path, monkeypatch, capsys):
    """Return precision, weights and output of a training in a precision, on a device with or without bfloat16."""
    write_pair(tmp_path)
    monkeypatch.chdir(tmp_path)

    def train(asked, has):
        monkeypatch.setattr(fitting, "has_bfloat16", lambda device: has)
        shared = shared_settings(seed=1, device="cpu", epochs=2, patience=2, precision=asked)
        fitted = fit(Artefacts("toy"), "sasrec", sasrec_settings(width=16, layers=1, history_length=6), shared)
        fitted.checkpoints.remove()
        return fitted.precision, fitted.result.weights, " ".join("".join(capsys.readouterr()).split())

    return train


def equal(one, other):
    return all(torch.equal(one[key], other[key]) for key in one)


def test_bfloat16_that_is_not_there_is_float32_and_is_told(trained):
    exact = trained("float32", True)
    without = trained("bfloat16", False)
    assert (exact[0], without[0]) == ("float32", "float32")
    assert equal(exact[1], without[1])
    assert "cpu does not support bfloat16: training in float32" in without[2]
    assert "bfloat16" not in exact[2]


def test_bfloat16_that_is_there_is_used(trained):
    name, weights, said = trained("bfloat16", True)
    assert name == "bfloat16"
    assert "bfloat16" not in said
    assert not equal(weights, trained("float32", True)[1])


@pytest.mark.skipif(torch.cpu.get_capabilities()["architecture"] != "x86_64", reason="knows x86 processors alone")
def test_what_pytorch_says_of_this_processor():
    able = torch.cpu.get_capabilities()
    here = has_bfloat16(torch.device("cpu"))
    assert here if able["avx512_bf16"] else able["avx512_f"] or not here


@pytest.mark.parametrize("model", ["popularity", "itemknn", "content"])
def test_a_model_that_trains_nothing_does_not_warn_of_bfloat16(tmp_path, monkeypatch, capsys, model):
    write_pair(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(fitting, "has_bfloat16", lambda device: False)
    fitted = fit(
        Artefacts("toy"), model, settings_for(model), shared_settings(device="cpu", epochs=1, precision="bfloat16")
    )
    assert fitted.precision == "float32"  # what its ranking computes in
    assert "bfloat16" not in "".join(capsys.readouterr())
