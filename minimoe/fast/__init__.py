"""Faster functions for a CPU, with the same numbers as the plain ones.

`minimoe.model` contains every rule and formula. Each function here has a plain counterpart there,
and a test checks that both give the same numbers.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch
from torch import Tensor, nn
from torch.autograd import forward_ad

from minimoe.fast.cores import mixture
from minimoe.fast.gradients import attention, rms_norm
from minimoe.fast.sort import best

_PLAIN: ContextVar[bool] = ContextVar("plain", default=False)
_KINDS = (Tensor, nn.Parameter)
_DTYPES = (torch.float32, torch.float64)


def allowed(x: Tensor) -> bool:
    """Whether the fast functions may compute with `x` here and now.

    They are for eager execution of float32 and float64 on a CPU. Everything else takes the plain
    path: torch.compile, torch.export, torch.jit.trace, autocast, torch.func, forward-mode
    derivatives, other devices and dtypes, and subclasses of Tensor. The hand-written gradients call
    the plain path for a second derivative.
    """
    return (
        not torch.compiler.is_compiling()
        and type(x) in _KINDS
        and x.dtype in _DTYPES
        and x.is_cpu
        and not plain_only()
        and not torch.is_autocast_enabled("cpu")
        and not torch.jit.is_tracing()
    )


def plain_only() -> bool:
    """Whether plain operations are needed: torch.func, forward-mode derivatives, or `plain()`."""
    if torch.compiler.is_compiling():  # the compiler handles torch.func itself
        return False
    return (
        torch._C._are_functorch_transforms_active()
        or forward_ad._current_level >= 0
        or _PLAIN.get()
    )


@contextmanager
def plain() -> Iterator[None]:
    """Take the plain path inside this block, in this thread."""
    token = _PLAIN.set(True)
    try:
        yield
    finally:
        _PLAIN.reset(token)
