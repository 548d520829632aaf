"""Sizes that the families' tiny test models share.

Every width differs from the others of its model, and most are odd, so that swapped fields and
swapped axes are seen. Trained lengths are shorter than a test's text.
"""

from typing import Any

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
