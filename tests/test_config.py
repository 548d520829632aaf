"""Configurations: ranges, presets, and copies through JSON."""

import json
from collections.abc import Iterator
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


@pytest.fixture
def as_users_have_it() -> Iterator[None]:
    """Types are checked in tests only: without that, the configuration itself must refuse them."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


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
    with pytest.raises(InputError, match=r"\b8\b.*\b9\b"):
        replace(moe(), top_k=9)


def test_layers_that_are_not_named_dense_are_moe() -> None:
    config = model(moe=moe(), dense_layers=(1,))
    assert (config.n_moe_layers, config.d_model) == (2, 8)
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
    with pytest.raises(InputError, match=named):
        model_config_from(data)


@pytest.mark.usefixtures("as_users_have_it")
def test_missing_and_unknown_fields_of_a_training_run_are_refused_by_name() -> None:
    with pytest.raises(InputError, match="steps"):
        train_config_from({})
    with pytest.raises(InputError, match="stepz"):
        train_config_from({"steps": 1, "stepz": 2})


@pytest.mark.usefixtures("as_users_have_it")
def test_domain_weights_are_a_tuple_of_numbers_and_survive_json() -> None:
    config = training(domain_weights=(0.35, 0.15, 0.5))
    assert train_config_from(json.loads(json.dumps(asdict(config)))) == config
    for wrong in ([1.0, 2.0], ()):
        with pytest.raises(InputError):
            training(domain_weights=wrong)
    with pytest.raises(InputError, match="0.*-1"):
        training(domain_weights=(1.0, -1))


def test_a_stored_number_out_of_range_is_refused_like_any_other() -> None:
    data = asdict(preset("moe"))
    data["moe"]["top_k"] = 17
    with pytest.raises(InputError, match=r"\b16\b.*\b17\b"):
        model_config_from(data)
