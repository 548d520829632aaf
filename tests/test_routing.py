"""The router chooses, weighs, limits and drops as its definitions say."""

import math
from collections.abc import Callable
from itertools import product

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from minimoe import MoEConfig, Routing
from minimoe.model.capacity import capacity, keep_within_capacity
from minimoe.model.routing import Router, route
from minimoe.model.selection import best

LOGS = torch.tensor([[2.0, 1.0, 1.0]]).double().log()


def config(**changes: object) -> MoEConfig:
    return MoEConfig(**{"d_model": 4, "d_expert": 4, "n_routed_experts": 3, "top_k": 2, **changes})


def random_logits(n_tokens: int, n_experts: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(n_tokens, n_experts, generator=generator, dtype=torch.float64)


def close(got: torch.Tensor, wanted: list[float]) -> bool:
    return torch.allclose(
        got.flatten(), torch.tensor(wanted, dtype=torch.float64), rtol=0, atol=1e-14
    )


def test_scores_and_weights_have_the_documented_values() -> None:
    routing = route(LOGS, config())
    assert close(routing.scores, [1 / 2, 1 / 4, 1 / 4])
    assert routing.expert_ids.tolist() == [[0, 1]]
    assert close(routing.weights, [2 / 3, 1 / 3])


def test_weights_without_normalization_are_the_scores_themselves() -> None:
    assert close(route(LOGS, config(normalize_weights=False)).weights, [1 / 2, 1 / 4])


def test_the_scale_multiplies_the_weights_after_normalization() -> None:
    assert close(route(LOGS, config(route_scale=2.5)).weights, [5 / 3, 5 / 6])


def test_sigmoid_scores_do_not_compete() -> None:
    routing = route(LOGS, config(score_function="sigmoid", normalize_weights=False))
    assert close(routing.scores, [2 / 3, 1 / 2, 1 / 2])
    assert close(routing.weights, [2 / 3, 1 / 2])


def test_softmax_then_top_k_then_normalize_is_top_k_then_softmax() -> None:
    logits = random_logits(50, 8)
    routing = route(logits, config(n_routed_experts=8, top_k=3))
    other = logits.gather(-1, routing.expert_ids).softmax(-1)
    torch.testing.assert_close(routing.weights, other, rtol=1e-14, atol=1e-14)


def test_a_router_bias_is_part_of_the_logits() -> None:
    router = Router(config(router_bias=True)).double()
    with torch.no_grad():
        router.weight.zero_()
        router.bias.copy_(LOGS[0])
    routing = router(torch.ones(1, 4).double())
    assert torch.equal(routing.logits, LOGS)
    assert close(routing.scores, [1 / 2, 1 / 4, 1 / 4])
    (gradient,) = torch.autograd.grad(routing.weights[0, 0], router.bias)
    assert close(gradient, [2 / 9, -2 / 9, 0])  # p (1 - p) with p = 2/3
    assert Router(config()).bias is None


@pytest.mark.parametrize("score", ["softmax", "sigmoid"])
def test_one_normalized_weight_is_exactly_one_and_teaches_the_router_nothing(score: str) -> None:
    constant = config(n_routed_experts=8, top_k=1, allow_constant_weight=True, score_function=score)
    logits = random_logits(50, 8).requires_grad_()
    weights = route(logits, constant).weights
    assert torch.equal(weights, torch.ones_like(weights))
    (gradient,) = torch.autograd.grad(weights.sum(), logits)
    assert gradient.abs().max() < 1e-15


def test_equal_scores_go_to_the_lower_expert_number() -> None:
    ids = route(torch.zeros(5, 64), config(n_routed_experts=64, top_k=6)).expert_ids
    assert ids.tolist() == [[0, 1, 2, 3, 4, 5]] * 5


@given(st.integers(0, 4), st.integers(1, 40), st.integers(1, 40), st.integers(0, 9), st.data())
def test_the_best_are_those_of_a_stable_sort(
    n_tokens: int, n_experts: int, n_levels: int, seed: int, data: st.DataObject
) -> None:
    k = data.draw(st.integers(1, n_experts))
    generator = torch.Generator().manual_seed(seed)
    ties = torch.randint(n_levels, (n_tokens, n_experts), generator=generator).double()
    distinct = ties + torch.rand(n_tokens, n_experts, generator=generator, dtype=torch.float64)
    for values in (ties, distinct):
        wanted = values.sort(dim=-1, descending=True, stable=True).indices[:, :k]
        assert torch.equal(best(values, k), wanted)
    assert best(torch.tensor([[1.0, 3.0, 3.0, 2.0]]), 2).tolist() == [[1, 2]]


def test_a_tie_for_the_last_place_alone_goes_to_the_lower_expert_number() -> None:
    values = torch.full((3, 64), 1.0)
    values[:, 50] = 2.0
    assert best(values, 2).tolist() == [[50, 0]] * 3


def test_the_bias_changes_the_choice_and_stays_out_of_the_weights() -> None:
    bias = torch.tensor([-9.0, 0.5, 0.25]).double()
    routing = route(LOGS, config(use_expert_bias=True, normalize_weights=False), bias)
    assert routing.expert_ids.tolist() == [[1, 2]]
    assert close(routing.weights, [1 / 4, 1 / 4])
    assert close(routing.scores, [1 / 2, 1 / 4, 1 / 4])


@pytest.mark.parametrize("function", ["softmax", "sigmoid"])
def test_noise_changes_the_choice_and_stays_out_of_logits_scores_and_weights(function: str) -> None:
    loud = config(score_function=function, normalize_weights=False)
    noise = torch.tensor([[0.0, 0.0, 5.0]]).double()
    logits = LOGS.clone().requires_grad_()
    routing = route(logits, loud, noise=noise)
    assert routing.expert_ids.tolist() == [[2, 0]]
    assert torch.equal(routing.logits, LOGS) and torch.equal(
        routing.scores, route(LOGS, loud).scores
    )
    assert torch.equal(routing.weights, routing.scores.gather(-1, routing.expert_ids))
    weights = route(logits, loud).scores.gather(-1, routing.expert_ids)
    ours, wanted = (torch.autograd.grad(w[0, 0], logits)[0] for w in (routing.weights, weights))
    assert torch.equal(ours, wanted)


def test_noise_and_selection_bias_add_up() -> None:
    both = config(top_k=1, use_expert_bias=True, normalize_weights=False)
    noise = torch.tensor([[0.0, 1.0, 0.0]]).double()  # scores (2, e, 1) / (3 + e)
    assert route(LOGS, both, noise=noise).expert_ids.tolist() == [[1]]
    for lowered, chosen in ((-0.05, 1), (-0.2, 0)):
        bias = torch.tensor([0.0, lowered, 0.0]).double()
        assert route(LOGS, both, bias, noise).expert_ids.tolist() == [[chosen]]


def test_a_router_is_noisy_with_a_noise_seed_and_only_if_its_config_says_so() -> None:
    def choices(noise: float, seed: int | None, dtype: torch.dtype = torch.float64) -> torch.Tensor:
        router = Router(config(n_routed_experts=8, top_k=1, normalize_weights=False,
                               router_noise=noise)).to(dtype)  # fmt: skip
        with torch.no_grad():
            router.weight.copy_(random_logits(8, 4))
        return router(random_logits(200, 4).to(dtype), seed).expert_ids

    clean = choices(0.0, None)
    assert torch.equal(choices(0.0, 0), clean) and torch.equal(choices(3.0, None), clean)
    noisy = choices(3.0, 0)
    assert 50 < (noisy != clean).sum() < 195
    assert torch.equal(choices(3.0, 0), noisy) and not torch.equal(choices(3.0, 1), noisy)
    assert torch.equal(choices(3.0, 0, torch.float32), noisy)
    assert 0 < (choices(0.03, 0) != clean).sum() < 20  # the standard deviation scales it


def test_noise_is_standard_normal_times_its_setting() -> None:
    router = Router(config(n_routed_experts=2, top_k=1, normalize_weights=False, router_noise=2.0))
    with torch.no_grad():
        router.weight.copy_(torch.tensor([[1.0, 0, 0, 0], [0, 0, 0, 0]]))
    tokens = torch.ones(20_000, 4)
    ids = router(tokens, 0).expert_ids
    # expert 1 wins if the difference of two draws, of deviation 2 sqrt(2), exceeds 1
    wanted = (1 - math.erf(1 / (2 * math.sqrt(2)) / math.sqrt(2))) / 2
    assert ids.double().mean().item() == pytest.approx(wanted, abs=0.01)


def test_a_masked_group_cannot_win_against_negative_scores() -> None:
    limited = config(
        n_routed_experts=4, top_k=2, n_expert_groups=2, n_limited_groups=1, use_expert_bias=True
    )
    bias = torch.tensor([-5.0, -5.0, -6.0, -6.0]).double()
    routing = route(torch.zeros(1, 4).double(), limited, bias)
    assert sorted(routing.expert_ids[0].tolist()) == [0, 1]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("n_tokens", [63, 64, 500])
def test_the_best_of_many_are_those_of_a_stable_sort(n_tokens: int, dtype: torch.dtype) -> None:
    values = torch.randn(n_tokens, 9, generator=torch.Generator().manual_seed(1), dtype=dtype)
    untied = values.clone()
    values[::2] = values[::2].round()  # many ties; -0 and 0, too, which are equal
    values[:, 4] = -math.inf  # as of a group that is left out
    values[::3, 5] = -math.inf
    for some, k in product((values, untied, values.T.contiguous().T), (1, 3, 9)):
        wanted = some.sort(dim=-1, descending=True, stable=True).indices[:, :k]
        assert torch.equal(best(some, k), wanted)


def test_groups_are_ranked_by_their_best_or_by_their_two_best_scores() -> None:
    scores = torch.tensor([[0.40, 0.01, 0.25, 0.34]]).double()
    sizes = {"n_routed_experts": 4, "top_k": 2, "n_expert_groups": 2, "n_limited_groups": 1}
    best = route(scores.log(), config(**sizes, n_group_scores=1))
    two_best = route(scores.log(), config(**sizes, n_group_scores=2))
    assert best.expert_ids.tolist() == [[0, 1]]
    assert two_best.expert_ids.tolist() == [[3, 2]]


@given(st.integers(1, 4), st.integers(1, 4))
def test_no_token_leaves_its_limited_groups(n_groups: int, n_limited: int) -> None:
    n_limited = min(n_limited, n_groups)
    limited = config(
        n_routed_experts=4 * n_groups,
        top_k=2,
        n_expert_groups=n_groups,
        n_limited_groups=n_limited,
    )
    ids = route(random_logits(40, 4 * n_groups), limited).expert_ids
    assert max(len(set(row)) for row in (ids // 4).tolist()) <= n_limited


@pytest.mark.parametrize(
    ("factor", "n_tokens", "top_k", "n_experts", "wanted"),
    [(1.25, 10, 2, 8, 4), (1.0, 8, 2, 8, 2), (1.0, 9, 1, 8, 2), (1.1, 100, 1, 1, 110)],
)
def test_capacity_is_rounded_up(
    factor: float, n_tokens: int, top_k: int, n_experts: int, wanted: int
) -> None:
    full = config(
        n_routed_experts=n_experts, top_k=top_k, capacity_factor=factor, normalize_weights=False
    )
    assert capacity(n_tokens, full) == wanted


def test_a_full_expert_keeps_its_first_tokens_and_drops_the_rest() -> None:
    full = config(capacity_factor=0.5)  # ceil(0.5 * 4 * 2 / 3) = 2
    ids = torch.tensor([[0, 1], [1, 0], [0, 2], [1, 2]])
    kept = keep_within_capacity(ids, full)
    assert kept.tolist() == [[True, True], [True, True], [False, True], [False, True]]


@given(st.integers(0, 40), st.sampled_from([None, 0.3, 1.0, 2.0]))
def test_kept_and_dropped_assignments_sum_to_all(n_tokens: int, factor: float | None) -> None:
    layer = config(n_routed_experts=6, top_k=2, capacity_factor=factor)
    routing = route(random_logits(n_tokens, 6), layer)
    assert int(routing.kept.sum()) + routing.n_dropped == n_tokens * 2
    assert int(routing.assigned_per_expert.sum()) == n_tokens * 2
    limit = capacity(n_tokens, layer)
    kept_ids = routing.expert_ids[routing.kept]
    if limit is None:
        assert routing.n_dropped == 0
    elif n_tokens:
        assert torch.bincount(kept_ids).max() <= limit


def test_no_gradient_passes_through_the_choice() -> None:
    logits = LOGS.clone().requires_grad_()
    routing = route(logits, config())
    assert not routing.expert_ids.requires_grad
    assert not routing.kept.requires_grad
    (gradient,) = torch.autograd.grad(routing.weights[0, 0], logits)
    assert gradient[0, 2] == 0  # normalized weights depend on the chosen logits alone


@pytest.mark.parametrize("read", [lambda r: r.weights, lambda r: r.scores])
def test_extreme_logits_stay_finite(read: Callable[[Routing], torch.Tensor]) -> None:
    logits = torch.tensor([[1e4, -1e4, 0.0], [-1e4, -1e4, -1e4]])
    for score in ("softmax", "sigmoid"):
        assert read(route(logits, config(score_function=score))).isfinite().all()
    assert math.isfinite(float(route(logits, config()).logits.sum()))


def test_experts_chosen_with_score_zero_have_finite_weights() -> None:
    """A selection bias can choose experts whose softmax scores are too small to hold."""
    logits = torch.tensor([[200.0, -2000.0, -2000.0]]).double()
    bias = torch.tensor([-1.0, 1.0, 1.0]).double()
    routing = route(logits, config(n_routed_experts=3, top_k=2, use_expert_bias=True), bias)
    assert routing.expert_ids.tolist() == [[1, 2]] and routing.weights.tolist() == [[0.0, 0.0]]
