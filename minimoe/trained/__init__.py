"""Trained models that come with the package: their recipes and their cards.

models.py loads them, release.py makes them of a finished run. This file imports no torch.
"""

import json
from pathlib import Path
from typing import Any

from minimoe.config import RECIPES, Recipe
from minimoe.errors import InputError

HERE = Path(__file__).parent
LENGTH = 256  # positions, as in training


def available() -> list[str]:
    """Name the trained models whose files are here, in the order of their recipes."""
    return [name for name in RECIPES if (HERE / f"{name}.safetensors").is_file()]


def trained_file(name: str) -> Path:
    """Find the weights of a trained model; its card is beside them, NAME.json.

    Raises:
        InputError: there is no such model.
    """
    if name not in available():
        there = ", ".join(available()) or "none"
        raise InputError(f"no trained model {name!r} comes with the package, only {there}")
    return HERE / f"{name}.safetensors"


def trained_card(name: str) -> dict[str, Any]:
    """Read a trained model's card: recipe, text, machine, hours, losses, the command.

    Raises:
        InputError: there is no such model.
    """
    card: dict[str, Any] = json.loads(trained_file(name).with_suffix(".json").read_bytes())
    return card
