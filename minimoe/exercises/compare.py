"""Comparison of a reader's result with the right one, in one sentence."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import is_dataclass
from numbers import Integral, Real
from typing import Any

import torch
from torch import Tensor

TOLERANCES = {torch.float64: 1e-9, torch.float32: 1e-5, torch.bfloat16: 2e-2, torch.float16: 2e-3}
LONGEST = 60  # characters of a value in a sentence


def difference(got: Any, wanted: Any, name: str = "the result", parts: tuple[str, ...] = ()) -> str:
    """Say how a result differs from the right one; "" where it does not.

    Whole numbers must be equal. Other numbers may differ by 1e-9 of their size, or by 1e-9 if they
    are smaller than 1 (1e-5 in float32). A tuple may be a list or an array, and a number may be a
    tensor of one element. `difference(3, 4) == "the result must be 4, got 3"`.

    Args:
        got: the reader's.
        wanted: the right one: a tensor, a number, text, or a tuple, list or dict of these; other
            values must be equal. Any two functions count as equal.
        name: of the result, which starts the sentence.
        parts: names of the parts of a tuple.
    """
    if callable(wanted):
        return "" if callable(got) else f"{name} must be a function, got {kind(got)}"
    if isinstance(wanted, tuple | list):
        return _of_sequences(got, wanted, name, parts)
    if isinstance(wanted, dict):
        return _of_dicts(got, wanted, name)
    if isinstance(wanted, Tensor):
        return _of_tensors(got, wanted, name)
    if hasattr(wanted, "tolist"):  # of numpy
        return difference(got, wanted.tolist(), name)
    if isinstance(wanted, Real) and not isinstance(wanted, bool):
        return _of_numbers(got, wanted, name)
    value = _plain(got)
    if type(value) is type(wanted):
        if is_dataclass(wanted):  # its fields may be tensors, which have no single ==
            return difference(vars(value), vars(wanted), name)
        if value == wanted:
            return ""
    return _must_be(name, wanted, value)


def _of_sequences(got: Any, wanted: Any, name: str, parts: tuple[str, ...]) -> str:
    size = len(got) if hasattr(got, "__len__") and getattr(got, "shape", None) != () else None
    if size is None or not (isinstance(got, tuple | list) or hasattr(got, "shape")):
        return f"{name} must be a {type(wanted).__name__} of {len(wanted)} values, got {kind(got)}"
    if size != len(wanted):
        return f"{name} must hold {len(wanted)} values, got {kind(got)} of {size}"
    names = parts or [f"{name}[{place}]" for place in range(len(wanted))]
    return _first(difference(g, w, n) for g, w, n in zip(got, wanted, names, strict=True))


def _of_dicts(got: Any, wanted: dict[Any, Any], name: str) -> str:
    if not isinstance(got, dict) or set(got) != set(wanted):
        keys = short(list(got)) if isinstance(got, dict) else kind(got)
        return f"{name} must be a dict with the keys {short(list(wanted))}, got {keys}"
    return _first(difference(got[k], wanted[k], f"{name}[{k!r}]") for k in wanted)


def _of_tensors(got: Any, wanted: Tensor, name: str) -> str:
    if not isinstance(got, Tensor):
        return f"{name} must be a tensor, got {kind(got)}"
    if got.shape != wanted.shape:
        return f"{name} must have the shape {list(wanted.shape)}, got {list(got.shape)}"
    if got.dtype != wanted.dtype and not (_is_whole(got) and _is_whole(wanted)):
        return f"{name} must have the dtype {wanted.dtype}, got {got.dtype}"
    if wanted.is_floating_point():
        tolerance = TOLERANCES[wanted.dtype]
        close = torch.isclose(got, wanted, rtol=tolerance, atol=tolerance, equal_nan=True)
    else:
        close = got == wanted
    if close.all():
        return ""
    place = tuple((~close).nonzero()[0].tolist())
    where = f"{name}{list(place)}" if place else name
    return _must_be(where, wanted[place], got[place])


def _is_whole(tensor: Tensor) -> bool:
    return not (tensor.is_floating_point() or tensor.is_complex() or tensor.dtype is torch.bool)


def _of_numbers(got: Any, wanted: Any, name: str) -> str:
    value = _plain(got)
    if isinstance(value, bool) or not isinstance(value, Real):
        return f"{name} must be a number, got {kind(got)}"
    if isinstance(wanted, Integral):
        same = value == wanted
    else:
        both_missing = value != value and wanted != wanted  # NaN
        same = both_missing or math.isclose(value, wanted, rel_tol=1e-9, abs_tol=1e-9)
    return "" if same else _must_be(name, wanted, value)


def _first(sentences: Iterable[str]) -> str:
    return next((sentence for sentence in sentences if sentence), "")


def _plain(value: Any) -> Any:
    """The Python value in a tensor or numpy array of one element."""
    count = value.numel() if isinstance(value, Tensor) else getattr(value, "size", None)
    return value.item() if hasattr(value, "item") and count == 1 else value


def kind(value: Any) -> str:
    """A value's type with its article: "a list", "an int", "None"."""
    name = type(value).__name__
    article = "an" if name[0].lower() in "aeiou" or name == "ndarray" else "a"
    return "None" if value is None else f"{article} {name}"


def _must_be(name: str, wanted: Any, got: Any) -> str:
    """Both values with as many digits as it takes to tell them apart."""
    for digits in (6, 10, 17):
        right, given = short(wanted, digits), short(got, digits)
        if right != given:
            break
    return f"{name} must be {right}, got {given}"


def short(value: Any, digits: int = 6) -> str:
    """A value in one line of at most 60 characters; `short(1234) == "1,234"`."""
    value = _plain(value)
    if isinstance(value, float):
        large = 1e6 <= abs(value) < 1e15
        return f"{value:,.3f}" if large and digits < 17 else f"{value:.{digits}g}"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    try:
        text = " ".join(repr(value).split())
    except Exception:
        text = kind(value)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 3]}..."
