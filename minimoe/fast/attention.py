"""Attention by torch's fused kernel, with a second derivative."""

import functools
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from minimoe.fast.second import plain_gradients


def attention(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, **options: Any) -> Tensor:
    """scaled_dot_product_attention(q, k, v, mask, **options), differentiable more than once.

    torch's fused kernel for a CPU has only a first derivative. torch's plain operations compute the
    second one.
    """
    if not torch.is_grad_enabled():
        return nn.functional.scaled_dot_product_attention(q, k, v, mask, **options)
    y: Tensor = _Attention.apply(q, k, v, mask, options)
    return y


class _Attention(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, options: dict[str, Any]
    ) -> Tensor:
        ctx.save_for_backward(q, k, v, mask)
        ctx.options = options
        with torch.enable_grad():  # the kernel saves the tensors for its gradient
            q, k, v = ctx.inner = tuple(t.detach().requires_grad_() for t in (q, k, v))
            ctx.y = nn.functional.scaled_dot_product_attention(q, k, v, mask, **options)
        return ctx.y.detach()

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
        if not torch.is_grad_enabled():
            return *torch.autograd.grad(ctx.y, ctx.inner, dy, retain_graph=True), None, None
        q, k, v, mask = ctx.saved_tensors
        with sdpa_kernel(SDPBackend.MATH):
            plain: Any = functools.partial(
                nn.functional.scaled_dot_product_attention, attn_mask=mask, **ctx.options
            )
            return *plain_gradients(plain, (q, k, v), dy), None, None
