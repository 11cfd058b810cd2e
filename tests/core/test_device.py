"""Names of processors."""

from pathlib import Path

import pytest
import torch

from lecdsr.core import device
from lecdsr.core.device import processor_name

CPU = torch.device("cpu")
CPUINFO = "processor\t: 0\nmodel\t\t: 207\nmodel name\t: Xeon: 2 GHz \n\nprocessor\t: 1\nmodel name\t: another\n"


@pytest.mark.parametrize(
    ("cpuinfo", "name"), [(CPUINFO, "Xeon: 2 GHz"), ("processor\t: 0\n", "x86_64"), (None, "x86_64")]
)
def test_of_a_cpu(monkeypatch, cpuinfo, name):
    def read(path, **_):
        if cpuinfo is None:
            raise FileNotFoundError(path)
        return cpuinfo

    monkeypatch.setattr(Path, "read_text", read)
    monkeypatch.setattr(device.platform, "processor", lambda: "")
    monkeypatch.setattr(device.platform, "machine", lambda: "x86_64")
    assert processor_name(CPU) == name


def test_of_a_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda of: f"GPU {of.index}")
    assert processor_name(torch.device("cuda", 1)) == "GPU 1"
