"""The work of a layer is what its operations really do, and a prediction follows the roofline."""

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode
from traffic import forward_traffic, training_traffic

from minimoe import InputError, MoEConfig
from minimoe.formulas.memory import moe_elements
from minimoe.formulas.roofline import (
    MachinePeak,
    Prediction,
    Work,
    dense_work,
    layer_work,
    predicted_seconds,
)
from minimoe.measure.flops import CUSTOM_FLOPS
from minimoe.model.feed_forward import SwiGLU
from minimoe.model.moe import MoE
from minimoe.model.parameters import initialize_

LAYER = MoEConfig(d_model=128, d_expert=64, n_routed_experts=8, top_k=2)
MIXTRAL = MoEConfig(d_model=4096, d_expert=14336, n_routed_experts=8, top_k=2)
KINDS: dict[str, dict[str, Any]] = {
    "plain": {},
    "shared": {"n_shared_experts": 2},
    "gated": {"n_shared_experts": 1, "gate_shared": True},
    "three of eight": {"top_k": 3},
}


def tokens(n_tokens: int, d_model: int = 128) -> torch.Tensor:
    return torch.randn(n_tokens, d_model, generator=torch.Generator().manual_seed(3))


def dense(d_model: int, d_ff: int) -> SwiGLU:
    layer = SwiGLU(d_model, d_ff)
    initialize_(layer, 0)
    return layer


def peak(flops: float = 10.0, n_bytes: float = 2.0, seconds: float = 0.5) -> MachinePeak:
    return MachinePeak(flops, n_bytes, seconds)


def test_a_prediction_is_the_slower_of_compute_and_memory_and_the_overhead() -> None:
    predicted = predicted_seconds(10, 6, 2, peak())
    assert predicted == Prediction(1.0, 3.0, 1.0)
    assert predicted.seconds == 4.0
    assert Prediction(3.0, 1.0, 2.0).seconds == Prediction(1.0, 3.0, 2.0).seconds == 5.0


def test_what_takes_longest_is_the_bound() -> None:
    assert Prediction(3.0, 2.0, 1.0).bound == "compute"
    assert Prediction(1.0, 3.0, 2.0).bound == "memory"
    assert Prediction(1.0, 2.0, 3.0).bound == "overhead"


def test_the_error_is_relative_to_what_was_measured() -> None:
    predicted = Prediction(1.0, 3.0, 1.0)
    assert [predicted.error(seconds) for seconds in (8.0, 4.0, 2.0)] == [-0.5, 0, 1]
    with pytest.raises(InputError, match=r"0.*0\.0"):
        predicted.error(0.0)


@pytest.mark.parametrize("backward", [False, True])
@pytest.mark.parametrize("sizes", [(64, 32, 16), (12, 20, 1)], ids=str)
def test_the_work_of_a_dense_layer_is_exactly_what_its_operations_do(
    sizes: tuple[int, int, int], backward: bool
) -> None:
    d_model, d_ff, n_tokens = sizes
    layer, x = dense(d_model, d_ff), tokens(n_tokens, d_model)
    work = dense_work(d_model, d_ff, n_tokens, 4, backward=backward)
    traffic = training_traffic(layer, x) if backward else forward_traffic(lambda: layer(x))
    assert (work.n_bytes, work.n_operations) == (traffic.n_bytes, traffic.n_operations)


def test_a_dense_layer_has_the_documented_work() -> None:
    assert dense_work(64, 32, 16, 4) == Work(196_608, 49_152, 4)
    work = dense_work(64, 32, 16, 4, backward=True)
    assert (work.flops, work.n_operations) == (18 * 16 * 64 * 32, 12)


@pytest.mark.parametrize("backward", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_the_work_of_a_layer_is_nearly_what_its_operations_do(kind: str, backward: bool) -> None:
    config = replace(LAYER, **KINDS[kind])
    layer, x = MoE(config), tokens(256)
    work = layer_work(config, len(x), 4, backward=backward)
    traffic = training_traffic(layer, x) if backward else forward_traffic(lambda: layer(x))
    assert work.n_operations == traffic.n_operations
    assert work.n_bytes == pytest.approx(traffic.n_bytes, rel=0.05)


@pytest.mark.parametrize("top_k", [2, 3])
def test_one_token_alone_starts_a_few_operations(top_k: int) -> None:
    layer, x = MoE(replace(LAYER, top_k=top_k)), tokens(1)
    work, traffic = layer_work(layer.config, 1, 4), forward_traffic(lambda: layer(x))
    assert work.n_operations == traffic.n_operations
    assert work.n_bytes == pytest.approx(traffic.n_bytes, rel=0.01)


def test_the_cores_share_the_operations_of_the_experts() -> None:
    for backward, (fixed, each) in ((False, (23, 6)), (True, (42, 22))):
        one, two, three = (
            layer_work(LAYER, 9, 4, backward=backward, n_cores=n).n_operations for n in (1, 2, 3)
        )
        assert (one, two) == (fixed + 8 * each, fixed + 4 * each)
        assert three == fixed + math.ceil(8 * each / 3)


@pytest.mark.parametrize("backward", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_the_flops_of_a_layer_are_those_that_are_counted(kind: str, backward: bool) -> None:
    config = replace(LAYER, **KINDS[kind])
    layer, x = MoE(config), tokens(32).requires_grad_(backward)
    counter = FlopCounterMode(display=False, custom_mapping=CUSTOM_FLOPS)
    with torch.set_grad_enabled(backward), counter:
        y, _ = layer(x)
        if backward:
            y.sum().backward()
    assert layer_work(config, 32, 4, backward=backward).flops == counter.get_total_flops()


def test_only_the_experts_that_are_reached_are_read() -> None:
    config = MoEConfig(d_model=16, d_expert=8, n_routed_experts=64, top_k=2)
    one, two = (layer_work(config, n_tokens, 1) for n_tokens in (1, 2))
    expert, activations = 3 * 16 * 8, moe_elements(config)
    assert one.n_bytes == 64 * 16 + 2 * expert + activations
    new = 2 - 2 * 2 / 64  # the second token's two, less those that the first has reached
    assert two.n_bytes == pytest.approx(64 * 16 + (2 + new) * expert + 2 * activations, rel=1e-12)


def test_backward_writes_the_gradient_of_every_expert() -> None:
    config = MoEConfig(d_model=16, d_expert=8, n_routed_experts=64, top_k=2)
    work, activations = layer_work(config, 1, 1, backward=True), moe_elements(config, backward=True)
    assert work.n_bytes == 3 * 64 * 16 + (2 * 2 + 64) * 3 * 16 * 8 + activations


def test_shared_experts_and_their_gate_have_the_documented_operations() -> None:
    for backward, more in ((False, (5, 8)), (True, (14, 24))):
        plain, shared, gated = (
            layer_work(replace(LAYER, **KINDS[kind]), 1, 1, backward=backward).n_operations
            for kind in ("plain", "shared", "gated")
        )
        assert (shared - plain, gated - plain) == more


def test_an_experts_biases_are_read_with_it() -> None:
    plain, biased = (
        layer_work(replace(LAYER, biased_experts=biased), 1, 1) for biased in (False, True)
    )
    assert biased.n_bytes - plain.n_bytes == 2 * (2 * 64 + 128)
    assert biased.flops == plain.flops


def test_a_layer_of_mixtral_has_the_documented_work() -> None:
    work = layer_work(MIXTRAL, 1, 4, n_cores=2)
    weights = work.n_bytes - 4 * moe_elements(MIXTRAL)
    assert (work.flops, weights, work.n_operations) == (704_708_608, 1_409_417_216, 15)
    assert layer_work(MIXTRAL, 2, 4, n_cores=2).n_operations == 47


sizes = st.integers(1, 200)


@settings(max_examples=30)
@given(st.tuples(sizes, sizes, sizes, sizes), sizes, st.booleans(), st.sampled_from([2, 4, 8]))
def test_more_tokens_are_never_cheaper_and_never_less_intense(
    widths: tuple[int, int, int, int], n_tokens: int, backward: bool, itemsize: int
) -> None:
    d_model, d_expert, n_experts, top_k = widths
    config = MoEConfig(
        d_model=d_model,
        d_expert=d_expert,
        n_routed_experts=max(n_experts, top_k),
        top_k=top_k,
        normalize_weights=False,
    )
    machine = peak(1e9, 1e8, 1e-6)
    for now, more in (
        [layer_work(config, n, itemsize, backward=backward) for n in (n_tokens, n_tokens + 1)],
        [
            dense_work(d_model, d_expert, n, itemsize, backward=backward)
            for n in (n_tokens, n_tokens + 1)
        ],
    ):
        assert now.flops < more.flops and now.n_bytes < more.n_bytes
        assert now.flops * more.n_bytes <= more.flops * now.n_bytes * (1 + 1e-12)
        seconds = [
            predicted_seconds(work.flops, work.n_bytes, work.n_operations, machine).seconds
            for work in (now, more)
        ]
        assert seconds[0] < seconds[1]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"flops": -1}, "flops.*0.*-1"),
        ({"n_bytes": -2}, "n_bytes.*0.*-2"),
        ({"n_operations": -3}, "n_operations.*0.*-3"),
        ({"n_bytes": float("nan")}, "n_bytes.*0.*nan"),
    ],
)
def test_less_than_no_work_is_refused(changes: dict[str, float], message: str) -> None:
    work: dict[str, Any] = {"flops": 1, "n_bytes": 1, "n_operations": 1} | changes
    with pytest.raises(InputError, match=message):
        predicted_seconds(**work, peak=peak())


@pytest.mark.parametrize("name", ["d_model", "d_ff", "n_tokens", "itemsize"])
def test_a_dense_layer_of_nothing_is_refused(name: str) -> None:
    numbers = {"d_model": 1, "d_ff": 1, "n_tokens": 1, "itemsize": 1} | {name: 0}
    with pytest.raises(InputError, match=f"{name}.*1.*0"):
        dense_work(**numbers)


@pytest.mark.parametrize("name", ["n_tokens", "itemsize"])
def test_a_layer_without_tokens_or_bytes_is_refused(name: str) -> None:
    with pytest.raises(InputError, match=f"{name}.*1.*0"):
        layer_work(LAYER, **({"n_tokens": 1, "itemsize": 1} | {name: 0}))
