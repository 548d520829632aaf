"""Does a GPU compute what the CPU does?"""

from typing import get_args

import pytest
import torch
from torch import Tensor

from minimoe.config import ExpertsWay, InputError, MoEConfig
from minimoe.experiments.bench import layers, plan, run, steps
from minimoe.experiments.bench.plan import Shape
from minimoe.model.dispatch import plan_dispatch
from minimoe.model.moe import MoE
from minimoe.model.transformer import Transformer

WAYS = ("auto", "grouped", "segments", "padded", "loop")  # all but "cores", which a GPU lacks


def output_and_gradients(way: str, device: str) -> list[Tensor]:
    config = MoEConfig(
        d_model=64,
        d_expert=32,
        n_routed_experts=8,
        top_k=2,
        experts_way=way,  # type: ignore
    )
    layer = MoE(config).to(device)
    generator = torch.Generator().manual_seed(0)
    x, dy = (torch.randn(96, 64, generator=generator).to(device) for _ in range(2))
    y, _ = layer(x.requires_grad_())
    y.backward(dy)
    gradients = [tensor.grad for tensor in (x, *layer.parameters())]
    return [tensor.detach().cpu() for tensor in (y, *gradients) if tensor is not None]


def test_every_way_but_cores_is_compared() -> None:
    assert {*WAYS, "cores"} == set(get_args(ExpertsWay))


@pytest.mark.cuda
@pytest.mark.parametrize("way", WAYS)
def test_a_gpu_gives_the_outputs_and_gradients_of_the_cpu(way: str) -> None:
    found, wanted = output_and_gradients(way, "cuda"), output_and_gradients("loop", "cpu")
    assert len(found) == len(wanted) == 5
    for there, here in zip(found, wanted, strict=True):
        torch.testing.assert_close(there, here, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("way", WAYS)
def test_the_comparison_holds_on_the_cpu_itself(way: str) -> None:
    for there, here in zip(
        output_and_gradients(way, "cpu"), output_and_gradients("loop", "cpu"), strict=True
    ):
        torch.testing.assert_close(there, here, rtol=1e-3, atol=1e-4)


def test_auto_off_the_cpu_is_grouped() -> None:
    layer = MoE(MoEConfig(d_model=64, d_expert=32, n_routed_experts=8, top_k=2))
    plan = plan_dispatch(layer.router(torch.randn(96, 64)))
    choose_way = layer.experts.choose_way
    assert choose_way(torch.empty(96, 64, device="meta"), plan) == "grouped"
    assert choose_way(torch.empty(96, 64), plan) == "cores"


@pytest.mark.cuda
def test_the_benchmark_runs_on_a_gpu() -> None:
    machine = run.describe_machine("cuda", ["float32"])
    assert machine.device == torch.cuda.get_device_name() and not machine.peaks
    shapes = Shape("S1", 4, 2, 64, 32, 96), Shape("D1", 4, 2, 64, 32, 1)
    for shape in shapes:
        (row,) = layers.time_layer(shape, machine, "cuda", n_rounds=2)
        assert row.to_dense.median > 0 and row.share_of_peak("ours") is None
    growth = layers.time_growth(shapes[:1], machine, "cuda", 2, range)
    assert growth.times_as_long(growth.rows[0]).median == 1
    measured = steps.peak_of_steps(plan.MODELS["coarse"], (2, 8), "cuda", "ours")
    weights = 4 * sum(
        parameter.numel() for parameter in Transformer(plan.MODELS["coarse"]).parameters()
    )
    assert measured is not None and measured >= 3 * weights


@pytest.mark.cuda
def test_cores_are_refused_on_a_gpu() -> None:
    with pytest.raises(InputError, match="cores"):
        output_and_gradients("cores", "cuda")
