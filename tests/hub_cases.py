"""Tiny models of every family that our model computes.

Every width differs from the others of its model, and most are odd, so that swapped fields and
swapped axes are seen. Trained lengths are shorter than a test's text.
"""

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

from minimoe import ModelConfig
from minimoe.zoo.configs import hub_shapes
from minimoe.zoo.counting import ModelCount, count_shapes, plain_shapes

SIZES: dict[str, Any] = {
    "hidden_act": "silu",
    "max_position_embeddings": 64,
    "num_attention_heads": 4,
    "num_hidden_layers": 3,
    "num_key_value_heads": 2,
    "rms_norm_eps": 1e-3,
    "rope_theta": 50.0,
    "tie_word_embeddings": False,
    "vocab_size": 31,
}
LATENT: dict[str, Any] = SIZES | {
    "attention_bias": False,
    "kv_lora_rank": 8,
    "moe_intermediate_size": 8,
    "intermediate_size": 21,
    "first_k_dense_replace": 1,
    "num_attention_heads": 3,
    "num_key_value_heads": 3,
    "num_experts_per_tok": 3,
    "q_lora_rank": 9,
    "qk_nope_head_dim": 6,
    "qk_rope_head_dim": 4,
    "routed_scaling_factor": 2.5,
    "v_head_dim": 5,
}
LINEAR: dict[str, Any] = {"rope_type": "linear", "factor": 3.0}
LLAMA3: dict[str, Any] = {
    "rope_type": "llama3",
    "factor": 4.0,
    "low_freq_factor": 0.1,
    "high_freq_factor": 1.0,
    "original_max_position_embeddings": 8,
}
YARN: dict[str, Any] = {
    "rope_type": "yarn",
    "factor": 4.0,
    "beta_fast": 1.0,
    "beta_slow": 0.1,
    "original_max_position_embeddings": 8,
}
ALTERNATING = ["full_attention", "sliding_attention", "full_attention"]
# config.json of a small model of each family, without model_type.
FIRST: dict[str, dict[str, Any]] = {
    "deepseek_v2": LATENT
    | {
        "hidden_size": 15,
        "n_group": 3,
        "n_routed_experts": 6,
        "n_shared_experts": 2,
        "norm_topk_prob": False,
        "topk_group": 2,
        "topk_method": "greedy",
    },
    "deepseek_v3": LATENT
    | {
        "hidden_size": 17,
        "n_group": 4,
        "n_routed_experts": 8,
        "n_shared_experts": 1,
        "norm_topk_prob": True,
        "topk_group": 2,
    },
    "gpt2": {
        "activation_function": "gelu_new",
        "layer_norm_epsilon": 1e-2,
        "n_embd": 20,
        "n_head": 4,
        "n_layer": 2,
        "n_positions": 32,
        "vocab_size": 31,
    },
    "gpt_oss": SIZES
    | {
        "hidden_size": 18,
        "attention_bias": True,
        "head_dim": 12,
        "intermediate_size": 10,
        "num_local_experts": 5,
        "num_experts_per_tok": 2,
        "rope_scaling": YARN | {"truncate": False},
        "sliding_window": 5,
    },
    "llama": SIZES
    | {"hidden_size": 20, "intermediate_size": 27, "num_hidden_layers": 2, "head_dim": 6},
    "mixtral": SIZES
    | {
        "hidden_size": 16,
        "intermediate_size": 11,
        "num_hidden_layers": 2,
        "num_local_experts": 5,
        "num_experts_per_tok": 2,
    },
    "olmoe": SIZES
    | {
        "hidden_size": 24,
        "intermediate_size": 9,
        "num_hidden_layers": 2,
        "num_experts": 7,
        "num_experts_per_tok": 3,
        "norm_topk_prob": False,
    },
    "qwen2": SIZES
    | {
        "hidden_size": 24,
        "intermediate_size": 17,
        "use_sliding_window": False,
        "sliding_window": 5,
        "max_window_layers": 1,
    },
    "qwen2_moe": SIZES
    | {
        "hidden_size": 16,
        "intermediate_size": 23,
        "moe_intermediate_size": 7,
        "shared_expert_intermediate_size": 13,
        "num_experts": 6,
        "num_experts_per_tok": 3,
        "norm_topk_prob": False,
    },
    "qwen3": SIZES | {"hidden_size": 14, "intermediate_size": 19, "head_dim": 6},
    "qwen3_moe": SIZES
    | {
        "hidden_size": 15,
        "head_dim": 6,
        "intermediate_size": 23,
        "moe_intermediate_size": 7,
        "num_experts": 6,
        "num_experts_per_tok": 2,
        "norm_topk_prob": False,
    },
}
# Changes of it, by what they test; each has something that the others lack.
VARIANTS: dict[str, dict[str, dict[str, Any]]] = {
    "deepseek_v2": {
        "limited groups, biases, queries straight from x": {
            "topk_method": "group_limited_greedy",
            "attention_bias": True,
            "q_lora_rank": None,
        },
        "no shared expert, no dense layer, 1 of 6 experts, tied": {
            "n_shared_experts": 0,
            "first_k_dense_replace": 0,
            "num_experts_per_tok": 1,
            "tie_word_embeddings": True,
        },
        "no MoE layer, yarn": {
            "first_k_dense_replace": 3,
            "qk_rope_head_dim": 12,
            "rope_scaling": YARN | {"mscale": 0.707, "mscale_all_dim": 0.707},
        },
        "yarn with unequal mscales": {
            "qk_rope_head_dim": 12,
            "rope_scaling": YARN | {"mscale": 0.6, "mscale_all_dim": 1.3},
        },
        "yarn with one mscale": {
            "qk_rope_head_dim": 12,
            "rope_scaling": YARN | {"mscale": 0.6},
        },
    },
    "deepseek_v3": {
        "weights not normalized, queries straight from x, 2 shared experts": {
            "norm_topk_prob": False,
            "q_lora_rank": None,
            "n_shared_experts": 2,
        },
        "one group, no shared expert, biases, pairs of halves, tied": {
            "n_group": 1,
            "topk_group": 1,
            "n_shared_experts": 0,
            "attention_bias": True,
            "rope_interleave": False,
            "tie_word_embeddings": True,
        },
        "1 expert of weight 1, yarn with unequal mscales": {
            "num_experts_per_tok": 1,
            "qk_rope_head_dim": 12,
            "rope_scaling": YARN | {"mscale": 0.6, "mscale_all_dim": 1.3},
        },
        "every expert, no dense layer, yarn": {
            "num_experts_per_tok": 8,
            "topk_group": 4,
            "first_k_dense_replace": 0,
            "qk_rope_head_dim": 12,
            "rope_scaling": YARN | {"mscale": 1.0, "mscale_all_dim": 1.0},
        },
    },
    "gpt2": {
        "own head, odd widths": {"tie_word_embeddings": False, "n_embd": 12, "n_inner": 33},
        "one head, as long as its positions": {"n_head": 1, "n_positions": 14},
    },
    "gpt_oss": {
        "listed layers slide, no bias, plain rotary, 1 of 5 experts, tied": {
            "layer_types": ALTERNATING,
            "attention_bias": False,
            "rope_scaling": {"rope_type": "default"},
            "num_experts_per_tok": 1,
            "tie_word_embeddings": True,
        },
        "tight clamp, yarn of whole pairs": {
            "swiglu_limit": 0.6,
            "swiglu_alpha": 1.3,
            "rope_scaling": YARN | {"truncate": True},
        },
    },
    "llama": {
        "biases, one key head, tied, llama3": {
            "attention_bias": True,
            "mlp_bias": True,
            "num_key_value_heads": 1,
            "tie_word_embeddings": True,
            "head_dim": 12,
            "rope_scaling": LLAMA3,
        },
        "every head its keys, linear": {"num_key_value_heads": 4, "rope_scaling": LINEAR},
        "yarn": {"head_dim": 12, "rope_scaling": YARN},
        "yarn with a given factor": {
            "head_dim": 12,
            "rope_scaling": YARN | {"attention_factor": 0.8},
        },
        "yarn whose blend passes the last pair": {
            "head_dim": 12,
            "rope_scaling": YARN
            | {"original_max_position_embeddings": 40_000, "beta_fast": 2000.0, "beta_slow": 1.0},
        },
        "yarn without a blend": {
            "head_dim": 12,
            "rope_scaling": YARN
            | {"original_max_position_embeddings": 4, "beta_fast": 32.0, "beta_slow": 1.0},
        },
    },
    "mixtral": {
        "1 of 5 experts, window, wide heads": {
            "num_experts_per_tok": 1,
            "sliding_window": 5,
            "head_dim": 10,
        },
        "one expert, tied": {
            "num_local_experts": 1,
            "num_experts_per_tok": 1,
            "tie_word_embeddings": True,
        },
        "every expert": {"num_experts_per_tok": 5},
    },
    "olmoe": {
        "queries, keys and values cut, biases, weights sum to 1, tied": {
            "clip_qkv": 0.7,
            "attention_bias": True,
            "norm_topk_prob": True,
            "tie_word_embeddings": True,
        },
        "1 of 7 experts, one key head": {"num_experts_per_tok": 1, "num_key_value_heads": 1},
    },
    "qwen2": {
        "later layers slide, tied, one key head": {
            "use_sliding_window": True,
            "tie_word_embeddings": True,
            "num_key_value_heads": 1,
        },
        "listed layers slide, wide heads": {
            "use_sliding_window": True,
            "sliding_window": 3,
            "layer_types": ALTERNATING,
            "head_dim": 10,
        },
    },
    "qwen2_moe": {
        "every second layer is MoE, weights sum to 1, no bias, tied": {
            "decoder_sparse_step": 2,
            "norm_topk_prob": True,
            "qkv_bias": False,
            "head_dim": 10,
            "tie_word_embeddings": True,
        },
        "first layers slide, a listed layer is dense, 1 of 6 experts": {
            "use_sliding_window": True,
            "sliding_window": 4,
            "max_window_layers": 2,
            "mlp_only_layers": [1],
            "num_experts_per_tok": 1,
        },
        "listed layers slide, 1 expert of weight 1": {
            "use_sliding_window": True,
            "sliding_window": 4,
            "layer_types": ALTERNATING,
            "num_experts_per_tok": 1,
            "norm_topk_prob": True,
        },
    },
    "qwen3": {
        "later layers slide, biases": {
            "use_sliding_window": True,
            "sliding_window": 4,
            "max_window_layers": 2,
            "attention_bias": True,
            "head_dim": 10,
        },
        "listed layers slide, tied": {
            "use_sliding_window": True,
            "sliding_window": 1,
            "layer_types": ALTERNATING,
            "tie_word_embeddings": True,
        },
    },
    "qwen3_moe": {
        "every second layer is MoE, weights sum to 1, biases, tied": {
            "decoder_sparse_step": 2,
            "norm_topk_prob": True,
            "attention_bias": True,
            "tie_word_embeddings": True,
        },
        "every layer slides, a listed layer is dense, 1 of 6 experts": {
            "use_sliding_window": True,
            "sliding_window": 5,
            "max_window_layers": 2,
            "mlp_only_layers": [1],
            "num_experts_per_tok": 1,
        },
    },
}
PLAIN: list[tuple[str, dict[str, Any]]] = [(family, {}) for family in FIRST]
CASES: list[tuple[str, dict[str, Any]]] = [
    (family, changes) for family in FIRST for changes in ({}, *VARIANTS[family].values())
]


def tiny(family: str, **changes: Any) -> dict[str, Any]:
    """The config.json of a small model of that family."""
    return deepcopy(
        {"model_type": family, **FIRST[family], **changes}
    )  # transformers writes into it


def name_of(case: tuple[str, dict[str, Any]]) -> str:
    """A readable name of one of CASES, for pytest."""
    family, changes = case
    variants = VARIANTS[family]
    return f"{family}-{next((name for name in variants if variants[name] == changes), 'plain')}"


def model_count(model: ModelConfig | Mapping[str, Any], length: int) -> ModelCount:
    """The count of our configuration or of a parsed config.json."""
    shapes = plain_shapes(model) if isinstance(model, ModelConfig) else hub_shapes(model)
    return count_shapes(shapes, length)
