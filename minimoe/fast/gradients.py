"""RMSNorm and attention with a hand-written gradient, and their second derivatives."""

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

aten = torch.ops.aten


def plain_gradients(
    plain: Callable[..., Tensor], inputs: tuple[Tensor, ...], dy: Tensor
) -> tuple[Any, ...]:
    """The gradient of plain(*inputs) for each input, None for one that requires none.

    Its operations can be differentiated again. A hand-written backward calls this if gradients are
    enabled in it, that is, for a second derivative.
    """
    # Views: an input may be computed from another one, and that path is not part of this gradient.
    views = [tensor.view_as(tensor) for tensor in inputs]
    wanted = [view for view in views if view.requires_grad]
    found = iter(torch.autograd.grad(plain(*views), wanted, dy, create_graph=True))
    return tuple(next(found) if view.requires_grad else None for view in views)


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
        ctx: Any, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, options: dict[str, Any]
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
