"""How many floating-point operations does a token cost, by formula and by counting them?"""

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode, sdpa_backward_flop_count, sdpa_flop_count

from minimoe.config import InputError, ModelConfig
from minimoe.measure.parameters import count_parameters
from minimoe.model.transformer import Transformer

aten = torch.ops.aten


@dataclass(frozen=True)
class FlopCount:
    """FLOPs of one sequence's forward pass, matrix products only, 2 per multiply-add.

    Attributes:
        weights: products with weights, router and head included.
        attention: scores and weighted sums over all L * L pairs of positions: the causal mask is
            not discounted, as is usual, though a kernel may skip what it hides.
        length: positions of the sequence (L).
    """

    weights: int
    attention: int
    length: int

    @property
    def forward(self) -> int:
        """FLOPs of the forward pass of one sequence."""
        return self.weights + self.attention

    @property
    def training(self) -> int:
        """FLOPs of forward and backward.

        Backward costs twice the forward for weights; for attention 2.5 times, because the scores
        are computed once more instead of being kept.
        """
        return 3 * self.weights + self.attention + self.attention * 5 // 2

    @property
    def forward_per_token(self) -> float:
        """FLOPs of the forward pass for one token of the sequence."""
        return self.forward / self.length

    @property
    def training_per_token(self) -> float:
        """FLOPs of forward and backward for one token of the sequence."""
        return self.training / self.length


def count_flops(config: ModelConfig, length: int) -> FlopCount:
    """Count FLOPs by formula, dropless.

    Returns:
        FLOPs of a sequence. Weights cost 2 FLOPs for each active parameter that is in a matrix:
        without the input embedding (a look-up) and the norms.

    Raises:
        InputError: length is below 1.
    """
    if length < 1:
        raise InputError(f"length must be at least 1 position, got {length}")
    count = count_parameters(config)
    head = count.embedding if config.tie_embeddings else 0
    matrices = count.active_without_embeddings - count.norms + count.head + head
    heads = config.attention.n_heads * config.attention.d_head
    return FlopCount(
        weights=2 * matrices * length,
        attention=4 * config.n_layers * heads * length * length,
        length=length,
    )


def _attention_forward(q: Any, k: Any, v: Any, *args: Any, **kwargs: Any) -> int:
    return sdpa_flop_count(q, k, v)


def _attention_backward(grad: Any, q: Any, k: Any, v: Any, *args: Any, **kwargs: Any) -> int:
    return sdpa_backward_flop_count(grad, q, k, v)


def _grouped(a: Any, b: Any, *args: Any, **kwargs: Any) -> int:
    """rows [N, D] by experts [E, D, F], or in backward [D, N] by [N, F]: 2 * N * D * F."""
    return 2 * a[0] * b[-2] * b[-1]


# torch counts 0 for these two, which CPU attention and grouped experts are made of.
CUSTOM_FLOPS = {
    aten._scaled_dot_product_flash_attention_for_cpu: _attention_forward,
    aten._scaled_dot_product_flash_attention_for_cpu_backward: _attention_backward,
    aten._grouped_mm: _grouped,
}


def measured_flops(
    model: Transformer, tokens: Int[Tensor, "B L"], *, backward: bool = False
) -> int:
    """Run the model and count the FLOPs of every matrix product that it really does.

    Returns:
        FLOPs of the whole batch, forward, or forward and backward. B times
        `count_flops(config, L).forward` (or `.training`) for a dropless model computed by "loop",
        "segments" or "grouped"; "padded" also multiplies its padding and counts more.
    """
    counter = FlopCounterMode(display=False, custom_mapping=CUSTOM_FLOPS)
    with torch.set_grad_enabled(backward), counter:
        logits, _ = model(tokens)
        if backward:
            torch.autograd.grad(logits.sum(), list(model.parameters()))
    return counter.get_total_flops()
