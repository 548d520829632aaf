"""The formulas of memory are those of the tensors that are really held."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from hub_cases import CASES, name_of, tiny

from minimoe import InputError, ModelConfig
from minimoe.measure.memory import cache_elements_per_token, weight_bytes
from minimoe.model.attention import KVCache
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
