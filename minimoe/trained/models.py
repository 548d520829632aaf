"""Load the trained models that come with the package, and what they chose during training."""

from pathlib import Path

import torch
from jaxtyping import UInt8
from safetensors.torch import load_file
from torch import Tensor

from minimoe.config import model_config_from
from minimoe.errors import InputError
from minimoe.model.transformer import Transformer
from minimoe.trained import RECIPES, available, trained_card, trained_file
from minimoe.training.checkpoint import load_model, train_config_in

CHOSEN = "chosen."  # the experts chosen at a step are stored as chosen.STEP, beside the weights


def load_trained(name: str, dtype: torch.dtype = torch.float64) -> Transformer:
    """Load a model that comes with the package; its parameters need no gradient.

    The weights are stored in float16. Computing in float64 gives the same digits on every machine.

    Raises:
        InputError: there is no such model.
    """
    model = Transformer(model_config_from(trained_card(name)["model_config"])).to(dtype)
    stored = load_file(trained_file(name))
    weights = {key: tensor for key, tensor in stored.items() if not key.startswith(CHOSEN)}
    model.load_state_dict(weights)
    return model.requires_grad_(False)


def named_model(name: str) -> tuple[Transformer, int]:
    """Load a model that comes with the package, or the one of a checkpoint's folder.

    Returns:
        The model, and the length of the sequences it was trained on; it fails at later positions.

    Raises:
        InputError: there is no such model, or the folder's checkpoint is damaged.
    """
    if name in RECIPES:
        return load_trained(name), RECIPES[name].training.length
    if not Path(name).exists():
        there = ", ".join(available())
        raise InputError(f"a model is a checkpoint's folder or one of {there}, got {name!r}")
    return load_model(Path(name)), train_config_in(Path(name)).length


def routing_history(name: str) -> dict[int, UInt8[Tensor, "layers T K"]]:
    """Read which experts a model chose for the tokens of `release.probe` while it was trained.

    Returns:
        By step, the chosen experts, best first; empty for a dense model.

    Raises:
        InputError: there is no such model.
    """
    stored = load_file(trained_file(name))
    return {
        int(key.removeprefix(CHOSEN)): stored[key]
        for key in sorted(stored)
        if key.startswith(CHOSEN)
    }
