"""Comparison of a reader's result with the right one, in one sentence."""

from __future__ import annotations

from numbers import Real
from typing import Any

import torch
from torch import Tensor

TOLERANCES = {torch.float64: 1e-9, torch.float32: 1e-5, torch.bfloat16: 2e-2, torch.float16: 2e-3}


def difference(got: Any, wanted: Any, name: str = "the result", parts: tuple[str, ...] = ()) -> str:
    """Say how a result differs from the right one; "" where it does not.

    Numbers are equal within 1e-9 of their size (1e-5 for float32). A tuple may be a list, and a
    number may be a tensor without dimensions. `difference(3, 4) == "the result must be 4, got 3"`.

    Args:
        got: the reader's.
        wanted: the right one: a tensor, a number, text, or a tuple, list or dict of these.
        name: of the result, which starts the sentence.
        parts: names of the parts of a tuple.
    """
    if callable(wanted):  # among the arguments of a case
        return ""
    if isinstance(wanted, tuple | list):
        return _of_sequences(got, wanted, name, parts)
    if isinstance(wanted, dict):
        if not isinstance(got, dict) or set(got) != set(wanted):
            keys = list(got) if isinstance(got, dict) else _kind(got)
            return f"{name} must be a dict with the keys {list(wanted)}, got {keys}"
        return _first(difference(got[k], wanted[k], f"{name}[{k!r}]") for k in wanted)
    if isinstance(wanted, Tensor):
        return _of_tensors(got, wanted, name)
    if isinstance(wanted, bool | str) or wanted is None:
        same = (
            got.item() == wanted if isinstance(got, Tensor) and got.numel() == 1 else got == wanted
        )
        return "" if same is True else f"{name} must be {wanted!r}, got {_short(got)}"
    return _of_numbers(got, wanted, name)


def _of_sequences(got: Any, wanted: Any, name: str, parts: tuple[str, ...]) -> str:
    if not isinstance(got, tuple | list | Tensor) or len(got) != len(wanted):
        what = f"{_kind(got)} of {len(got)}" if hasattr(got, "__len__") else _kind(got)
        return f"{name} must hold {len(wanted)} values, got {what}"
    names = parts or [f"{name}[{place}]" for place in range(len(wanted))]
    return _first(difference(g, w, n) for g, w, n in zip(got, wanted, names, strict=True))


def _of_tensors(got: Any, wanted: Tensor, name: str) -> str:
    if not isinstance(got, Tensor):
        return f"{name} must be a tensor, got {_kind(got)}"
    if got.shape != wanted.shape:
        return f"{name} must have the shape {list(wanted.shape)}, got {list(got.shape)}"
    if got.dtype != wanted.dtype:
        return f"{name} must have the dtype {wanted.dtype}, got {got.dtype}"
    if wanted.is_floating_point():
        close = torch.isclose(
            got, wanted, rtol=TOLERANCES[wanted.dtype], atol=TOLERANCES[wanted.dtype]
        )
        wrong = ~(close | (got.isnan() & wanted.isnan()))
    else:
        wrong = got != wanted
    if not wrong.any():
        return ""
    place = tuple(wrong.nonzero()[0].tolist())
    where = f"{name}{list(place)}" if place else name
    return f"{where} must be {_short(wanted[place])}, got {_short(got[place])}"


def _of_numbers(got: Any, wanted: Any, name: str) -> str:
    value = got.item() if isinstance(got, Tensor) and got.numel() == 1 else got
    if isinstance(value, bool) or not isinstance(value, Real):
        return f"{name} must be a number, got {_kind(got)}"
    if value == wanted or abs(float(value) - float(wanted)) <= 1e-9 * max(1.0, abs(float(wanted))):
        return ""
    return f"{name} must be {_short(wanted)}, got {_short(value)}"


def _first(sentences: Any) -> str:
    return next((sentence for sentence in sentences if sentence), "")


def _kind(value: Any) -> str:
    return "None" if value is None else f"a {type(value).__name__}"


def _short(value: Any) -> str:
    value = value.item() if isinstance(value, Tensor) and value.numel() == 1 else value
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    text = " ".join(repr(value).split())
    return text if len(text) <= 60 else f"{text[:57]}..."
