"""Rotary positions, and their scaling past the trained length."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from minimoe.config import AttentionConfig, LatentAttentionConfig, RopeConfig


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
        width: of the vectors that are turned; even.
        dtype: of the result; the angles are computed in float64.

    Returns:
        Without scaling, position 0 has cosine 1 and sine 0, and pair 0 turns by one radian a
        position. With linear scaling by 2, position 2p has the angles of p without scaling.
    """
    angles = positions.double()[:, None] * _frequencies(rope, width, positions.device)
    factor = _attention_factor(rope)
    return Rotation((angles.cos() * factor).to(dtype), (angles.sin() * factor).to(dtype))


def rotation_of(
    config: AttentionConfig | LatentAttentionConfig,
    positions: Int[Tensor, "L"],
    dtype: torch.dtype,
) -> Rotation | None:
    """The rotation for every layer with this attention; None without rotary positions."""
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
    """The factor of latent attention's scores: m(mscale_all_dim)^2 with YaRN, otherwise 1.

    m(s) = 1 + 0.1 s ln(factor). DeepSeek-V3 (factor 40, mscale_all_dim 1) has 1.3689^2 = 1.8739.
    """
    if rope.scaling != "yarn" or not rope.mscale_all_dim:
        return 1.0
    return _mscale(rope.factor, rope.mscale_all_dim) ** 2


def _mscale(factor: float, mscale: float) -> float:
    """m(s) = 1 + 0.1 s ln(factor); m(1) is the square root of YaRN's 1/t (arXiv 2309.00071)."""
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
    """Radians a position for every pair: a blend of the trained frequency and that over factor.

    The trained frequency has share 1 in pairs that turned often over the trained length; they tell
    near positions apart. It has share 0 in pairs that turned less than about once; they would meet
    new angles.
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
    linearly with the number of the pair, as in the published models. In the paper's equation
    (2309.00071, "NTK-by-parts") it falls linearly with the number of turns.
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
