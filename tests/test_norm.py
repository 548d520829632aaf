"""The norm with a gradient by hand is torch's norm."""

import math

import pytest
import torch

from minimoe.model.norm import RMSNorm


def value_and_gradients(norm: torch.nn.RMSNorm, x: torch.Tensor) -> list[torch.Tensor]:
    x = x.clone().requires_grad_()
    y = norm(x)
    scalar = (y * torch.linspace(-1, 1, y.numel(), dtype=y.dtype).view_as(y)).sum()
    return [y.detach(), *torch.autograd.grad(scalar, [x, norm.weight])]


@pytest.mark.parametrize("shape", [(5,), (1, 7), (0, 4), (2, 3, 4, 6)], ids=str)
@pytest.mark.parametrize("eps", [1e-6, 0.5])
def test_the_norm_and_its_gradients_are_torchs(shape: tuple[int, ...], eps: float) -> None:
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(shape, generator=generator, dtype=torch.float64)
    ours = RMSNorm(shape[-1], eps).double()
    theirs = torch.nn.RMSNorm(shape[-1], eps).double()
    with torch.no_grad():
        for norm in (ours, theirs):
            norm.weight.copy_(torch.linspace(0.5, 2, shape[-1]))
    for got, wanted in zip(
        value_and_gradients(ours, x), value_and_gradients(theirs, x), strict=True
    ):
        torch.testing.assert_close(got, wanted, rtol=1e-12, atol=1e-12)


def test_the_norm_has_the_documented_value() -> None:
    y = RMSNorm(2, 0.0).double()(torch.tensor([3.0, 4.0]).double())
    assert y.tolist() == pytest.approx([3 / math.sqrt(12.5), 4 / math.sqrt(12.5)], rel=1e-15)
    assert [round(value, 4) for value in y.tolist()] == [0.8485, 1.1314]


def test_a_vector_of_zeros_stays_zero() -> None:
    y, gradient, _ = value_and_gradients(RMSNorm(3, 1e-6).double(), torch.zeros(1, 3).double())
    assert not y.any()
    assert gradient.abs().max() == 1e3  # 1 / sqrt(eps) times the largest slope, which is 1


def test_16_bits_are_torchs_own() -> None:
    x = torch.randn(4, 8, generator=torch.Generator().manual_seed(2)).bfloat16()
    ours, theirs = RMSNorm(8, 1e-6).bfloat16(), torch.nn.RMSNorm(8, 1e-6).bfloat16()
    assert torch.equal(ours(x), theirs(x))
