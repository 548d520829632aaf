"""Which small models, of every family and with every option, are the hub's format tested with?"""

from typing import Any

BASE: dict[str, Any] = dict(
    hidden_act="silu",
    hidden_size=16,
    intermediate_size=10,
    max_position_embeddings=24,
    num_attention_heads=4,
    num_hidden_layers=3,
    num_key_value_heads=2,
    rms_norm_eps=1e-6,
    rope_theta=10_000.0,
    tie_word_embeddings=False,
    vocab_size=13,
)
EXPERTS: dict[str, Any] = dict(moe_intermediate_size=6, num_experts_per_tok=2, norm_topk_prob=False)
QWEN_MOE: dict[str, Any] = dict(**EXPERTS, num_experts=5, decoder_sparse_step=1)
DEEPSEEK: dict[str, Any] = dict(
    **EXPERTS,
    attention_bias=False,
    first_k_dense_replace=1,
    kv_lora_rank=7,
    n_group=2,
    n_routed_experts=6,
    n_shared_experts=2,
    num_key_value_heads=4,
    q_lora_rank=9,
    qk_nope_head_dim=3,
    qk_rope_head_dim=4,
    routed_scaling_factor=1.5,
    topk_group=1,
    v_head_dim=5,
)
YARN: dict[str, Any] = dict(
    rope_type="yarn", factor=4.0, original_max_position_embeddings=6, beta_fast=32, beta_slow=1
)
LLAMA3: dict[str, Any] = dict(
    rope_type="llama3",
    factor=8.0,
    original_max_position_embeddings=6,
    low_freq_factor=1.0,
    high_freq_factor=4.0,
)
SLIDES = ["full_attention", "sliding_attention", "full_attention"]

FIRST: dict[str, dict[str, Any]] = {
    "llama": dict(BASE, attention_bias=False, mlp_bias=False),
    "qwen2": BASE,
    "qwen3": dict(BASE, head_dim=6, attention_bias=False),
    "mixtral": dict(BASE, num_local_experts=5, num_experts_per_tok=2),
    "qwen2_moe": dict(BASE, **QWEN_MOE, shared_expert_intermediate_size=7),
    "qwen3_moe": dict(BASE, **QWEN_MOE, head_dim=6, attention_bias=False),
    "olmoe": dict(
        BASE, num_experts=5, num_experts_per_tok=2, norm_topk_prob=False, attention_bias=False
    ),
    "deepseek_v2": {**BASE, **DEEPSEEK, "topk_method": "greedy"},
    "deepseek_v3": {**BASE, **DEEPSEEK},
    "gpt_oss": dict(
        BASE,
        attention_bias=True,
        head_dim=6,
        num_experts_per_tok=2,
        num_local_experts=5,
        rope_scaling=dict(YARN, truncate=False),
        sliding_window=3,
    ),
    "gpt2": dict(
        activation_function="gelu_new",
        layer_norm_epsilon=1e-5,
        n_embd=12,
        n_head=3,
        n_layer=2,
        n_positions=24,
        vocab_size=13,
    ),
}
CHANGES: dict[str, list[dict[str, Any]]] = {
    "llama": [
        dict(tie_word_embeddings=True),
        dict(attention_bias=True, mlp_bias=True),
        dict(head_dim=6, num_key_value_heads=1, rope_scaling=LLAMA3),
        dict(
            num_key_value_heads=4, num_hidden_layers=1, rope_scaling=dict(type="linear", factor=2)
        ),
    ],
    "qwen2": [
        dict(tie_word_embeddings=True),
        dict(use_sliding_window=True, sliding_window=3, max_window_layers=1),
        dict(use_sliding_window=True, sliding_window=4, max_window_layers=0, head_dim=6),
        dict(use_sliding_window=True, sliding_window=3, layer_types=SLIDES),
        dict(num_key_value_heads=4, rope_scaling=YARN),
    ],
    "qwen3": [
        dict(tie_word_embeddings=True, head_dim=8),
        dict(attention_bias=True, num_key_value_heads=1),
        dict(use_sliding_window=True, sliding_window=3, max_window_layers=2),
        dict(num_hidden_layers=1, num_attention_heads=2, rope_scaling=YARN),
    ],
    "mixtral": [
        dict(sliding_window=3),
        dict(num_experts_per_tok=1),
        dict(num_local_experts=1, num_experts_per_tok=1, tie_word_embeddings=True),
        dict(head_dim=6, num_experts_per_tok=5),
    ],
    "qwen2_moe": [
        dict(decoder_sparse_step=2),
        dict(mlp_only_layers=[1], norm_topk_prob=True),
        dict(qkv_bias=False, tie_word_embeddings=True, num_experts_per_tok=1),
        dict(use_sliding_window=True, sliding_window=3, max_window_layers=2),
    ],
    "qwen3_moe": [
        dict(decoder_sparse_step=2, mlp_only_layers=[1]),
        dict(mlp_only_layers=[0, 2], norm_topk_prob=True),
        dict(attention_bias=True, tie_word_embeddings=True),
        dict(use_sliding_window=True, sliding_window=3, num_experts_per_tok=5),
    ],
    "olmoe": [
        dict(clip_qkv=0.5),
        dict(attention_bias=True, norm_topk_prob=True),
        dict(num_key_value_heads=4, tie_word_embeddings=True),
        dict(num_experts=3, num_experts_per_tok=1, num_attention_heads=2),
    ],
    "deepseek_v2": [
        dict(q_lora_rank=None, first_k_dense_replace=0),
        dict(topk_method="group_limited_greedy", attention_bias=True),
        dict(n_shared_experts=1, first_k_dense_replace=3, tie_word_embeddings=True),
        dict(rope_scaling=dict(YARN, mscale=0.7, mscale_all_dim=0.8), v_head_dim=7),
    ],
    "deepseek_v3": [
        dict(q_lora_rank=None, n_group=1, topk_group=1, norm_topk_prob=True),
        dict(attention_bias=True, rope_interleave=False, n_shared_experts=1),
        dict(rope_scaling=dict(YARN, mscale=1.0, mscale_all_dim=1.0), first_k_dense_replace=0),
        dict(num_experts_per_tok=1, norm_topk_prob=True, tie_word_embeddings=True, v_head_dim=7),
    ],
    "gpt_oss": [
        dict(attention_bias=False),
        dict(layer_types=["full_attention"] * 3, tie_word_embeddings=True),
        dict(num_experts_per_tok=1, rope_scaling={"rope_type": "default"}),
        dict(swiglu_alpha=1.1, swiglu_limit=0.5, num_key_value_heads=4, head_dim=4),
    ],
    "gpt2": [
        dict(n_inner=7),
        dict(tie_word_embeddings=False),
        dict(n_embd=6, n_head=1, n_layer=1),
        dict(n_head=6, n_positions=9, vocab_size=5),
    ],
}
CASES = [(family, changes) for family, options in CHANGES.items() for changes in [{}, *options]]


def tiny(family: str, **changes: Any) -> dict[str, Any]:
    """The config.json of a small model of that family."""
    return {"model_type": family, **FIRST[family], **changes}


def name_of(case: tuple[str, dict[str, Any]]) -> str:
    """A readable name of one of CASES, for pytest."""
    family, changes = case
    return "-".join([family, *changes])
