"""Which weights does a model start from?"""

import torch
from torch import nn

STD = 0.02


def initialize_(module: nn.Module, seed: int, n_layers: int = 1) -> None:
    """Fill every matrix from a normal distribution, standard deviation 0.02; vectors with ones.

    Matrices that write to the residual stream (`down`, `o`) are divided by sqrt(2 * n_layers), as
    in GPT-2, so that its variance does not grow with depth. The numbers are drawn in float64 from
    one generator, so that they are the same on every machine.
    """
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            if parameter.dim() == 1:
                parameter.fill_(1.0)
                continue
            drawn = torch.randn(parameter.shape, generator=generator, dtype=torch.float64) * STD
            if name.split(".")[-1] in ("down", "o"):
                drawn /= (2 * n_layers) ** 0.5
            parameter.copy_(drawn)
