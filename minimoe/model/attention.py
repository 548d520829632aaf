"""Causal grouped-query attention."""

import math
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from minimoe import fast
from minimoe.config import AttentionConfig
from minimoe.model.cache import KVCache
from minimoe.model.norm import RMSNorm
from minimoe.model.parameters import matrix, shapes, zeros
from minimoe.model.rotary import Rotation, rotate


class Attention(nn.Module):
    """Causal grouped-query attention (arXiv 2305.13245).

    n_kv_heads = n_heads is multi-head attention, n_kv_heads = 1 is multi-query attention. Scores
    are divided by sqrt(d_head). `rotation_of` computes the rotation that `forward` needs.

    Args:
        norm_eps: epsilon of the norms of queries and keys.
        window: positions a query sees, its own included; None = all before it.
    """

    def __init__(
        self, config: AttentionConfig, norm_eps: float = 1e-6, window: int | None = None
    ) -> None:
        super().__init__()
        self.config = config
        self.window = window
        width, kv_width = config.n_heads * config.d_head, config.n_kv_heads * config.d_head
        self.q = matrix(width, config.d_model)
        self.k = matrix(kv_width, config.d_model)
        self.v = matrix(kv_width, config.d_model)
        self.o = matrix(config.d_model, width, to_residual=True)
        self.q_bias = zeros(width) if config.qkv_bias else None
        self.k_bias = zeros(kv_width) if config.qkv_bias else None
        self.v_bias = zeros(kv_width) if config.qkv_bias else None
        self.o_bias = zeros(config.d_model) if config.o_bias else None
        self.q_norm: RMSNorm | None = None
        self.k_norm: RMSNorm | None = None
        if config.qk_norm != "none":
            over_heads = config.qk_norm == "all_heads"
            self.q_norm = RMSNorm(width if over_heads else config.d_head, norm_eps)
            self.k_norm = RMSNorm(kv_width if over_heads else config.d_head, norm_eps)
        self.sinks = zeros(config.n_heads) if config.sinks else None

    extra_repr = shapes

    def forward(
        self,
        x: Float[Tensor, "B L D"],
        by: Rotation | None,
        cache: KVCache | None = None,
        layer: int = 0,
    ) -> Float[Tensor, "B L D"]:
        q = self.heads(x, self.q, self.q_bias, self.q_norm)
        k = self.heads(x, self.k, self.k_bias, self.k_norm)
        v = self.heads(x, self.v, self.v_bias, None)
        if self.config.rope is not None:
            assert by is not None
            q, k = (rotate(heads, by, self.config.rope.interleaved) for heads in (q, k))
        if cache is not None:
            k, v = cache.append(layer, torch.cat((k, v), dim=1)).chunk(2, dim=1)
        y = causal_attention(q, k, v, self.window, self.sinks)
        return nn.functional.linear(y.transpose(1, 2).flatten(2), self.o, self.o_bias)

    def heads(
        self,
        x: Float[Tensor, "B L D"],
        weight: Float[Tensor, "Hd D"],
        bias: Float[Tensor, "Hd"] | None,
        norm: RMSNorm | None,
    ) -> Float[Tensor, "B H L d"]:
        """Project, normalize each head or all heads together, clip, and split into heads."""
        y = nn.functional.linear(x, weight, bias)
        if norm is not None:
            y = norm(y.unflatten(-1, (-1, *norm.normalized_shape))).flatten(-2)
        if self.config.clip_qkv is not None:
            y = y.clamp(-self.config.clip_qkv, self.config.clip_qkv)
        return y.unflatten(-1, (-1, self.config.d_head)).transpose(1, 2)


def causal_attention(
    q: Float[Tensor, "B H L d"],
    k: Float[Tensor, "B G S d"],
    v: Float[Tensor, "B G S dv"],
    window: int | None = None,
    sinks: Float[Tensor, "H"] | None = None,
    scale: float | None = None,
) -> Float[Tensor, "B H L dv"]:
    """Softmax attention of the last L of S positions, each over the positions up to its own.

    Query head h reads key head h // (H / G).

    Args:
        q, k, v: queries of the last L positions, keys and values of all S.
        window: positions a query sees, its own included; None = all before it.
        sinks: one more logit in the softmax of each head, without a value.
        scale: factor of the scores; None = 1 / sqrt(d).
    """
    n_new = q.shape[2]
    if window is not None:  # the first query's window is the earliest
        k, v = k[:, :, -(n_new + window - 1) :], v[:, :, -(n_new + window - 1) :]
    n_seen = k.shape[2]
    windowed = window is not None and window < n_seen
    causal = n_new > 1 and n_new == n_seen and not windowed and sinks is None
    mask = None
    if sinks is not None:
        seen = visible(n_new, n_seen, window, q.device)
        k, v, mask = _with_sinks(k, v, seen, sinks.to(q.dtype))
    elif n_new > 1 and not causal:
        mask = visible(n_new, n_seen, window, q.device)
    n_groups = k.shape[1]
    if n_new != 1:
        shared = bool(n_groups != q.shape[1])
        return attend(q, k, v, mask, is_causal=causal, enable_gqa=shared, scale=scale)
    # The query heads of a group become the queries of one head, so its keys are read once.
    mask = mask if mask is None else mask.view(n_groups, -1, mask.shape[-1])
    y = attend(q[:, :, 0].unflatten(1, (n_groups, -1)), k, v, mask, scale=scale)
    return y.flatten(1, 2)[:, :, None]


def attend(
    q: Float[Tensor, "... L d"],
    k: Float[Tensor, "... S d"],
    v: Float[Tensor, "... S dv"],
    mask: Tensor | None = None,
    **options: Any,
) -> Float[Tensor, "... L dv"]:
    """softmax(scale * q k^T + mask) v, by torch's kernels.

    The fused kernel for a CPU has neither forward-mode nor second derivatives. Plain operations
    compute those.
    """
    if fast.plain_only():
        with sdpa_kernel(SDPBackend.MATH):
            return nn.functional.scaled_dot_product_attention(q, k, v, mask, **options)
    if fast.allowed(q) and (mask is None or not mask.requires_grad):
        return fast.attention(q, k, v, mask, **options)
    return nn.functional.scaled_dot_product_attention(q, k, v, mask, **options)


def visible(
    n_new: int, n_seen: int, window: int | None, device: torch.device | None = None
) -> Bool[Tensor, "L S"]:
    """The mask of the last n_new of n_seen positions: True where a position sees another one.

    A position sees at most `window` positions, up to its own. With a window of 2, the last 2 of 3
    positions see positions (0, 1) and (1, 2).
    """
    own = n_seen - n_new
    seen = torch.ones(n_new, n_seen, dtype=torch.bool, device=device).tril(own)
    return seen if window is None else seen.triu(own - window + 1)


def _with_sinks(
    k: Float[Tensor, "B G S d"],
    v: Float[Tensor, "B G S dv"],
    seen: Bool[Tensor, "L S"],
    sinks: Float[Tensor, "H"],
) -> tuple[Float[Tensor, "B G S1 d"], Float[Tensor, "B G S1 dv"], Float[Tensor, "H L S1"]]:
    """Add a position with key 0 and value 0; the mask adds the sink to its score of 0."""
    unseen = torch.zeros_like(seen, dtype=sinks.dtype).masked_fill(~seen, -math.inf)
    sink = sinks[:, None, None].expand(-1, len(seen), 1)
    mask = torch.cat((unseen.expand(len(sinks), -1, -1), sink), dim=-1)
    return nn.functional.pad(k, (0, 0, 0, 1)), nn.functional.pad(v, (0, 0, 0, 1)), mask
