"""A trace holds every choice; the statistics of a routing have their documented values."""

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from minimoe import AttentionConfig, InputError, ModelConfig, MoEConfig, Routing, Transformer
from minimoe.data import Batch
from minimoe.measure.bits import bits_per_byte
from minimoe.measure.routes import (
    chance_saturation,
    coactivation,
    dead_experts,
    expert_load,
    max_violation,
    removal_cost,
    saturation,
    trace,
    without_expert,
)
from minimoe.model.routing import route


def routing(
    choices: list[list[int]], n_experts: int, scores: torch.Tensor | None = None
) -> Routing:
    """What a router decided, as if it had chosen `choices`."""
    ids = torch.tensor(choices)
    scores = torch.full((len(ids), n_experts), 1 / n_experts) if scores is None else scores
    weights = scores.gather(1, ids)
    kept = torch.ones_like(ids, dtype=torch.bool)
    return Routing(scores.log(), scores, scores, ids, weights, kept)


def load(*shares: float) -> torch.Tensor:
    return torch.tensor(shares, dtype=torch.float64)


def test_the_load_of_two_experts_has_its_documented_value() -> None:
    assert expert_load(routing([[0], [0], [1]], 2)).tolist() == [2 / 3, 1 / 3]


def test_an_expert_that_nobody_chose_has_load_zero_and_a_place() -> None:
    assert expert_load(routing([[0, 2], [2, 0]], 5)).tolist() == [0.5, 0, 0.5, 0, 0]


def test_masked_tokens_have_no_load() -> None:
    chosen = routing([[0, 1], [2, 3], [0, 2]], 4)
    assert expert_load(chosen, torch.tensor([True, False, True])).tolist() == [0.5, 0.25, 0.25, 0]


def test_no_token_at_all_is_no_load() -> None:
    chosen = routing([[0, 1]], 3)
    assert expert_load(chosen, torch.tensor([False])).tolist() == [0, 0, 0]


@given(st.integers(1, 30), st.integers(1, 6), st.booleans())
def test_the_load_is_the_counted_share_and_sums_to_1(n_tokens: int, top_k: int, drop: bool) -> None:
    config = MoEConfig(
        d_model=2,
        d_expert=2,
        n_routed_experts=6,
        top_k=top_k,
        normalize_weights=False,
        capacity_factor=0.5 if drop else None,
    )
    logits = torch.randn(n_tokens, 6, generator=torch.Generator().manual_seed(n_tokens))
    chosen = route(logits, config)
    counted = [0] * 6
    for row in chosen.expert_ids.tolist():
        for expert in row:
            counted[expert] += 1
    got = expert_load(chosen)
    assert got.tolist() == pytest.approx([n / (n_tokens * top_k) for n in counted], abs=1e-15)
    assert float(got.sum()) == pytest.approx(1, abs=1e-14)


def test_dead_experts_have_their_documented_value() -> None:
    assert dead_experts(load(1, 0, 0, 0)) == 3
    assert dead_experts(load(0.999, 0.001)) == 0


def test_the_maximal_violation_has_its_documented_values() -> None:
    assert max_violation(load(*[1 / 8] * 8)) == 0
    assert max_violation(load(0, 0, 0, 1)) == 3
    assert max_violation(load(1 / 2, 1 / 4, 1 / 4)) == pytest.approx(0.5, abs=1e-15)


# --- a trace ----------------------------------------------------------------------------------

LAYER = MoEConfig(d_model=8, d_expert=4, n_routed_experts=6, top_k=2)
TOKENS = torch.randint(256, (3, 40), generator=torch.Generator().manual_seed(0))


def small_model(layer: MoEConfig | None = LAYER) -> Transformer:
    """Two layers in float64, with routers strong enough to have an opinion."""
    attention = AttentionConfig(d_model=8, n_heads=2, n_kv_heads=2, d_head=4)
    config = ModelConfig(n_layers=2, attention=attention, moe=layer, d_ff=None if layer else 8)
    model = Transformer(config, seed=0).double().requires_grad_(False)
    for i, moe in enumerate(model.moe_layers()):
        moe.router.weight *= 30
        if moe.router.expert_bias is not None:
            generator = torch.Generator().manual_seed(i)
            moe.router.expert_bias.copy_(
                0.1 * torch.randn(len(moe.router.weight), generator=generator)
            )
    return model


def stacked(model: Transformer, name: str) -> torch.Tensor:
    """What each MoE layer reports under this name, [layers, T, E]."""
    return torch.stack([getattr(routing, name) for routing in model(TOKENS)[1]])


def test_a_trace_stacks_what_the_model_returns_for_each_layer() -> None:
    model = small_model(replace(LAYER, use_expert_bias=True))
    traced, routings = trace(model, TOKENS), model(TOKENS)[1]
    assert traced.expert_ids.shape == (2, 120, 2) and traced.margin.shape == (2, 120)
    for name in ("expert_ids", "weights", "kept"):
        for layer, routed in zip(getattr(traced, name), routings, strict=True):
            assert torch.equal(layer, getattr(routed, name)), name
    assert traced.margin.dtype == torch.float64


def test_token_b_l_of_a_trace_stands_at_b_times_length_plus_l() -> None:
    model = small_model()
    alone = trace(model, TOKENS[1:2]).weights
    assert (trace(model, TOKENS).weights[:, 40:80] - alone).abs().max() < 1e-12


def test_a_trace_shows_dropped_assignments() -> None:
    model = small_model(replace(LAYER, capacity_factor=0.5))
    traced = trace(model, TOKENS)
    assert int((~traced.kept).sum()) == sum(r.n_dropped for r in model(TOKENS)[1]) > 0


def test_the_margin_is_the_gap_between_the_last_chosen_and_the_first_not_chosen() -> None:
    model = small_model()
    traced = trace(model, TOKENS)
    best = stacked(model, "scores").sort(-1, descending=True).values
    assert torch.equal(traced.margin, best[..., 1] - best[..., 2]) and (traced.margin >= 0).all()


def test_a_margin_of_given_scores_has_its_documented_value() -> None:
    model = small_model(replace(LAYER, n_routed_experts=3, top_k=1, normalize_weights=False))
    first = model.moe_layers()[0].router
    first.bias = torch.nn.Parameter(torch.tensor([2.0, 1, 1], dtype=torch.float64).log())
    first.weight.zero_()
    assert trace(model, TOKENS).margin[0].tolist() == pytest.approx([0.25] * 120, abs=1e-15)


def test_the_margin_counts_the_selection_bias_and_moving_by_it_changes_the_choice() -> None:
    model = small_model(replace(LAYER, use_expert_bias=True))
    traced = trace(model, TOKENS)
    bias = model.moe_layers()[0].router.expert_bias
    assert bias is not None
    assert torch.equal(stacked(model, "selection_scores")[0], stacked(model, "scores")[0] + bias)
    token = int(traced.margin[0].argmin())
    gap, last = float(traced.margin[0, token]), int(traced.expert_ids[0, token, -1])
    for share, stays in ((0.99, True), (1.01, False)):
        bias[last] -= share * gap
        now = trace(model, TOKENS).expert_ids[0, token].tolist()
        bias[last] += share * gap
        assert (last in now) == stays


def test_experts_of_a_group_ruled_out_are_not_in_the_margin() -> None:
    grouped = replace(LAYER, n_expert_groups=3, n_limited_groups=2, n_group_scores=1)
    model = small_model(grouped)
    traced = trace(model, TOKENS)
    assert (stacked(model, "selection_scores") == -math.inf).sum(-1).eq(2).all()
    assert (traced.margin >= 0).all() and traced.margin.isfinite().all()
    alone = trace(small_model(replace(grouped, n_limited_groups=1)), TOKENS)
    assert (alone.margin == math.inf).all()  # both of the one group are chosen


def test_the_margin_is_infinite_if_every_expert_is_chosen() -> None:
    assert (trace(small_model(replace(LAYER, top_k=6)), TOKENS).margin == math.inf).all()


def test_a_trace_of_a_dense_model_is_refused_in_one_line() -> None:
    with pytest.raises(InputError, match="1.*0 of 2"):
        trace(small_model(None), TOKENS)


# --- co-activation and saturation -------------------------------------------------------------


def test_coactivation_has_its_documented_values() -> None:
    got = coactivation(torch.tensor([[0, 1], [0, 2]]), 4)
    assert got[0].tolist() == [0, 0.5, 0.5, 0] and got[1].tolist() == [1, 0, 0, 0]
    assert got[3].tolist() == [0] * 4 and got.diagonal().tolist() == [0] * 4


def test_coactivation_counts_pairs_of_a_token_and_its_rows_sum_to_k_minus_1() -> None:
    ids = trace(small_model(replace(LAYER, top_k=3)), TOKENS).expert_ids[0]
    got = coactivation(ids, 6)
    chosen = torch.zeros(len(ids), 6, dtype=torch.bool).scatter(1, ids, True)
    for i in range(6):
        for j in range(6):
            share = (chosen[:, i] & chosen[:, j]).sum() / chosen[:, i].sum().clamp_min(1)
            assert float(got[i, j]) == pytest.approx(0 if i == j else float(share), abs=1e-6)
    used = chosen.any(0)
    assert got[used].sum(1).tolist() == pytest.approx([2] * int(used.sum()), abs=1e-12)


def test_saturation_has_its_documented_values() -> None:
    final = torch.tensor([[[1, 2]], [[0, 3]]])
    earlier = torch.tensor([[[0, 1]], [[3, 0]]])
    assert saturation(earlier, final).tolist() == [0.5, 1]
    assert saturation(final, final).tolist() == [1, 1]


def test_chance_saturation_is_that_of_shuffled_tokens() -> None:
    skewed = torch.rand(2, 4000, 5, generator=torch.Generator().manual_seed(0))
    skewed[..., 0] += 0.4
    ids = skewed.topk(2).indices
    order = torch.randperm(4000, generator=torch.Generator().manual_seed(1))
    shuffled = saturation(ids[:, order], ids)
    assert chance_saturation(ids, ids, 5).tolist() == pytest.approx(shuffled.tolist(), abs=0.02)
    even = torch.tensor([[[0, 1], [2, 3]]], dtype=torch.uint8)  # as stored
    assert chance_saturation(even, even, 4).tolist() == [0.5]  # K/E


# --- without an expert ------------------------------------------------------------------------


@pytest.mark.parametrize("biased", [False, True])
def test_without_an_expert_the_next_best_takes_its_place(biased: bool) -> None:
    model = small_model(replace(LAYER, use_expert_bias=biased))
    before = trace(model, TOKENS)
    scores, values = stacked(model, "scores")[0], stacked(model, "selection_scores")[0]
    expert = int(before.expert_ids[0].mode().values[0])
    with without_expert(model, 0, expert):
        now, scores_now = trace(model, TOKENS), stacked(model, "scores")[0]
    assert not (now.expert_ids[0] == expert).any()
    assert torch.equal(scores_now, scores)
    best = values.index_fill(1, torch.tensor(expert), -math.inf)
    best = best.sort(dim=-1, descending=True, stable=True).indices
    assert torch.equal(now.expert_ids[0], best[:, :2])
    chosen = scores.gather(1, best[:, :2])
    assert torch.equal(now.weights[0], chosen / chosen.sum(1, keepdim=True))
    again = trace(model, TOKENS)
    assert torch.equal(again.weights, before.weights)
    assert (model.moe_layers()[0].router.expert_bias is not None) == biased


def test_the_expert_is_back_even_after_an_error() -> None:
    model = small_model()
    with pytest.raises(RuntimeError, match="within"), without_expert(model, 1, 0):
        raise RuntimeError("within")
    assert model.moe_layers()[1].router.expert_bias is None


def test_several_experts_can_be_taken_away_until_fewer_than_k_are_left() -> None:
    model = small_model(replace(LAYER, n_routed_experts=3))
    with without_expert(model, 0, 0):
        assert trace(model, TOKENS).expert_ids[0].unique().tolist() == [1, 2]
        refused = pytest.raises(InputError, match="top_k=2.*1")
        with refused, without_expert(model, 0, 1):
            pass
        assert trace(model, TOKENS).expert_ids[0].unique().tolist() == [1, 2]
    assert trace(model, TOKENS).expert_ids[0].unique().tolist() == [0, 1, 2]


def test_groups_that_would_be_left_with_too_few_are_refused() -> None:
    grouped = replace(LAYER, n_expert_groups=3, n_limited_groups=1, n_group_scores=1)
    refused = pytest.raises(InputError, match="top_k=2.*1")
    with refused, without_expert(small_model(grouped), 0, 5):
        pass


def test_a_layer_or_an_expert_that_is_not_there_is_refused() -> None:
    model = small_model()
    with (
        pytest.raises(InputError, match="layer.*0, 2.*2"),
        without_expert(model, 2, 0),
    ):
        pass
    refused = pytest.raises(InputError, match="n_routed_experts=6.*6")
    with refused, without_expert(model, 0, 6):
        pass


def test_the_cost_of_removal_is_the_difference_of_two_losses_in_each_domain() -> None:
    model = small_model()
    domains = torch.arange(3).clamp(max=1)[:, None].expand(3, 39)
    batch = Batch(TOKENS[:, :-1], TOKENS[:, 1:], domains)
    got = removal_cost(model, [batch], ("a", "b", "none"), 1)
    assert list(got) == ["a", "b", "all"] and len(got["a"]) == 6
    whole = bits_per_byte(model, [batch], ("a", "b"))
    with without_expert(model, 1, 4):
        less = bits_per_byte(model, [batch], ("a", "b"))
    for name, costs in got.items():
        assert float(costs[4]) == pytest.approx(less[name] - whole[name], abs=1e-14)
    chosen = trace(model, batch.inputs).expert_ids[1].unique().tolist()
    idle = sorted(set(range(6)) - set(chosen))
    assert all(got["all"][expert] == 0 for expert in idle)
