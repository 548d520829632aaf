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
    """Rotary positions (arXiv 2104.09864), and their scaling past the trained length.

    Args:
        base: base of the frequencies (theta).
        interleaved: pairs are (2i, 2i + 1), as in DeepSeek; otherwise (i, i + d / 2).
        scaling: "none"; "linear" divides every position by factor (arXiv 2306.15595); "llama3"
            divides the slow frequencies by factor; "yarn" divides each frequency by a blend of 1
            and factor (arXiv 2309.00071).
        factor: new length divided by trained length, at least 1.
        original_length: positions the model was trained with; needed by "llama3" and "yarn".
        low_freq_factor, high_freq_factor: for "llama3", where the blend begins and ends.
        beta_fast, beta_slow: for "yarn", the ends of the blend, in turns over original_length.
        truncate: for "yarn", round the ends of the blend to whole pairs.
        attention_factor: for "yarn", the factor of cosine and sine; None = from mscale.
        mscale, mscale_all_dim: for "yarn" in DeepSeek's models. With m(s) = 1 + 0.1 s ln(factor),
            cosine and sine are multiplied by m(mscale) / m(mscale_all_dim). The scores of latent
            attention are multiplied by m(mscale_all_dim)^2. None = factors m(1) and 1.

    Raises:
        InputError: a value is out of its range or contradicts another one.
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
        d_head: width of one head; with rotary positions an even number, because they turn pairs.
        rope: rotary positions; None = without (the model then learns an embedding of positions).
        qk_norm: RMSNorm of queries and keys before the rotation: "head" normalizes each head (as in
            Qwen3), "all_heads" all heads together (as in OLMoE).
        qkv_bias: the projections to queries, keys and values have biases.
        o_bias: the projection back to the residual stream has a bias.
        sliding_window: positions a query sees, its own included; None = all positions before it.
        sinks: every head has one more logit in its softmax, which is learned and has no value (as
            in gpt-oss).
        clip_qkv: clamp queries, keys and values to [-clip_qkv, clip_qkv] before the rotation.

    Raises:
        InputError: a value is out of its range or contradicts another one.
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
            raise InputError(f"d_head must be a multiple of 2, for rotary pairs, got {self.d_head}")
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

    Each token has one latent vector, from which the keys and values of all heads are computed. The
    cache holds only this latent and one rotary key, which all heads share.

    Args:
        d_model: width of the residual stream (D).
        n_heads: heads (H).
        kv_rank: width of the latent that keys and values are computed from.
        q_rank: width of the latent that queries are computed from; None = directly from x.
        d_nope: width of the part of a head's query and key without position.
        d_rope: width of the rotary part of a head's query, and of the shared rotary key; even.
        d_value: width of a head's value.
        rope: rotary positions of the rotary part.
        bias: the projections to the two latents and back to the residual stream have biases.
        norm_eps: epsilon of the RMSNorm of the two latents.
        way: "naive" computes keys and values from every cached latent. "absorbed" multiplies the
            query by the key matrix and attends over the latents. "auto" is absorbed once the cache
            holds earlier positions, and naive before.

    Raises:
        InputError: a value is out of its range or contradicts another one.
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
            raise InputError(f"d_rope must be a multiple of 2, for rotary pairs, got {self.d_rope}")
        check_flag("bias", self.bias)
        check_positive("norm_eps", self.norm_eps)
        check_choice("way", self.way, get_args(LatentWay))
