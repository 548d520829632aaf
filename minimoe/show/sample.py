"""A text and what the routers of a model decided for its bytes."""

from dataclasses import dataclass, replace

import numpy as np

from minimoe.errors import InputError


@dataclass(frozen=True)
class Sample:
    """A text and what the router of each MoE layer decided for its bytes.

    Args:
        title: a short name, such as "English".
        text: T bytes; each byte is one token.
        expert_ids: integers [n_layers, T, K], the experts chosen, from 0.
        weights: [n_layers, T, K], the combine weights of the chosen experts, 0 or more.
        kept: booleans [n_layers, T, K], False where an assignment was dropped.
        margin: [n_layers, T], the selection score of the last chosen expert minus that of the
            best one not chosen; infinite where every expert is chosen.
    """

    title: str
    text: bytes
    expert_ids: np.ndarray
    weights: np.ndarray
    kept: np.ndarray
    margin: np.ndarray


def checked(sample: Sample, n_experts: int) -> Sample:
    """The sample with each token's K choices sorted by falling weight.

    Raises:
        InputError: shapes disagree, an expert is not in [0, n_experts), a weight is negative or
            not finite, or a margin is NaN.
    """
    ids, weights, name = sample.expert_ids, sample.weights, f"sample {sample.title!r}"
    if ids.ndim != 3 or 0 in ids.shape:
        raise InputError(f"{name}: expert_ids must be [n_layers, T, K], got shape {ids.shape}")
    if ids.shape[1] != len(sample.text):
        raise InputError(
            f"{name}: expert_ids must hold one row per byte of text ({len(sample.text)}), "
            f"got {ids.shape[1]}"
        )
    shapes = {"weights": ids.shape, "kept": ids.shape, "margin": ids.shape[:2]}
    for field, shape in shapes.items():
        found = getattr(sample, field).shape
        if found != shape:
            raise InputError(f"{name}: {field} must have shape {shape}, got {found}")
    wrong = ids[(ids < 0) | (ids >= n_experts)]
    if wrong.size:
        raise InputError(
            f"{name}: expert_ids must lie in [0, n_experts={n_experts}), got {wrong[0]}"
        )
    bad = weights[~(np.isfinite(weights) & (weights >= 0))]
    if bad.size:
        raise InputError(f"{name}: weights must be finite and at least 0, got {bad[0]}")
    n_nan = np.isnan(sample.margin).sum()
    if n_nan:
        raise InputError(f"{name}: margin must be a number, got {n_nan} NaN")
    order = np.argsort(-weights, axis=-1, kind="stable")
    ids, weights, kept = (np.take_along_axis(a, order, -1) for a in (ids, weights, sample.kept))
    return replace(sample, expert_ids=ids, weights=weights.astype(np.float64), kept=kept)


def characters(text: bytes) -> list[bytes]:
    """The bytes of each UTF-8 character; a byte that belongs to none stands alone."""
    decoded = text.decode("utf-8", "surrogateescape")
    return [char.encode("utf-8", "surrogateescape") for char in decoded]


def glyphs(text: bytes) -> list[str | None]:
    """What each byte of a text shows: a character on its first byte, None on the further ones.

    Args:
        text: UTF-8, which may be cut anywhere; bytes that are no UTF-8 show as two hex digits.

    Returns:
        One entry per byte; `glyphs("é!".encode()) == ["é", None, "!"]` and
        `glyphs(b"\\xff") == ["FF"]`.
    """
    shown: list[str | None] = []
    for char in characters(text):
        alone = len(char) == 1 and char >= b"\x80"
        shown += [f"{char[0]:02X}" if alone else char.decode(), *[None] * (len(char) - 1)]
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
