"""The statistics of a routing have their documented values and lose no assignment."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from minimoe import MoEConfig, Routing
from minimoe.measure.routes import (
    dead_experts,
    expert_load,
    load_entropy,
    max_violation,
    mean_load,
    router_entropy,
)
from minimoe.model.routing import route


def routing(
    choices: list[list[int]], n_experts: int, scores: torch.Tensor | None = None
) -> Routing:
    """What a router decided, as if it had chosen `choices`."""
    ids = torch.tensor(choices)
    scores = torch.full((len(ids), n_experts), 1 / n_experts) if scores is None else scores
    weights = scores.gather(1, ids)
    return Routing(scores.log(), scores, ids, weights, torch.ones_like(ids, dtype=torch.bool))


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


def test_batches_are_weighed_by_their_assignments() -> None:
    batches = [routing([[0], [0], [0], [1]], 2), routing([[1]], 2)]
    assert mean_load(batches).tolist() == [0.6, 0.4]  # the mean of the loads would be (3/8, 5/8)
    together = routing([[0], [0], [0], [1], [1]], 2)
    assert torch.equal(mean_load(batches), expert_load(together))


def test_dead_experts_have_their_documented_value() -> None:
    assert dead_experts(load(1, 0, 0, 0)) == 3
    assert dead_experts(load(0.999, 0.001)) == 0


def test_the_maximal_violation_has_its_documented_values() -> None:
    assert max_violation(load(*[1 / 8] * 8)) == 0
    assert max_violation(load(0, 0, 0, 1)) == 3
    assert max_violation(load(1 / 2, 1 / 4, 1 / 4)) == pytest.approx(0.5, abs=1e-15)


def test_the_entropy_of_the_load_has_its_documented_values() -> None:
    assert load_entropy(load(*[1 / 8] * 8)) == pytest.approx(3, abs=1e-14)
    assert load_entropy(load(*[1 / 6] * 6)) == pytest.approx(math.log2(6), abs=1e-14)
    assert load_entropy(load(0, 1, 0)) == 0
    assert load_entropy(load(0.5, 0.25, 0.25, 0)) == pytest.approx(1.5, abs=1e-14)


def test_the_routers_entropy_is_in_bits_for_each_token() -> None:
    scores = torch.tensor([[0.25] * 4, [1.0, 0, 0, 0], [0.5, 0.5, 0, 0]])
    got = router_entropy(routing([[0]] * 3, 4, scores))
    assert got.tolist() == pytest.approx([2, 0, 1], abs=1e-14)


def test_sigmoid_scores_are_made_to_sum_to_1_first() -> None:
    scores = torch.tensor([[0.9, 0.9], [0.02, 0.06], [0.0, 0.0]])
    got = router_entropy(routing([[0]] * 3, 2, scores)).tolist()
    assert got == pytest.approx([1, 2 - 0.75 * math.log2(3), 0], abs=1e-6)
