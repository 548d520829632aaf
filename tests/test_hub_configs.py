"""A config.json of the hub becomes the model it describes, and says what is wrong with it."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hub_cases import CASES, FIRST, LLAMA3, SLIDES, YARN, name_of, tiny

from minimoe import (
    AttentionConfig,
    InputError,
    LatentAttentionConfig,
    ModelConfig,
    MoEConfig,
    RopeConfig,
)
from minimoe.config import preset
from minimoe.zoo.configs import (
    ARCHITECTURES,
    FAMILIES,
    MAY_BE_ABSENT,
    hub_config_from,
    model_config_from_hub,
    read_hub_config,
)


def read(family: str, **changes: Any) -> ModelConfig:
    return model_config_from_hub(tiny(family, **changes))


def refusal(family: str, **changes: Any) -> str:
    with pytest.raises(InputError) as caught:
        read(family, **changes)
    message = str(caught.value)
    assert "\n" not in message
    return message.removeprefix(f"config.json of a {family} model: ")


@pytest.mark.parametrize("case", CASES, ids=name_of)
def test_a_model_that_was_written_is_read_as_the_same(case: tuple[str, dict[str, Any]]) -> None:
    family, changes = case
    config = read(family, **changes)
    written = json.loads(json.dumps(hub_config_from(config)))
    assert written["model_type"] == family
    assert written["architectures"] == [ARCHITECTURES[family]]
    assert model_config_from_hub(written) == config


@pytest.mark.parametrize("family", FAMILIES)
def test_every_field_of_a_family_is_there_or_its_absence_has_a_stated_meaning(family: str) -> None:
    optional = MAY_BE_ABSENT["every family"] | MAY_BE_ABSENT[family]
    whole = tiny(family)
    if family == "deepseek_v2":  # the greedy method needs no groups
        whole["topk_method"] = "group_limited_greedy"
    for name in FIRST[family]:
        rest = {key: value for key, value in whole.items() if key != name}
        if name in optional:
            assert model_config_from_hub(rest) == model_config_from_hub({**rest, name: None})
        elif name != "rope_scaling" or family == "gpt_oss":
            with pytest.raises(InputError, match=f"^config.json of a {family} model: {name} is"):
                model_config_from_hub(rest)


ABSENT = [
    (family, name)
    for family in FAMILIES
    for name, meaning in {**MAY_BE_ABSENT["every family"], **MAY_BE_ABSENT[family]}.items()
    if meaning is not None and not (family == "gpt2" and name == "layer_types")
]


@pytest.mark.parametrize(("family", "name"), ABSENT, ids="-".join)
def test_a_field_that_may_be_absent_has_the_value_of_the_table(family: str, name: str) -> None:
    meaning = {**MAY_BE_ABSENT["every family"], **MAY_BE_ABSENT[family]}[name]
    without = {key: value for key, value in tiny(family).items() if key != name}
    said = {**without, name: meaning}
    assert model_config_from_hub(without) == model_config_from_hub(said)


def test_the_head_width_and_key_heads_that_a_llama_leaves_out_are_those_of_plain_attention() -> (
    None
):
    attention = read("llama", head_dim=None, num_key_value_heads=None).attention
    assert attention == AttentionConfig(d_model=16, n_heads=4, n_kv_heads=4, d_head=4)


def test_a_llama_that_says_no_more_turns_with_base_10000_and_has_a_head_of_its_own() -> None:
    config = read("llama", rope_theta=None, tie_word_embeddings=None)
    assert config.attention.rope == RopeConfig(base=10_000.0) and not config.tie_embeddings


# Fields of published files, from memory of them; shapes as in the models' papers and cards.
ROPE_V3 = dict(
    beta_fast=32,
    beta_slow=1,
    factor=40,
    mscale=1.0,
    mscale_all_dim=1.0,
    original_max_position_embeddings=4096,
    type="yarn",
)


def test_mixtral_is_read() -> None:
    config = model_config_from_hub(
        dict(
            architectures=["MixtralForCausalLM"],
            attention_dropout=0.0,
            bos_token_id=1,
            eos_token_id=2,
            hidden_act="silu",
            hidden_size=4096,
            initializer_range=0.02,
            intermediate_size=14336,
            max_position_embeddings=32768,
            model_type="mixtral",
            num_attention_heads=32,
            num_experts_per_tok=2,
            num_hidden_layers=32,
            num_key_value_heads=8,
            num_local_experts=8,
            output_router_logits=False,
            rms_norm_eps=1e-05,
            rope_theta=1000000.0,
            router_aux_loss_coef=0.02,
            sliding_window=None,
            tie_word_embeddings=False,
            torch_dtype="bfloat16",
            use_cache=True,
            vocab_size=32000,
        )
    )
    assert config == ModelConfig(
        n_layers=32,
        attention=AttentionConfig(
            d_model=4096, n_heads=32, n_kv_heads=8, d_head=128, rope=RopeConfig(base=1e6)
        ),
        moe=MoEConfig(d_model=4096, d_expert=14336, n_routed_experts=8, top_k=2),
        vocab_size=32000,
        max_length=32768,
        norm_eps=1e-5,
    )


def test_deepseek_v3_and_kimi_k2_are_read() -> None:
    v3 = tiny(
        "deepseek_v3",
        norm_topk_prob=True,
        n_routed_experts=8,
        n_group=4,
        topk_group=2,
        rope_scaling=ROPE_V3,
        ep_size=1,
        moe_layer_freq=1,
        num_nextn_predict_layers=1,
        quantization_config={"quant_method": "fp8"},
        scoring_func="sigmoid",
        topk_method="noaux_tc",
    )
    rope = RopeConfig(
        interleaved=True,
        scaling="yarn",
        factor=40.0,
        original_length=4096,
        mscale=1.0,
        mscale_all_dim=1.0,
    )
    config = model_config_from_hub(v3)
    assert config == ModelConfig(
        n_layers=3,
        attention=LatentAttentionConfig(
            d_model=16, n_heads=4, kv_rank=7, q_rank=9, d_nope=3, d_rope=4, d_value=5, rope=rope
        ),
        d_ff=10,
        moe=MoEConfig(
            d_model=16,
            d_expert=6,
            n_routed_experts=8,
            top_k=2,
            n_shared_experts=2,
            score_function="sigmoid",
            route_scale=1.5,
            use_expert_bias=True,
            n_expert_groups=4,
            n_limited_groups=2,
            n_group_scores=2,
        ),
        dense_layers=(0,),
        vocab_size=13,
        max_length=24,
    )
    k2_rope = {**ROPE_V3, "beta_fast": 1.0, "beta_slow": 1.0}
    k2 = {**v3, "model_type": "kimi_k2", "n_group": 1, "topk_group": 1, "rope_scaling": k2_rope}
    kimi = model_config_from_hub(k2)
    assert kimi.moe is not None and kimi.moe.n_expert_groups == 1
    assert kimi.attention.rope == replace(rope, beta_fast=1.0)
    assert hub_config_from(kimi)["model_type"] == "deepseek_v3"


def test_gpt_oss_is_read() -> None:
    config = read("gpt_oss", initial_context_length=4096, experts_per_token=2)
    assert config.attention == AttentionConfig(
        d_model=16,
        n_heads=4,
        n_kv_heads=2,
        d_head=6,
        rope=RopeConfig(scaling="yarn", factor=4.0, original_length=6, truncate=False),
        qkv_bias=True,
        o_bias=True,
        sliding_window=3,
        sinks=True,
    )
    assert config.moe == MoEConfig(
        d_model=16,
        d_expert=10,
        n_routed_experts=5,
        top_k=2,
        router_bias=True,
        activation="clamped_swiglu",
        biased_experts=True,
    )
    assert config.sliding_layers == (0, 2)


def test_gpt2_is_read() -> None:
    assert read("gpt2", n_ctx=24) == ModelConfig(
        n_layers=2,
        attention=AttentionConfig(
            d_model=12, n_heads=3, n_kv_heads=3, d_head=4, rope=None, qkv_bias=True, o_bias=True
        ),
        d_ff=48,
        ff="gelu",
        ff_bias=True,
        vocab_size=13,
        max_length=24,
        learned_positions=True,
        tie_embeddings=True,
        norm="layer",
        norm_eps=1e-5,
    )


def test_qwen_moe_has_a_gated_shared_expert_and_biases_of_queries_keys_and_values() -> None:
    config = read("qwen2_moe")
    assert config.moe == MoEConfig(
        d_model=16,
        d_expert=6,
        n_routed_experts=5,
        top_k=2,
        n_shared_experts=1,
        d_shared=7,
        gate_shared=True,
        normalize_weights=False,
    )
    assert isinstance(config.attention, AttentionConfig)
    assert (config.attention.qkv_bias, config.attention.o_bias) == (True, False)


@pytest.mark.parametrize(
    ("family", "norm"),
    [("qwen3", "head"), ("qwen3_moe", "head"), ("olmoe", "all_heads"), ("llama", "none")],
)
def test_queries_and_keys_are_normalized_as_in_the_family(family: str, norm: str) -> None:
    attention = read(family).attention
    assert isinstance(attention, AttentionConfig) and attention.qk_norm == norm


@pytest.mark.parametrize("family", ["mixtral", "gpt_oss"])
def test_one_expert_a_token_is_read_though_its_weight_is_constant(family: str) -> None:
    moe = read(family, num_experts_per_tok=1).moe
    assert moe is not None and moe.normalize_weights and moe.allow_constant_weight


def test_deepseek_v2_routes_in_groups_only_if_its_method_says_so() -> None:
    greedy = read("deepseek_v2").moe
    limited = read("deepseek_v2", topk_method="group_limited_greedy").moe
    assert greedy is not None and (greedy.n_expert_groups, greedy.score_function) == (1, "softmax")
    assert limited == replace(greedy, n_expert_groups=2, n_limited_groups=1, n_group_scores=1)


def test_a_deepseek_v2_that_normalizes_does_not_scale_and_does_neither_for_one_expert() -> None:
    for top_k, normalized, scale in ((2, True, 1.0), (1, False, 1.5)):
        moe = read("deepseek_v2", norm_topk_prob=True, num_experts_per_tok=top_k).moe
        assert moe is not None
        assert (moe.normalize_weights, moe.route_scale) == (normalized, scale)


FULL, SLIDING = "full_attention", "sliding_attention"
ON = dict(use_sliding_window=True, sliding_window=3)
OFF = dict(use_sliding_window=False, sliding_window=3, max_window_layers=1)
WINDOWS: list[tuple[str, dict[str, Any], list[int]]] = [
    ("mixtral", dict(sliding_window=3), [0, 1, 2, 3]),
    ("mixtral", dict(sliding_window=None), []),
    ("qwen2", dict(**ON, max_window_layers=2), [2, 3]),
    ("qwen2", dict(**ON, max_window_layers=0), [0, 1, 2, 3]),
    ("qwen2", dict(**ON, max_window_layers=9), []),
    ("qwen2", OFF, []),
    ("qwen3", dict(**ON, max_window_layers=3), [3]),
    ("qwen3", dict(**ON, layer_types=[SLIDING, FULL, FULL, FULL]), [0]),
    ("qwen3", dict(use_sliding_window=True, sliding_window=None), []),
    ("qwen2_moe", dict(**ON, max_window_layers=4), [0, 2]),
    ("qwen2_moe", dict(**ON, max_window_layers=2), [0]),
    ("qwen2_moe", OFF, []),
    ("qwen3_moe", dict(**ON, max_window_layers=2), [0, 1, 2, 3]),
    ("qwen3_moe", OFF, []),
    ("gpt_oss", {}, [0, 2]),
    ("gpt_oss", dict(layer_types=[FULL, FULL, FULL, SLIDING]), [3]),
    ("llama", dict(sliding_window=3), []),
    ("olmoe", dict(sliding_window=3), []),
]


@pytest.mark.parametrize(("family", "changes", "sliding"), WINDOWS)
def test_the_layers_with_a_sliding_window_are_those_of_the_family(
    family: str, changes: dict[str, Any], sliding: list[int]
) -> None:
    config = read(family, num_hidden_layers=4, **changes)
    assert [layer for layer in range(4) if config.window_of(layer) == 3] == sliding
    assert [layer for layer in range(4) if config.window_of(layer) is not None] == sliding


@pytest.mark.parametrize(
    ("family", "changes", "dense"),
    [
        ("qwen2_moe", {}, ()),
        ("qwen3_moe", dict(decoder_sparse_step=2), (0, 2)),
        ("qwen3_moe", dict(decoder_sparse_step=2, mlp_only_layers=[1, 2]), (0, 1, 2)),
        ("deepseek_v2", dict(first_k_dense_replace=0), ()),
        ("deepseek_v3", dict(first_k_dense_replace=2), (0, 1)),
        ("deepseek_v3", dict(first_k_dense_replace=4), (0, 1, 2, 3)),
        ("deepseek_v3", dict(first_k_dense_replace=1, moe_layer_freq=2), (0, 1, 3)),
    ],
)
def test_the_dense_layers_are_those_of_the_family(
    family: str, changes: dict[str, Any], dense: tuple[int, ...]
) -> None:
    config = read(family, num_hidden_layers=4, **changes)
    assert config.dense_layers == dense
    assert model_config_from_hub(hub_config_from(config)).dense_layers == dense


ROPES: list[tuple[dict[str, Any], RopeConfig]] = [
    ({}, RopeConfig()),
    (dict(rope_scaling=None), RopeConfig()),
    (dict(rope_scaling={"rope_type": "default"}), RopeConfig()),
    (dict(rope_scaling=dict(type="linear", factor=2)), RopeConfig(scaling="linear", factor=2.0)),
    (
        dict(rope_scaling=LLAMA3),
        RopeConfig(scaling="llama3", factor=8.0, original_length=6, low_freq_factor=1.0),
    ),
    (dict(rope_scaling=YARN), RopeConfig(scaling="yarn", factor=4.0, original_length=6)),
    (
        dict(rope_scaling=dict(type="yarn", factor=2.0)),
        RopeConfig(scaling="yarn", factor=2.0, original_length=24),
    ),
    (
        dict(rope_scaling=dict(YARN, factor=None, beta_fast=None, mscale=0, attention_factor=1.25)),
        RopeConfig(scaling="yarn", factor=4.0, original_length=6, attention_factor=1.25),
    ),
    (
        dict(rope_scaling=dict(type="yarn", factor=2.0), original_max_position_embeddings=12),
        RopeConfig(scaling="yarn", factor=2.0, original_length=12),
    ),
]


@pytest.mark.parametrize(("changes", "rope"), ROPES, ids=lambda value: str(value)[:40])
@pytest.mark.parametrize("spelling", ["old", "new", "both"])
def test_rotary_positions_are_read_in_the_old_spelling_and_the_new(
    changes: dict[str, Any], rope: RopeConfig, spelling: str
) -> None:
    data = {**tiny("llama"), **changes, "rope_theta": 50_000}
    if spelling != "old":
        data["rope_parameters"] = {**(data.get("rope_scaling") or {}), "rope_theta": 50_000}
    if spelling == "new":
        del data["rope_theta"]
        data.pop("rope_scaling", None)
    assert model_config_from_hub(data).attention.rope == replace(rope, base=50_000.0)


def test_only_deepseek_turns_neighbouring_pairs_and_v3_says_whether() -> None:
    turned = {}
    for family in FAMILIES:
        rope = read(family).attention.rope
        turned[family] = rope is not None and rope.interleaved
    assert [family for family in FAMILIES if turned[family]] == ["deepseek_v2", "deepseek_v3"]
    plain = read("deepseek_v3", rope_interleave=False).attention.rope
    assert plain is not None and not plain.interleaved


REFUSALS: list[tuple[str, dict[str, Any], str]] = [
    ("llama", dict(hidden_size=18), "hidden_size must be a multiple of num_attention_heads=4, got"),
    ("llama", dict(hidden_size=0), "hidden_size must be an integer of at least 1, got 0"),
    ("llama", dict(hidden_size="16"), "hidden_size must be an integer of at least 1, got '16'"),
    ("llama", dict(vocab_size=True), "vocab_size must be an integer of at least 1, got True"),
    ("llama", dict(mlp_bias=1), "mlp_bias must be true or false, got 1"),
    ("llama", dict(rms_norm_eps="small"), "rms_norm_eps must be a number, got 'small'"),
    (
        "llama",
        dict(num_key_value_heads=3),
        "num_attention_heads must be a multiple of num_key_value_heads=3, got 4",
    ),
    ("llama", dict(hidden_act="gelu"), 'hidden_act must be "silu" for llama, got "gelu"'),
    ("llama", dict(head_dim=5), "d_head must be even"),
    (
        "llama",
        dict(rope_scaling=dict(rope_type="dynamic", factor=2.0)),
        "rope_type must be one of default, linear, llama3, yarn, got 'dynamic'",
    ),
    (
        "llama",
        dict(rope_scaling=dict(rope_type="longrope", type="linear")),
        "rope_type must be one of default, linear, llama3, yarn, got 'longrope' and 'linear'",
    ),
    ("llama", dict(rope_scaling=dict(type="linear")), "factor of rope_type linear is missing"),
    (
        "llama",
        dict(rope_scaling=dict(LLAMA3, low_freq_factor=None)),
        "low_freq_factor is missing; add it to the file",
    ),
    (
        "llama",
        dict(rope_scaling=dict(type="linear", factor=2.0), rope_parameters=YARN),
        "rope_parameters and rope_scaling disagree; keep one of them",
    ),
    (
        "llama",
        dict(rope_parameters=dict(rope_theta=5.0)),
        "rope_theta is given as 10000.0 and 5.0; keep one of them",
    ),
    (
        "llama",
        dict(rope_scaling=YARN, original_max_position_embeddings=7),
        "original_max_position_embeddings is given as 7 and 6; keep one of them",
    ),
    ("llama", dict(partial_rotary_factor=0.5), "partial_rotary_factor must be 1"),
    ("llama", dict(rope_scaling="yarn"), "rope_scaling must be one object for all layers"),
    (
        "qwen3",
        dict(rope_parameters={FULL: {"rope_theta": 1.0}}),
        "rope_parameters must be one object for all layers",
    ),
    (
        "deepseek_v3",
        dict(rope_scaling=dict(type="linear", factor=2.0, mscale_all_dim=1.0)),
        "mscale and mscale_all_dim need rope_type yarn, got linear",
    ),
    ("gpt_oss", dict(rope_scaling=None), "rope_scaling is missing; add it"),
    ("gpt_oss", dict(sliding_window=None), "sliding_window is missing; add it to the file"),
    ("qwen3", dict(layer_types=[FULL]), "layer_types must list num_hidden_layers=3 layers, got 1"),
    (
        "qwen3",
        dict(layer_types=FULL),
        "layer_types must list num_hidden_layers=3 layers, got 'full",
    ),
    (
        "qwen3",
        dict(layer_types=[FULL, FULL, "linear_attention"]),
        "layer_types must hold full_attention or sliding_attention, got 'linear_attention'",
    ),
    ("qwen2", dict(layer_types=SLIDES), "layer_types has sliding_attention in layers [1], and"),
    ("qwen2", ON, "max_window_layers is missing; add it to the file"),
    ("qwen2_moe", dict(layer_types=SLIDES), "layer_types has sliding_attention in layers [1], and"),
    (
        "qwen2_moe",
        dict(use_sliding_window=True, sliding_window=None, max_window_layers=2),
        "sliding_window must be an integer of at least 1, got None",
    ),
    (
        "llama",
        dict(layer_types=SLIDES),
        "layer_types has sliding_attention in layers [1], and a llama model with these fields has",
    ),
    ("mixtral", dict(sliding_window=0), "sliding_window must be an integer of at least 1, got 0"),
    ("olmoe", dict(head_dim=6), "hidden_size must be head_dim * num_attention_heads=24, got 16"),
    (
        "qwen3_moe",
        dict(mlp_only_layers=[3]),
        "mlp_only_layers must hold layers in [0, num_hidden_layers - 1=2], got [3]",
    ),
    ("qwen3_moe", dict(mlp_only_layers=[[1]]), "mlp_only_layers must hold layers in [0, num_hid"),
    ("qwen3_moe", dict(mlp_only_layers=[-1]), "mlp_only_layers must hold layers in [0, num_hidd"),
    ("qwen3_moe", dict(mlp_only_layers=1), "mlp_only_layers must hold layers in [0, num_hidden_"),
    ("qwen3", dict(layer_types=3), "layer_types must list num_hidden_layers=3 layers, got 3"),
    (
        "deepseek_v3",
        dict(first_k_dense_replace=-1),
        "first_k_dense_replace must be an integer of at least 0, got -1",
    ),
    (
        "qwen3_moe",
        dict(num_local_experts=6),
        "num_local_experts=6 and num_experts=5 contradict each other; keep one of them",
    ),
    ("qwen3_moe", dict(num_experts_per_tok=6), "top_k must lie in [1, n_routed_experts=5], got 6"),
    ("deepseek_v2", dict(topk_method="noaux_tc"), "topk_method must be one of greedy, group_lim"),
    ("deepseek_v2", dict(scoring_func="sigmoid"), 'scoring_func must be "softmax" for deepseek_v2'),
    ("deepseek_v2", dict(mlp_bias=True), "mlp_bias must be false for deepseek_v2, got true"),
    ("deepseek_v3", dict(scoring_func="softmax"), 'scoring_func must be "sigmoid" for deepseek_v3'),
    ("deepseek_v3", dict(topk_method="greedy"), 'topk_method must be "noaux_tc" for deepseek_v3'),
    ("deepseek_v3", dict(num_key_value_heads=2), "num_key_value_heads must be 4 for deepseek_v3"),
    ("deepseek_v3", dict(kv_lora_rank=None), "kv_lora_rank is missing; add it to the file"),
    (
        "deepseek_v3",
        dict(first_k_dense_replace=4),
        "first_k_dense_replace must lie in [0, num_hidden_layers=3], got 4",
    ),
    ("deepseek_v3", dict(n_group=4), "n_routed_experts must be a multiple of n_expert_groups=4"),
    ("gpt2", dict(activation_function="gelu"), 'activation_function must be "gelu_new" for gpt2'),
    ("gpt2", dict(scale_attn_weights=False), "scale_attn_weights must be true for gpt2, got false"),
    ("gpt2", dict(reorder_and_upcast_attn=True), "reorder_and_upcast_attn must be false for gpt2"),
    ("gpt2", dict(add_cross_attention=True), "add_cross_attention must be false for gpt2, got tr"),
    ("gpt2", dict(scale_attn_by_inverse_layer_idx=True), "scale_attn_by_inverse_layer_idx must be"),
    ("gpt2", dict(n_head=5), "n_embd must be a multiple of n_head=5, got 12"),
]


@pytest.mark.parametrize(("family", "changes", "message"), REFUSALS, ids=lambda v: str(v)[:50])
def test_a_field_that_cannot_be_used_is_refused_in_one_line(
    family: str, changes: dict[str, Any], message: str
) -> None:
    assert refusal(family, **changes).startswith(message)


@pytest.mark.parametrize("given", ["mamba", None, 3])
def test_an_unknown_family_is_refused_with_the_known_ones(given: object) -> None:
    with pytest.raises(InputError) as caught:
        model_config_from_hub({"model_type": given})
    known = ", ".join((*FAMILIES, "kimi_k2"))
    assert str(caught.value) == f"model_type must be one of {known}, got {given!r}"


def test_a_preset_is_written_as_the_family_that_has_its_parts() -> None:
    written = hub_config_from(preset("moe"))
    assert written["model_type"] == "mixtral"
    assert (written["num_local_experts"], written["num_experts_per_tok"]) == (16, 2)
    assert hub_config_from(preset("dense"))["model_type"] == "llama"


UNSAYABLE: list[tuple[ModelConfig, str]] = [
    (preset("switch"), "moe.normalize_weights=False has no place in the config.json of a mixtral"),
    (
        preset("fine_grained"),
        "moe.score_function='sigmoid' has no place in the config.json of a mixtral",
    ),
    (
        replace(read("mixtral"), moe=replace(read("mixtral").moe, capacity_factor=1.0)),
        "moe.capacity_factor=1.0 has no place in the config.json of a mixtral model, the closest "
        "family of the hub: it would mean None",
    ),
    (
        replace(read("llama"), attention=replace(read("llama").attention, clip_qkv=2.0)),
        "attention.clip_qkv=2.0 has no place in the config.json of a llama",
    ),
    (
        replace(read("llama"), attention=replace(read("llama").attention, sliding_window=2)),
        "windows=[2, 2, 2] has no place in the config.json of a llama",
    ),
    (
        replace(read("llama"), attention=replace(read("llama").attention, rope=None)),
        "attention.rope.base=None has no place in the config.json of a llama",
    ),
    (
        replace(
            read("deepseek_v3"), attention=replace(read("deepseek_v3").attention, norm_eps=1e-5)
        ),
        "attention.norm_eps=1e-05 has no place in the config.json of a deepseek_v3",
    ),
    (
        replace(read("gpt2"), attention=replace(read("gpt2").attention, rope=RopeConfig())),
        "attention.rope.base=10000.0 has no place in the config.json of a gpt2",
    ),
    (replace(read("gpt2"), norm="rms"), "norm='rms' has no place in the config.json of a gpt2"),
    (
        replace(read("deepseek_v3"), moe=None, dense_layers=()),
        "no family of the hub has this model: config.json of a deepseek_v3 model: ",
    ),
]


@pytest.mark.parametrize(("config", "message"), UNSAYABLE, ids=lambda value: str(value)[:50])
def test_a_model_that_no_family_has_is_not_written(config: ModelConfig, message: str) -> None:
    with pytest.raises(InputError) as caught:
        hub_config_from(config)
    assert str(caught.value).startswith(message)


def test_what_does_not_change_a_logit_does_not_hinder_writing() -> None:
    config = read("deepseek_v3")
    assert isinstance(config.attention, LatentAttentionConfig) and config.moe is not None
    other = replace(
        config,
        attention=replace(config.attention, way="absorbed"),
    )
    assert hub_config_from(other) == hub_config_from(config)
    one = read("deepseek_v3", n_shared_experts=1)
    assert one.moe is not None
    wide = replace(config, moe=replace(one.moe, d_shared=12))
    assert hub_config_from(wide)["n_shared_experts"] == 2


def test_a_config_json_is_found_in_its_directory(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(tiny("llama")))
    for path in (tmp_path, tmp_path / "config.json", str(tmp_path)):
        assert read_hub_config(path) == tiny("llama")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot read {}: No such file or directory; give a config.json or its directory"),
        (b"{", "{} is not JSON: "),
        (b"[" * 100_000, "{} is not JSON: "),
        (b"\xff\xfe", "{} is not JSON: "),
        (b"[1]", "{} must hold a JSON object, got list"),
    ],
)
def test_a_file_that_is_no_config_json_is_refused(
    tmp_path: Path, content: bytes | None, message: str
) -> None:
    if content is not None:
        (tmp_path / "config.json").write_bytes(content)
    path = tmp_path if content is not None else tmp_path / "config.json"
    with pytest.raises(InputError) as caught:
        read_hub_config(path)
    assert str(caught.value).startswith(message.format(tmp_path / "config.json"))
    assert "\n" not in str(caught.value)
