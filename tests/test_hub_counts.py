"""Counted from a config.json, a model has the parameters that transformers builds from it."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from hub_cases import CASES, model_count, name_of, tiny
from torch.utils._python_dispatch import TorchDispatchMode

from minimoe.formulas.parameters import count_parameters
from minimoe.zoo.configs import hub_shapes, model_config_from_hub
from minimoe.zoo.published import PublishedModel, published_model, published_names

transformers = pytest.importorskip("transformers")
# Without shared experts the oracle still has their matrices, of no elements.
pytestmark = pytest.mark.filterwarnings("ignore:Initializing zero-element tensors:UserWarning")

# Their own code is not part of transformers.
CLOSED_FORMULA = {
    "arctic", "deepseek-moe-145b", "deepseek-moe-16b", "grok-1", "hunyuan-large",
}  # fmt: skip
# One model of every model_type that transformers has.
IN_TRANSFORMERS = (
    "deepseek-v2", "deepseek-v3", "deepseek-v3.2-exp", "deepseek-v4-flash", "glm-4.5",
    "gpt-oss-120b", "gpt2-small", "llama-3.1-8b", "llama-4-maverick", "minimax-m1", "minimax-m2",
    "mixtral-8x7b", "olmoe-1b-7b", "qwen1.5-moe-a2.7b", "qwen3-235b-a22b", "qwen3-next-80b-a3b",
)  # fmt: skip


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
    with_images = "vision_config" in data
    auto = "AutoModelForImageTextToText" if with_images else "AutoModelForCausalLM"
    with torch.device("meta"):
        return getattr(transformers, auto).from_config(config)


def numel(model: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize("case", CASES, ids=name_of)
def test_every_case_counts_to_the_parameter_in_the_spelling_of_transformers_4_and_5(
    case: tuple[str, dict[str, Any]],
) -> None:
    family, changes = case
    model = built(tiny(family, **changes))
    config = model_config_from_hub(model.config.to_dict())
    assert config == model_config_from_hub(tiny(family, **changes))
    assert count_parameters(config).total == numel(model)


@pytest.mark.parametrize("name", IN_TRANSFORMERS)
def test_the_stored_count_is_that_of_the_model_that_transformers_builds(name: str) -> None:
    model = published_model(name)
    built_model = built(model.config)
    assert numel(built_model) == model.counted.total
    saved = built_model.config.to_dict()  # as transformers 5 writes the file
    assert model_count(saved, 1).total == model.counted.total


def test_one_model_of_every_family_in_transformers_is_built_there() -> None:
    def kinds(names: Any) -> set[str]:
        return {published_model(name).config["model_type"] for name in names}

    by_formula = kinds(CLOSED_FORMULA)
    assert kinds(published_names()) == kinds(IN_TRANSFORMERS) | by_formula
    models: list[PublishedModel] = [published_model(name) for name in published_names()]
    assert {m.id for m in models if m.counted.method.startswith("closed")} == CLOSED_FORMULA


def test_an_absent_attention_bias_is_counted_as_transformers_builds_it() -> None:
    data = tiny("qwen3_moe")
    shapes = hub_shapes(data)
    assert shapes.assumed["attention_bias"] is False
    assert count_parameters(shapes.model).total == numel(built(data))


class NoTensors(TorchDispatchMode):
    """No tensor is made while this is active, on any device."""

    def __torch_dispatch__(self, func: Any, *args: Any, **kwargs: Any) -> Any:
        raise AssertionError(f"{func} was called")


def test_a_trillion_parameters_are_counted_without_one_tensor() -> None:
    kimi_k2 = published_model("deepseek-v3").config | dict(
        num_attention_heads=64,
        num_key_value_heads=64,
        first_k_dense_replace=1,
        n_routed_experts=384,
        vocab_size=163_840,
        n_group=1,
    )
    with NoTensors():
        count = count_parameters(model_config_from_hub(kimi_k2))
        with pytest.raises(AssertionError, match="empty"):
            torch.empty(1)
    assert count.total == 1_026_408_209_408 and count.active_with_embeddings < 35e9
