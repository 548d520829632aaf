"""A text and what the routers of a model decided for its bytes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy.typing import ArrayLike

from minimoe.errors import InputError


@dataclass(frozen=True)
class Sample:
    """A text and what the router of each MoE layer decided for its bytes.

    Args:
        title: a short name, such as "English".
        text: T bytes; each byte is one token.
        expert_ids: integers [n_layers, T, K], the experts chosen, from 0.
        weights: [n_layers, T, K], the combine weights of the chosen experts, 0 or more.
        kept: booleans [n_layers, T, K], False where an assignment was dropped; None: all kept.
        margin: [n_layers, T], the selection score of the last chosen expert minus that of the
            best one not chosen; infinite where every expert is chosen; None: not shown.
    """

    title: str
    text: bytes
    expert_ids: ArrayLike
    weights: ArrayLike
    kept: ArrayLike | None = None
    margin: ArrayLike | None = None


@dataclass(frozen=True)
class Routed:
    """A sample after checking, the K choices of each token sorted by falling weight."""

    title: str
    text: bytes
    expert_ids: Int[np.ndarray, "n_layers T K"]
    weights: Float[np.ndarray, "n_layers T K"]
    kept: Bool[np.ndarray, "n_layers T K"]
    margin: Float[np.ndarray, "n_layers T"] | None


def checked(sample: Sample, n_experts: int) -> Routed:
    """Check that the arrays of a sample fit each other, and sort each token's choices.

    Raises:
        InputError: shapes disagree, an expert is not in [0, n_experts), a weight is negative or
            not finite, or a margin is NaN.
    """
    ids, weights = _numpy(sample.expert_ids), _numpy(sample.weights).astype(np.float64)
    kept = np.ones(ids.shape, bool) if sample.kept is None else _numpy(sample.kept).astype(bool)
    margin = None if sample.margin is None else _numpy(sample.margin).astype(np.float64)
    name = f"sample {sample.title!r}"
    if ids.ndim != 3 or 0 in ids.shape:
        raise InputError(f"{name}: expert_ids must be [n_layers, T, K], got shape {ids.shape}")
    if ids.shape[1] != len(sample.text):
        raise InputError(
            f"{name}: expert_ids must hold one row per byte of text ({len(sample.text)}), "
            f"got {ids.shape[1]}"
        )
    for what, array, shape in (
        ("weights", weights, ids.shape),
        ("kept", kept, ids.shape),
        ("margin", margin, ids.shape[:2]),
    ):
        if array is not None and array.shape != shape:
            raise InputError(f"{name}: {what} must have shape {shape}, got {array.shape}")
    wrong = ids[(ids < 0) | (ids >= n_experts)]
    if wrong.size:
        raise InputError(
            f"{name}: expert_ids must lie in [0, n_experts={n_experts}), got {wrong[0]}"
        )
    bad = weights[~(np.isfinite(weights) & (weights >= 0))]
    if bad.size:
        raise InputError(f"{name}: weights must be finite and at least 0, got {bad[0]}")
    if margin is not None and np.isnan(margin).any():
        raise InputError(f"{name}: margin must be a number, got {np.isnan(margin).sum()} NaN")
    order = np.argsort(-weights, axis=-1, kind="stable")
    ids, weights, kept = (np.take_along_axis(a, order, -1) for a in (ids, weights, kept))
    return Routed(sample.title, sample.text, ids.astype(np.int64), weights, kept, margin)


def _numpy(values: Any) -> np.ndarray:
    """An array from anything numpy takes, tensors that carry a gradient included."""
    return np.asarray(values.detach().cpu() if hasattr(values, "detach") else values)


def glyphs(text: bytes) -> list[str | None]:
    """What each byte of a text shows: a character on its first byte, None on the further ones.

    Args:
        text: UTF-8, which may be cut anywhere; bytes that are no UTF-8 show as two hex digits.

    Returns:
        One entry per byte; `glyphs("é!".encode()) == ["é", None, "!"]` and
        `glyphs(b"\\xff") == ["FF"]`.
    """
    shown: list[str | None] = []
    while len(shown) < len(text):
        start = len(shown)
        for size in range(1, 5):
            try:
                char = text[start : start + size].decode("utf-8")
            except UnicodeDecodeError:
                continue
            shown += [char, *[None] * (size - 1)]
            break
        else:
            shown.append(f"{text[start]:02X}")
    return shown


def byte_labels(text: str) -> list[str]:
    """One label for each byte of a text, short enough for a figure and drawn by every font.

    Returns:
        The character for printable ASCII, "␣" for a space, and two hex digits for any other byte:
        `byte_labels("a é") == ["a", "␣", "c3", "a9"]`.
    """
    return [
        "␣" if byte == 0x20 else chr(byte) if 0x21 <= byte <= 0x7E else f"{byte:02x}"
        for byte in text.encode("utf-8", errors="surrogatepass")
    ]
