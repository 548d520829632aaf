"""Second derivatives of functions with a hand-written gradient."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor


def plain_gradients(
    plain: Callable[..., Tensor], inputs: tuple[Tensor, ...], dy: Tensor
) -> tuple[Any, ...]:
    """The gradients of plain(*inputs), computed by operations that can be differentiated again.

    A hand-written backward calls this if gradients are enabled in it, that is, for a second
    derivative.

    Returns:
        One gradient for each input; None for an input that requires none.
    """
    # Views: an input may be computed from another one, and that path is not part of this gradient.
    views = [tensor.view_as(tensor) for tensor in inputs]
    wanted = [view for view in views if view.requires_grad]
    found = iter(torch.autograd.grad(plain(*views), wanted, dy, create_graph=True))
    return tuple(next(found) if view.requires_grad else None for view in views)
