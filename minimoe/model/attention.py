"""What does a token read from the tokens before it?"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from minimoe.config import AttentionConfig, LatentAttentionConfig, ModelConfig, RopeConfig
from minimoe.model.init import parameter_if
from minimoe.model.norm import RMSNorm


@dataclass(frozen=True)
class Rotation:
    """Cosine and sine of the rotary angles of L positions, for each of the width / 2 pairs.

    Both are multiplied by YaRN's attention factor where the scaling has one.
    """

    cos: Float[Tensor, "L half"]
    sin: Float[Tensor, "L half"]


def rotation(
    positions: Int[Tensor, "L"], rope: RopeConfig, width: int, dtype: torch.dtype
) -> Rotation:
    """Angles position * base^(-2i / width) for the pairs i (arXiv 2104.09864, section 3.2.2).

    Args:
        positions: of the tokens, from 0.
        rope: the base, and how the frequencies are scaled.
        width: of the vectors that are turned; even.
        dtype: of the result; the angles are computed in float64.

    Returns:
        Without scaling position 0 has cosine 1 and sine 0, and pair 0 turns by one radian a
        position. With linear scaling by 2, position 2p has the angles that p has without.
    """
    angles = positions.double()[:, None] * _frequencies(rope, width, positions.device)
    factor = _attention_factor(rope)
    return Rotation((angles.cos() * factor).to(dtype), (angles.sin() * factor).to(dtype))


def rotation_of(
    config: AttentionConfig | LatentAttentionConfig,
    positions: Int[Tensor, "L"],
    dtype: torch.dtype,
) -> Rotation | None:
    """The rotation that every layer with this attention needs; None without rotary positions."""
    if config.rope is None:
        return None
    width = config.d_head if isinstance(config, AttentionConfig) else config.d_rope
    return rotation(positions, config.rope, width, dtype)


def rotate(
    x: Float[Tensor, "B H L d"], by: Rotation, interleaved: bool = False
) -> Float[Tensor, "B H L d"]:
    """Turn the pairs of every head by their angles.

    A pair is (x[i], x[i + d / 2]), or (x[2i], x[2i + 1]) if interleaved.
    """
    if interleaved:
        first, second = x.unflatten(-1, (-1, 2)).unbind(-1)
    else:
        first, second = x.chunk(2, dim=-1)
    turned = first * by.cos - second * by.sin, second * by.cos + first * by.sin
    return torch.stack(turned, dim=-1).flatten(-2) if interleaved else torch.cat(turned, dim=-1)


def rope_score_factor(rope: RopeConfig) -> float:
    """What latent attention's scores are multiplied by, m(mscale_all_dim)^2 with YaRN, else 1.

    m(s) = 1 + 0.1 s ln(factor). DeepSeek-V3 (factor 40, mscale_all_dim 1) has 1.3689^2 = 1.8739.
    """
    if rope.scaling != "yarn" or not rope.mscale_all_dim:
        return 1.0
    return _mscale(rope.factor, rope.mscale_all_dim) ** 2


def _mscale(factor: float, mscale: float) -> float:
    """m(s) = 1 + 0.1 s ln(factor): with s = 1 the root of YaRN's 1/t (arXiv 2309.00071)."""
    return 1.0 + 0.1 * mscale * math.log(factor)


def _attention_factor(rope: RopeConfig) -> float:
    if rope.scaling != "yarn":
        return 1.0
    if rope.attention_factor is not None:
        return rope.attention_factor
    if rope.mscale and rope.mscale_all_dim:
        return _mscale(rope.factor, rope.mscale) / _mscale(rope.factor, rope.mscale_all_dim)
    return _mscale(rope.factor, 1.0)


def _frequencies(rope: RopeConfig, width: int, device: torch.device) -> Float[Tensor, "half"]:
    """Radians a position for every pair: a share stays as trained, the rest is divided by factor.

    The share is 1 for pairs that turned often over the trained length, so that near positions stay
    apart, and 0 for those that turned less than about once, which would see new angles.
    """
    pairs = torch.arange(0, width, 2, device=device, dtype=torch.float64)
    trained = rope.base ** (-pairs / width)
    if rope.scaling == "none":
        return trained
    kept = torch.zeros_like(trained)
    if rope.scaling == "llama3":
        assert rope.original_length is not None  # RopeConfig refuses llama3 and yarn without it
        turns = rope.original_length * trained / (2 * math.pi)
        kept = (turns - rope.low_freq_factor) / (rope.high_freq_factor - rope.low_freq_factor)
    elif rope.scaling == "yarn":
        first, last = _yarn_range(rope, width)
        kept = 1 - (pairs / 2 - first) / (last - first)
    kept = kept.clamp(0, 1)
    return trained * (kept + (1 - kept) / rope.factor)


def _yarn_range(rope: RopeConfig, width: int) -> tuple[float, float]:
    """The pairs between which YaRN's share falls from 1 to 0.

    They turn beta_fast and beta_slow times over the trained length. Between them the share falls
    linearly with the number of the pair, as in the models; in the paper's equation (2309.00071,
    "NTK-by-parts") it falls linearly with the number of turns.
    """
    assert rope.original_length is not None
    first, last = (
        width * math.log(rope.original_length / (2 * math.pi * turns)) / (2 * math.log(rope.base))
        for turns in (rope.beta_fast, rope.beta_slow)
    )
    if rope.truncate:
        first, last = float(math.floor(first)), float(math.ceil(last))
    first, last = max(first, 0.0), min(last, width - 1.0)
    return first, last + 0.001 if first == last else last  # a step, without dividing by 0


class KVCache:
    """What the layers keep of the positions already read.

    Grouped-query attention keeps its keys and values, 2 * n_kv_heads * d_head elements a token and
    layer; latent attention its normed latent and its rotated key, kv_rank + d_rope elements.
    `Transformer.forward` writes to the cache it is given.

    Args:
        config: the model's.
        n_sequences: sequences read side by side (B).
        length: positions there is room for.
        like: a tensor of the wanted dtype and device, for example one of the model's weights.
    """

    def __init__(self, config: ModelConfig, n_sequences: int, length: int, like: Tensor) -> None:
        attention = config.attention
        if isinstance(attention, AttentionConfig):
            vectors, width = 2 * attention.n_kv_heads, attention.d_head
        else:
            vectors, width = 1, attention.kv_rank + attention.d_rope
        self.n_read = 0
        self.room = length
        self.kv = like.new_zeros(config.n_layers, n_sequences, vectors, length, width)

    @property
    def n_bytes(self) -> int:
        """Bytes of memory held, for all of its room."""
        return self.kv.numel() * self.kv.element_size()

    def append(self, layer: int, new: Float[Tensor, "B R L w"]) -> Float[Tensor, "B R S w"]:
        """Write one layer's new vectors; return all of that layer's so far."""
        end = self.n_read + new.shape[2]
        self.kv[layer, :, :, self.n_read : end] = new
        return self.kv[layer, :, :, :end]


class Attention(nn.Module):
    """Causal grouped-query attention (arXiv 2305.13245).

    n_kv_heads = n_heads is multi-head attention, n_kv_heads = 1 is multi-query attention. Scores
    are divided by sqrt(d_head). `forward` is given the rotation that `rotation_of` computes.

    Args:
        config: sizes and rules.
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
        self.q = nn.Parameter(torch.empty(width, config.d_model))
        self.k = nn.Parameter(torch.empty(kv_width, config.d_model))
        self.v = nn.Parameter(torch.empty(kv_width, config.d_model))
        self.o = nn.Parameter(torch.empty(config.d_model, width))
        self.q_bias = parameter_if(config.qkv_bias, width)
        self.k_bias = parameter_if(config.qkv_bias, kv_width)
        self.v_bias = parameter_if(config.qkv_bias, kv_width)
        self.o_bias = parameter_if(config.o_bias, config.d_model)
        self.q_norm: RMSNorm | None = None
        self.k_norm: RMSNorm | None = None
        if config.qk_norm != "none":
            over_heads = config.qk_norm == "all_heads"
            self.q_norm = RMSNorm(width if over_heads else config.d_head, norm_eps)
            self.k_norm = RMSNorm(kv_width if over_heads else config.d_head, norm_eps)
        self.sinks = parameter_if(config.sinks, config.n_heads)

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
        """Project, normalize over each head or all of them, clip, split into heads."""
        y = nn.functional.linear(x, weight, bias)
        if norm is not None:
            y = norm(y.unflatten(-1, (-1, *norm.normalized_shape))).flatten(-2)
        if self.config.clip_qkv is not None:
            y = y.clamp(-self.config.clip_qkv, self.config.clip_qkv)
        return y.unflatten(-1, (-1, self.config.d_head)).transpose(1, 2)


class LatentAttention(nn.Module):
    """Multi-head latent attention, MLA (arXiv 2405.04434, section 2.1).

    Keys and values are kv_up @ c, with c = the normed latent of a token; a head's key and query
    end in a rotary part, and the rotary key is shared by all heads. Scores are divided by
    sqrt(d_nope + d_rope) and multiplied by `rope_score_factor`.

    (kv_up c) . q = c . (kv_up^T q): the absorbed way moves the matrix from all keys to the new
    queries, and attends over the latents as if they were one head's keys and values.
    """

    def __init__(self, config: LatentAttentionConfig) -> None:
        super().__init__()
        self.config = config
        q_width = config.n_heads * (config.d_nope + config.d_rope)
        kv_width = config.n_heads * (config.d_nope + config.d_value)
        self.q: nn.Parameter | None = None
        self.q_down: nn.Parameter | None = None
        self.q_norm: RMSNorm | None = None
        self.q_up: nn.Parameter | None = None
        if config.q_rank is None:
            self.q = nn.Parameter(torch.empty(q_width, config.d_model))
        else:
            self.q_down = nn.Parameter(torch.empty(config.q_rank, config.d_model))
            self.q_norm = RMSNorm(config.q_rank, config.norm_eps)
            self.q_up = nn.Parameter(torch.empty(q_width, config.q_rank))
        self.kv_down = nn.Parameter(torch.empty(config.kv_rank + config.d_rope, config.d_model))
        self.kv_norm = RMSNorm(config.kv_rank, config.norm_eps)
        self.kv_up = nn.Parameter(torch.empty(kv_width, config.kv_rank))
        self.o = nn.Parameter(torch.empty(config.d_model, config.n_heads * config.d_value))
        self.q_down_bias = parameter_if(
            config.bias and config.q_rank is not None, config.q_rank or 0
        )
        self.kv_down_bias = parameter_if(config.bias, config.kv_rank + config.d_rope)
        self.o_bias = parameter_if(config.bias, config.d_model)
        self.scale = (config.d_nope + config.d_rope) ** -0.5 * rope_score_factor(config.rope)

    def forward(
        self,
        x: Float[Tensor, "B L D"],
        by: Rotation | None,
        cache: KVCache | None = None,
        layer: int = 0,
    ) -> Float[Tensor, "B L D"]:
        assert by is not None
        q_nope, q_rope = self.queries(x, by)
        kept = self.latents(x, by)
        n_read = 0
        if cache is not None:
            n_read = cache.n_read
            kept = cache.append(layer, kept)
        way = self.config.way
        if way == "auto":
            way = "absorbed" if n_read else "naive"
        attend = self.absorbed if way == "absorbed" else self.naive
        y = attend(q_nope, q_rope, kept)
        return nn.functional.linear(y.transpose(1, 2).flatten(2), self.o, self.o_bias)

    def queries(
        self, x: Float[Tensor, "B L D"], by: Rotation
    ) -> tuple[Float[Tensor, "B H L nope"], Float[Tensor, "B H L rope"]]:
        """Every head's query: the part without position, and the rotated part."""
        if self.q is not None:
            q = nn.functional.linear(x, self.q)
        else:
            assert self.q_down is not None and self.q_norm is not None and self.q_up is not None
            latent = self.q_norm(nn.functional.linear(x, self.q_down, self.q_down_bias))
            q = nn.functional.linear(latent, self.q_up)
        heads = q.unflatten(-1, (self.config.n_heads, -1)).transpose(1, 2)
        nope, rope = heads.split((self.config.d_nope, self.config.d_rope), dim=-1)
        return nope, rotate(rope, by, self.config.rope.interleaved)

    def latents(self, x: Float[Tensor, "B L D"], by: Rotation) -> Float[Tensor, "B 1 L kept"]:
        """What is kept of a token: its normed latent, then the rotary key that all heads share."""
        down = nn.functional.linear(x, self.kv_down, self.kv_down_bias)[:, None]
        latent, key = down.split((self.config.kv_rank, self.config.d_rope), dim=-1)
        key = rotate(key, by, self.config.rope.interleaved)
        return torch.cat((self.kv_norm(latent), key), dim=-1)

    def naive(
        self,
        q_nope: Float[Tensor, "B H L nope"],
        q_rope: Float[Tensor, "B H L rope"],
        kept: Float[Tensor, "B 1 S kept"],
    ) -> Float[Tensor, "B H L value"]:
        """Attend over the keys and values that the latents stand for."""
        config = self.config
        latent, k_rope = kept.split((config.kv_rank, config.d_rope), dim=-1)
        kv = nn.functional.linear(latent[:, 0], self.kv_up).unflatten(-1, (config.n_heads, -1))
        k_nope, v = kv.transpose(1, 2).split((config.d_nope, config.d_value), dim=-1)
        k = torch.cat((k_nope, k_rope.expand(-1, config.n_heads, -1, -1)), dim=-1)
        return causal_attention(torch.cat((q_nope, q_rope), dim=-1), k, v, scale=self.scale)

    def absorbed(
        self,
        q_nope: Float[Tensor, "B H L nope"],
        q_rope: Float[Tensor, "B H L rope"],
        kept: Float[Tensor, "B 1 S kept"],
    ) -> Float[Tensor, "B H L value"]:
        """Attend over the latents themselves: the same numbers, without keys and values."""
        config = self.config
        kv_up = self.kv_up.unflatten(0, (config.n_heads, -1))
        key_up, value_up = kv_up.split((config.d_nope, config.d_value), dim=1)
        q = torch.cat((q_nope @ key_up, q_rope), dim=-1)
        n_new, mask = q.shape[2], None
        if n_new > 1:
            mask = visible(n_new, kept.shape[2], None, q.device).repeat(config.n_heads, 1)
        # All heads read the same latents: as one head with H * L queries nothing is copied.
        y = nn.functional.scaled_dot_product_attention(
            q.flatten(1, 2)[:, None],
            kept,
            kept[..., : config.kv_rank],
            attn_mask=mask,
            scale=self.scale,
        )
        return y[:, 0].unflatten(1, (config.n_heads, n_new)) @ value_up.mT


def make_attention(config: ModelConfig, layer: int) -> Attention | LatentAttention:
    """The attention of block `layer` (counted from 0)."""
    if isinstance(config.attention, LatentAttentionConfig):
        return LatentAttention(config.attention)
    return Attention(config.attention, config.norm_eps, config.window_of(layer))


def causal_attention(
    q: Float[Tensor, "B H L d"],
    k: Float[Tensor, "B G S d"],
    v: Float[Tensor, "B G S dv"],
    window: int | None = None,
    sinks: Float[Tensor, "H"] | None = None,
    scale: float | None = None,
) -> Float[Tensor, "B H L dv"]:
    """Softmax attention of the last L of S positions; each sees those up to its own.

    Key head g serves the H / G query heads g * H / G onwards.

    Args:
        q: of the last L positions.
        k, v: of all S positions.
        window: positions a query sees, its own included; None = all before it.
        sinks: logit of every head that takes part in the softmax and has no value.
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
    attend = nn.functional.scaled_dot_product_attention
    n_groups = k.shape[1]
    if n_new != 1:
        shared = n_groups != q.shape[1]
        return attend(q, k, v, mask, is_causal=causal, enable_gqa=shared, scale=scale)
    # The heads of a group ask as so many queries of one head, which reads its keys once.
    mask = mask if mask is None else mask.view(n_groups, -1, mask.shape[-1])
    y = attend(q[:, :, 0].unflatten(1, (n_groups, -1)), k, v, mask, scale=scale)
    return y.flatten(1, 2)[:, :, None]


def visible(
    n_new: int, n_seen: int, window: int | None, device: torch.device | None = None
) -> Bool[Tensor, "L S"]:
    """Which of n_seen positions each of the last n_new sees: at most `window`, up to its own.

    2 new of 3 positions with a window of 2 see positions (0, 1) and (1, 2).
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
    """One more position with key 0 and value 0: its score is what the mask adds, the sink."""
    unseen = torch.zeros_like(seen, dtype=sinks.dtype).masked_fill(~seen, -math.inf)
    sink = sinks[:, None, None].expand(-1, len(seen), 1)
    mask = torch.cat((unseen.expand(len(sinks), -1, -1), sink), dim=-1)
    return nn.functional.pad(k, (0, 0, 0, 1)), nn.functional.pad(v, (0, 0, 0, 1)), mask
