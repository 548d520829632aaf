"""All ways of computing the experts are the same layer as the reference, gradients too."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from minimoe import InputError, MoE, MoEConfig
from minimoe.model.dispatch import plan_dispatch
from minimoe.model.experts import choose_way
from minimoe.model.reference import reference_moe
from minimoe.model.routing import route

EXACT_WAYS = ("loop", "segments", "padded", "auto")


@st.composite
def layer_numbers(draw: st.DrawFn) -> dict[str, Any]:
    """The numbers of any layer that the configuration allows, small."""
    group_size = draw(st.integers(1, 4))
    n_groups = draw(st.sampled_from([1, 1, 2, 3]))
    n_experts = group_size * n_groups
    n_limited = draw(st.integers(1, n_groups))
    top_k = draw(st.integers(1, group_size * n_limited))
    return dict(
        d_model=draw(st.integers(1, 9)),
        d_expert=draw(st.integers(1, 7)),
        n_routed_experts=n_experts,
        top_k=top_k,
        n_shared_experts=draw(st.integers(0, 2)),
        score_function=draw(st.sampled_from(["softmax", "sigmoid"])),
        normalize_weights=draw(st.booleans()) if top_k > 1 or n_experts == 1 else False,
        route_scale=draw(st.sampled_from([1.0, 2.5])),
        use_expert_bias=draw(st.booleans()),
        n_expert_groups=n_groups,
        n_limited_groups=n_limited,
        n_group_scores=draw(st.integers(1, min(2, group_size))),
        capacity_factor=draw(st.sampled_from([None, None, 0.5, 1.0, 1.25])),
        experts_way=draw(st.sampled_from(EXACT_WAYS)),
    )


def random_layer(config: MoEConfig, seed: int = 0) -> MoE:
    """A layer in float64 with weights of size 1 and, if it has one, a selection bias."""
    layer = MoE(config, seed).double()
    with torch.no_grad():
        layer.router.weight.mul_(50)
        if layer.router.expert_bias is not None:
            noise = torch.randn(config.n_routed_experts, generator=torch.Generator().manual_seed(1))
            layer.router.expert_bias.copy_(noise)
    return layer


def inputs(n_tokens: int, d_model: int, seed: int = 2) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n_tokens, d_model, generator=generator, dtype=torch.float64)


def outputs_and_gradients(layer: MoE, x: torch.Tensor, reference: bool) -> list[torch.Tensor]:
    """y, then the gradients of a fixed scalar of it with respect to x and every parameter."""
    x = x.clone().requires_grad_()
    y = reference_moe(layer, x)[0] if reference else layer(x)[0]
    scalar = (y * torch.linspace(-1, 1, max(1, y.numel())).double()[: y.numel()].view_as(y)).sum()
    wanted = [x, *layer.parameters()]
    if not scalar.requires_grad:
        return [y, *map(torch.zeros_like, wanted)]
    gradients = torch.autograd.grad(scalar, wanted, allow_unused=True)
    return [
        y,
        *(torch.zeros_like(p) if g is None else g for p, g in zip(wanted, gradients, strict=True)),
    ]


@given(layer_numbers(), st.integers(0, 12), st.integers(0, 3))
def test_every_way_equals_the_reference_in_value_and_gradient(
    numbers: dict[str, Any], n_tokens: int, seed: int
) -> None:
    config = MoEConfig(**numbers)
    layer, x = random_layer(config, seed), inputs(n_tokens, config.d_model, seed)
    fast = outputs_and_gradients(layer, x, reference=False)
    slow = outputs_and_gradients(layer, x, reference=True)
    for got, wanted in zip(fast, slow, strict=True):
        torch.testing.assert_close(got, wanted, rtol=1e-12, atol=1e-12)


@given(layer_numbers(), st.integers(1, 12))
def test_the_experts_that_served_a_token_are_the_references(
    numbers: dict[str, Any], n_tokens: int
) -> None:
    config = MoEConfig(**numbers)
    layer, x = random_layer(config), inputs(n_tokens, config.d_model)
    _, routing = layer(x)
    received = [
        [int(e) for e, kept in zip(ids, keep, strict=True) if kept]
        for ids, keep in zip(routing.expert_ids, routing.kept, strict=True)
    ]
    assert received == reference_moe(layer, x)[1]


@pytest.mark.parametrize("way", ["loop", "segments", "padded", "grouped"])
@pytest.mark.parametrize("n_tokens", [0, 1, 33])
@pytest.mark.parametrize("one_expert_takes_all", [False, True])
def test_every_way_equals_the_reference_in_float32(
    way: str, n_tokens: int, one_expert_takes_all: bool
) -> None:
    config = MoEConfig(d_model=20, d_expert=12, n_routed_experts=8, top_k=2, experts_way=way)
    layer = random_layer(config).float()
    x = inputs(n_tokens, 20).float()
    if one_expert_takes_all:
        with torch.no_grad():
            layer.router.weight.zero_()  # equal scores: experts 0 and 1, for every token
    y, routing = layer(x)
    torch.testing.assert_close(y, reference_moe(layer, x)[0], rtol=1e-4, atol=1e-4)
    assert not one_expert_takes_all or routing.tokens_per_expert[2:].sum() == 0


def test_grouped_products_refuse_float64_and_say_what_to_do() -> None:
    config = MoEConfig(d_model=8, d_expert=4, n_routed_experts=4, top_k=2, experts_way="grouped")
    with pytest.raises(InputError, match=r'got float64; name "segments"'):
        MoE(config).double()(inputs(3, 8))


def test_auto_avoids_padding_that_costs_more_than_the_work() -> None:
    config = MoEConfig(d_model=8, d_expert=4, n_routed_experts=4, top_k=1, normalize_weights=False)

    def way(choices: list[int], dtype: torch.dtype = torch.float64) -> str:
        logits = torch.nn.functional.one_hot(torch.tensor(choices), 4).double()
        return choose_way(dtype, plan_dispatch(route(logits, config)))

    assert way([0, 1, 2, 3] * 100) == "padded"
    assert way([0] * 398 + [1, 2]) == "segments"  # 3 * 398 rows for 400 assignments
    assert way([0, 1, 2, 3] * 513) == "segments"  # long segments need no batching
    assert way([0] * 398 + [1, 2], torch.float32) == "grouped"


@pytest.mark.parametrize("way", EXACT_WAYS)
def test_a_dropless_output_does_not_depend_on_the_batch(way: str) -> None:
    config = MoEConfig(d_model=8, d_expert=6, n_routed_experts=5, top_k=2, experts_way=way)
    layer, x = random_layer(config), inputs(64, 8)
    together, _ = layer(x)
    alone = torch.cat([layer(row[None])[0] for row in x])
    torch.testing.assert_close(together, alone, rtol=1e-12, atol=1e-12)


def test_capacity_makes_the_output_depend_on_the_batch() -> None:
    config = MoEConfig(d_model=8, d_expert=6, n_routed_experts=5, top_k=2, capacity_factor=0.5)
    layer, x = random_layer(config), inputs(64, 8)
    together, routing = layer(x)
    alone = torch.cat([layer(row[None])[0] for row in x])
    assert routing.n_dropped > 0
    assert (together - alone).abs().max() > 0.1


@pytest.mark.parametrize("way", EXACT_WAYS)
def test_permuting_tokens_permutes_outputs(way: str) -> None:
    config = MoEConfig(d_model=8, d_expert=6, n_routed_experts=5, top_k=2, experts_way=way)
    layer, x = random_layer(config), inputs(32, 8)
    order = torch.randperm(32, generator=torch.Generator().manual_seed(3))
    torch.testing.assert_close(layer(x[order])[0], layer(x)[0][order], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("way", ["loop", "segments", "padded"])
def test_gradients_reach_the_router_and_only_the_experts_that_were_used(way: str) -> None:
    config = MoEConfig(d_model=8, d_expert=6, n_routed_experts=12, top_k=2, experts_way=way)
    layer = random_layer(config)
    y, routing = layer(inputs(3, 8))
    y.square().sum().backward()
    used = routing.tokens_per_expert > 0
    reached = layer.experts.gate_up.grad.flatten(1).any(1)
    assert 0 < used.sum() < 12
    assert torch.equal(reached, used)
    assert layer.router.weight.grad.abs().sum() > 0


def test_a_top_1_router_without_normalization_still_learns() -> None:
    config = MoEConfig(d_model=8, d_expert=6, n_routed_experts=4, top_k=1, normalize_weights=False)
    layer = random_layer(config)
    layer(inputs(16, 8))[0].square().sum().backward()
    assert layer.router.weight.grad.abs().max() > 1e-3


def test_a_token_whose_every_assignment_was_dropped_gets_exactly_zero() -> None:
    config = MoEConfig(
        d_model=4,
        d_expert=3,
        n_routed_experts=2,
        top_k=1,
        normalize_weights=False,
        capacity_factor=0.5,
    )
    layer = random_layer(config)
    with torch.no_grad():
        layer.router.weight.zero_()  # every token chooses expert 0, which keeps 0.5 * 8 / 2 = 2
    y, routing = layer(inputs(8, 4))
    assert routing.kept.flatten().tolist() == [True, True] + [False] * 6
    assert torch.equal(y[2:], torch.zeros(6, 4).double())
    assert y[:2].abs().min() > 0


def test_a_shared_expert_of_width_two_is_the_sum_of_two_experts() -> None:
    config = MoEConfig(d_model=8, d_expert=6, n_routed_experts=4, top_k=2, n_shared_experts=2)
    layer, x = random_layer(config), inputs(5, 8)
    routed, _ = random_layer(replace(config, n_shared_experts=0))(x)
    halves = torch.zeros_like(x)
    for half in (slice(0, 6), slice(6, 12)):
        gate, up = layer.shared.gate_up[:12][half], layer.shared.gate_up[12:][half]
        inner = torch.nn.functional.silu(x @ gate.T) * (x @ up.T)
        halves += inner @ layer.shared.down[:, half].T
    torch.testing.assert_close(layer(x)[0] - routed, halves, rtol=1e-12, atol=1e-12)
