"""Experts computed by all cores at once are the same layer as expert by expert, gradients too."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from minimoe import InputError, MoE, MoEConfig
from minimoe.model import cores
from minimoe.model.dispatch import sorted_slots
from minimoe.model.experts import Experts

CONFIG = MoEConfig(
    d_model=64, d_expert=96, n_routed_experts=7, top_k=2, n_shared_experts=1, experts_way="cores"
)
N_TOKENS = 400  # 800 rows of 12,288 weights: above the work that one core does alone


@pytest.fixture(autouse=True)
def two_cores() -> Iterator[None]:
    n_threads = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(n_threads)


def layer_and_tokens(**changes: Any) -> tuple[MoE, torch.Tensor]:
    layer = MoE(replace(CONFIG, **changes), seed=3).double()
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.mul_(10)
    generator = torch.Generator().manual_seed(4)
    return layer, torch.randn(N_TOKENS, 64, generator=generator, dtype=torch.float64)


def value_and_gradients(layer: MoE, x: torch.Tensor, way: str) -> list[torch.Tensor]:
    layer.experts.way = way
    x = x.clone().requires_grad_()
    y, _ = layer(x)
    scalar = (y * torch.linspace(-1, 1, y.numel()).to(y.dtype).view_as(y)).sum()
    return [y.detach(), *torch.autograd.grad(scalar, [x, *layer.parameters()])]


def pools_used() -> int:
    return cores._cores.cache_info().currsize


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"capacity_factor": 0.6},
        {"score_function": "sigmoid", "route_scale": 2.5, "normalize_weights": False},
        {"n_routed_experts": 40, "top_k": 1, "normalize_weights": False},
    ],
    ids=["plain", "dropped", "sigmoid", "many"],
)
def test_cores_equal_the_loop_in_value_and_gradient(changes: dict[str, Any]) -> None:
    cores._cores.cache_clear()
    layer, x = layer_and_tokens(**changes)
    assert (layer(x)[1].n_dropped > 0) == ("capacity_factor" in changes)
    fast, slow = value_and_gradients(layer, x, "cores"), value_and_gradients(layer, x, "loop")
    for got, wanted in zip(fast, slow, strict=True):
        torch.testing.assert_close(got, wanted, rtol=1e-12, atol=1e-12)
    assert pools_used() == 1


def test_inference_mode_reaches_all_cores() -> None:
    cores._cores.cache_clear()
    layer, x = layer_and_tokens()
    with torch.inference_mode():
        inferred, _ = layer(x)
    assert pools_used() == 1
    assert torch.equal(inferred, layer(x)[0])


def test_an_expert_that_gets_most_tokens_is_computed_by_all_cores_together() -> None:
    cores._cores.cache_clear()
    layer, x = layer_and_tokens(top_k=1, normalize_weights=False)
    x[:, 0] = 30.0
    with torch.no_grad():
        layer.router.weight[3, 0] = 30.0
    fast, slow = value_and_gradients(layer, x, "cores"), value_and_gradients(layer, x, "loop")
    assert layer(x)[1].tokens_per_expert.max() == N_TOKENS
    for got, wanted in zip(fast, slow, strict=True):
        torch.testing.assert_close(got, wanted, rtol=1e-12, atol=1e-12)
    assert pools_used() == 0


def test_an_idle_expert_has_the_gradient_zero() -> None:
    layer, x = layer_and_tokens()
    with torch.no_grad():
        layer.router.weight.zero_()  # equal scores: experts 0 and 1
    y, _ = layer(x)
    for gradient in torch.autograd.grad(y.sum(), [layer.experts.gate_up, layer.experts.down]):
        assert gradient[:2].flatten(1).any(1).all()
        assert not gradient[2:].any()


def test_torchscript_and_python_compute_the_same_numbers() -> None:
    layer, x = layer_and_tokens()
    scripted = value_and_gradients(layer, x, "cores")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cores, "without_python", lambda function: function)
        interpreted = value_and_gradients(layer, x, "cores")
    assert all(torch.equal(a, b) for a, b in zip(scripted, interpreted, strict=True))


def test_python_3_14_computes_without_torchscript(monkeypatch: pytest.MonkeyPatch) -> None:
    assert cores.without_python(cores._forward) is not cores._forward
    monkeypatch.setattr(cores.sys, "version_info", (3, 14))
    assert cores.without_python.__wrapped__(cores._forward) is cores._forward


def test_the_threads_of_the_program_keep_their_cores() -> None:
    cores._cores.cache_clear()
    layer, x = layer_and_tokens()
    value_and_gradients(layer, x, "cores")
    seen = []
    thread = threading.Thread(target=lambda: seen.append(torch.get_num_threads()))
    thread.start()
    thread.join()
    assert (torch.get_num_threads(), seen, pools_used()) == (2, [2], 1)
    inside = [run.result() for run in [cores._cores(2).submit(torch.get_num_threads)] * 3]
    assert inside == [1, 1, 1]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_forked_process_gets_threads_of_its_own() -> None:
    value_and_gradients(*layer_and_tokens(), "cores")
    assert pools_used() == 1
    child = os.fork()
    if child == 0:
        os._exit(pools_used())
    assert os.waitpid(child, 0)[1] == 0


@pytest.mark.parametrize("backward", [False, True])
def test_who_counts_flops_sees_all_cores(backward: bool) -> None:
    layer, x = layer_and_tokens(n_shared_experts=0)
    with FlopCounterMode(display=False) as counter:
        y, _ = layer(x)
        if backward:
            y.sum().backward()
    experts, router = 2 * N_TOKENS * 2 * 3 * 64 * 96, 2 * N_TOKENS * 7 * 64
    # Nobody asks for the gradient of x: backward computes the router's weights' alone.
    wanted = 3 * experts + 2 * router if backward else experts + router
    assert counter.get_total_flops() == wanted


def test_it_can_be_differentiated_once() -> None:
    layer, x = layer_and_tokens()
    x.requires_grad_()
    (gradient,) = torch.autograd.grad(layer(x)[0].square().sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="differentiate twice"):
        gradient.sum().backward()


@pytest.mark.parametrize("changes", [{}, {"top_k": 1, "normalize_weights": False}, {"top_k": 7}])
def test_one_token_alone_equals_the_loop(changes: dict[str, Any]) -> None:
    layer, x = layer_and_tokens(**changes)
    for row in x[:5]:
        layer.experts.way = "auto"
        with torch.no_grad():
            alone, _ = layer(row[None])
        layer.experts.way = "loop"
        torch.testing.assert_close(alone, layer(row[None])[0].detach(), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("smallest", "inside"), [(0, 2), (10**9, 1)])
def test_one_token_reads_small_experts_with_one_thread(
    smallest: int, inside: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    layer, x = layer_and_tokens(experts_way="auto")
    seen = []

    def failing(*_: Any, **__: Any) -> None:
        seen.append(torch.get_num_threads())
        raise ZeroDivisionError

    monkeypatch.setattr(cores, "SMALL_MATRIX", smallest)
    monkeypatch.setattr(cores.torch, "mv", failing)
    with pytest.raises(ZeroDivisionError), torch.no_grad():
        layer(x[:1])
    assert seen == [inside] and torch.get_num_threads() == 2


@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux's /proc and its OpenMP")
@pytest.mark.parametrize(("first", "extra"), [("minimoe", 0), ("torch", 2)])
def test_cores_have_more_openmp_threads_only_where_torch_came_first(first: str, extra: int) -> None:
    code = f"""
import {first}, minimoe, os, torch
from minimoe.model import cores
torch.set_num_threads(2)
torch.ones(2**17).neg_()
before = len(os.listdir("/proc/self/task"))
cores._cores(2)
print(len(os.listdir("/proc/self/task")) - before, os.environ.get("GOMP_SPINCOUNT"))
"""
    names = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY", "OMP_NUM_THREADS")
    environment = {name: value for name, value in os.environ.items() if name not in names}
    run = [sys.executable, "-c", code]
    said = subprocess.run(run, capture_output=True, text=True, check=True, env=environment).stdout
    assert said.split() == [str(2 + extra), "None" if extra else "1000"]


def test_bfloat16_agrees_with_float32_to_its_own_rounding() -> None:
    experts = Experts(CONFIG)
    layer, x = layer_and_tokens()
    experts.load_state_dict(layer.experts.state_dict())
    experts.bfloat16()
    routing = layer.router(x)
    low = replace(routing, weights=routing.weights.bfloat16())
    got, wanted = experts(x.bfloat16(), low), layer.experts(x, routing)
    assert got.dtype == torch.bfloat16
    assert (got - wanted).norm() < 0.01 * wanted.norm()


def test_work_is_shared_out_fullest_expert_first() -> None:
    assert cores.shares_of_cores([5, 1, 4, 2], 2) == [[0, 1], [2, 3]]
    shares = cores.shares_of_cores([3] * 10, 4)
    assert sorted(expert for share in shares for expert in share) == list(range(10))


def test_cores_are_refused_where_they_cannot_compute() -> None:
    with pytest.raises(InputError, match='"clamped_swiglu" and biased_experts=False; name "gro'):
        replace(CONFIG, activation="clamped_swiglu")
    with pytest.raises(InputError, match="biased_experts=True"):
        replace(CONFIG, biased_experts=True)
    layer, x = layer_and_tokens()
    routing = layer.router(x)
    with pytest.raises(InputError, match='computes on a CPU, got meta; name "auto"'):
        layer.experts(x.to("meta"), routing)


@pytest.mark.parametrize("highest", [1, 255, 256, 300, 70_000])
def test_assignments_are_sorted_by_expert_and_then_by_place(highest: int) -> None:
    generator = torch.Generator().manual_seed(highest)
    expert = torch.randint(0, highest + 1, (1000,), generator=generator)
    expert[:2] = torch.tensor([highest, 0])
    assert torch.equal(sorted_slots(expert, highest), expert.argsort(stable=True))
