"""Feed-forward layers of different designs, started with outputs of one size."""

import torch
from torch import Tensor, nn

from minimoe.data.batches import Batch
from minimoe.model.moe import MoE
from minimoe.model.transformer import Transformer

FIRST_STD = 0.6  # of a first output, times sqrt(2 * layers): what a dense layer starts with


@torch.no_grad()
def match_start_(model: Transformer, batch: Batch) -> None:
    """Scale every feed-forward layer so that its first output has the same standard deviation.

    Without this, designs differ before they learn: K outputs with weights of 1 / K add up to
    something smaller than one output with weight 1. The matrices that write to the residual
    stream are scaled: those of the experts, shared ones included.

    Args:
        model: as initialized.
        batch: on which the output is measured.
    """
    target = FIRST_STD / (2 * len(model.blocks)) ** 0.5

    def scale(layer: nn.Module, _inputs: object, output: Tensor | tuple[Tensor, object]):  # type: ignore[no-untyped-def]
        y = output[0] if isinstance(output, tuple) else output
        ratio = target / float(y.std())
        for part in (layer.experts, layer.shared) if isinstance(layer, MoE) else (layer,):
            if isinstance(part, nn.Module):
                part.down.mul_(ratio)  # type: ignore[operator]
        return (y * ratio, output[1]) if isinstance(output, tuple) else y * ratio

    layers = [block.ff for block in model.layers()]
    hooks = [layer.register_forward_hook(scale) for layer in layers]
    try:
        model(batch.inputs)
    finally:
        for hook in hooks:
            hook.remove()
