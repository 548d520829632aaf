"""The router's losses and its selection bias do what their papers say."""

import math
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from minimoe import MoEConfig, Routing
from minimoe.model.routing import Router, route
from minimoe.training.balance import load_balancing_loss, router_z_loss, update_expert_bias_


def layer(n_experts: int, top_k: int, **changes: Any) -> MoEConfig:
    numbers = dict(d_model=4, d_expert=2, n_routed_experts=n_experts, top_k=top_k)
    return MoEConfig(**{**numbers, "normalize_weights": False, **changes})


def random_routing(n_tokens: int, config: MoEConfig, seed: int = 0) -> Routing:
    generator = torch.Generator().manual_seed(seed)
    shape = (n_tokens, config.n_routed_experts)
    return route(2 * torch.randn(shape, generator=generator, dtype=torch.float64), config)


def loss(scores: list[list[float]], top_k: int = 1) -> float:
    """The balance loss of tokens with these softmax scores."""
    table = torch.tensor(scores, dtype=torch.float64)
    return load_balancing_loss(route(table.log(), layer(table.shape[1], top_k))).item()


def slow_balance(routing: Routing, mask: torch.Tensor) -> float:
    """The loss as the paper writes it, one number after the other."""
    tokens = [t for t, keep in enumerate(mask.tolist()) if keep]
    scores, ids = routing.scores.tolist(), routing.expert_ids.tolist()
    n_experts, top_k = len(scores[0]), len(ids[0])
    total = 0.0
    for expert in range(n_experts):
        f = sum(ids[t].count(expert) for t in tokens) / (len(tokens) * top_k)
        p = sum(scores[t][expert] / sum(scores[t]) for t in tokens) / len(tokens)
        total += f * p
    return n_experts * total


def slow_z(routing: Routing, mask: torch.Tensor) -> float:
    rows = [row for row, keep in zip(routing.logits.tolist(), mask.tolist(), strict=True) if keep]
    return sum(math.log(sum(math.exp(z) for z in row)) ** 2 for row in rows) / len(rows)


@given(
    st.integers(1, 12),
    st.integers(1, 7),
    st.integers(1, 7),
    st.sampled_from(["softmax", "sigmoid"]),
    st.integers(0, 5),
)
def test_the_losses_equal_their_formulas_written_as_loops(
    n_tokens: int, n_experts: int, top_k: int, score_function: str, seed: int
) -> None:
    config = layer(n_experts, min(top_k, n_experts), score_function=score_function)
    routing = random_routing(n_tokens, config, seed)
    mask = torch.rand(n_tokens, generator=torch.Generator().manual_seed(seed)) < 0.7
    mask[0] = True
    everything = torch.ones(n_tokens, dtype=torch.bool)
    for fast, slow in ((load_balancing_loss, slow_balance), (router_z_loss, slow_z)):
        assert fast(routing, mask).item() == pytest.approx(slow(routing, mask), rel=1e-13)
        assert fast(routing).item() == pytest.approx(slow(routing, everything), rel=1e-13)


@pytest.mark.parametrize("top_k", [1, 2, 4])
def test_the_balance_loss_is_1_at_perfect_balance_for_every_k(top_k: int) -> None:
    rows = torch.tensor([7.0, 6.0, 5.0, 4.0, 3.0, 2.0, 1.0, 0.0]).double()
    logits = torch.stack([rows.roll(shift) for shift in range(8)])  # each expert once at each rank
    assert load_balancing_loss(route(logits, layer(8, top_k))).item() == pytest.approx(1, abs=1e-14)


def test_the_balance_loss_is_e_when_all_tokens_are_sure_of_one_expert() -> None:
    assert loss([[1.0, 0, 0, 0, 0, 0, 0, 0]] * 5) == 8


def test_the_balance_loss_is_not_bounded_below_by_1() -> None:
    """(E+1)/(2E) of the tokens on expert 0 by near-ties, the rest even and one-hot."""
    assert loss([[0.5, 0.5]] * 3 + [[0.0, 1.0]]) == pytest.approx(0.875, abs=1e-14)
    near_ties = [[1 / 8] * 8] * 9
    one_hot = [[float(expert == e) for e in range(8)] for expert in range(1, 8)]
    assert loss(near_ties + one_hot) == pytest.approx(0.78125, abs=1e-14)


def test_the_mean_score_is_over_all_experts_and_not_over_the_chosen_ones() -> None:
    scores = [[0.6, 0.3, 0.1]] * 4
    everywhere = 3 * (0.5 * 0.6 + 0.5 * 0.3)
    chosen_only = 3 * (0.5 * 0.6 + 0.5 * 0.3) / 0.9
    assert loss(scores, top_k=2) == pytest.approx(everywhere, abs=1e-14)
    assert abs(loss(scores, top_k=2) - chosen_only) > 0.1


def test_scale_and_normalization_of_the_weights_leave_the_loss_alone() -> None:
    logits = torch.randn(20, 6).double()
    plain = route(logits, layer(6, 2))
    scaled = route(logits, layer(6, 2, normalize_weights=True, route_scale=2.5))
    assert torch.equal(load_balancing_loss(plain), load_balancing_loss(scaled))


def test_sigmoid_scores_are_made_to_sum_to_1() -> None:
    config = layer(2, 1, score_function="sigmoid")
    logits = torch.tensor([[0.9, 0.3]] * 3, dtype=torch.float64).logit()
    assert load_balancing_loss(route(logits, config)).item() == pytest.approx(2 * 0.75, abs=1e-14)
    nothing = torch.full((3, 2), -1e4).double()  # every sigmoid is 0
    assert math.isfinite(load_balancing_loss(route(nothing, config)).item())


def test_padding_does_not_count() -> None:
    text = [[0.5, 0.5]] * 3 + [[0.0, 1.0]]
    padded = torch.tensor(text + [[1.0, 0.0]] * 40).double().clamp_min(1e-300)
    routing = route(padded.log(), layer(2, 1))
    mask = torch.arange(44) < 4
    assert load_balancing_loss(routing, mask).item() == pytest.approx(0.875, abs=1e-14)
    assert load_balancing_loss(routing).item() > 1.8
    logits = torch.tensor([[0.0] * 8, [50.0] * 8]).double()
    z = router_z_loss(route(logits, layer(8, 1)), torch.tensor([True, False]))
    assert z.item() == pytest.approx(math.log(8) ** 2, abs=1e-14)


def test_the_loss_counts_choices_before_they_are_dropped() -> None:
    logits = torch.randn(20, 4).double()
    dropless, full = layer(4, 2), layer(4, 2, capacity_factor=0.25)
    assert route(logits, full).n_dropped > 0
    losses = [load_balancing_loss(route(logits, config)).item() for config in (dropless, full)]
    assert losses[0] == losses[1]


def test_gradient_passes_through_the_scores_alone() -> None:
    """With f as a constant, d loss / d logit_j = E / T * p_j * (f_j - sum f p)."""
    logits = torch.randn(6, 5).double().requires_grad_()
    routing = route(logits, layer(5, 2))
    load_balancing_loss(routing).backward()
    f = routing.assigned_per_expert.double() / 12
    p = routing.scores.detach()
    wanted = 5 / 6 * p * (f - (p * f).sum(-1, keepdim=True))
    torch.testing.assert_close(logits.grad, wanted, rtol=1e-12, atol=1e-14)


def test_descending_the_loss_lowers_the_overloaded_expert() -> None:
    logits = torch.tensor([[1.0, 0.9, 0.0]] * 7 + [[0.0, 1.0, 0.0]]).double().requires_grad_()
    load_balancing_loss(route(logits, layer(3, 1))).backward()
    assert (logits.grad[:, 0] > 0).all()
    assert (logits.grad[:, 2] < 0).all()


def test_the_z_loss_has_its_documented_value() -> None:
    z = router_z_loss(route(torch.zeros(3, 8).double(), layer(8, 2)))
    assert z.item() == pytest.approx(math.log(8) ** 2, abs=1e-14)
    assert round(z.item(), 3) == 4.324


def test_the_z_loss_pulls_large_logits_down() -> None:
    logits = torch.full((2, 4), 30.0).double().requires_grad_()
    router_z_loss(route(logits, layer(4, 2))).backward()
    assert (logits.grad > 0).all()


def biased_router(n_experts: int) -> Router:
    return Router(layer(n_experts, 1, use_expert_bias=True)).double()


def chosen(experts: list[int], n_experts: int) -> Routing:
    logits = torch.nn.functional.one_hot(torch.tensor(experts), n_experts).double()
    return route(logits, layer(n_experts, 1))


def test_the_bias_update_has_its_documented_value() -> None:
    router = biased_router(2)
    update_expert_bias_(router, chosen([0, 0, 1, 0], 2), 0.001)
    assert router.expert_bias.tolist() == [-0.001, 0.001]
    update_expert_bias_(router, chosen([0, 0, 1, 0], 2), 0.001)
    assert router.expert_bias.tolist() == [-0.002, 0.002]


def test_the_bias_step_depends_on_the_sign_of_the_overload_only() -> None:
    router = biased_router(4)
    update_expert_bias_(router, chosen([0] * 5 + [1] * 2 + [2], 4), 0.5)
    assert router.expert_bias.tolist() == [-0.5, 0.0, 0.5, 0.5]  # counts 5, 2, 1, 0; mean 2


def test_a_balanced_layer_leaves_its_bias_exactly_alone() -> None:
    router = biased_router(3)
    update_expert_bias_(router, chosen([0, 1, 2] * 7, 3), 0.1)
    assert router.expert_bias.tolist() == [0, 0, 0]


def test_a_router_without_a_bias_is_left_without_one() -> None:
    router = Router(layer(4, 1))
    update_expert_bias_(router, chosen([0, 0, 1], 4), 0.1)
    assert router.expert_bias is None


def test_the_bias_is_saved_with_the_model_but_is_no_parameter() -> None:
    router = biased_router(4)
    assert [name for name, _ in router.named_parameters()] == ["weight"]
    assert list(router.state_dict()) == ["weight", "expert_bias"]
    assert not router.expert_bias.requires_grad


def test_the_bias_balances_a_router_that_prefers_one_expert() -> None:
    router = biased_router(4)
    with torch.no_grad():
        router.weight.copy_(torch.eye(4))
    x = torch.rand(256, 4).double() + torch.tensor([0.5, 0, 0, 0]).double()
    before = router(x).assigned_per_expert
    for _ in range(60):
        update_expert_bias_(router, router(x), 0.005)
    after = router(x).assigned_per_expert
    assert before.max() > 150
    assert after.max() < 80  # 64 at perfect balance
