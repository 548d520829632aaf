"""What does a token read from the tokens before it?"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from minimoe.config import AttentionConfig, ModelConfig


@dataclass(frozen=True)
class Rotation:
    """Cosine and sine of the rotary angles of L positions, for each of the d_head / 2 pairs."""

    cos: Float[Tensor, "L half"]
    sin: Float[Tensor, "L half"]


def rotation(positions: Int[Tensor, "L"], config: AttentionConfig, dtype: torch.dtype) -> Rotation:
    """Angles position * rope_base^(-2i / d_head) for the pairs i (arXiv 2104.09864, section 3.2.2).

    Position 0 has cosine 1 and sine 0; pair 0 turns by one radian a position.
    """
    pairs = torch.arange(0, config.d_head, 2, device=positions.device, dtype=torch.float64)
    angles = positions.double()[:, None] * config.rope.base ** (-pairs / config.d_head)
    return Rotation(angles.cos().to(dtype), angles.sin().to(dtype))


def rotate(x: Float[Tensor, "B H L d"], by: Rotation) -> Float[Tensor, "B H L d"]:
    """Turn the pairs (x[i], x[i + d_head / 2]) of every head by their angles."""
    first, second = x.chunk(2, dim=-1)
    return torch.cat((first * by.cos - second * by.sin, second * by.cos + first * by.sin), dim=-1)


class KVCache:
    """Keys and values of the positions already read, for every layer.

    It holds 2 * n_layers * n_kv_heads * d_head elements a token; `Transformer.forward` writes to
    the cache it is given.

    Args:
        config: the model's.
        n_sequences: sequences read side by side (B).
        length: positions there is room for.
        like: a tensor of the wanted dtype and device, for example one of the model's weights.
    """

    def __init__(self, config: ModelConfig, n_sequences: int, length: int, like: Tensor) -> None:
        heads, d_head = config.attention.n_kv_heads, config.attention.d_head
        self.n_read = 0
        self.room = length
        self.kv = like.new_zeros(config.n_layers, 2, n_sequences, heads, length, d_head)

    def append(
        self, layer: int, k: Float[Tensor, "B G L d"], v: Float[Tensor, "B G L d"]
    ) -> tuple[Float[Tensor, "B G S d"], Float[Tensor, "B G S d"]]:
        """Write one layer's new keys and values; return all of that layer's so far."""
        end = self.n_read + k.shape[2]
        self.kv[layer, 0, :, :, self.n_read : end] = k
        self.kv[layer, 1, :, :, self.n_read : end] = v
        return self.kv[layer, 0, :, :, :end], self.kv[layer, 1, :, :, :end]


class Attention(nn.Module):
    """Causal grouped-query attention (arXiv 2305.13245) with rotary positions.

    n_kv_heads = n_heads is multi-head attention, n_kv_heads = 1 is multi-query attention. Scores
    are divided by sqrt(d_head).
    """

    def __init__(self, config: AttentionConfig, norm_eps: float = 1e-6) -> None:
        super().__init__()
        self.config = config
        width, kv_width = config.n_heads * config.d_head, config.n_kv_heads * config.d_head
        self.q = nn.Parameter(torch.empty(width, config.d_model))
        self.k = nn.Parameter(torch.empty(kv_width, config.d_model))
        self.v = nn.Parameter(torch.empty(kv_width, config.d_model))
        self.o = nn.Parameter(torch.empty(config.d_model, width))
        self.q_norm = nn.RMSNorm(config.d_head, norm_eps) if config.qk_norm == "head" else None
        self.k_norm = nn.RMSNorm(config.d_head, norm_eps) if config.qk_norm == "head" else None

    def forward(
        self,
        x: Float[Tensor, "B L D"],
        by: Rotation,
        cache: KVCache | None = None,
        layer: int = 0,
    ) -> Float[Tensor, "B L D"]:
        q, k, v = (self.heads(x, weight) for weight in (self.q, self.k, self.v))
        if self.q_norm is not None and self.k_norm is not None:
            q, k = self.q_norm(q), self.k_norm(k)
        q, k = rotate(q, by), rotate(k, by)
        n_read = 0
        if cache is not None:
            n_read = cache.n_read
            k, v = cache.append(layer, k, v)
        y = causal_attention(q, k, v, n_read)
        return nn.functional.linear(y.transpose(1, 2).flatten(2), self.o)

    def heads(
        self, x: Float[Tensor, "B L D"], weight: Float[Tensor, "Hd D"]
    ) -> Float[Tensor, "B H L d"]:
        """Project and split into heads of width d_head."""
        heads = nn.functional.linear(x, weight).unflatten(-1, (-1, self.config.d_head))
        return heads.transpose(1, 2)


def causal_attention(
    q: Float[Tensor, "B H L d"],
    k: Float[Tensor, "B G S d"],
    v: Float[Tensor, "B G S d"],
    n_read: int,
) -> Float[Tensor, "B H L d"]:
    """Softmax attention in which query i, at position n_read + i, sees positions up to its own.

    Key head g serves the H / G query heads g * H / G onwards.
    """
    n_new, n_seen = q.shape[2], k.shape[2]
    mask = None
    if n_read and n_new > 1:
        mask = torch.ones(n_new, n_seen, dtype=torch.bool, device=q.device).tril(n_read)
    causal = mask is None and n_new > 1
    grouped = q.shape[1] != k.shape[1]
    return nn.functional.scaled_dot_product_attention(
        q, k, v, attn_mask=mask, is_causal=causal, enable_gqa=grouped
    )
