"""Small models by name."""

from collections.abc import Callable

from minimoe.config.attention import AttentionConfig
from minimoe.config.checks import check_choice
from minimoe.config.model import ModelConfig
from minimoe.config.moe_layer import MoEConfig


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
