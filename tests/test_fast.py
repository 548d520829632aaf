"""Each fast function equals its plain twin, gradients too, and is taken only where it may be."""

import os
import subprocess
import sys
import threading
import warnings
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from minimoe import MoE, MoEConfig, fast
from minimoe.fast import cores
from minimoe.fast.sort import FEW_TOKENS, best, sorted_slots
from minimoe.model.norm import RMSNorm

CONFIG = MoEConfig(d_model=64, d_expert=96, n_routed_experts=7, top_k=2, n_shared_experts=1)
N_TOKENS = 400  # 800 rows of 12,288 weights: above the work that one core does alone
GPT_OSS = {"activation": "clamped_swiglu", "biased_experts": True}


@pytest.fixture(autouse=True)
def two_cores() -> Iterator[None]:
    n_threads = torch.get_num_threads()
    torch.set_num_threads(2)
    cores._cores.cache_clear()
    yield
    torch.set_num_threads(n_threads)


def layer_and_tokens(
    dtype: torch.dtype = torch.float64, **changes: Any
) -> tuple[MoE, torch.Tensor]:
    layer = MoE(replace(CONFIG, **changes), seed=3).to(dtype)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.mul_(10 if dtype == torch.float64 else 1)
    generator = torch.Generator().manual_seed(4)
    return layer, torch.randn(N_TOKENS, 64, generator=generator, dtype=torch.float64).to(dtype)


def value_and_gradients(module: nn.Module, x: torch.Tensor) -> list[torch.Tensor]:
    x = x.clone().requires_grad_()
    y = module(x)
    y = y[0] if isinstance(y, tuple) else y
    scalar = (y * torch.linspace(-1, 1, y.numel()).to(y).view_as(y)).sum()
    return [y.detach(), *torch.autograd.grad(scalar, [x, *module.parameters()])]


def pools_used() -> int:
    return cores._cores.cache_info().currsize


@pytest.mark.parametrize(("dtype", "close"), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
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
def test_experts_on_cores_equal_the_plain_path(
    changes: dict[str, Any], dtype: torch.dtype, close: float
) -> None:
    layer, x = layer_and_tokens(dtype, **changes)
    assert (layer(x)[1].n_dropped > 0) == ("capacity_factor" in changes)
    got = value_and_gradients(layer, x)
    assert pools_used() == 1
    with fast.plain():
        wanted = value_and_gradients(layer, x)
    for one, other in zip(got, wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=close, atol=close * other.abs().max().item())


@pytest.mark.parametrize("shape", [(5,), (3, 7), (2, 3, 4)])
@pytest.mark.parametrize("eps", [1e-6, 0.5])
def test_the_norm_equals_torchs(shape: tuple[int, ...], eps: float) -> None:
    norm = RMSNorm(shape[-1], eps).double()
    with torch.no_grad():
        norm.weight.uniform_(-2, 2)
    x = torch.randn(shape, dtype=torch.float64)
    got = value_and_gradients(norm, x)
    with fast.plain():
        wanted = value_and_gradients(norm, x)
    for one, other in zip(got, wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-13, atol=1e-13)
    assert not norm(torch.zeros(shape).double()).any()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("kind", ["different", "equal", "negative", "infinite", "minus zero"])
def test_the_best_are_those_of_a_stable_sort(dtype: torch.dtype, kind: str) -> None:
    values = torch.randn(3 * FEW_TOKENS, 9, dtype=dtype)
    if kind == "equal":
        values = values.round()
    elif kind == "negative":
        values = -values.abs()
    elif kind == "infinite":
        values = values.masked_fill(values < 0.3, -torch.inf)
    elif kind == "minus zero":
        values = values.masked_fill(values < 0, -0.0)
    for k in (1, 4, 9):
        wanted = values.sort(dim=-1, descending=True, stable=True).indices[:, :k]
        if kind == "minus zero":  # for a stable sort -0 and 0 are equal; packed, -0 is the lower
            assert torch.equal(values.gather(1, best(values, k)), values.gather(1, wanted))
        else:
            assert torch.equal(best(values, k), wanted)


@pytest.mark.parametrize("n_experts", [1, 255, 256, 300, 70_000])
def test_assignments_are_sorted_by_expert_and_then_by_place(n_experts: int) -> None:
    expert = torch.randint(0, n_experts + 1, (1000,))
    expert[:2] = torch.tensor([n_experts, 0])
    assert torch.equal(sorted_slots(expert, n_experts), expert.argsort(stable=True))


@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated")  # by torch.func.jvp itself
def test_the_fast_path_is_for_eager_float32_and_float64_on_a_cpu() -> None:
    x = torch.randn(3, 4)
    assert fast.allowed(x) and fast.allowed(nn.Parameter(x)) and fast.allowed(x.double())
    assert not fast.allowed(x.bfloat16()) and not fast.allowed(x.to("meta"))
    with fast.plain():
        assert not fast.allowed(x)
    with torch.autocast("cpu"):
        assert not fast.allowed(x)
    asked = []

    def ask(t: torch.Tensor) -> torch.Tensor:
        asked.append(fast.allowed(x))
        return t.sum()

    torch.func.grad(ask)(x)
    torch.func.jvp(ask, (x,), (x,))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecated, and not silent about the number it sees
        torch.jit.trace(ask, x, check_trace=False)
    torch.compile(ask, backend="eager")(x)
    assert asked == [False] * len(asked) and len(asked) >= 4 and fast.allowed(x)


@pytest.mark.parametrize("changes", [{}, {"top_k": 1, "normalize_weights": False}, {"top_k": 7}])
def test_one_token_alone_equals_the_plain_path(changes: dict[str, Any]) -> None:
    layer, x = layer_and_tokens(**changes)
    with torch.no_grad():
        for row in x[:5]:
            alone, _ = layer(row[None])
            with fast.plain():
                wanted, _ = layer(row[None])
            torch.testing.assert_close(alone, wanted, rtol=1e-12, atol=1e-12)


def test_one_token_that_a_rule_drops_is_dropped() -> None:
    layer, x = layer_and_tokens(n_shared_experts=0)
    right = layer.router.rule
    layer.router.rule = lambda *given: replace(right(*given), kept=torch.tensor([[True, False]]))
    with torch.no_grad():
        alone, _ = layer(x[:1])
        with fast.plain():
            wanted, _ = layer(x[:1])
    torch.testing.assert_close(alone, wanted, rtol=1e-12, atol=1e-12)


def test_a_dropped_token_that_is_not_a_number_adds_zero() -> None:
    changes = {"top_k": 1, "normalize_weights": False, "n_shared_experts": 0}
    layer, x = layer_and_tokens(**changes, capacity_factor=0.1)
    x[-1] = torch.nan
    y, routing = layer(x)
    assert not routing.kept[-1] and not y[-1].any()


@pytest.mark.parametrize(("smallest", "inside"), [(0, 2), (10**9, 1)])
def test_one_token_reads_small_experts_with_one_thread(
    smallest: int, inside: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    layer, x = layer_and_tokens()
    seen = []

    def failing(*_: Any, **__: Any) -> None:
        seen.append(torch.get_num_threads())
        raise ZeroDivisionError

    monkeypatch.setattr(cores, "SMALL_MATRIX", smallest)
    monkeypatch.setattr(cores.torch, "mv", failing)
    with pytest.raises(ZeroDivisionError), torch.no_grad():
        layer(x[:1])
    assert seen == [inside] and torch.get_num_threads() == 2


def test_an_expert_that_gets_most_tokens_is_computed_by_all_cores_together() -> None:
    layer, x = layer_and_tokens(top_k=1, normalize_weights=False)
    x[:, 0] = 30.0
    with torch.no_grad():
        layer.router.weight[3, 0] = 30.0
    assert layer(x)[1].assigned_per_expert.max() == N_TOKENS
    assert pools_used() == 0


def test_an_idle_expert_has_the_gradient_zero() -> None:
    layer, x = layer_and_tokens()
    with torch.no_grad():
        layer.router.weight.zero_()  # equal scores: experts 0 and 1
    y, _ = layer(x)
    for gradient in torch.autograd.grad(y.sum(), [layer.experts.gate_up, layer.experts.down]):
        assert gradient[:2].flatten(1).any(1).all()
        assert not gradient[2:].any()


def test_inference_mode_reaches_all_cores() -> None:
    layer, x = layer_and_tokens()
    with torch.inference_mode():
        inferred, _ = layer(x)
    assert pools_used() == 1
    assert torch.equal(inferred, layer(x)[0])


def test_torchscript_and_python_compute_the_same_numbers() -> None:
    layer, x = layer_and_tokens()
    scripted = value_and_gradients(layer, x)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cores.sys, "version_info", (3, 14))  # which has no TorchScript
        patch.setattr(cores, "without_python", cores.without_python.__wrapped__)
        assert cores.without_python(cores._forward) is cores._forward
        interpreted = value_and_gradients(layer, x)
    assert all(torch.equal(a, b) for a, b in zip(scripted, interpreted, strict=True))


def test_the_threads_of_the_program_keep_their_cores() -> None:
    value_and_gradients(*layer_and_tokens())
    seen = []
    thread = threading.Thread(target=lambda: seen.append(torch.get_num_threads()))
    thread.start()
    thread.join()
    assert (torch.get_num_threads(), seen, pools_used()) == (2, [2], 1)
    inside = [run.result() for run in [cores._cores(2).submit(torch.get_num_threads)] * 3]
    assert inside == [1, 1, 1]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_forked_process_gets_threads_of_its_own() -> None:
    value_and_gradients(*layer_and_tokens())
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


@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux's /proc and its OpenMP")
def test_cores_have_no_openmp_threads_of_their_own() -> None:
    code = """
import minimoe, os, torch
from minimoe.fast import cores
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
    assert said.split() == ["2", "1000"]  # where torch is imported first: 4


def test_shares_hold_every_expert_once_the_fullest_first_and_get_smaller() -> None:
    assert cores.shares_of([5, 1, 4, 2], 2) == [[0], [2], [3], [1]]
    shares = cores.shares_of([3] * 64 + [0] * 9, 2)
    assert sorted(expert for share in shares for expert in share) == list(range(73))
    sizes = [len(share) for share in shares[:-1]]
    assert sizes == sorted(sizes, reverse=True) and sizes[0] == 16 and len(shares[-1]) == 10
