"""A number that makes no sense is refused in one line that names it and its limit."""

import json
from collections.abc import Callable, Iterator
from dataclasses import FrozenInstanceError, asdict, replace
from typing import Any

import jaxtyping
import pytest

from minimoe import AttentionConfig, InputError, ModelConfig, MoEConfig, TrainConfig
from minimoe.config import (
    PRESETS,
    LatentAttentionConfig,
    RopeConfig,
    model_config_from,
    preset,
    train_config_from,
)
from minimoe.formulas.parameters import count_parameters

MOE = {"d_model": 8, "d_expert": 4, "n_routed_experts": 8, "top_k": 2}
ATTENTION = {"d_model": 8, "n_heads": 4, "n_kv_heads": 2, "d_head": 6}
LATENT = {"d_model": 8, "n_heads": 4, "kv_rank": 6, "d_nope": 4, "d_rope": 2, "d_value": 3}
INF = float("inf")
NAN = float("nan")


def moe(**changes: Any) -> MoEConfig:
    return MoEConfig(**{**MOE, **changes})


def attention(**changes: Any) -> AttentionConfig:
    return AttentionConfig(**{**ATTENTION, **changes})


def rope(**changes: Any) -> RopeConfig:
    return RopeConfig(**changes)


def latent(**changes: Any) -> LatentAttentionConfig:
    return LatentAttentionConfig(**{**LATENT, **changes})


def model(**changes: Any) -> ModelConfig:
    return ModelConfig(**{"n_layers": 3, "attention": attention(), "d_ff": 16, **changes})


def training(**changes: Any) -> TrainConfig:
    return TrainConfig(**{"steps": 10, **changes})


REFUSALS = [
    (moe, {"d_model": 0}, "d_model must be an integer of at least 1, got 0"),
    (moe, {"d_expert": 4.0}, "d_expert must be an integer of at least 1, got 4.0"),
    (moe, {"n_routed_experts": -3}, "n_routed_experts must be an integer of at least 1, got -3"),
    (
        moe,
        {"n_routed_experts": True},
        "n_routed_experts must be an integer of at least 1, got True",
    ),
    (moe, {"top_k": 9}, "top_k must lie in [1, n_routed_experts=8], got 9"),
    (moe, {"top_k": 0}, "top_k must lie in [1, n_routed_experts=8], got 0"),
    (moe, {"n_shared_experts": -1}, "n_shared_experts must be an integer of at least 0, got -1"),
    (moe, {"score_function": "relu"}, "score_function must be one of softmax, sigmoid, got 'relu'"),
    (moe, {"route_scale": 0.0}, "route_scale must be above 0, got 0.0"),
    (moe, {"route_scale": NAN}, "route_scale must be a finite number of at least 0, got nan"),
    (moe, {"router_noise": -1}, "router_noise must be a finite number of at least 0, got -1"),
    (moe, {"router_noise": INF}, "router_noise must be a finite number of at least 0, got inf"),
    (moe, {"capacity_factor": -1}, "capacity_factor must be a finite number of at least 0, got -1"),
    (
        moe,
        {"capacity_factor": INF},
        "capacity_factor must be a finite number of at least 0, got inf",
    ),
    (
        moe,
        {"top_k": 1},
        "top_k=1 with normalize_weights=True gives every weight the value 1, so the router "
        "learns nothing; set normalize_weights=False or top_k >= 2",
    ),
    (
        moe,
        {"n_expert_groups": 3},
        "n_routed_experts must be a multiple of n_expert_groups=3, got 8",
    ),
    (
        moe,
        {"n_expert_groups": 2, "n_limited_groups": 3},
        "n_limited_groups must lie in [1, n_expert_groups=2], got 3",
    ),
    (
        moe,
        {"n_expert_groups": 4, "n_group_scores": 3},
        "n_group_scores must lie in [1, experts per group=2], got 3",
    ),
    (
        moe,
        {"n_expert_groups": 4, "n_limited_groups": 1, "top_k": 3},
        "top_k=3 exceeds the 2 experts that n_limited_groups=1 of n_expert_groups=4 groups hold; "
        "raise n_limited_groups or lower top_k",
    ),
    (attention, {"n_heads": 0}, "n_heads must be an integer of at least 1, got 0"),
    (attention, {"n_kv_heads": 5}, "n_kv_heads must lie in [1, n_heads=4], got 5"),
    (attention, {"n_kv_heads": 3}, "n_heads must be a multiple of n_kv_heads=3, got 4"),
    (attention, {"d_head": 5}, "d_head must be even, rotary positions turn pairs, got 5"),
    (rope, {"base": 0}, "base must be above 0, got 0"),
    (rope, {"base": 1.0}, "base must be above 1, so that later pairs turn slower, got 1.0"),
    (rope, {"scaling": "yarn"}, 'scaling="yarn" needs original_length, got None'),
    (rope, {"factor": 0.5}, "factor must be a finite number of at least 1, got 0.5"),
    (rope, {"beta_slow": 33.0}, "beta_slow must be at most beta_fast=32.0, got 33.0"),
    (rope, {"low_freq_factor": 5}, "low_freq_factor must be below high_freq_factor=4.0, got 5"),
    (attention, {"qk_norm": True}, "qk_norm must be one of none, head, all_heads, got True"),
    (attention, {"sliding_window": 0}, "sliding_window must be an integer of at least 1, got 0"),
    (attention, {"clip_qkv": 0}, "clip_qkv must be above 0, got 0"),
    (latent, {"kv_rank": 0}, "kv_rank must be an integer of at least 1, got 0"),
    (latent, {"q_rank": 0}, "q_rank must be an integer of at least 1, got 0"),
    (latent, {"d_rope": 3}, "d_rope must be even, rotary positions turn pairs, got 3"),
    (latent, {"way": "fast"}, "way must be one of auto, naive, absorbed, got 'fast'"),
    (
        moe,
        {"d_shared": 0, "n_shared_experts": 1},
        "d_shared must be an integer of at least 1, got 0",
    ),
    (
        moe,
        {"gate_shared": True},
        "d_shared=None and gate_shared=True need n_shared_experts of at least 1, got 0",
    ),
    (moe, {"activation": "gelu"}, "activation must be one of swiglu, clamped_swiglu, got 'gelu'"),
    (moe, {"activation_limit": 0}, "activation_limit must be above 0, got 0"),
    (model, {"n_layers": 0}, "n_layers must be an integer of at least 1, got 0"),
    (model, {"vocab_size": 0}, "vocab_size must be an integer of at least 1, got 0"),
    (model, {"max_length": -1}, "max_length must be an integer of at least 1, got -1"),
    (model, {"norm_eps": 0}, "norm_eps must be above 0, got 0"),
    (model, {"d_ff": 0}, "d_ff must be an integer of at least 1, got 0"),
    (model, {"dense_layers": (1,)}, "dense_layers=(1,) needs moe, got moe=None"),
    (
        model,
        {"moe": moe(), "dense_layers": (3,)},
        "a block of dense_layers must lie in [0, n_layers - 1=2], got 3",
    ),
    (
        model,
        {"moe": moe(), "dense_layers": (1, 1)},
        "dense_layers must be a tuple of different block numbers, got (1, 1)",
    ),
    (
        model,
        {"sliding_layers": (0,)},
        "sliding_layers=(0,) needs attention.sliding_window, got None",
    ),
    (model, {"norm": "batch"}, "norm must be one of rms, layer, got 'batch'"),
    (model, {"ff": "relu"}, "ff must be one of swiglu, gelu, got 'relu'"),
    (model, {"moe": moe(d_model=9)}, "moe.d_model must equal attention.d_model=8, got 9"),
    (
        model,
        {"moe": moe(), "dense_layers": (0, 2), "d_ff": None},
        "2 of 3 layers are dense: give their width as d_ff, got None",
    ),
    (training, {"steps": 0}, "steps must be an integer of at least 1, got 0"),
    (training, {"batch_size": "16"}, "batch_size must lie in [1, 2147483647], got '16'"),
    (training, {"length": 0}, "length must be an integer of at least 1, got 0"),
    (
        training,
        {"seed": -1},
        "seed must lie in [0, 9223372036854775807], got -1",
    ),
    (training, {"learning_rate": 0}, "learning_rate must be above 0, got 0"),
    (
        training,
        {"learning_rate": INF},
        "learning_rate must be a finite number of at least 0, got inf",
    ),
    (training, {"clip_norm": -1.0}, "clip_norm must be a finite number of at least 0, got -1.0"),
    (
        training,
        {"weight_decay": -0.1},
        "weight_decay must be a finite number of at least 0, got -0.1",
    ),
    (training, {"z_weight": NAN}, "z_weight must be a finite number of at least 0, got nan"),
    (
        training,
        {"final_lr_share": 1.5},
        "final_lr_share must be a finite number in [0, 1], got 1.5",
    ),
    (training, {"warmup_share": 1}, "warmup_share must be below 1, got 1"),
    (training, {"beta1": 1.0}, "beta1 must be below 1, got 1.0"),
    (training, {"beta2": -0.5}, "beta2 must be a finite number in [0, 1], got -0.5"),
    (training, {"dtype": "float16"}, "dtype must be one of float32, float64, got 'float16'"),
]


@pytest.fixture
def as_users_have_it() -> Iterator[None]:
    """Types are checked in tests only: without that, the configuration itself must refuse them."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.mark.usefixtures("as_users_have_it")
@pytest.mark.parametrize(
    ("build", "wrong", "message"), REFUSALS, ids=[f"{b.__name__}-{w}" for b, w, _ in REFUSALS]
)
def test_nonsense_is_refused_in_one_line_that_names_it(
    build: Callable[..., Any], wrong: dict[str, Any], message: str
) -> None:
    build()  # what is wrong is the change alone
    with pytest.raises(InputError) as refusal:
        build(**wrong)
    assert str(refusal.value) == message
    assert "\n" not in message


@pytest.mark.usefixtures("as_users_have_it")
def test_the_ends_of_every_range_are_allowed() -> None:
    moe(top_k=8, n_shared_experts=0, capacity_factor=1e-9)
    moe(top_k=1, normalize_weights=False)
    moe(n_routed_experts=1, top_k=1)  # with one expert the weight 1 is right
    moe(n_expert_groups=8, n_limited_groups=2)
    attention(n_kv_heads=1)
    attention(n_kv_heads=4, d_head=2)
    model(moe=moe(), d_ff=None)
    model(moe=moe(), dense_layers=(0, 1, 2))
    moe(top_k=1, allow_constant_weight=True)
    attention(rope=None, d_head=5)
    training(
        warmup_share=0, final_lr_share=1, weight_decay=0, balance_weight=0, z_weight=0, beta1=0
    )


@pytest.mark.usefixtures("as_users_have_it")
@pytest.mark.parametrize("record", [moe(), attention(), model(), training()], ids=repr)
def test_a_configuration_is_frozen_and_takes_names_only(record: Any) -> None:
    name, value = next(iter(asdict(record).items()))
    with pytest.raises(FrozenInstanceError):
        setattr(record, name, value)
    with pytest.raises(TypeError, match="positional"):
        type(record)(value)


def test_a_replaced_number_is_checked_again() -> None:
    with pytest.raises(InputError, match=r"top_k must lie in \[1, n_routed_experts=8\], got 9"):
        replace(moe(), top_k=9)


def test_layers_that_are_not_named_dense_are_moe() -> None:
    config = model(moe=moe(), dense_layers=(1,))
    assert [config.is_moe_layer(layer) for layer in range(3)] == [True, False, True]
    assert (config.n_moe_layers, config.d_model) == (2, 8)
    assert [model().is_moe_layer(layer) for layer in range(3)] == [False] * 3
    assert model().n_moe_layers == 0


@pytest.mark.parametrize("name", ["moe", "switch", "fine_grained"])
@pytest.mark.parametrize(
    "convention",
    ["active_with_embeddings", "active_without_input_embedding", "active_without_embeddings"],
)
def test_every_preset_has_the_active_parameters_of_dense_within_1_percent(
    name: str, convention: str
) -> None:
    sparse, dense = (getattr(count_parameters(preset(n)), convention) for n in (name, "dense"))
    assert abs(sparse / dense - 1) < 0.01


def test_dense_has_about_015_million_parameters() -> None:
    assert count_parameters(preset("dense")).total == pytest.approx(0.15e6, rel=0.02)


def test_an_unknown_preset_is_refused_with_the_list_of_those_there_are() -> None:
    with pytest.raises(InputError) as refusal:
        preset("tiny")
    assert str(refusal.value) == (
        "preset must be one of dense, moe, switch, fine_grained, got 'tiny'"
    )


@pytest.mark.parametrize("name", PRESETS)
def test_a_configuration_survives_json(name: str) -> None:
    assert model_config_from(json.loads(json.dumps(asdict(preset(name))))) == preset(name)
    config = training(learning_rate=1e-3 / 3)
    assert train_config_from(json.loads(json.dumps(asdict(config)))) == config


def test_a_configuration_with_tuples_and_a_latent_survives_json() -> None:
    stretched = rope(scaling="yarn", factor=4.0, original_length=16, interleaved=True)
    config = model(
        attention=latent(rope=stretched), moe=moe(), dense_layers=(0, 2), learned_positions=True
    )
    assert model_config_from(json.loads(json.dumps(asdict(config)))) == config
    sliding = model(attention=attention(rope=None, sliding_window=3), sliding_layers=(1,))
    assert model_config_from(json.loads(json.dumps(asdict(sliding)))) == sliding
    assert [sliding.window_of(layer) for layer in range(3)] == [None, 3, None]
    assert replace(sliding, sliding_layers=None).window_of(0) == 3


def without(data: dict[str, Any], *path: str) -> dict[str, Any]:
    """A copy of nested dictionaries without one entry."""
    if len(path) == 1:
        return {key: value for key, value in data.items() if key != path[0]}
    return {**data, path[0]: without(data[path[0]], *path[1:])}


@pytest.mark.usefixtures("as_users_have_it")
@pytest.mark.parametrize(
    ("data", "named"),
    [
        ({**asdict(preset("moe")), "n_layer": 4}, "n_layer"),
        ({**asdict(preset("moe")), "moe": {**MOE, "n_experts": 8}}, "n_experts"),
        ({**asdict(preset("moe")), "attention": None}, "attention|mapping"),
        (without(asdict(preset("moe")), "n_layers"), "n_layers"),
        (without(asdict(preset("moe")), "attention"), "attention"),
        (without(asdict(preset("moe")), "moe", "top_k"), "top_k"),
        ([], "list"),
    ],
)
def test_missing_and_unknown_fields_of_a_model_are_refused_by_name(data: Any, named: str) -> None:
    with pytest.raises(InputError, match=f"^not the configuration of a model: .*({named})"):
        model_config_from(data)


@pytest.mark.usefixtures("as_users_have_it")
def test_missing_and_unknown_fields_of_a_training_run_are_refused_by_name() -> None:
    with pytest.raises(InputError, match="not the configuration of a training run: .*steps"):
        train_config_from({})
    with pytest.raises(InputError, match="not the configuration of a training run: .*step"):
        train_config_from({"steps": 1, "stepz": 2})


@pytest.mark.usefixtures("as_users_have_it")
def test_domain_weights_are_a_tuple_of_numbers_and_survive_json() -> None:
    config = training(domain_weights=(0.35, 0.15, 0.5))
    assert train_config_from(json.loads(json.dumps(asdict(config)))) == config
    for wrong in ([1.0, 2.0], ()):
        with pytest.raises(InputError, match="domain_weights must be a tuple of numbers, got"):
            training(domain_weights=wrong)
    with pytest.raises(
        InputError, match="a weight of domain_weights must be .* at least 0, got -1"
    ):
        training(domain_weights=(1.0, -1))


def test_a_stored_number_out_of_range_is_refused_like_any_other() -> None:
    data = asdict(preset("moe"))
    data["moe"]["top_k"] = 17
    with pytest.raises(InputError, match=r"top_k must lie in \[1, n_routed_experts=16\], got 17"):
        model_config_from(data)
