"""The formulas of memory are those of the tensors that are really held."""

import itertools
import weakref
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from hub_cases import CASES, name_of, tiny
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from traffic import forward_traffic

from minimoe import AttentionConfig, InputError, ModelConfig, MoEConfig, Transformer
from minimoe.config import PRESETS, LatentAttentionConfig, preset
from minimoe.formulas.memory import (
    BytesMoved,
    bytes_moved,
    cache_elements_per_token,
    expected_experts,
    moe_elements,
    swiglu_elements,
    weight_bytes,
)
from minimoe.formulas.parameters import count_parameters
from minimoe.measure.memory import saved_activation_bytes
from minimoe.model.cache import KVCache
from minimoe.model.feed_forward import SwiGLU
from minimoe.model.parameters import initialize_
from minimoe.zoo.configs import model_config_from_hub
from minimoe.zoo.published import published_model


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
        (-1, 16, "n_parameters.*0.*-1"),
        (1, 0, "bits.*0.*0"),
        (1, float("inf"), "bits.*0.*inf"),
        (1, float("nan"), "bits.*0.*nan"),
    ],
)
def test_what_is_no_number_of_weights_or_bits_is_refused(
    n_parameters: int, bits: float, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        weight_bytes(n_parameters, bits)


def from_outside(*shape: int) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(*shape, generator=generator, dtype=torch.float64)
    return x.requires_grad_()


X, W = from_outside(3, 4), from_outside(4, 5)
KEPT: dict[str, tuple[Callable[[], Tensor], int]] = {
    "nothing, both factors are from outside": (lambda: X @ W, 0),
    "nothing, a view is of what was there": (lambda: X.T @ X, 0),
    "nothing, a sum needs no operand": (lambda: (X + 1).sum(), 0),
    "the factor that was made": (lambda: (X + 1) @ W, 96),
    "both factors that were made": (lambda: (X + 1) @ (W + 1), 96 + 160),
    "the output of relu": (lambda: (X @ W).relu(), 120),
    "one storage under two views": (lambda: (h := X + 1)[:, :2] * h[:, 2:], 96),
    "a factor and its transpose once": (lambda: (h := X + 1) @ h.T, 96),
    "the whole storage of a row": (lambda: (X + 1)[:1] @ W, 96),
    "two results of their own": (lambda: X.exp() * X.exp(), 192),
    "only what is returned": (lambda: [X.exp() for _ in range(3)][-1], 96),
    "the places, 8 bytes each": (lambda: X[torch.arange(2)], 16),
    "numbers of Python that became a tensor": (
        lambda: X * torch.tensor([1.0, 2, 3, 4], dtype=torch.float64),
        32,
    ),
    "nothing of a detached part": (lambda: X + (X + 1).detach().exp(), 0),
}


@pytest.mark.parametrize("case", KEPT)
def test_autograd_keeps_what_can_be_worked_out_by_hand(case: str) -> None:
    run, wanted = KEPT[case]
    assert saved_activation_bytes(run) == wanted


def test_without_gradients_nothing_is_kept() -> None:
    with torch.no_grad():
        assert saved_activation_bytes(lambda: (X + 1) @ W) == 0


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_swiglu_keeps_four_inner_widths_a_token(dtype: torch.dtype) -> None:
    layer = SwiGLU(6, 5).to(dtype)
    initialize_(layer, 0)
    x = from_outside(7, 6).to(dtype).detach()
    wanted = 7 * (2 * 5 + 5 + 5) * dtype.itemsize  # gate and up, silu's result, their product
    assert saved_activation_bytes(lambda: layer(x)) == wanted


def test_counting_what_is_kept_leaves_the_gradients_right() -> None:
    results = []

    def run() -> Tensor:
        results.append(((X + 1) @ W).relu().exp().sum())
        return results[0]

    saved_activation_bytes(run)
    wanted = torch.autograd.grad(((X + 1) @ W).relu().exp().sum(), (X, W))
    for got, want in zip(torch.autograd.grad(results[0], (X, W)), wanted, strict=True):
        assert torch.equal(got, want)


def test_what_was_kept_is_freed_afterwards() -> None:
    made = []

    def run() -> Tensor:
        y = X.exp()  # keeps its own result
        made.append(weakref.ref(y))
        return y

    assert saved_activation_bytes(run) == 96
    assert made[0]() is None


def test_twice_the_tokens_keep_twice_as_much_in_a_model_without_attention_scores() -> None:
    model = Transformer(replace(preset("dense"), n_layers=1))
    texts = [torch.zeros(n, 8, dtype=torch.long) for n in (1, 2)]
    one, two = (saved_activation_bytes(lambda text=text: model(text)[0]) for text in texts)
    fixed = 2 * one - two  # the rotation of 8 positions
    assert 0 <= fixed <= 2 * 8 * 8 * 4 and one > 0


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
        ((4, 5, 1), "n_experts=4.*5"),
        ((4, 0, 1), "n_experts=4.*0"),
        ((4, 2, 0), "n_tokens.*1.*0"),
    ],
)
def test_experts_that_cannot_be_reached_are_refused(
    numbers: tuple[int, int, int], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        expected_experts(*numbers)


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


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("tie", [False, True], ids=["untied", "tied"])
def test_one_token_reads_exactly_the_weights_that_it_touches(name: str, tie: bool) -> None:
    config = replace(MODELS[name], tie_embeddings=tie)
    for itemsize in (2, 4):
        moved = bytes_moved(config, 1, itemsize=itemsize)
        assert moved.weights == itemsize * count_parameters(config).touched


@pytest.mark.parametrize("name", MODELS)
def test_many_tokens_read_every_weight_once_and_a_row_each(name: str) -> None:
    config = replace(MODELS[name], tie_embeddings=False)
    count = count_parameters(config)
    matrices = count.total - count.embedding - count.positions
    rows = 10_000 * (count.embedding_row + count.position_row)
    wanted = pytest.approx(2 * (matrices + rows), rel=1e-12)
    assert bytes_moved(config, 10_000).weights == wanted


def test_a_second_token_reads_the_experts_that_the_first_has_not() -> None:
    config = preset("moe")
    one, two = (bytes_moved(config, n, itemsize=1).weights for n in (1, 2))
    expert = 3 * 64 * 64
    assert two - one == pytest.approx(64 + 3 * expert * (2 - 2 * 2 / 16), rel=1e-12)


def test_deepseek_v3_moves_the_documented_bytes() -> None:
    config = model_config_from_hub(published_model("deepseek-v3").config)
    moved = bytes_moved(config, 1, 4096)
    assert moved.weights == 2 * count_parameters(config).touched == 73_251_221_504
    assert moved.cache == 287_904_384


def test_the_cache_is_read_once_a_sequence_and_written_once_a_token() -> None:
    config, kept = preset("dense"), 3 * 2 * 2 * 16
    assert cache_elements_per_token(config) == kept
    assert bytes_moved(config, 1, 9, 4).cache == 4 * kept * (9 + 1)
    assert bytes_moved(config, 6, 9, 4).cache == 4 * kept * (9 + 6)
    assert bytes_moved(config, 6, 9, 4, n_sequences=3).cache == 4 * kept * (3 * 9 + 6)


def test_a_window_bounds_what_is_read_of_the_cache_in_its_layers() -> None:
    config = preset("dense")
    sliding = replace(
        config, attention=replace(config.attention, sliding_window=4), sliding_layers=(1,)
    )
    layer = 2 * 2 * 16
    assert bytes_moved(sliding, 1, 9, 1).cache == layer * (9 + 3 + 9 + 3 * 1)
    assert bytes_moved(sliding, 1, 2, 1).cache == layer * (3 * 2 + 3 * 1)


def test_activations_are_those_added_up_by_hand() -> None:
    attention = AttentionConfig(d_model=10, n_heads=3, n_kv_heads=1, d_head=4)
    config = ModelConfig(n_layers=2, attention=attention, d_ff=7, vocab_size=11)
    norms_and_sums = 2 * (2 * 10 + 3 * 10)
    projections = (10 + 12) + 2 * (10 + 4)
    rotation, attend, out = 2 * (12 + 4), (12 + 4 + 4) + 12, 12 + 10
    block = norms_and_sums + projections + rotation + attend + out
    around = 10 + 2 * 10 + (10 + 11)  # embedding, last norm, head
    swiglu, gelu = 2 * 10 + 8 * 7, (10 + 7) + 2 * 7 + (7 + 10)
    assert bytes_moved(config, 5, 0, 1).activations == 5 * (around + 2 * (block + swiglu))
    learned = replace(
        config, attention=replace(attention, rope=None), learned_positions=True, ff="gelu"
    )
    wanted = around + 3 * 10 + 2 * (block - rotation + gelu)
    assert bytes_moved(learned, 5, 0, 1).activations == 5 * wanted
    layer = MoEConfig(d_model=10, d_expert=6, n_routed_experts=4, top_k=2)
    mixed = replace(config, moe=layer, dense_layers=(0,))
    wanted = around + 2 * block + swiglu + moe_elements(layer)
    assert bytes_moved(mixed, 5, 0, 1).activations == 5 * wanted


@pytest.mark.parametrize("q_rank", [None, 6])
def test_the_activations_of_latent_attention_are_those_added_up_by_hand(q_rank: int | None) -> None:
    attention = LatentAttentionConfig(
        d_model=10, n_heads=3, kv_rank=5, d_nope=4, d_rope=2, d_value=7, q_rank=q_rank
    )
    config = ModelConfig(n_layers=1, attention=attention, d_ff=7, vocab_size=11)
    queries = 10 + 18 if q_rank is None else (10 + 6) + (6 + 6) + (6 + 18)
    latents = (10 + 5 + 2) + (5 + 5) + (5 + 3 * (4 + 7))
    rotation = 2 * (3 * 2 + 2)
    attend = (18 + 3 * (4 + 7) + 2) + 21
    block = queries + latents + rotation + attend + (21 + 10) + 2 * (2 * 10 + 3 * 10)
    wanted = 10 + 2 * 10 + 10 + 11 + block + 2 * 10 + 8 * 7
    assert bytes_moved(config, 3, 0, 1).activations == 3 * wanted


@pytest.mark.parametrize("name", PRESETS)
def test_the_operations_of_a_preset_really_move_up_to_half_as_much_again(name: str) -> None:
    model, text = Transformer(preset(name)), torch.arange(200)[None]
    traffic = forward_traffic(lambda: model(text))
    assert 1.2 < traffic.n_bytes / bytes_moved(model.config, 200, 0, 4).total < 1.6


def test_the_total_is_the_sum_of_the_three() -> None:
    assert BytesMoved(1, 2, 3).total == 6


@settings(max_examples=30)
@given(
    st.sampled_from(sorted(MODELS)),
    st.integers(1, 500),
    st.integers(0, 500),
    st.sampled_from([1, 2, 4]),
)
def test_more_tokens_or_more_context_never_move_less(
    name: str, n_tokens: int, context: int, itemsize: int
) -> None:
    now = bytes_moved(MODELS[name], n_tokens, context, itemsize)
    more = bytes_moved(MODELS[name], n_tokens + 1, context, itemsize)
    longer = bytes_moved(MODELS[name], n_tokens, context + 1, itemsize)
    assert more.weights >= now.weights and more.activations > now.activations
    assert more.cache > now.cache and longer.cache >= now.cache
    assert (longer.weights, longer.activations) == (now.weights, now.activations)


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ({"n_tokens": 0}, "n_tokens.*1.*0"),
        ({"context": -1}, "context.*0.*-1"),
        ({"itemsize": 0}, "itemsize.*1.*0"),
        ({"n_sequences": 0}, "n_sequences.*n_tokens=4.*0"),
        ({"n_sequences": 3}, "n_sequences.*n_tokens=4.*3"),
    ],
)
def test_a_batch_that_cannot_be_is_refused(numbers: dict[str, int], message: str) -> None:
    with pytest.raises(InputError, match=message):
        bytes_moved(preset("moe"), **({"n_tokens": 4} | numbers))
