"""The Fourier transform as matrix products, compared with torch.fft."""

import pytest
import torch

from lecdsr.models.layers.spectrum import Spectrum, irfft, rfft


@pytest.mark.parametrize("length", range(1, 18))
def test_forward_and_back(length):
    x = torch.randn(3, length, 4, generator=torch.Generator().manual_seed(length), dtype=torch.double)
    expected = torch.fft.rfft(x, dim=1, norm="ortho")
    found = rfft(x)
    torch.testing.assert_close(torch.complex(found.real, found.imaginary), expected)
    torch.testing.assert_close(irfft(found, length), x)


@pytest.mark.parametrize("length", [1, 2, 7, 15, 16])
def test_any_spectrum_back(length):
    # As torch.fft does, the imaginary parts that no real sequence has are left out.
    source = torch.Generator().manual_seed(length)
    real, imaginary = (torch.randn(2, length // 2 + 1, 3, generator=source, dtype=torch.double) for _ in range(2))
    expected = torch.fft.irfft(torch.complex(real, imaginary), n=length, dim=1, norm="ortho")
    torch.testing.assert_close(irfft(Spectrum(real, imaginary), length), expected)


def test_products():
    source = torch.Generator().manual_seed(0)
    parts = [torch.randn(2, 4, 3, generator=source) for _ in range(4)]
    found = Spectrum(*parts[:2]).times(Spectrum(*parts[2:]))
    expected = torch.complex(*parts[:2]) * torch.complex(*parts[2:])
    torch.testing.assert_close(torch.complex(found.real, found.imaginary), expected)


def test_gradients_are_those_of_torch_fft():
    x = torch.randn(2, 15, 3, generator=torch.Generator().manual_seed(1), requires_grad=True)
    weight = torch.randn(2, 15, 3, generator=torch.Generator().manual_seed(2))
    (ours,) = torch.autograd.grad((irfft(rfft(x).times(rfft(x)), 15) * weight).sum(), x)
    spectrum = torch.fft.rfft(x, dim=1, norm="ortho")
    plain = torch.fft.irfft(spectrum * spectrum, n=15, dim=1, norm="ortho")
    torch.testing.assert_close(ours, torch.autograd.grad((plain * weight).sum(), x)[0])
