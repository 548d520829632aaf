"""FLOPs that a model executes, counted while it runs."""

from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode, sdpa_backward_flop_count, sdpa_flop_count

from minimoe.model.transformer import Transformer

aten = torch.ops.aten


def _attention_forward(q: Any, k: Any, v: Any, *args: Any, **kwargs: Any) -> int:
    return sdpa_flop_count(q, k, v)


def _attention_backward(grad: Any, q: Any, k: Any, v: Any, *args: Any, **kwargs: Any) -> int:
    return sdpa_backward_flop_count(grad, q, k, v)


def _matrix_vector(*args: Any, **kwargs: Any) -> int:
    """Matrix [N, D] by vector [D], with or without a vector added: 2 * N * D."""
    matrix = next(shape for shape in args if len(shape) == 2)
    return 2 * matrix[0] * matrix[1]


# torch's counter misses these: attention on a CPU, and the experts of a single token.
CUSTOM_FLOPS = {
    aten._scaled_dot_product_flash_attention_for_cpu: _attention_forward,
    aten._scaled_dot_product_flash_attention_for_cpu_backward: _attention_backward,
    aten.mv: _matrix_vector,
    aten.addmv_: _matrix_vector,
}


def measured_flops(
    model: Transformer, tokens: Int[Tensor, "B L"], *, backward: bool = False
) -> int:
    """Run the model and count the FLOPs of every matrix product.

    Returns:
        FLOPs of the whole batch, forward, or forward and backward. For a dropless model they are
        B * `count_flops(config, L).forward` (or `.training`), unless the experts are padded: then
        the padding is multiplied and counted too.
    """
    counter = FlopCounterMode(display=False, custom_mapping=CUSTOM_FLOPS)
    with torch.set_grad_enabled(backward), counter:
        logits, _ = model(tokens)
        if backward:
            torch.autograd.grad(logits.sum(), list(model.parameters()))
    return counter.get_total_flops()
