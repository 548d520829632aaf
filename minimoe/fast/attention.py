"""torch's fused attention for a CPU, with a second derivative."""

import functools
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from minimoe.fast.second import plain_gradients

aten = torch.ops.aten


def attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    mask: Tensor | None = None,
    *,
    is_causal: bool = False,
    enable_gqa: bool = False,
    scale: float | None = None,
) -> Tensor:
    """scaled_dot_product_attention with these arguments, differentiable more than once.

    torch's fused kernel for a CPU has a first derivative only. A second one goes through torch's
    plain operations. Where torch does not choose the fused kernel, nothing changes.
    """
    options: dict[str, Any] = {"is_causal": is_causal, "enable_gqa": enable_gqa, "scale": scale}
    learns = torch.is_grad_enabled() and any(t.requires_grad for t in (q, k, v))
    chosen = torch._fused_sdp_choice(q, k, v, mask, 0.0, **options)
    if not learns or chosen != SDPBackend.FLASH_ATTENTION.value:
        return nn.functional.scaled_dot_product_attention(q, k, v, mask, **options)
    y: Tensor = _Attention.apply(q, k, v, mask, options)
    return y


class _Attention(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        mask: Tensor | None,
        options: dict[str, Any],
    ) -> Tensor:
        if mask is not None and mask.dtype == torch.bool:
            mask = torch.zeros_like(mask, dtype=q.dtype).masked_fill(~mask, -torch.inf)
        ctx.options = options
        is_causal, scale = options["is_causal"], options["scale"]
        y, log_sums = aten._scaled_dot_product_flash_attention_for_cpu(
            q, k, v, 0.0, is_causal, attn_mask=mask, scale=scale
        )
        ctx.save_for_backward(q, k, v, mask, y, log_sums)
        return y

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
        q, k, v, mask, y, log_sums = ctx.saved_tensors
        if torch.is_grad_enabled():
            with sdpa_kernel(SDPBackend.MATH):
                plain: Any = functools.partial(
                    nn.functional.scaled_dot_product_attention, attn_mask=mask, **ctx.options
                )
                return *plain_gradients(plain, (q, k, v), dy), None, None
        is_causal, scale = ctx.options["is_causal"], ctx.options["scale"]
        gradients = aten._scaled_dot_product_flash_attention_for_cpu_backward(
            dy, q, k, v, y, log_sums, 0.0, is_causal, attn_mask=mask, scale=scale
        )
        return *gradients, None, None
