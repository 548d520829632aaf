"""RMSNorm with a hand-written gradient."""

import functools
from typing import Any

import torch
from torch import Tensor, nn

from minimoe.fast.second import plain_gradients


def rms_norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    """x / sqrt(mean(x^2) + eps) * weight; takes half the time of a dozen separate operations."""
    y: Tensor = _RMSNorm.apply(x, weight, eps)
    return y


def _plain(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    return nn.functional.rms_norm(x, weight.shape, weight, eps)


class _RMSNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, eps: float) -> Tensor:
        norm = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
        scale = norm.square_().div_(x.shape[-1]).add_(eps).rsqrt_()
        ctx.save_for_backward(x, weight, scale)
        ctx.eps = eps
        return (x * scale).mul_(weight)

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, scale = ctx.saved_tensors
        if torch.is_grad_enabled():
            plain = functools.partial(_plain, eps=ctx.eps)
            return *plain_gradients(plain, (x, weight), dy), None
        unit, d_unit = x * scale, dy * weight
        d_weight = (dy * unit).reshape(-1, unit.shape[-1]).sum(0)
        along = (d_unit * unit).mean(-1, keepdim=True)  # the part of the gradient along x
        return d_unit.addcmul_(unit, along, value=-1).mul_(scale), d_weight, None
