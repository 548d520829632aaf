"""Trained models that come with the package: their recipes and their cards.

models.py loads them, release.py makes them of a finished run. This file imports no torch.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from minimoe.config import AttentionConfig, ModelConfig, MoEConfig, TrainConfig
from minimoe.errors import InputError

HERE = Path(__file__).parent
LENGTH = 256  # positions, as in training


@dataclass(frozen=True)
class Recipe:
    """How a model that comes with the package is made: model and training; the text is given."""

    what: str
    model: ModelConfig
    training: TrainConfig


def _recipes() -> dict[str, Recipe]:
    attention = AttentionConfig(d_model=128, n_heads=4, n_kv_heads=2, d_head=32)
    layer = MoEConfig(d_model=128, d_expert=80, n_routed_experts=16, top_k=2)
    dense = ModelConfig(n_layers=4, attention=attention, d_ff=165)
    moe = ModelConfig(n_layers=4, attention=attention, moe=layer)
    biased = replace(moe, moe=replace(layer, use_expert_bias=True))
    training = TrainConfig(
        steps=4000,
        batch_size=16,
        length=LENGTH,
        learning_rate=3e-3,
        warmup_share=0.05,
        balance_weight=0.0,
        domain_weights=(
            0.35,
            0.15,
            0.5,
        ),  # English, Chinese, Python: so no domain is read too often
    )
    return {
        "text_dense": Recipe("dense", dense, training),
        "text_moe_unbalanced": Recipe("MoE without balancing", moe, training),
        "text_moe_loss": Recipe(
            "MoE, load-balancing loss", moe, replace(training, balance_weight=0.02)
        ),
        "text_moe_bias": Recipe("MoE, selection bias", biased, training),
    }


RECIPES: Mapping[str, Recipe] = _recipes()


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
