"""Which weights does a model start from?"""

import torch
from torch import nn


def initialize_(module: nn.Module, seed: int, n_layers: int = 1) -> None:
    """Fill matrices from a normal distribution, norm gains with 1, biases and sinks with 0.

    The standard deviation is 1 / sqrt(inputs), so that outputs are of the size of the inputs. Three
    exceptions: what makes logits (router, shared gate, and head or tied embedding) has 0.02, so
    that nothing is decided yet, as has an embedding of positions; an untied embedding has 0.4; what
    writes to the residual stream is divided by sqrt(2 * n_layers), as in GPT-2, so that its
    variance does not grow with depth. The numbers are drawn in float64 from one generator: the same
    on every machine.
    """
    parameters = dict(module.named_parameters())
    if any(parameter.is_meta for parameter in parameters.values()):
        return  # shapes only: there is nothing to fill
    generator = torch.Generator().manual_seed(seed)
    makes_logits = ("router", "shared_gate", "head" if "head" in parameters else "embedding")
    with torch.no_grad():
        for name, parameter in parameters.items():
            path = name.split(".")
            if path[-1] == "sinks" or path[-1].endswith("bias"):
                parameter.zero_()
                continue
            if parameter.dim() == 1:
                parameter.fill_(1.0)
                continue
            deviation = float(parameter.shape[-1]) ** -0.5
            if path[-1] == "positions" or any(part in makes_logits for part in path):
                deviation = 0.02
            elif path[-1] == "embedding":
                deviation = 0.4
            elif path[-1] in ("down", "o"):
                deviation /= (2 * n_layers) ** 0.5
            drawn = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
            parameter.copy_(drawn * deviation)


def parameter_if(wanted: bool, *shape: int) -> nn.Parameter | None:
    """An empty parameter of that shape, or None."""
    return nn.Parameter(torch.empty(shape)) if wanted else None
