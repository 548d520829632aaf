"""A config.json of the hub becomes the model it describes, or one line says what is wrong."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hub_cases import ALTERNATING, CASES, FIRST, LLAMA3, VARIANTS, YARN, model_count, name_of, tiny

from minimoe import (
    AttentionConfig,
    InputError,
    LatentAttentionConfig,
    ModelConfig,
    MoEConfig,
    RopeConfig,
)
from minimoe.config import preset
from minimoe.formulas.parameters import count_parameters
from minimoe.zoo.configs import (
    hub_config_from,
    hub_shapes,
    model_config_from_hub,
    read_hub_config,
)
from minimoe.zoo.families import BUILT, BY_MODEL_TYPE, FAMILIES
from minimoe.zoo.published import count_named, published_model, published_models

WHOLE = {  # a whole config.json of every family
    model.config["model_type"]: model.config for model in published_models()
} | {family: tiny(family) for family in BUILT}


LOGITS_ONLY = {
    "hidden_act", "rms_norm_eps", "rope_theta", "rope_scaling", "norm_topk_prob", "n_group",
    "topk_group", "topk_method", "scoring_func", "routed_scaling_factor", "sliding_window",
    "use_sliding_window", "max_window_layers", "activation_function", "layer_norm_epsilon",
    "clip_qkv", "swiglu_limit",
}  # fmt: skip


def read(family: str, **changes: Any) -> ModelConfig:
    return model_config_from_hub(tiny(family, **changes))


def refused(act: Any, *arguments: Any) -> str:
    """The message with which it is refused: one line of at most 300 characters."""
    with pytest.raises(InputError) as caught:
        act(*arguments)
    message = str(caught.value)
    assert "\n" not in message and len(message) <= 300
    return message


# --- Families


def test_every_family_has_one_name_and_a_published_or_a_tiny_model() -> None:
    assert set(WHOLE) == set(FAMILIES)
    assert set(FIRST) == set(VARIANTS) == set(BUILT)
    names = [name for family in FAMILIES.values() for name in (family.model_type, *family.aliases)]
    assert len(names) == len(set(names)) == len(BY_MODEL_TYPE)


@pytest.mark.parametrize("case", CASES, ids=name_of)
def test_a_model_that_was_written_is_read_as_the_same(case: tuple[str, dict[str, Any]]) -> None:
    family, changes = case
    config = read(family, **changes)
    written = json.loads(json.dumps(hub_config_from(config)))
    assert written["model_type"] == family
    assert model_config_from_hub(written) == config
    assert not hub_shapes(written).assumed


def weights_of(data: dict[str, Any]) -> tuple[object, dict[str, Any]]:
    """What is counted, and what was assumed."""
    shapes = hub_shapes(data)
    return (count_parameters(shapes.model), shapes.weights), shapes.assumed


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_a_field_that_changes_the_count_is_given_or_named_as_assumed(family: str) -> None:
    """Another value of a wrong type is refused, or changes nothing."""
    config = WHOLE[family]
    counted, _ = weights_of(config)
    needed = set()
    for name in set(config) - {"q_lora_rank"}:  # null is a value there
        rest = {key: value for key, value in config.items() if key != name}
        for value in ("absent", -1, 10**30):
            try:
                found, assumed = weights_of(rest if value == "absent" else {**rest, name: value})
            except InputError as error:
                needed.add(name)
                assert "\n" not in str(error) and len(str(error)) <= 300
            else:
                assert found == counted or (name in assumed and value == "absent"), name
    assert not needed & LOGITS_ONLY


def test_a_model_is_loaded_only_if_its_logits_are_known() -> None:
    for family, name in (
        ("llama", "rms_norm_eps"),
        ("llama", "hidden_act"),
        ("llama", "max_position_embeddings"),
        ("qwen3", "rope_theta"),
        ("qwen3_moe", "norm_topk_prob"),
        ("deepseek_v2", "topk_method"),
        ("deepseek_v3", "routed_scaling_factor"),
        ("gpt_oss", "rope_scaling"),
        ("gpt2", "layer_norm_epsilon"),
    ):
        data = tiny(family)
        del data[name]
        assert model_count(data, 1).total > 0
        assert f"{name} is missing" in refused(model_config_from_hub, data)


# --- Files as they were found in use. The totals are those of the published models.

LLAMA_1 = dict(  # of 2023, before the number of positions had today's name
    architectures=["LlamaForCausalLM"],
    model_type="llama",
    hidden_act="silu",
    hidden_size=4096,
    intermediate_size=11_008,
    max_sequence_length=2048,
    num_attention_heads=32,
    num_hidden_layers=32,
    rms_norm_eps=1e-6,
    vocab_size=32_000,
)
QWEN3_CODER = dict(
    architectures=["Qwen3MoeForCausalLM"],
    model_type="qwen3_moe",
    hidden_size=6144,
    head_dim=128,
    moe_intermediate_size=2560,
    num_attention_heads=96,
    num_experts=160,
    num_experts_per_tok=8,
    num_hidden_layers=62,
    num_key_value_heads=8,
    qkv_bias=False,
    shared_expert_intermediate_size=0,
    tie_word_embeddings=False,
    vocab_size=151_936,
)


def changed(name: str, without: str = "", **changes: Any) -> dict[str, Any]:
    """The config.json of a published model, changed."""
    config = published_model(name).config
    return {key: value for key, value in config.items() if key not in without.split()} | changes


def v4_layer_types(name: str) -> list[str]:
    kinds = {
        0: "sliding_attention",
        4: "compressed_sparse_attention",
        128: "heavily_compressed_attention",
    }
    return [kinds[ratio] for ratio in published_model(name).config["compress_ratios"]]


def one_more(name: str) -> list[int]:
    """The ratios of all layers, and of the one that predicts a further token."""
    return [*published_model(name).config["compress_ratios"], 0]


M1_KINDS = [
    int(kind == "full_attention") for kind in published_model("minimax-m1").config["layer_types"]
]
NEXT_KINDS = (["linear_attention"] * 3 + ["full_attention"]) * 12
FOUND: dict[str, tuple[dict[str, Any], int, set[str]]] = {
    "deepseek-v4-flash with a ratio for the prediction layer": (
        changed("deepseek-v4-flash", compress_ratios=one_more("deepseek-v4-flash")),
        284_332_230_231,
        {"architectures"},
    ),
    "deepseek-v4-pro with a ratio for the prediction layer": (
        changed("deepseek-v4-pro", compress_ratios=one_more("deepseek-v4-pro")),
        1_572_997_179_491,
        {"architectures"},
    ),
    "deepseek-v4-flash saved by transformers 5": (
        changed(
            "deepseek-v4-flash",
            "compress_ratios num_hash_layers",
            layer_types=v4_layer_types("deepseek-v4-flash"),
        ),
        284_332_230_231,
        {"architectures"},
    ),
    "deepseek-v3 with num_shared_experts": (
        changed("deepseek-v3", "n_shared_experts", num_shared_experts=1, moe_layer_freq=1),
        671_026_404_352,
        {"architectures"},
    ),
    "deepseek-v3 without a number of shared experts": (
        changed("deepseek-v3", "n_shared_experts", architectures=["DeepseekV3ForCausalLM"]),
        671_026_404_352,
        {"n_shared_experts", "moe_layer_freq"},
    ),
    "qwen3-coder without attention_bias": (
        QWEN3_CODER,
        480_154_875_392,
        {"attention_bias", "max_position_embeddings", "decoder_sparse_step", "mlp_only_layers"},
    ),
    "minimax-m1 in its authors' spelling": (
        changed(
            "minimax-m1",
            "layer_types",
            model_type="minimax_m1",
            architectures=["MiniMaxM1ForCausalLM"],
            attn_type_list=M1_KINDS,
            shared_intermediate_size=0,
        ),
        456_089_655_296,
        set(),
    ),
    "qwen3-next saved by transformers 5": (
        changed("qwen3-next-80b-a3b", "full_attention_interval", layer_types=NEXT_KINDS),
        79_674_391_296,
        {"architectures"},
    ),
    "llama of 2023": (
        LLAMA_1,
        6_738_415_616,
        {"attention_bias", "head_dim", "max_position_embeddings", "mlp_bias",
         "num_key_value_heads", "tie_word_embeddings"},
    ),
    "llama with rotary positions that are not computed here": (
        changed(
            "llama-3.1-8b",
            attention_bias=False,
            mlp_bias=False,
            architectures="LlamaForCausalLM",
            rope_scaling={"rope_type": "longrope"},
        ),
        8_030_261_248,
        set(),
    ),
    "llama 4 with its vision tower": (
        published_model("llama-4-scout").config,
        published_model("llama-4-scout").counted.total,
        {"architectures", "text_config.attention_bias"},
    ),
    "llama 4, its text model alone": (
        changed("llama-4-scout")["text_config"] | {"model_type": "llama4_text"},
        published_model("llama-4-scout").counted.total
        - model_count(published_model("llama-4-scout").config, 1).parameters_by_place["other"],
        {"architectures", "attention_bias"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FOUND)
def test_a_file_found_in_use_counts_right_and_says_what_was_assumed(name: str) -> None:
    data, total, assumed = FOUND[name]
    assert model_count(data, 1).total == total
    assert set(hub_shapes(data).assumed) == assumed


VISION = {"vision_config": {"hidden_size": 8}}
NOT_COUNTED: dict[str, tuple[dict[str, Any], str]] = {
    "a draft by its architecture": (
        dict(LLAMA_1, architectures=["LlamaForCausalLMEagle3"]),
        "architectures names 'LlamaForCausalLMEagle3'",
    ),
    "a draft by its vocabulary": (dict(LLAMA_1, draft_vocab_size=32_000), "draft_vocab_size=32000"),
    "a classifier": (
        tiny("qwen2", architectures=["Qwen2ForSequenceClassification"], num_labels=1),
        'set architectures to ["Qwen2ForCausalLM"]',
    ),
    "a model without a head": (
        tiny("qwen3", architectures=["Qwen3ForCausalLM", "Qwen3Model"]),
        "architectures names 'Qwen3Model'",
    ),
    "an architecture that is no name": (tiny("gpt2", architectures=[[1]]), "names [1]"),
    "a wrapper of a known text model": (
        {"model_type": "llava", "text_config": LLAMA_1, **VISION},
        "'llava' is a multimodal wrapper of a llama text model",
    ),
    "a wrapper of an unknown text model": (
        {"model_type": "a_vl", "text_config": {"model_type": "mamba"}, **VISION},
        f"model_type must be one of {len(BY_MODEL_TYPE)} that are known, got 'a_vl'",
    ),
    "a name that is nearly known": ({"model_type": "qwen3moe"}, "near it: qwen3_moe, "),
    "no name": ({}, "got None"),
    "a name of a wrong type": ({"model_type": [1]}, "got [1]"),
    "layers beyond the last": (
        changed("deepseek-v3.2-exp", first_k_dense_replace=10**30),
        "first_k_dense_replace must lie in [0, num_hidden_layers=61], got 10000000",
    ),
    "too many layers": (tiny("deepseek_v3", num_hidden_layers=10**9), "[1, 100000], got 1000"),
    "an immense width": (tiny("llama", hidden_size=10**4000), "hidden_size must lie in [1, 10"),
    "ratios for two more layers": (
        changed("deepseek-v4-flash", compress_ratios=[*one_more("deepseek-v4-flash"), 0]),
        "compress_ratios must list num_hidden_layers=43 layers, got 45",
    ),
    "an unknown ratio": (
        changed("deepseek-v4-flash", compress_ratios=[8] * 43),
        "compress_ratios must hold 0 or 4 or 128, got 8",
    ),
    "groups that do not fit": (
        changed("deepseek-v4-flash", o_groups=7),
        "o_groups must divide heads * head_dim=32768, got 7",
    ),
    "a shared expert that is not counted": (
        changed("minimax-m1", shared_intermediate_size=64),
        "shared_intermediate_size must be 0 for minimax, got 64",
    ),
}


@pytest.mark.parametrize("name", NOT_COUNTED)
def test_what_cannot_be_counted_is_refused_by_name(name: str) -> None:
    data, message = NOT_COUNTED[name]
    assert message in refused(hub_shapes, data)


def test_a_family_that_is_only_counted_is_not_computed() -> None:
    message = refused(model_config_from_hub, published_model("grok-1").config)
    assert "'grok-1' can be counted but not computed; computed are deepseek_v2" in message


# --- Values: what the fields mean


def test_deepseek_v3_and_kimi_k2_are_read() -> None:
    rope = RopeConfig(base=50.0, interleaved=True, scaling="yarn", factor=4.0, original_length=8,
                      beta_fast=1.0, beta_slow=0.1, mscale=1.0, mscale_all_dim=1.0)  # fmt: skip
    scaling = YARN | dict(mscale=1.0, mscale_all_dim=1.0)
    more = dict(rope_scaling=scaling, num_nextn_predict_layers=1, quantization_config={"a": 1})
    expected = ModelConfig(
        n_layers=3,
        attention=LatentAttentionConfig(
            d_model=17, n_heads=3, kv_rank=8, q_rank=9, d_nope=6, d_rope=4, d_value=5, rope=rope
        ),
        d_ff=21,
        moe=MoEConfig(
            d_model=17,
            d_expert=8,
            n_routed_experts=8,
            top_k=3,
            n_shared_experts=1,
            score_function="sigmoid",
            route_scale=2.5,
            use_expert_bias=True,
            n_expert_groups=4,
            n_limited_groups=2,
            n_group_scores=2,
        ),
        dense_layers=(0,),
        vocab_size=31,
        max_length=64,
        norm_eps=1e-3,
    )
    assert read("deepseek_v3", **more) == expected
    assert read("deepseek_v3", **more, model_type="kimi_k2") == expected


def test_a_deepseek_v2_that_normalizes_does_not_scale_and_does_neither_for_one_expert() -> None:
    for top_k, normalized, scale in ((2, True, 1.0), (1, False, 2.5)):
        moe = read("deepseek_v2", norm_topk_prob=True, num_experts_per_tok=top_k).moe
        assert moe is not None
        assert (moe.normalize_weights, moe.route_scale) == (normalized, scale)


def test_absent_heads_of_a_llama_are_those_of_plain_attention() -> None:
    absent = dict.fromkeys(("head_dim", "num_key_value_heads", "rope_theta"))
    plain = AttentionConfig(d_model=24, n_heads=4, n_kv_heads=4, d_head=6)
    assert read("llama", hidden_size=24, **absent).attention == plain


ROPES: list[tuple[dict[str, Any], RopeConfig]] = [
    (dict(rope_scaling={"rope_type": "default"}), RopeConfig()),
    (dict(rope_scaling=dict(type="linear", factor=2)), RopeConfig(scaling="linear", factor=2.0)),
    (
        dict(rope_scaling=LLAMA3),
        RopeConfig(scaling="llama3", factor=4.0, original_length=8, low_freq_factor=0.1,
                   high_freq_factor=1.0),
    ),
    (
        dict(rope_scaling=dict(type="yarn", factor=2.0)),
        RopeConfig(scaling="yarn", factor=2.0, original_length=64),
    ),
    (
        dict(rope_scaling=dict(YARN, factor=None, beta_fast=None, mscale=0, attention_factor=1.25)),
        RopeConfig(scaling="yarn", factor=8.0, original_length=8, beta_slow=0.1,
                   attention_factor=1.25),
    ),
    (
        dict(rope_scaling=dict(type="yarn", factor=2.0), original_max_position_embeddings=12),
        RopeConfig(scaling="yarn", factor=2.0, original_length=12),
    ),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "rope"), ROPES, ids=lambda value: str(value)[:40])
@pytest.mark.parametrize("spelling", ["old", "new", "both"])
def test_rotary_positions_are_read_in_the_old_spelling_and_the_new(
    changes: dict[str, Any], rope: RopeConfig, spelling: str
) -> None:
    data = {**tiny("llama"), **changes, "rope_theta": 50_000}
    if spelling != "old":
        data["rope_parameters"] = {**data["rope_scaling"], "rope_theta": 50_000}
    if spelling == "new":
        del data["rope_theta"], data["rope_scaling"]
    assert model_config_from_hub(data).attention.rope == replace(rope, base=50_000.0)


FULL, SLIDING = "full_attention", "sliding_attention"
ON = dict(use_sliding_window=True, sliding_window=3)
WINDOWS: list[tuple[str, dict[str, Any], list[int]]] = [
    ("qwen2", dict(**ON, max_window_layers=2), [2, 3]),
    ("qwen2", dict(**ON, max_window_layers=9), []),
    ("qwen3", dict(**ON, layer_types=[SLIDING, FULL, FULL, FULL]), [0]),
    ("qwen3", dict(use_sliding_window=True, sliding_window=None), []),
    ("qwen2_moe", dict(**ON, max_window_layers=9), [0, 2]),
    ("qwen2_moe", dict(sliding_window=3, max_window_layers=4), []),
    ("llama", dict(sliding_window=3), []),
]


@pytest.mark.parametrize(("family", "changes", "sliding"), WINDOWS)
def test_the_layers_with_a_sliding_window_are_those_of_the_family(
    family: str, changes: dict[str, Any], sliding: list[int]
) -> None:
    config = read(family, num_hidden_layers=4, **changes)
    assert [config.window_of(i) for i in range(4)] == [
        3 if i in sliding else None for i in range(4)
    ]


@pytest.mark.parametrize(
    ("family", "changes", "dense"),
    [
        ("qwen3_moe", dict(decoder_sparse_step=2, mlp_only_layers=[1, 2]), (0, 1, 2)),
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


# --- Refusals of a model whose weights are to be loaded

REFUSALS: list[tuple[str, dict[str, Any], str]] = [
    ("llama", dict(hidden_size=18, head_dim=None), "multiple of num_attention_heads=4, got 18"),
    ("llama", dict(hidden_size=0), "hidden_size must be an integer of at least 1, got 0"),
    ("llama", dict(hidden_size="16"), "got '16'"),
    ("llama", dict(vocab_size=True), "got True"),
    ("llama", dict(mlp_bias=1), "mlp_bias must be True or False, got 1"),
    ("llama", dict(rms_norm_eps="small"), "rms_norm_eps must be a number, got 'small'"),
    ("llama", dict(rms_norm_eps=10**400), "rms_norm_eps must be at most 1.8e308, got 1000"),
    ("llama", dict(num_key_value_heads=3), "multiple of num_key_value_heads=3, got 4"),
    ("llama", dict(hidden_act="gelu"), 'hidden_act must be "silu" for llama, got "gelu"'),
    ("llama", dict(rope_scaling={"rope_type": "dynamic"}), "got 'dynamic'"),
    ("llama", dict(rope_scaling={"rope_type": [1]}), "llama3, yarn, got [1]"),
    ("llama", dict(rope_scaling={"rope_type": "yarn", "type": "linear"}), "'yarn' and 'linear'"),
    ("llama", dict(rope_scaling=dict(type="linear")), "factor of rope_type linear is missing"),
    ("llama", dict(rope_scaling=dict(LLAMA3, low_freq_factor=None)), "low_freq_factor is missing"),
    (
        "llama",
        dict(rope_scaling=dict(type="linear", factor=2.0), rope_parameters=YARN),
        "rope_parameters and rope_scaling disagree",
    ),
    ("llama", dict(rope_parameters=dict(rope_theta=5.0)), "rope_theta is given as 50.0 and 5.0"),
    ("llama", dict(partial_rotary_factor=0.5), "partial_rotary_factor must be 1, got 0.5"),
    ("llama", dict(rope_scaling="yarn"), "rope_scaling must be one object for all layers"),
    ("qwen3", dict(rope_parameters={FULL: {}}), "rope_parameters must be one object for all"),
    (
        "deepseek_v3",
        dict(rope_scaling=dict(type="linear", factor=2.0, mscale_all_dim=1.0)),
        "mscale and mscale_all_dim need rope_type yarn, got linear",
    ),
    ("gpt_oss", dict(sliding_window=None), "sliding_window is missing; add it to the file"),
    ("qwen3", dict(layer_types=[FULL]), "layer_types must list num_hidden_layers=3 layers, got 1"),
    ("qwen3", dict(layer_types=3), "layer_types must list num_hidden_layers=3 layers, got 3"),
    ("qwen3", dict(layer_types=[FULL, FULL, "other"]), "or sliding_attention, got 'other'"),
    ("qwen2", dict(layer_types=ALTERNATING), "sliding_attention in layers [1], and a qwen2"),
    ("qwen3", ON, "max_window_layers is missing; add it to the file"),
    ("olmoe", dict(head_dim=8), "hidden_size must be head_dim * num_attention_heads=32, got 24"),
    ("qwen3_moe", dict(mlp_only_layers=[3]), "[0, num_hidden_layers - 1=2], got [3]"),
    ("qwen3_moe", dict(mlp_only_layers=1), "[0, num_hidden_layers - 1=2], got 1"),
    ("qwen3_moe", dict(num_local_experts=7), "num_experts=6 and num_local_experts=7 contradict"),
    ("qwen3_moe", dict(num_experts_per_tok=7), "top_k must lie in [1, n_routed_experts=6], got 7"),
    ("deepseek_v2", dict(topk_method="noaux_tc"), "topk_method must be one of greedy, group_lim"),
    ("deepseek_v2", dict(scoring_func="sigmoid"), 'scoring_func must be "softmax" for deepseek_v2'),
    ("deepseek_v2", dict(mlp_bias=True), "mlp_bias must be false for deepseek_v2, got true"),
    ("deepseek_v3", dict(scoring_func="softmax"), 'scoring_func must be "sigmoid" for deepseek_v3'),
    ("deepseek_v3", dict(topk_method="greedy"), 'topk_method must be "noaux_tc" for deepseek_v3'),
    ("deepseek_v3", dict(num_key_value_heads=2), "num_key_value_heads must be 3 for deepseek_v3"),
    ("gpt2", dict(activation_function="gelu"), 'activation_function must be "gelu_new" for gpt2'),
    ("gpt2", dict(scale_attn_weights=False), "scale_attn_weights must be true for gpt2, got false"),
    ("gpt2", dict(scale_attn_by_inverse_layer_idx=True), "scale_attn_by_inverse_layer_idx must be"),
    ("gpt2", dict(add_cross_attention=True), "add_cross_attention must be false for gpt2, got tr"),
    ("gpt2", dict(n_head=3), "n_embd must be a multiple of n_head=3, got 20"),
]  # fmt: skip


@pytest.mark.parametrize(("family", "changes", "message"), REFUSALS, ids=lambda v: str(v)[:50])
def test_a_field_that_cannot_be_used_is_refused_in_one_line(
    family: str, changes: dict[str, Any], message: str
) -> None:
    line = refused(model_config_from_hub, tiny(family, **changes))
    assert line.startswith(f"config.json of a {family} model: ") and message in line


# --- Writing


def test_a_preset_is_written_as_the_family_that_has_its_parts() -> None:
    written = hub_config_from(preset("moe"))
    assert written["model_type"] == "mixtral"
    assert (written["num_local_experts"], written["num_experts_per_tok"]) == (16, 2)
    assert hub_config_from(preset("dense"))["model_type"] == "llama"


def with_attention(family: str, **changes: Any) -> ModelConfig:
    config = read(family)
    return replace(config, attention=replace(config.attention, **changes))


UNSAYABLE: list[tuple[ModelConfig, str]] = [
    (preset("switch"), "moe.normalize_weights=False has no place in the config.json of a mixtral"),
    (
        replace(read("mixtral"), moe=replace(read("mixtral").moe, capacity_factor=1.0)),
        "moe.capacity_factor=1.0 has no place in the config.json of a mixtral model, the closest "
        "family of the hub: it would mean None",
    ),
    (with_attention("llama", sliding_window=2), "windows=[2, 2] has no place in the config.json "),
    (with_attention("qwen3", rope=None), "attention."),
    (with_attention("deepseek_v3", norm_eps=1e-5), "attention.norm_eps=1e-05 has no place in the "),
    (replace(read("gpt2"), norm="rms"), "norm='rms' has no place in the config.json of a gpt2"),
    (
        replace(read("deepseek_v3"), moe=None, dense_layers=()),
        "no family of the hub has this model: LatentAttentionConfig with dense layers only",
    ),
]


@pytest.mark.parametrize(("config", "message"), UNSAYABLE, ids=lambda value: str(value)[:50])
def test_a_model_that_no_family_has_is_not_written(config: ModelConfig, message: str) -> None:
    assert refused(hub_config_from, config).startswith(message)


def test_what_does_not_change_a_logit_does_not_hinder_writing() -> None:
    config = read("deepseek_v3", n_shared_experts=2)
    other = replace(config, attention=replace(config.attention, way="absorbed"))
    assert hub_config_from(other) == hub_config_from(config)
    one = read("deepseek_v3")
    wide = replace(config, moe=replace(one.moe, d_shared=16))
    assert hub_config_from(wide)["n_shared_experts"] == 2


# --- Files


def test_a_config_json_is_found_in_its_directory_with_a_byte_order_mark_too(tmp_path: Path) -> None:
    for mark in (b"", b"\xef\xbb\xbf"):
        (tmp_path / "config.json").write_bytes(mark + json.dumps(tiny("llama")).encode())
        for path in (tmp_path, tmp_path / "config.json", str(tmp_path)):
            assert read_hub_config(path) == tiny("llama")
    assumed = count_named(str(tmp_path)).assumptions
    assert set(assumed) == {"architectures", "attention_bias", "mlp_bias"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot read {}: No such file or directory; give a config.json or its directory"),
        (b"{", "{} is not JSON: "),
        (b"[" * 100_000, "{} is not JSON: "),
        (b"\xff\xfe", "{} is not JSON: "),
        (b'{"a": ' + b"9" * 5000 + b"}", "{} is not JSON: "),
        (b"[1]", "{} must hold a JSON object, got list"),
    ],
    ids=str,
)
def test_a_file_that_is_no_config_json_is_refused(
    tmp_path: Path, content: bytes | None, message: str
) -> None:
    path = tmp_path / "config.json"
    if content is not None:
        path.write_bytes(content)
    assert refused(read_hub_config, path).startswith(message.format(path))
