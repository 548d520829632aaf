"""DeepSeekMoE, DeepSeek-V2, DeepSeek-V3 with R1 and Kimi K2, and DeepSeek-V3.2."""

from dataclasses import replace
from typing import Any

from minimoe.config import LatentAttentionConfig, ModelConfig, MoEConfig
from minimoe.config.checks import check_choice
from minimoe.errors import InputError
from minimoe.zoo.counting import Shapes, Weight, plain_shapes
from minimoe.zoo.family import BuiltFamily, Family
from minimoe.zoo.fields import Fields
from minimoe.zoo.reading import (
    grouped_query,
    language_model,
    leading_dense,
    routed_experts,
    shared_experts,
)
from minimoe.zoo.rope import read_rope
from minimoe.zoo.rows import DEEPSEEK
from minimoe.zoo.writing import experts, write_experts, write_model


def read_v1(f: Fields) -> ModelConfig:
    """Multi-head attention, and DeepSeek-V2's experts."""
    moe = routed_experts(f, n_shared_experts=shared_experts(f, absent=0))
    return language_model(f, grouped_query(f), moe=moe, **leading_dense(f))


def read_v2(f: Fields) -> ModelConfig:
    """Latent attention; softmax scores, with limited groups or without."""
    moe = routed_experts(f, n_shared_experts=shared_experts(f, absent=2))
    moe = f.for_logits(lambda: _v2_rules(f, moe), moe)
    f.must_be("mlp_bias", False)
    return language_model(f, _latent_attention(f), moe=moe, **leading_dense(f))


def _v2_rules(f: Fields, moe: MoEConfig) -> MoEConfig:
    """Weights that are made to sum to 1 are not scaled; a single expert's weight is not changed.

    That is DeepSeek's own code; transformers never reads norm_topk_prob.
    """
    f.must_be("scoring_func", "softmax")
    method = f.get("topk_method")
    check_choice("topk_method", method, ("greedy", "group_limited_greedy"))
    normalize = moe.normalize_weights and moe.top_k > 1
    moe = replace(
        moe,
        normalize_weights=normalize,
        allow_constant_weight=False,
        route_scale=1.0 if normalize else f.number("routed_scaling_factor"),
    )
    return moe if method == "greedy" else _limited_groups(f, moe, n_group_scores=1)


def read_v3(f: Fields) -> ModelConfig:
    """Latent attention; sigmoid scores with a selection bias, in limited groups."""
    moe = routed_experts(f, n_shared_experts=shared_experts(f, absent=1))
    moe = f.for_logits(lambda: _v3_rules(f, moe), moe)
    interleaved = f.for_logits(lambda: f.flag("rope_interleave", absent=True), True)
    attention = _latent_attention(f, interleaved=interleaved)
    return language_model(f, attention, moe=moe, **leading_dense(f))


def _v3_rules(f: Fields, moe: MoEConfig) -> MoEConfig:
    f.must_be("scoring_func", "sigmoid")
    f.must_be("topk_method", "noaux_tc")
    moe = replace(
        moe,
        score_function="sigmoid",
        route_scale=f.number("routed_scaling_factor"),
        use_expert_bias=True,
    )
    return _limited_groups(f, moe, n_group_scores=2)


def read_v32(f: Fields) -> Shapes:
    """DeepSeek-V3, and in every layer an indexer that chooses the positions to read.

    The indexer of DeepSeek-V3.2-Exp has 1536 * 8192 + 7168 * 128 + 7168 * 64 + 2 * 128 =
    13,959,424 parameters in each layer.
    """
    model = read_v3(f)
    n_heads, d_head = f.integer("index_n_heads"), f.integer("index_head_dim")
    q_rank, d_model, n = f.integer("q_lora_rank"), model.d_model, model.n_layers
    indexer = (
        Weight("attention", "indexer's queries", (n_heads * d_head, q_rank), n),
        Weight("attention", "indexer's key, one for all heads", (d_head, d_model), n),
        Weight("attention", "weights of the indexer's heads", (n_heads, d_model), n),
        Weight("norms", "indexer's key: scale and bias", (d_head,), 2 * n),
    )
    cached = plain_shapes(model).cache_elements
    assert cached is not None
    return Shapes(
        model=model,
        extra=indexer,
        cache_elements=cached + n * d_head,
        not_counted="sparse attention over the positions that the indexer chooses",
    )


def _latent_attention(f: Fields, *, interleaved: bool = True) -> LatentAttentionConfig:
    """q_lora_rank may be null, but not absent."""
    n_heads = f.integer("num_attention_heads")
    if f.has("num_key_value_heads"):  # every head has keys and values of its own
        f.for_logits(lambda: f.must_be("num_key_value_heads", n_heads), None)
    if "q_lora_rank" not in f.data:
        raise InputError("q_lora_rank is missing; add it to the file, null for no query latent")
    return LatentAttentionConfig(
        d_model=f.integer("hidden_size"),
        n_heads=n_heads,
        kv_rank=f.integer("kv_lora_rank"),
        q_rank=f.integer("q_lora_rank") if f.has("q_lora_rank") else None,
        d_nope=f.integer("qk_nope_head_dim"),
        d_rope=f.integer("qk_rope_head_dim"),
        d_value=f.integer("v_head_dim"),
        rope=read_rope(f, interleaved=interleaved),
        bias=f.flag("attention_bias", absent=False),
        norm_eps=1e-6,  # the latents' norms have it whatever rms_norm_eps says
    )


def _limited_groups(f: Fields, moe: MoEConfig, n_group_scores: int) -> MoEConfig:
    """The choice of groups before the choice of experts."""
    n_groups = f.integer("n_group")
    if n_groups == 1:
        return moe
    return replace(
        moe,
        n_expert_groups=n_groups,
        n_limited_groups=f.integer("topk_group"),
        n_group_scores=n_group_scores,
    )


def write_v2(config: ModelConfig) -> dict[str, Any]:
    limited = experts(config).n_expert_groups > 1
    return _write(config) | {"topk_method": "group_limited_greedy" if limited else "greedy"}


def write_v3(config: ModelConfig) -> dict[str, Any]:
    rope = config.attention.rope
    interleaved = {} if rope is None else {"rope_interleave": rope.interleaved}
    return _write(config) | {"topk_method": "noaux_tc"} | interleaved


def _write(config: ModelConfig) -> dict[str, Any]:
    attention, moe = config.attention, experts(config)
    assert isinstance(attention, LatentAttentionConfig)
    first, step = _leading_dense_of(config)
    data = write_experts(config, "n_routed_experts", "moe_intermediate_size")
    return (
        write_model(config)
        | data
        | {
            "attention_bias": attention.bias,
            "kv_lora_rank": attention.kv_rank,
            "num_key_value_heads": attention.n_heads,
            "q_lora_rank": attention.q_rank,
            "qk_nope_head_dim": attention.d_nope,
            "qk_rope_head_dim": attention.d_rope,
            "v_head_dim": attention.d_value,
            "first_k_dense_replace": first,
            "moe_layer_freq": step,
            "n_group": moe.n_expert_groups,
            "n_shared_experts": moe.shared_width // moe.d_expert,
            "routed_scaling_factor": moe.route_scale,
            "scoring_func": moe.score_function,
            "topk_group": moe.n_limited_groups,
        }
    )


def _leading_dense_of(config: ModelConfig) -> tuple[int, int]:
    """first_k_dense_replace and moe_layer_freq that give the dense layers; (0, 1) if none do."""
    n_layers, dense = config.n_layers, sorted(config.dense_layers)
    for step in range(1, n_layers + 1):
        for first in range(n_layers + 1):
            if [n for n in range(n_layers) if n < first or n % step] == dense:
                return first, step
    return 0, 1


V1 = Family("deepseek", ("DeepseekForCausalLM",), read_v1)
V2 = BuiltFamily(
    "deepseek_v2",
    ("DeepseekV2ForCausalLM",),
    read_v2,
    write_v2,
    DEEPSEEK,
    attention=LatentAttentionConfig,
    sparse=True,
)
V3 = BuiltFamily(
    "deepseek_v3",
    ("DeepseekV3ForCausalLM",),
    read_v3,
    write_v3,
    DEEPSEEK,
    aliases=("kimi_k2",),
    attention=LatentAttentionConfig,
    sparse=True,
)
V32 = Family("deepseek_v32", ("DeepseekV32ForCausalLM",), read_v32)
