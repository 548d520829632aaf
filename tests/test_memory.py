"""The formulas of memory are those of the tensors that are really held."""

import itertools
from dataclasses import replace
from typing import Any

import pytest
import torch
from hub_cases import CASES, name_of, tiny
from hypothesis import given
from hypothesis import strategies as st

from minimoe import InputError, ModelConfig, MoEConfig
from minimoe.config import PRESETS, preset
from minimoe.formulas.memory import (
    cache_elements_per_token,
    expected_experts,
    moe_elements,
    swiglu_elements,
    weight_bytes,
)
from minimoe.model.cache import KVCache
from minimoe.zoo.configs import model_config_from_hub


def deepseek_v3() -> ModelConfig:
    return model_config_from_hub(
        tiny("deepseek_v3", num_hidden_layers=61, kv_lora_rank=512, qk_rope_head_dim=64)
    )


@pytest.mark.parametrize("case", CASES, ids=name_of)
def test_the_cache_holds_the_elements_of_the_formula(case: tuple[str, dict[str, Any]]) -> None:
    family, changes = case
    config = model_config_from_hub(tiny(family, **changes))
    for dtype, size in ((torch.float64, 8), (torch.bfloat16, 2)):
        cache = KVCache(config, 3, 7, like=torch.zeros(1, dtype=dtype))
        assert cache.n_bytes == 3 * 7 * size * cache_elements_per_token(config)


def test_the_documented_caches_are_those_of_deepseek_v3_and_mixtral() -> None:
    mixtral = tiny("mixtral", num_hidden_layers=32, num_key_value_heads=8, num_attention_heads=32,
                   head_dim=128)  # fmt: skip
    assert cache_elements_per_token(deepseek_v3()) == 61 * 576 == 35_136
    assert cache_elements_per_token(model_config_from_hub(mixtral)) == 32 * 2 * 8 * 128 == 65_536


def test_a_window_does_not_change_what_one_token_takes() -> None:
    config = model_config_from_hub(tiny("mixtral"))
    narrow = replace(config, attention=replace(config.attention, sliding_window=2))
    assert cache_elements_per_token(narrow) == cache_elements_per_token(config)


@pytest.mark.parametrize(
    ("n_parameters", "bits", "wanted"),
    [
        (46_702_792_704, 16, 93_405_585_408),
        (3, 4, 2),
        (0, 16, 0),
        (1, 1, 1),
        (8, 1, 1),
        (9, 1, 2),
        (32, 4.25, 17),
        (33, 4.25, 18),
        (10**18 + 1, 4, 5 * 10**17 + 1),
    ],
)
def test_weights_take_whole_bytes_rounded_up(n_parameters: int, bits: float, wanted: int) -> None:
    assert weight_bytes(n_parameters, bits) == wanted


@pytest.mark.parametrize(
    ("n_parameters", "bits", "message"),
    [
        (-1, 16, "n_parameters must be at least 0, got -1"),
        (1, 0, "bits must be above 0 and finite, got 0"),
        (1, float("inf"), "bits must be above 0 and finite, got inf"),
        (1, float("nan"), "bits must be above 0 and finite, got nan"),
    ],
)
def test_what_is_no_number_of_weights_or_bits_is_refused(
    n_parameters: int, bits: float, message: str
) -> None:
    with pytest.raises(InputError) as caught:
        weight_bytes(n_parameters, bits)
    assert str(caught.value) == message


def test_the_experts_that_are_reached_are_those_of_all_choices_in_the_mean() -> None:
    for n_experts, top_k, n_tokens in ((4, 2, 2), (3, 1, 3), (5, 3, 2), (2, 2, 2)):
        choices = list(itertools.combinations(range(n_experts), top_k))
        reached = [
            len(set().union(*batch)) for batch in itertools.product(choices, repeat=n_tokens)
        ]
        wanted = sum(reached) / len(reached)
        assert expected_experts(n_experts, top_k, n_tokens) == pytest.approx(wanted, rel=1e-12)


def test_32_tokens_reach_the_documented_experts() -> None:
    assert expected_experts(256, 8, 32) == pytest.approx(163.3, abs=0.05)


@given(st.integers(1, 300), st.integers(1, 300), st.integers(1, 2000))
def test_one_token_reaches_its_experts_and_more_never_fewer(a: int, b: int, n_tokens: int) -> None:
    n_experts, top_k = max(a, b), min(a, b)
    assert expected_experts(n_experts, top_k, 1) == top_k
    now, more = (expected_experts(n_experts, top_k, n) for n in (n_tokens, n_tokens + 1))
    assert top_k <= now <= more <= min(n_experts, top_k * (n_tokens + 1))


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ((4, 5, 1), "top_k must lie in [1, n_experts=4], got 5"),
        ((4, 0, 1), "top_k must lie in [1, n_experts=4], got 0"),
        ((4, 2, 0), "n_tokens must be at least 1, got 0"),
    ],
)
def test_experts_that_cannot_be_reached_are_refused(
    numbers: tuple[int, int, int], message: str
) -> None:
    with pytest.raises(InputError) as caught:
        expected_experts(*numbers)
    assert str(caught.value) == message


def test_a_row_and_a_token_move_the_documented_elements() -> None:
    assert swiglu_elements(64, 32) == 384
    assert swiglu_elements(64, 32, backward=True) == 1_248
    layer = MoEConfig(d_model=64, d_expert=32, n_routed_experts=8, top_k=2)
    assert moe_elements(layer) == 1_504
    assert moe_elements(layer, backward=True) == 5_664
    shared = replace(layer, n_shared_experts=3)
    assert moe_elements(shared) == 1_504 + (2 * 64 + 8 * 96) + 3 * 64
    assert moe_elements(replace(shared, gate_shared=True)) == moe_elements(shared) + 3 * 64


MODELS = {name: preset(name) for name in PRESETS} | {
    family: model_config_from_hub(tiny(family)) for family in ("gpt2", "deepseek_v3", "gpt_oss")
}
