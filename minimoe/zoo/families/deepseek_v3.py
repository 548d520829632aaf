"""DeepSeek-V3 and R1 (arXiv 2412.19437), and Kimi K2."""

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
from minimoe.zoo.rows import DEEPSEEK, FF, MLP, same
from minimoe.zoo.tiny import LATENT, YARN
from minimoe.zoo.windows import no_layer, read_windows
from minimoe.zoo.writing import write_deepseek_experts, write_model


def read(f: Fields) -> ModelConfig:
    """Latent attention; sigmoid scores with a selection bias, in limited groups."""
    read_windows(f, no_layer)
    moe = routed_experts(f, n_shared_experts=shared_experts(f, absent=1))
    moe = f.for_logits(lambda: _with_rules(f, moe), moe)
    interleaved = f.for_logits(lambda: f.flag("rope_interleave", absent=True), True)
    attention = latent_attention(f, interleaved=interleaved)
    return language_model(f, attention, moe=moe, **leading_dense(f))


def _with_rules(f: Fields, moe: MoEConfig) -> MoEConfig:
    f.must_be("scoring_func", "sigmoid")
    f.must_be("topk_method", "noaux_tc")
    moe = replace(
        moe,
        score_function="sigmoid",
        route_scale=f.number("routed_scaling_factor"),
        use_expert_bias=True,
    )
    return limited_groups(f, moe, n_group_scores=2)


def write(config: ModelConfig) -> dict[str, Any]:
    """The fields that `read` understands."""
    data = write_model(config) | write_deepseek_experts(config)
    rope = config.attention.rope
    interleaved = {} if rope is None else {"rope_interleave": rope.interleaved}
    return data | {"topk_method": "noaux_tc"} | interleaved


FAMILY = BuiltFamily(
    model_type="deepseek_v3",
    architectures=("DeepseekV3ForCausalLM",),
    aliases=("kimi_k2",),
    read=read,
    write=write,
    rows=DEEPSEEK | same(MLP, FF, {".gate.e_score_correction_bias": ".router.expert_bias"}),
    attention=LatentAttentionConfig,
    sparse=True,
    tiny=LATENT
    | {
        "hidden_size": 17,
        "n_group": 4,
        "n_routed_experts": 8,
        "n_shared_experts": 1,
        "norm_topk_prob": True,
        "topk_group": 2,
    },
    variants={
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
)
