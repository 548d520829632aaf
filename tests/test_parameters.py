"""Parameters counted by formula are those that exist, and those that a token really reads."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from hub_cases import FIRST, tiny
from hypothesis import given, settings
from hypothesis import strategies as st

from minimoe import AttentionConfig, ModelConfig, MoEConfig, Transformer
from minimoe.config import PRESETS, preset
from minimoe.formulas.parameters import count_parameters
from minimoe.measure.parameters import TouchRecorder, recorded, touched_parameters
from minimoe.model.cache import KVCache
from minimoe.zoo.configs import model_config_from_hub


def built(config: ModelConfig, dtype: torch.dtype = torch.float32) -> Transformer:
    return Transformer(config, seed=1).to(dtype)


def small(name: str, **changes: Any) -> ModelConfig:
    """A preset with small widths: what is not a size stays as it is."""
    config = preset(name)
    attention = replace(config.attention, d_model=16, d_head=4)
    layer = config.moe and replace(config.moe, d_model=16, d_expert=8)
    d_ff = config.d_ff and 10
    return replace(config, attention=attention, moe=layer, d_ff=d_ff, vocab_size=40, **changes)


def text(length: int, vocab_size: int = 40) -> torch.Tensor:
    return torch.randint(0, vocab_size, (length,), generator=torch.Generator().manual_seed(2))


def numel(model: Transformer) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


@st.composite
def model_numbers(draw: st.DrawFn) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """The numbers of any small model: attention, layer, model."""
    n_kv_heads, n_experts = draw(st.integers(1, 3)), draw(st.integers(1, 5))
    n_layers = draw(st.integers(1, 3))
    attention = dict(
        d_model=draw(st.integers(1, 9)),
        n_heads=n_kv_heads * draw(st.integers(1, 2)),
        n_kv_heads=n_kv_heads,
        d_head=2 * draw(st.integers(1, 3)),
        qk_norm=draw(st.sampled_from(["none", "head"])),
    )
    layer = dict(
        d_expert=draw(st.integers(1, 6)),
        n_routed_experts=n_experts,
        top_k=draw(st.sampled_from([1, n_experts, max(1, n_experts - 1)])),
        n_shared_experts=draw(st.integers(0, 2)),
        use_expert_bias=draw(st.booleans()),
        normalize_weights=False,
    )
    model = dict(
        n_layers=n_layers,
        d_ff=draw(st.integers(1, 8)),
        dense_layers=tuple(range(draw(st.integers(0, n_layers)))),
        vocab_size=draw(st.integers(2, 12)),
        tie_embeddings=draw(st.booleans()),
    )
    return attention, layer, model


@settings(max_examples=15)
@given(model_numbers())
def test_formula_count_and_measurement_agree_for_odd_models(
    numbers: tuple[dict[str, Any], dict[str, Any], dict[str, Any]],
) -> None:
    attention, layer, rest = numbers
    moe = MoEConfig(d_model=attention["d_model"], **layer)
    config = ModelConfig(attention=AttentionConfig(**attention), moe=moe, **rest)
    model, count = Transformer(config).double(), count_parameters(config)
    assert count.total == numel(model)
    tokens = text(2, config.vocab_size)
    assert touched_parameters(model, tokens).tolist() == [count.touched] * 2


@pytest.mark.parametrize("family", FIRST)
def test_formula_count_and_measurement_agree_for_every_family(family: str) -> None:
    """Their variants are counted in test_hub_counts."""
    config = model_config_from_hub(tiny(family))
    model, count = built(config, torch.float64), count_parameters(config)
    assert count.total == numel(model)
    tokens = text(2, config.vocab_size)
    assert touched_parameters(model, tokens).tolist() == [count.touched] * 2


@pytest.mark.parametrize("way", ["naive", "absorbed"])
def test_both_ways_of_latent_attention_touch_all_of_it(way: str) -> None:
    config = model_config_from_hub(tiny("deepseek_v2"))
    config = replace(config, attention=replace(config.attention, way=way))
    wanted = count_parameters(config).touched
    assert touched_parameters(built(config), text(3, 13)).tolist() == [wanted] * 3


@pytest.mark.parametrize("tie", [False, True], ids=["untied", "tied"])
def test_of_learned_positions_one_row_is_read_and_all_are_active(tie: bool) -> None:
    config = model_config_from_hub(tiny("gpt2", tie_word_embeddings=tie))
    count = count_parameters(config)
    assert (count.positions, count.position_row) == (32 * 20, 20)
    without = count.active_without_embeddings - count.positions
    assert without == count.attention + count.dense + count.norms
    assert count.active_with_embeddings == count.total
    model = built(config)
    with recorded(model) as recorder:
        model(text(4, 13)[None])
    assert marks_of(recorder, model.positions).any(1).nonzero().flatten().tolist() == [0, 1, 2, 3]


def test_latent_attention_has_the_documented_parameters() -> None:
    config = model_config_from_hub(
        tiny(
            "deepseek_v3",
            hidden_size=7168,
            num_attention_heads=128,
            num_key_value_heads=128,
            num_hidden_layers=1,
            q_lora_rank=1536,
            kv_lora_rank=512,
            qk_nope_head_dim=128,
            qk_rope_head_dim=64,
            v_head_dim=128,
        )
    )
    assert count_parameters(config).attention == 187_105_280


@pytest.mark.parametrize("family", FIRST)
def test_the_biases_and_sinks_that_a_token_uses_are_counted_apart(family: str) -> None:
    biased = {"attention_bias": True, "mlp_bias": True} if family != "deepseek_v2" else {}
    config = model_config_from_hub(tiny(family, **biased))
    model, used = Transformer(config), 0
    for name, p in model.named_parameters():
        last = name.split(".")[-1]
        if last == "sinks" or (last.endswith("bias") and ".experts." not in name):
            used += 0 if "norm" in name else p.numel()
        elif name.endswith(("experts.gate_up_bias", "experts.down_bias")):
            used += p.numel() * config.moe.top_k // config.moe.n_routed_experts
    assert count_parameters(config).vectors == used


def test_idle_experts_are_idle_with_their_biases() -> None:
    config = model_config_from_hub(tiny("gpt_oss"))
    count = count_parameters(config)
    assert count.routed_experts == 3 * 5 * (3 * 18 * 10 + 2 * 10 + 18)
    assert count.idle_experts * 5 == count.routed_experts * 3


def test_a_layer_has_the_documented_parameters() -> None:
    layer = MoEConfig(d_model=128, d_expert=256, n_routed_experts=8, top_k=2)
    attention = replace(preset("moe").attention, d_model=128)
    config = replace(preset("moe"), n_layers=1, attention=attention, moe=layer)
    count = count_parameters(config)
    assert (count.routed_experts, count.router) == (786_432, 1_024)
    assert count.idle_experts == 786_432 * 6 // 8


MODELS = {name: preset(name) for name in PRESETS} | {
    family: model_config_from_hub(tiny(family)) for family in FIRST
}


@pytest.mark.parametrize(("name", "tie"), [*((name, False) for name in MODELS), ("moe", True)])
def test_every_place_has_the_parameters_that_stand_there(name: str, tie: bool) -> None:
    config = replace(MODELS[name], tie_embeddings=tie)
    places = ["embedding", "head", "positions", "attention", "router", "routed_experts"]
    there = dict.fromkeys([*places, "shared_experts", "dense", "norms"], 0)
    for place, p in Transformer(config).named_parameters():
        parts = place.split(".")
        key = parts[2] if len(parts) > 2 else parts[0]
        if key == "ff":
            inside = {"router": "router", "experts": "routed_experts"}
            inside |= {"shared": "shared_experts", "shared_gate": "shared_experts"}
            key = inside.get(parts[3], "dense")
        there["norms" if "norm" in place else key] += p.numel()
    count = count_parameters(config)
    assert {key: getattr(count, key) for key in there} == there
    assert count.total == sum(there.values())


@pytest.mark.parametrize("tie", [False, True], ids=["untied", "tied"])
def test_the_conventions_of_active_differ_by_the_embeddings_that_they_count(tie: bool) -> None:
    count, table = count_parameters(replace(preset("moe"), tie_embeddings=tie)), 256 * 64
    tables = 1 if tie else 2
    assert count.active_with_embeddings == count.total - count.idle_experts
    assert count.active_without_embeddings == count.active_with_embeddings - tables * table
    assert count.active_without_input_embedding == count.active_without_embeddings + table
    row = 0 if tie else 64
    assert count.touched == count.active_without_input_embedding + row


def test_a_dense_model_has_no_idle_parameters() -> None:
    count = count_parameters(preset("dense"))
    assert count.idle_experts == count.router == count.routed_experts == 0
    assert count.active_with_embeddings == count.total


@pytest.mark.parametrize("name", PRESETS)
def test_every_token_touches_what_the_formula_says(name: str) -> None:
    model = built(small(name))
    wanted = count_parameters(model.config).touched
    assert touched_parameters(model, text(3)).tolist() == [wanted] * 3


def marks_of(recorder: TouchRecorder, parameter: torch.nn.Parameter) -> torch.Tensor:
    return recorder.marks[parameter.untyped_storage().data_ptr()].view(parameter.shape)


@pytest.mark.parametrize(
    ("name", "tie"), [("dense", False), ("moe", True), ("fine_grained", False)]
)
def test_what_was_not_marked_can_be_poisoned_without_effect(name: str, tie: bool) -> None:
    config = small(name, n_layers=2, tie_embeddings=tie)
    model, tokens = built(config, torch.float64), text(5)
    cache = KVCache(model.config, 1, 5, like=model.embedding)
    with torch.no_grad():
        model(tokens[None, :4], cache)
    before = cache.kv.clone()
    with recorded(model) as recorder:
        wanted, _ = model(tokens[None, 4:], cache)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter[~marks_of(recorder, parameter)] = torch.nan
        cache.kv, cache.n_read = before, 4
        got, _ = model(tokens[None, 4:], cache)
    poisoned = sum(int(p.isnan().sum()) for p in model.parameters())
    assert poisoned == numel(model) - recorder.n_touched
    assert poisoned > 0
    assert torch.equal(got, wanted)


def test_everything_that_was_marked_is_really_read() -> None:
    """One NaN anywhere among the marked weights makes the token's logits NaN."""
    config = small("fine_grained", n_layers=2)
    generator = torch.Generator().manual_seed(0)
    model, token = built(config, torch.float64), text(1)
    with recorded(model) as recorder:
        model(token[None])
    for name, parameter in model.named_parameters():
        if name.endswith(("attention.q", "attention.k", "q_norm.weight", "k_norm.weight")):
            continue  # read, but the softmax over one position is 1 whatever they say
        places = marks_of(recorder, parameter).nonzero()
        chosen = places[torch.randint(len(places), (3,), generator=generator)]
        for place in map(tuple, chosen.tolist()):
            with torch.no_grad():
                kept = parameter[place].clone()
                parameter[place] = torch.nan
                assert model(token[None])[0].isnan().any(), (name, place)
                parameter[place] = kept


def test_the_marked_experts_are_the_chosen_ones_and_whole() -> None:
    model = built(small("moe"))
    with recorded(model) as recorder:
        _, routings = model(text(2)[None])
    for block, routing in zip(model.blocks, routings, strict=True):
        for weights in (block.ff.experts.gate_up, block.ff.experts.down):
            marked = marks_of(recorder, weights).flatten(1)
            assert torch.equal(marked.all(1), marked.any(1))
            assert torch.equal(marked.any(1), routing.assigned_per_expert > 0)


def test_only_the_embedding_rows_that_occur_are_read() -> None:
    model = built(small("dense"))
    with recorded(model) as recorder:
        model(torch.tensor([[3, 7, 3]]))
    assert marks_of(recorder, model.embedding).any(1).nonzero().flatten().tolist() == [3, 7]


def test_one_token_touches_less_than_a_text() -> None:
    model, tokens = built(preset("moe")), text(64, 256)
    with recorded(model) as recorder:
        model(tokens[None])
    assert int(touched_parameters(model, tokens[:1])) < recorder.n_touched < numel(model)


def test_no_text_touches_nothing() -> None:
    assert touched_parameters(built(small("moe")), text(0)).tolist() == []


def test_the_repr_of_a_layer_shows_the_shapes_of_its_own_parameters() -> None:
    shown = repr(built(small("moe")))
    for name, parameter in built(small("moe")).named_parameters():
        if "norm" not in name:  # torch's own repr shows its width
            assert f"{name.rpartition('.')[2]} {list(parameter.shape)}" in shown
