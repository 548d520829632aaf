"""Parts of a config.json that many families spell alike."""

from typing import Any

from minimoe.config import AttentionConfig, LatentAttentionConfig, ModelConfig, MoEConfig
from minimoe.zoo.rope import write_rope


def write_model(config: ModelConfig) -> dict[str, Any]:
    """Sizes, norm and rotary positions of a model with grouped queries or latent attention."""
    attention, unused = config.attention, None if config.moe is None else config.moe.d_expert
    data: dict[str, Any] = {
        "hidden_act": "silu",
        "hidden_size": config.d_model,
        "intermediate_size": config.d_ff or unused,
        "max_position_embeddings": config.max_length,
        "num_attention_heads": attention.n_heads,
        "num_hidden_layers": config.n_layers,
        "rms_norm_eps": config.norm_eps,
    }
    if isinstance(attention, LatentAttentionConfig):
        data |= _latent(attention)
    else:
        data |= {"num_key_value_heads": attention.n_kv_heads, "head_dim": attention.d_head}
    return data | write_rope(attention.rope)


def _latent(attention: LatentAttentionConfig) -> dict[str, Any]:
    return {
        "attention_bias": attention.bias,
        "kv_lora_rank": attention.kv_rank,
        "num_key_value_heads": attention.n_heads,
        "q_lora_rank": attention.q_rank,
        "qk_nope_head_dim": attention.d_nope,
        "qk_rope_head_dim": attention.d_rope,
        "v_head_dim": attention.d_value,
    }


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


def write_deepseek_experts(config: ModelConfig) -> dict[str, Any]:
    """DeepSeek's experts, and the layers that have them."""
    moe = experts(config)
    first, step = leading_dense_of(config)
    return write_experts(config, "n_routed_experts", "moe_intermediate_size") | {
        "first_k_dense_replace": first,
        "moe_layer_freq": step,
        "n_group": moe.n_expert_groups,
        "n_shared_experts": moe.shared_width // moe.d_expert,
        "routed_scaling_factor": moe.route_scale,
        "scoring_func": moe.score_function,
        "topk_group": moe.n_limited_groups,
    }


def leading_dense_of(config: ModelConfig) -> tuple[int, int]:
    """first_k_dense_replace and moe_layer_freq that give the dense layers; (0, 1) if none do."""
    n_layers = config.n_layers
    for step in range(1, n_layers + 1):
        for first in range(n_layers + 1):
            dense = tuple(layer for layer in range(n_layers) if layer < first or layer % step)
            if dense == tuple(sorted(config.dense_layers)):
                return first, step
    return 0, 1
