"""The formula's FLOPs are those that the model really does, to the last one."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from hub_cases import FIRST, tiny
from torch.utils.flop_counter import FlopCounterMode

from minimoe import AttentionConfig, InputError, ModelConfig, MoEConfig, Transformer
from minimoe.config import PRESETS, preset
from minimoe.formulas.flops import count_flops
from minimoe.formulas.parameters import count_parameters
from minimoe.measure.flops import measured_flops
from minimoe.zoo.configs import model_config_from_hub


def text(n_sequences: int, length: int, vocab_size: int = 256) -> torch.Tensor:
    generator = torch.Generator().manual_seed(length)
    return torch.randint(0, vocab_size, (n_sequences, length), generator=generator)


@pytest.mark.parametrize("name", PRESETS)
def test_formula_and_count_are_equal_for_every_preset(name: str) -> None:
    model = Transformer(replace(preset(name), tie_embeddings=name == "switch"))
    assert measured_flops(model, text(1, 33)) == count_flops(model.config, 33).forward
    flops = count_flops(model.config, 6)
    assert measured_flops(model, text(2, 6), backward=True) == 2 * flops.training


@pytest.mark.parametrize(
    ("attention", "shared", "top_k"),
    [
        ({"n_heads": 3, "n_kv_heads": 3, "d_head": 4}, 0, 1),
        ({"n_heads": 6, "n_kv_heads": 1, "d_head": 4, "qk_norm": "head"}, 3, 5),
        ({"n_heads": 4, "n_kv_heads": 2, "d_head": 10}, 3, 1),
    ],
    ids=["multi-head", "multi-query", "wider than the model"],
)
def test_formula_and_count_are_equal_for_odd_models(
    attention: dict[str, Any], shared: int, top_k: int
) -> None:
    moe = MoEConfig(
        d_model=12,
        d_expert=20,
        n_routed_experts=5,
        top_k=top_k,
        n_shared_experts=shared,
        normalize_weights=False,
    )
    config = ModelConfig(
        n_layers=3,
        attention=AttentionConfig(d_model=12, **attention),
        d_ff=7,
        moe=moe,
        dense_layers=(0,),
        vocab_size=31,
    )
    model, flops = Transformer(config).double(), count_flops(config, 9)
    assert measured_flops(model, text(2, 9, 31)) == 2 * flops.forward
    assert measured_flops(model, text(2, 9, 31), backward=True) == 2 * flops.training


def attending(config: ModelConfig, way: str) -> ModelConfig:
    """The model with its latent attention computed that way."""
    return replace(config, attention=replace(config.attention, way=way))


@pytest.mark.parametrize("family", FIRST)
def test_formula_and_count_are_equal_for_every_family(family: str) -> None:
    given = model_config_from_hub(tiny(family))
    latent = family.startswith("deepseek")
    for config in [attending(given, way) for way in ("naive", "absorbed")] if latent else [given]:
        model, flops = Transformer(config), count_flops(config, 6)
        assert measured_flops(model, text(1, 6, 5)) == flops.forward
        assert measured_flops(model, text(2, 6, 5), backward=True) == 2 * flops.training


def test_latent_attention_costs_what_was_worked_out_by_hand() -> None:
    config = model_config_from_hub(tiny("deepseek_v3", num_hidden_layers=1))
    queries = 17 * 9 + 9 * 3 * (6 + 4)  # down to the latent, up to three heads
    others = 17 * (8 + 4) + 8 * 3 * (6 + 5) + 3 * 5 * 17
    dense, head = 3 * 17 * 21, 31 * 17
    for way, pair in (("naive", (6 + 4) + 5), ("absorbed", (8 + 4) + 8), ("auto", (6 + 4) + 5)):
        flops = count_flops(attending(config, way), 6)
        assert flops.weights == 2 * 6 * (queries + others + dense + head)
        assert flops.attention == 2 * 6 * 6 * 3 * pair
        assert flops.rescored == 0


def test_the_scores_of_latent_attention_are_computed_anew_where_keys_are_as_wide_as_values() -> (
    None
):
    config = model_config_from_hub(tiny("deepseek_v3", v_head_dim=10))
    flops = count_flops(config, 6)
    assert flops.rescored * 2 == flops.attention == 3 * 2 * 6 * 6 * 3 * (10 + 10)


def test_a_sink_costs_as_one_more_position_and_its_scores_are_kept() -> None:
    config = model_config_from_hub(tiny("gpt_oss"))
    assert count_flops(config, 6).attention == 3 * 4 * 6 * (6 + 1) * 2 * (12 + 12)
    assert count_flops(config, 6).rescored == 0


def test_a_window_saves_nothing_when_a_text_is_read_at_once() -> None:
    wide, narrow = (
        count_flops(model_config_from_hub(tiny("mixtral", sliding_window=window)), 6)
        for window in (None, 2)
    )
    assert wide == narrow


def test_the_flops_of_a_dense_model_are_those_worked_out_by_hand() -> None:
    config = ModelConfig(
        n_layers=2,
        attention=AttentionConfig(d_model=8, n_heads=2, n_kv_heads=1, d_head=4),
        d_ff=10,
        vocab_size=16,
    )
    layer = 8 * 8 + 8 * 4 + 8 * 4 + 8 * 8 + 3 * 8 * 10  # q, k, v, o, SwiGLU
    flops = count_flops(config, 5)
    assert flops.weights == 2 * 5 * (2 * layer + 16 * 8)
    assert flops.attention == 2 * 2 * (2 * 5 * 5 * 8)  # layers * (scores, sums) * 2 * L * L * H * d
    assert flops.forward == flops.weights + flops.attention
    assert flops.rescored == flops.attention / 2
    assert flops.training == 3 * flops.weights + 3.5 * flops.attention
    assert flops.forward_per_token == flops.forward / 5
    assert flops.training_per_token == flops.training / 5


def test_weights_cost_in_proportion_to_tokens_and_attention_to_their_square() -> None:
    one, ten = (count_flops(preset("moe"), length) for length in (1, 10))
    assert ten.weights == 10 * one.weights
    assert ten.attention == 100 * one.attention


def test_weights_cost_two_flops_for_each_active_parameter_in_a_matrix() -> None:
    count, flops = count_parameters(preset("moe")), count_flops(preset("moe"), 1)
    assert flops.weights == 2 * (count.active_without_input_embedding - count.norms)


def test_more_experts_cost_only_their_rows_in_the_router() -> None:
    config = preset("moe")
    doubled = replace(config, moe=replace(config.moe, n_routed_experts=32))
    extra = count_flops(doubled, 1).weights - count_flops(config, 1).weights
    assert extra == 2 * config.n_layers * 16 * config.d_model


@pytest.mark.parametrize("backward", [False, True])
def test_torchs_own_counter_misses_cpu_attention(backward: bool) -> None:
    model, tokens = Transformer(preset("moe")), text(1, 16)
    counter = FlopCounterMode(display=False)
    with counter:
        logits, _ = model(tokens)
        if backward:
            logits.sum().backward()
    flops = count_flops(model.config, 16)
    missed = 7 * flops.attention // 2 if backward else flops.attention
    whole = flops.training if backward else flops.forward
    assert counter.get_total_flops() == whole - missed < whole


def test_counting_leaves_the_gradients_of_a_model_alone() -> None:
    model, tokens = Transformer(preset("dense")), text(1, 4)
    model.norm.weight.grad = torch.full((64,), 3.0)
    measured_flops(model, tokens, backward=True)
    assert model.norm.weight.grad.unique().tolist() == [3.0]
    assert model.embedding.grad is None


def test_a_text_of_no_tokens_is_refused() -> None:
    with pytest.raises(InputError, match="1.*0"):
        count_flops(preset("moe"), 0)
