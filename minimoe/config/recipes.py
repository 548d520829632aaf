"""Recipes of the trained models that come with the package."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from minimoe.config.attention import AttentionConfig
from minimoe.config.model import ModelConfig
from minimoe.config.moe_layer import MoEConfig
from minimoe.config.training import TrainConfig


@dataclass(frozen=True)
class Recipe:
    """A model and its training run on the real text.

    Attributes:
        what: a few words for a table.
        model: the model.
        training: the training run.
    """

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
        length=256,
        learning_rate=3e-3,
        warmup_share=0.05,
        balance_weight=0.0,
        # English, Chinese, Python: the shortest text gets the smallest weight, so that it is not
        # repeated too often.
        domain_weights=(0.35, 0.15, 0.5),
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
