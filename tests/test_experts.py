"""The layer equals the reference, gradients too, on the plain and on the fast path."""

import math
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from minimoe import MoE, MoEConfig, fast
from minimoe.model.dispatch import plan_dispatch
from minimoe.model.feed_forward import GeluMLP, SwiGLU, clamped_silu_gate
from minimoe.model.reference import reference_ff, reference_moe
from minimoe.model.routing import route

GPT_OSS = {"activation": "clamped_swiglu", "biased_experts": True, "router_bias": True}


@st.composite
def shared_numbers(draw: st.DrawFn) -> dict[str, Any]:
    """No shared expert, some of the routed ones' width, or one of its own width, gated or not."""
    n_shared = draw(st.integers(0, 2))
    if not n_shared:
        return {}
    width = draw(st.sampled_from([None, 3, 11]))
    return dict(n_shared_experts=n_shared, d_shared=width, gate_shared=draw(st.booleans()))


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
        **draw(shared_numbers()),
        score_function=draw(st.sampled_from(["softmax", "sigmoid"])),
        normalize_weights=draw(st.booleans()),
        allow_constant_weight=True,
        route_scale=draw(st.sampled_from([1.0, 2.5])),
        use_expert_bias=draw(st.booleans()),
        n_expert_groups=n_groups,
        n_limited_groups=n_limited,
        n_group_scores=draw(st.integers(1, min(2, group_size))),
        router_bias=draw(st.booleans()),
        activation=draw(st.sampled_from(["swiglu", "clamped_swiglu"])),
        activation_limit=draw(st.sampled_from([0.5, 7.0])),  # 0.5 cuts many, 7 few
        biased_experts=draw(st.booleans()),
        capacity_factor=draw(st.sampled_from([None, None, 0.5, 1.0, 1.25])),
    )


def random_layer(config: MoEConfig, seed: int = 0) -> MoE:
    """A layer in float64 with weights and biases of size 1 and, if it has one, a selection bias."""
    layer = MoE(config, seed).double()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        layer.router.weight.mul_(50)
        for name, tensor in (*layer.named_parameters(), *layer.named_buffers()):
            if name.endswith("bias"):
                tensor.copy_(torch.randn(tensor.shape, generator=generator))
        if layer.shared_gate is not None:
            layer.shared_gate.mul_(50)
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


@given(layer_numbers(), st.integers(0, 12), st.integers(0, 3), st.booleans())
def test_the_layer_equals_the_reference_in_value_and_gradient(
    numbers: dict[str, Any], n_tokens: int, seed: int, plain: bool
) -> None:
    config = MoEConfig(**numbers)
    layer, x = random_layer(config, seed), inputs(n_tokens, config.d_model, seed)
    with fast.plain() if plain else nullcontext():
        got = outputs_and_gradients(layer, x, reference=False)
    wanted = outputs_and_gradients(layer, x, reference=True)
    for one, other in zip(got, wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)


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


@pytest.mark.parametrize("options", [{}, GPT_OSS], ids=["plain", "gpt_oss"])
def test_the_layer_equals_the_reference_in_float32(options: dict[str, Any]) -> None:
    layer = random_layer(MoEConfig(d_model=20, d_expert=12, n_routed_experts=8, top_k=2, **options))
    x = inputs(33, 20)
    wanted = outputs_and_gradients(layer, x, reference=True)
    got = outputs_and_gradients(layer.float(), x.float(), reference=False)
    for one, other in zip(got, wanted, strict=True):
        torch.testing.assert_close(one.double(), other, rtol=1e-4, atol=1e-4)


def test_a_dropless_output_does_not_depend_on_the_batch() -> None:
    layer = random_layer(MoEConfig(d_model=8, d_expert=6, n_routed_experts=5, top_k=2))
    x = inputs(64, 8)
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


def test_gradients_reach_the_router_and_only_the_experts_that_were_used() -> None:
    config = MoEConfig(d_model=8, d_expert=6, n_routed_experts=12, top_k=2, **GPT_OSS)
    layer = random_layer(config)
    y, routing = layer(inputs(3, 8))
    y.square().sum().backward()
    used = routing.assigned_per_expert > 0
    assert 0 < used.sum() < 12
    for name, parameter in layer.experts.named_parameters():
        reached = parameter.grad.flatten(1).any(1)
        assert torch.equal(reached, used), name
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


def test_the_clamped_activation_has_its_documented_values() -> None:
    def at(gate: float, up: float) -> float:
        return clamped_silu_gate(torch.tensor([gate, up]).double(), 1.702, 7.0).item()

    def logistic(z: float) -> float:
        return 1 / (1 + math.exp(-z))

    assert at(0, 0) == 0
    assert at(100, 100) == pytest.approx((7 + 1) * 7 * logistic(1.702 * 7), rel=1e-15)
    assert round(at(100, 100), 4) == 55.9996
    assert at(1, -100) == pytest.approx((-7 + 1) * logistic(1.702), rel=1e-15)
    assert at(-9, 0) == pytest.approx(-9 * logistic(-1.702 * 9), rel=1e-12)  # no cut from below


def test_the_plan_has_its_documented_values() -> None:
    one_each = MoEConfig(
        d_model=1, d_expert=1, n_routed_experts=2, top_k=1, normalize_weights=False
    )
    chosen = torch.nn.functional.one_hot(torch.tensor([1, 0, 1]), 2).double()
    plan = plan_dispatch(route(chosen, one_each))
    assert plan.slots.tolist() == plan.token_ids.tolist() == [1, 0, 2]
    assert plan.kept_per_expert.tolist() == [1, 2]


@pytest.mark.parametrize("kind", [SwiGLU, GeluMLP])
@pytest.mark.parametrize("bias", [False, True])
def test_a_dense_layer_equals_its_reference(kind: type[SwiGLU | GeluMLP], bias: bool) -> None:
    layer = kind(6, 9, bias).double()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    x = inputs(5, 6)
    torch.testing.assert_close(layer(x), reference_ff(layer, x), rtol=1e-12, atol=1e-12)
    products = 3 if kind is SwiGLU else 2
    biases = (products - 1) * 9 + 6 if bias else 0
    assert sum(p.numel() for p in layer.parameters()) == products * 6 * 9 + biases


def test_a_gated_shared_expert_counts_by_the_sigmoid_of_its_gate() -> None:
    sizes = {"d_model": 8, "d_expert": 6, "n_routed_experts": 4, "top_k": 2}
    layer = random_layer(MoEConfig(**sizes, n_shared_experts=1, d_shared=20, gate_shared=True))
    x = inputs(5, 8)
    x[:, 0] = 1
    assert layer.shared.down.shape == (8, 20)
    with torch.no_grad():
        layer.shared_gate.zero_()[0, 0] = -math.inf  # sigmoid(-inf) = 0
        routed = layer(x)[0]
        for gate, share in ((0.0, 0.5), (math.log(3), 0.75)):  # sigmoid(ln 3) = 3/4
            layer.shared_gate.zero_()[0, 0] = gate
            torch.testing.assert_close(
                layer(x)[0] - routed, share * layer.shared(x), rtol=1e-12, atol=1e-12
            )
