"""Model parameters: how each one starts, and whether weight decay applies to it."""

import torch
from torch import nn


def matrix(*shape: int, spread: float | None = None, to_residual: bool = False) -> nn.Parameter:
    """A weight matrix, or a stack of them. Weight decay applies.

    Args:
        shape: the last size is the number of inputs.
        spread: standard deviation of the initial values; None = 1 / sqrt(inputs), so that outputs
            are as large as inputs.
        to_residual: the result is added to the residual stream. The spread is then divided by
            sqrt(2 * n_layers) as in GPT-2, so that the stream does not grow with depth.
    """
    parameter = nn.Parameter(torch.empty(shape))
    parameter.spread = shape[-1] ** -0.5 if spread is None else spread  # type: ignore[attr-defined]
    parameter.to_residual = to_residual  # type: ignore[attr-defined]
    return parameter


def zeros(*shape: int) -> nn.Parameter:
    """A bias (or a stack of them), or the attention sinks: starts at 0, is not decayed."""
    return nn.Parameter(torch.zeros(shape))


def decays(parameter: nn.Parameter) -> bool:
    """Whether weight decay applies: to what `matrix` made, not to biases, sinks and norm gains.

    Ask a model as it was built: a deep copy of a parameter does not remember.
    """
    return hasattr(parameter, "spread")


def shapes(module: nn.Module) -> str:
    """The shapes of a module's own parameters, which its `repr` shows: "weight [8, 64]"."""
    own = module.named_parameters(recurse=False)
    return ", ".join(f"{name} {list(parameter.shape)}" for name, parameter in own)


@torch.no_grad()
def initialize_(module: nn.Module, seed: int, n_layers: int = 1) -> None:
    """Fill every matrix from a normal distribution of its own spread; leave the rest as it is.

    The numbers are drawn in float64 from one generator: the same on every machine. `n_layers` is
    the model's, for the matrices that write to the residual stream.
    """
    generator = torch.Generator().manual_seed(seed)
    for parameter in module.parameters():
        if not decays(parameter) or parameter.is_meta:
            continue
        spread, to_residual = parameter.spread, parameter.to_residual  # type: ignore[attr-defined]
        spread /= (2 * n_layers) ** 0.5 if to_residual else 1
        drawn = torch.randn(parameter.shape, generator=generator, dtype=torch.float64, device="cpu")
        parameter.copy_(drawn * spread)
