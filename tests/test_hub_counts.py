"""Counted from a config.json, a model has the parameters that transformers builds from it."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from hub_cases import CASES, name_of, tiny
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode

from minimoe.config import ModelConfig
from minimoe.formulas.parameters import count_parameters
from minimoe.zoo.configs import FAMILIES, hub_config_from, model_config_from_hub

transformers = pytest.importorskip("transformers")


@pytest.fixture(autouse=True, scope="module")
def quiet() -> Iterator[None]:
    """Not a word from transformers about tokens and YaRN factors: these models have no text."""
    level = transformers.logging.get_verbosity()
    transformers.logging.set_verbosity_error()
    yield
    transformers.logging.set_verbosity(level)


def built(data: dict[str, Any]) -> torch.nn.Module:
    """The model that transformers makes of a config.json, without memory."""
    config = transformers.AutoConfig.for_model(**data)
    with torch.device("meta"):
        return transformers.AutoModelForCausalLM.from_config(config)


def numel(model: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize("case", CASES, ids=name_of)
def test_every_family_counts_to_the_parameter_before_and_after_it_was_written(
    case: tuple[str, dict[str, Any]],
) -> None:
    family, changes = case
    model = built(tiny(family, **changes))
    config = model_config_from_hub(model.config.to_dict())
    assert config == model_config_from_hub(tiny(family, **changes))
    assert count_parameters(config).total == numel(model)
    written = hub_config_from(config)
    assert written["model_type"] == family
    again = built(written)
    assert type(again).__name__ == type(model).__name__ == written["architectures"][0]
    assert numel(again) == numel(model)
    assert model_config_from_hub(again.config.to_dict()) == config


SIZES = {
    "hidden_size": st.integers(1, 4).map(lambda n: 12 * n),
    "intermediate_size": st.integers(1, 9),
    "moe_intermediate_size": st.integers(1, 9),
    "shared_expert_intermediate_size": st.integers(1, 9),
    "num_hidden_layers": st.integers(1, 4),
    "num_attention_heads": st.sampled_from([1, 2, 3, 6]),
    "vocab_size": st.integers(3, 9),
    "head_dim": st.sampled_from([2, 4, 10]),
    "kv_lora_rank": st.integers(1, 9),
    "q_lora_rank": st.integers(1, 9) | st.none(),
    "v_head_dim": st.integers(1, 9),
    "n_shared_experts": st.integers(0, 3),
    "n_embd": st.sampled_from([6, 12]),
    "n_layer": st.integers(1, 3),
}


@settings(max_examples=30, deadline=None)
@given(st.sampled_from(FAMILIES), st.fixed_dictionaries(SIZES), st.booleans())
def test_any_sizes_count_to_the_parameter(family: str, sizes: dict[str, Any], tie: bool) -> None:
    data = tiny(family, tie_word_embeddings=tie)
    data |= {name: size for name, size in sizes.items() if name in data}
    if "num_key_value_heads" in data:
        data["num_key_value_heads"] = data["num_attention_heads"]
    if "first_k_dense_replace" in data:
        data["first_k_dense_replace"] = data["num_hidden_layers"] // 2
    model = built(data)
    assert count_parameters(model_config_from_hub(data)).total == numel(model)


class NoTensors(TorchDispatchMode):
    """No tensor is made while this is active, on any device."""

    def __torch_dispatch__(self, func: Any, *args: Any, **kwargs: Any) -> Any:
        raise AssertionError(f"{func} was called")


def trillion() -> ModelConfig:
    """Kimi K2's shape."""
    return model_config_from_hub(
        tiny(
            "deepseek_v3",
            hidden_size=7168,
            intermediate_size=18432,
            moe_intermediate_size=2048,
            num_hidden_layers=61,
            num_attention_heads=64,
            num_key_value_heads=64,
            vocab_size=163_840,
            n_routed_experts=384,
            num_experts_per_tok=8,
            n_shared_experts=1,
            n_group=1,
            kv_lora_rank=512,
            q_lora_rank=1536,
            qk_nope_head_dim=128,
            qk_rope_head_dim=64,
            v_head_dim=128,
        )
    )


def test_a_trillion_parameters_are_counted_without_one_tensor() -> None:
    with NoTensors():
        count = count_parameters(trillion())
        with pytest.raises(AssertionError, match="empty"):
            torch.empty(1)
    assert count.total == 1_026_408_209_408 and count.active_with_embeddings < 35e9
