"""Small models by name, and the recipes of the trained models that come with the package."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from minimoe.config.checks import check_choice
from minimoe.config.layers import AttentionConfig, MoEConfig
from minimoe.config.model import ModelConfig
from minimoe.config.training import TrainConfig


def dense() -> ModelConfig:
    """A dense transformer of 0.15 M parameters, the counterpart of `moe`."""
    return ModelConfig(n_layers=3, attention=_attention(), d_ff=134)


def moe() -> ModelConfig:
    """16 experts, 2 for each token; its active parameters are those of `dense` to within 1 %."""
    layer = MoEConfig(d_model=64, d_expert=64, n_routed_experts=16, top_k=2)
    return ModelConfig(n_layers=3, attention=_attention(), moe=layer)


def switch() -> ModelConfig:
    """16 wide experts, 1 for each token; its score is its weight (arXiv 2101.03961, dropless)."""
    layer = MoEConfig(
        d_model=64, d_expert=128, n_routed_experts=16, top_k=1, normalize_weights=False
    )
    return ModelConfig(n_layers=3, attention=_attention(), moe=layer)


def fine_grained() -> ModelConfig:
    """The rules of DeepSeek-V3 in a small model (arXiv 2412.19437, section 2.1.2).

    It has a shared expert, sigmoid scores, a selection bias and groups: 32 narrow experts in 4
    groups. A token chooses 3 experts from 2 groups. The first layer is dense.
    """
    layer = MoEConfig(
        d_model=64,
        d_expert=32,
        n_routed_experts=32,
        top_k=3,
        n_shared_experts=1,
        score_function="sigmoid",
        use_expert_bias=True,
        n_expert_groups=4,
        n_limited_groups=2,
        n_group_scores=2,
    )
    return ModelConfig(n_layers=3, attention=_attention(), d_ff=128, moe=layer, dense_layers=(0,))


def _attention() -> AttentionConfig:
    return AttentionConfig(d_model=64, n_heads=4, n_kv_heads=2, d_head=16)


PRESETS: dict[str, Callable[[], ModelConfig]] = {
    "dense": dense,
    "moe": moe,
    "switch": switch,
    "fine_grained": fine_grained,
}


def preset(name: str) -> ModelConfig:
    """The preset of that name.

    Raises:
        InputError: there is no such preset; the message lists all presets.
    """
    check_choice("preset", name, tuple(PRESETS))
    return PRESETS[name]()


@dataclass(frozen=True)
class Recipe:
    """A model and its training run on a text of the package.

    Attributes:
        what: a few words for a table.
        text: the name of the text, as `minimoe.data.packaged_text` takes it.
    """

    what: str
    model: ModelConfig
    training: TrainConfig
    text: Literal["small", "real"] = "small"


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
