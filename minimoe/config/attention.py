"""Configuration of attention and of rotary positions."""

from dataclasses import dataclass
from typing import Literal, get_args

from minimoe.config.checks import (
    check_choice,
    check_flag,
    check_integer,
    check_multiple,
    check_number,
    check_positive,
)
from minimoe.errors import InputError

RopeScaling = Literal["none", "linear", "llama3", "yarn"]
QKNorm = Literal["none", "head", "all_heads"]
LatentWay = Literal["auto", "naive", "absorbed"]


@dataclass(frozen=True, kw_only=True)
class RopeConfig:
    """Rotary positions (arXiv 2104.09864), and how they are stretched past the trained length.

    Args:
        base: base of the frequencies (theta).
        interleaved: a pair is (2i, 2i + 1), as DeepSeek stores it; otherwise (i, i + d / 2).
        scaling: "none"; "linear" divides every position by factor (arXiv 2306.15595); "llama3"
            divides the slow frequencies by it; "yarn" blends by frequency (arXiv 2309.00071).
        factor: by how much the trained length is stretched, at least 1.
        original_length: positions the model was trained with; needed by "llama3" and "yarn".
        low_freq_factor, high_freq_factor: of "llama3", where the blend begins and ends.
        beta_fast, beta_slow: of "yarn", rotations over original_length where the blend ends.
        truncate: of "yarn", round the ends of the blend to whole pairs.
        attention_factor: of "yarn", what cosine and sine are multiplied by; None = from mscale.
        mscale, mscale_all_dim: of "yarn" as DeepSeek uses it: cosine and sine are multiplied by
            m(mscale) / m(mscale_all_dim) and latent attention's scores by m(mscale_all_dim)^2,
            with m(s) = 1 + 0.1 s ln(factor); None = cosine and sine by m(1), scores by 1.

    Raises:
        InputError: a number is out of its range or contradicts another one.
    """

    base: float = 10_000.0
    interleaved: bool = False
    scaling: RopeScaling = "none"
    factor: float = 1.0
    original_length: int | None = None
    low_freq_factor: float = 1.0
    high_freq_factor: float = 4.0
    beta_fast: float = 32.0
    beta_slow: float = 1.0
    truncate: bool = True
    attention_factor: float | None = None
    mscale: float | None = None
    mscale_all_dim: float | None = None

    def __post_init__(self) -> None:
        check_choice("scaling", self.scaling, get_args(RopeScaling))
        for name in ("interleaved", "truncate"):
            check_flag(name, getattr(self, name))
        for name in ("base", "low_freq_factor", "high_freq_factor", "beta_fast", "beta_slow"):
            check_positive(name, getattr(self, name))
        if self.base <= 1:
            raise InputError(
                f"base must be above 1, so that later pairs turn slower, got {self.base}"
            )
        check_number("factor", self.factor, 1.0)
        for name in ("attention_factor", "mscale", "mscale_all_dim"):
            if getattr(self, name) is not None:
                check_number(name, getattr(self, name), 0.0)
        if self.original_length is not None:
            check_integer("original_length", self.original_length, 1)
        elif self.scaling in ("llama3", "yarn"):
            raise InputError(f'scaling="{self.scaling}" needs original_length, got None')
        if self.low_freq_factor >= self.high_freq_factor:
            raise InputError(
                f"low_freq_factor must be below high_freq_factor={self.high_freq_factor}, "
                f"got {self.low_freq_factor}"
            )
        if self.beta_slow > self.beta_fast:  # Kimi K2 has both at 1
            raise InputError(
                f"beta_slow must be at most beta_fast={self.beta_fast}, got {self.beta_slow}"
            )


@dataclass(frozen=True, kw_only=True)
class AttentionConfig:
    """Grouped-query attention (arXiv 2305.13245).

    Args:
        d_model: width of the residual stream (D).
        n_heads: query heads (H).
        n_kv_heads: key and value heads; n_heads = multi-head, 1 = multi-query attention.
        d_head: width of one head, even if rotary positions turn its pairs.
        rope: rotary positions; None = none (the model then learns an embedding of positions).
        qk_norm: RMSNorm of queries and keys before the rotation, over each head ("head", as in
            Qwen3) or over all heads at once ("all_heads", as in OLMoE).
        qkv_bias, o_bias: the projections to queries, keys and values, and the one back, add a bias.
        sliding_window: a query sees this many positions, its own included; None = all before it.
        sinks: every head has a learned logit that takes part in the softmax and has no value, as
            in gpt-oss.
        clip_qkv: queries, keys and values are cut to [-clip_qkv, clip_qkv] before the rotation.

    Raises:
        InputError: a number is out of its range or contradicts another one.
    """

    d_model: int
    n_heads: int
    n_kv_heads: int
    d_head: int
    rope: RopeConfig | None = RopeConfig()
    qk_norm: QKNorm = "none"
    qkv_bias: bool = False
    o_bias: bool = False
    sliding_window: int | None = None
    sinks: bool = False
    clip_qkv: float | None = None

    def __post_init__(self) -> None:
        for name in ("d_model", "n_heads", "d_head"):
            check_integer(name, getattr(self, name), 1)
        check_integer("n_kv_heads", self.n_kv_heads, 1, self.n_heads, "n_heads=")
        check_multiple("n_heads", self.n_heads, "n_kv_heads", self.n_kv_heads)
        if self.rope is not None and self.d_head % 2:
            raise InputError(f"d_head must be even, rotary positions turn pairs, got {self.d_head}")
        check_choice("qk_norm", self.qk_norm, get_args(QKNorm))
        for name in ("qkv_bias", "o_bias", "sinks"):
            check_flag(name, getattr(self, name))
        if self.sliding_window is not None:
            check_integer("sliding_window", self.sliding_window, 1)
        if self.clip_qkv is not None:
            check_positive("clip_qkv", self.clip_qkv)


@dataclass(frozen=True, kw_only=True)
class LatentAttentionConfig:
    """Multi-head latent attention, MLA (arXiv 2405.04434, section 2.1).

    Keys and values of all heads are computed from one latent vector a token; only it and one
    rotary key, shared by the heads, are cached.

    Args:
        d_model: width of the residual stream (D).
        n_heads: heads (H).
        kv_rank: width of the latent that keys and values are computed from.
        q_rank: width of the latent that queries are computed from; None = straight from x.
        d_nope: width of a head's query and key without position.
        d_rope: width of the rotary part of a head's query, and of the shared rotary key; even.
        d_value: width of a head's value.
        rope: rotary positions of the rotary part.
        bias: the projections to the two latents, and the one back, add a bias.
        norm_eps: epsilon of the RMSNorm of the two latents.
        way: "naive" expands every cached latent to keys and values; "absorbed" multiplies the
            query with the key matrix and attends over the latents themselves; "auto" does the
            latter where a cache has been read.

    Raises:
        InputError: a number is out of its range or contradicts another one.
    """

    d_model: int
    n_heads: int
    kv_rank: int
    d_nope: int
    d_rope: int
    d_value: int
    q_rank: int | None = None
    rope: RopeConfig = RopeConfig(interleaved=True)
    bias: bool = False
    norm_eps: float = 1e-6
    way: LatentWay = "auto"

    def __post_init__(self) -> None:
        for name in ("d_model", "n_heads", "kv_rank", "d_nope", "d_rope", "d_value"):
            check_integer(name, getattr(self, name), 1)
        if self.q_rank is not None:
            check_integer("q_rank", self.q_rank, 1)
        if self.d_rope % 2:
            raise InputError(f"d_rope must be even, rotary positions turn pairs, got {self.d_rope}")
        check_flag("bias", self.bias)
        check_positive("norm_eps", self.norm_eps)
        check_choice("way", self.way, get_args(LatentWay))
