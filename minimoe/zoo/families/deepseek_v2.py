"""DeepSeek-V2 (arXiv 2405.04434)."""

from dataclasses import replace
from typing import Any

from minimoe.config import LatentAttentionConfig, ModelConfig, MoEConfig
from minimoe.zoo.family import BuiltFamily
from minimoe.zoo.fields import Fields
from minimoe.zoo.reading import (
    language_model,
    latent_attention,
    leading_dense,
    limited_groups,
    routed_experts,
    shared_experts,
)
from minimoe.zoo.rows import DEEPSEEK
from minimoe.zoo.tiny import LATENT, YARN
from minimoe.zoo.windows import no_layer, read_windows
from minimoe.zoo.writing import experts, write_deepseek_experts, write_model


def read(f: Fields) -> ModelConfig:
    """Latent attention; softmax scores, with limited groups or without."""
    read_windows(f, no_layer)
    moe = routed_experts(f, n_shared_experts=shared_experts(f, absent=2))
    moe = f.for_logits(lambda: _with_rules(f, moe), moe)
    f.must_be("mlp_bias", False)
    return language_model(f, latent_attention(f), moe=moe, **leading_dense(f))


def _with_rules(f: Fields, moe: MoEConfig) -> MoEConfig:
    """Weights that are made to sum to 1 are not scaled; a single expert's weight is not changed.

    That is DeepSeek's own code; transformers never reads norm_topk_prob.
    """
    f.must_be("scoring_func", "softmax")
    method = f.must_be_one_of("topk_method", ("greedy", "group_limited_greedy"))
    normalize = moe.normalize_weights and moe.top_k > 1
    moe = replace(
        moe,
        normalize_weights=normalize,
        allow_constant_weight=False,
        route_scale=1.0 if normalize else f.number("routed_scaling_factor"),
    )
    return moe if method == "greedy" else limited_groups(f, moe, n_group_scores=1)


def write(config: ModelConfig) -> dict[str, Any]:
    """The fields that `read` understands."""
    limited = experts(config).n_expert_groups > 1
    method = {"topk_method": "group_limited_greedy" if limited else "greedy"}
    return write_model(config) | write_deepseek_experts(config) | method


FAMILY = BuiltFamily(
    model_type="deepseek_v2",
    architectures=("DeepseekV2ForCausalLM",),
    read=read,
    write=write,
    rows=DEEPSEEK,
    attention=LatentAttentionConfig,
    sparse=True,
    tiny=LATENT
    | {
        "hidden_size": 15,
        "n_group": 3,
        "n_routed_experts": 6,
        "n_shared_experts": 2,
        "norm_topk_prob": False,
        "topk_group": 2,
        "topk_method": "greedy",
    },
    variants={
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
)
