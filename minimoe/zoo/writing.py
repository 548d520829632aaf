"""Parts of a config.json that many families spell alike."""

from typing import Any

from minimoe.config import AttentionConfig, ModelConfig, MoEConfig
from minimoe.zoo.reading import LAYER_TYPES
from minimoe.zoo.rope import write_rope


def write_model(config: ModelConfig) -> dict[str, Any]:
    """Sizes, norm and rotary positions of a model with grouped queries or latent attention."""
    attention, unused = config.attention, None if config.moe is None else config.moe.d_expert
    data = {
        "hidden_act": "silu",
        "hidden_size": config.d_model,
        "intermediate_size": config.d_ff or unused,
        "max_position_embeddings": config.max_length,
        "num_attention_heads": attention.n_heads,
        "num_hidden_layers": config.n_layers,
        "rms_norm_eps": config.norm_eps,
    }
    if isinstance(attention, AttentionConfig):
        data |= {"num_key_value_heads": attention.n_kv_heads, "head_dim": attention.d_head}
    return data | write_rope(attention.rope)


def heads(config: ModelConfig) -> AttentionConfig:
    """The attention of a family with grouped queries."""
    assert isinstance(config.attention, AttentionConfig)
    return config.attention


def experts(config: ModelConfig) -> MoEConfig:
    """The experts of a family that has them."""
    assert config.moe is not None
    return config.moe


def write_experts(config: ModelConfig, number: str, width: str) -> dict[str, Any]:
    """The routed experts, under the family's names for their number and width."""
    moe = experts(config)
    return {
        number: moe.n_routed_experts,
        width: moe.d_expert,
        "num_experts_per_tok": moe.top_k,
        "norm_topk_prob": moe.normalize_weights,
    }


def window_of(config: ModelConfig) -> int | None:
    """The window of the layers that have one; None if none has."""
    windows = (config.window_of(layer) for layer in range(config.n_layers))
    return next((window for window in windows if window is not None), None)


def layer_types(config: ModelConfig) -> list[str]:
    """The kind of each layer."""
    slides = (config.window_of(layer) is not None for layer in range(config.n_layers))
    return [LAYER_TYPES[slide] for slide in slides]
