"""The benchmark compares the same work, and its tables, JSON and picture show what it measured."""

import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from minimoe.config import AttentionConfig, ModelConfig, MoEConfig
from minimoe.experiments.bench import as_json, layers, records, report, run, run_benchmark, steps
from minimoe.experiments.bench.layers import check_same
from minimoe.experiments.bench.output import picture
from minimoe.experiments.bench.records import (
    Benchmark,
    LayerRow,
    Machine,
    Shape,
    StepRows,
    growth_of,
)
from minimoe.formulas.roofline import dense_work, layer_work
from minimoe.measure.timing import MachinePeak, Timing
from minimoe.model.moe import MoE
from minimoe.model.transformer import Transformer

PEAK = MachinePeak(flops_per_second=1e9, bytes_per_second=1e9, seconds_per_operation=1e-6)
MACHINE = Machine("A processor", 2, 2, "2.13.0", "cpu", {"float32": PEAK, "bfloat16": PEAK})
BATCH_OF_32, ONE_TOKEN = Shape("S1", 4, 2, 16, 8, 32), Shape("D1", 4, 2, 16, 8, 1)
GROWTH = tuple(Shape("growth", n, 2, 16, 8, 32) for n in (2, 4, 8, 16))
MODEL = ModelConfig(
    n_layers=2,
    attention=AttentionConfig(d_model=16, n_heads=2, n_kv_heads=2, d_head=8),
    moe=MoEConfig(d_model=16, d_expert=8, n_routed_experts=4, top_k=2),
)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """No transformers, small shapes, no process of its own for the memory."""
    monkeypatch.setitem(sys.modules, "transformers", None)
    monkeypatch.setattr(steps, "step_bytes", lambda *_: 12_000_000)
    for name, value in {
        "SHAPES": (BATCH_OF_32, ONE_TOKEN),
        "GROWTH": GROWTH,
        "MODELS": {"coarse": MODEL},
        "BATCH": (2, 8),
        "ROUNDS": 3,
    }.items():
        monkeypatch.setattr(records, name, value)
    monkeypatch.setattr(run, "measure_peak", lambda dtype: PEAK)


def row(dtype: str = "float32", **seconds: float) -> LayerRow:
    timings = {name: Timing((s, 2 * s, 3 * s)) for name, s in seconds.items()}
    return LayerRow(BATCH_OF_32, dtype, timings, MACHINE)


def growth_on(machine: Machine) -> tuple[LayerRow, ...]:
    seconds = {s: s.n_experts / 4 for s in GROWTH}
    return tuple(
        LayerRow(s, "float32", {"ours": Timing((t, t, 2 * t))}, machine) for s, t in seconds.items()
    )


def benchmark_on(machine: Machine) -> Benchmark:
    step = {
        name: Timing((s, s)) for name, s in (("ours", 1.0), ("eager", 2.0), ("grouped_mm", 3.0))
    }
    return Benchmark(
        machine=machine,
        layers=(replace(row(dense=1.0, ours=2.0, eager=5.0, grouped_mm=4.0), machine=machine),),
        models={"coarse": StepRows(MODEL, (2, 8), step, {"ours": 1_000_000, "eager": None})},
        growth=growth_on(machine),
        with_transformers=True,
        n_rounds=3,
        seconds=1.0,
    )


def benchmark_of() -> Benchmark:
    return benchmark_on(MACHINE)


@pytest.mark.parametrize("shape", records.SHAPES, ids=lambda shape: shape.name)
def test_the_dense_layer_has_the_active_flops_of_the_experts(shape: Shape) -> None:
    sizes = (shape.d_model, shape.d_ff, shape.n_tokens)
    dense = dense_work(*sizes, 4, backward=shape.backward).flops
    router = 2 * shape.n_tokens * shape.d_model * shape.n_experts * (3 if shape.backward else 1)
    layer = layer_work(shape.config, shape.n_tokens, 4, backward=shape.backward).flops
    assert dense + router == layer


def test_growth_changes_only_the_number_of_experts() -> None:
    assert len({replace(shape, n_experts=1) for shape in records.GROWTH}) == 1
    assert set(records.QUICK_PARTS) < set(records.PARTS)


def test_a_layer_and_a_dense_one_are_timed_in_each_dtype_and_round() -> None:
    cases = [(BATCH_OF_32, "float32"), (BATCH_OF_32, "bfloat16")]
    rows = layers.time_layers(cases, MACHINE, n_rounds=3)
    assert [found.name for found in rows] == ["S1", "S1 bfloat16"]
    for found in rows:
        assert set(found.timings) == {"dense", "ours"} and found.to_best is None
        assert all(len(timing.seconds) == 3 for timing in found.timings.values())


@pytest.mark.parametrize("shape", [BATCH_OF_32, ONE_TOKEN], ids=lambda shape: shape.name)
def test_transformers_layer_with_our_weights_is_timed_beside_ours(shape: Shape) -> None:
    pytest.importorskip("transformers")
    names = ("dense", "ours", "eager", "grouped_mm")
    (found,) = layers.time_layers([(shape, "float32")], MACHINE, names=names, n_rounds=2)
    assert tuple(found.timings) == names


def test_two_training_steps_change_our_model_and_transformers_in_the_same_way() -> None:
    pytest.importorskip("transformers")
    tokens = steps.random_tokens(MODEL, (2, 8), "cpu")
    after = {}
    for name in ("ours", "eager", "grouped_mm"):
        model = steps.model_of(MODEL, name)
        before = steps.logits_of(model, tokens)
        step = steps.training_step(model, tokens)
        step(), step()
        after[name] = steps.logits_of(model, tokens)
        assert not torch.allclose(before, after[name], atol=1e-5)
    assert torch.allclose(after["eager"], after["ours"], atol=1e-5)
    assert torch.allclose(after["grouped_mm"], after["ours"], atol=1e-5)


def test_each_training_step_has_fresh_gradients() -> None:
    model = Transformer(MODEL)
    step = steps.training_step(model, steps.random_tokens(MODEL, (2, 8), "cpu"))
    norms = []
    for _ in range(2):
        step()
        gradients = [p.grad for p in model.parameters() if p.grad is not None]
        norms.append(float(torch.cat([gradient.flatten() for gradient in gradients]).norm()))
    assert norms[1] == pytest.approx(norms[0], rel=0.1)  # a sum of both would be twice as large


def test_each_timed_run_has_fresh_gradients_and_a_single_token_has_none() -> None:
    layer = MoE(BATCH_OF_32.config)
    x, dy = layers._batch(BATCH_OF_32, "cpu", "float32")
    learn = layers._learning(layer, lambda x: layer(x)[0], x, dy)
    learn()
    first = [tensor.grad.clone() for tensor in (x, *layer.parameters())]  # type: ignore
    learn()
    again = [tensor.grad for tensor in (x, *layer.parameters())]
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))  # type: ignore
    modes: list[bool] = []
    read = {"a": lambda: modes.append(torch.is_inference_mode_enabled())}
    layers.timed(read, "cpu", True, 2, range)
    assert all(modes) and not layers._batch(ONE_TOKEN, "cpu", "float32")[0].requires_grad


def test_a_short_run_is_repeated_until_it_lasts_and_its_time_is_that_of_one() -> None:
    def repeats(seconds: Iterator[float]) -> int:
        now = [0.0]

        def run(n: int) -> None:
            now[0] += n * next(seconds)

        return layers.repeats(run, lambda: now[0])

    assert repeats(iter([9.0] + [0.003] * 9)) == 4  # the first run does not count
    assert repeats(iter([9.0, 0.02] + [0.003] * 9)) == 4  # nor does one slow one
    assert repeats(iter([0.5] * 3)) == 1
    timing = layers.timed({"a": lambda: None}, "cpu", False, 2, range)["a"]
    assert timing.median < layers.AT_LEAST / 10


def test_one_token_in_a_thousand_may_differ_and_two_may_not() -> None:
    ours = torch.ones(1000, 2)
    theirs = ours.clone()
    theirs[0] = 2
    check_same("eager", ours, theirs)
    theirs[1] = 2
    with pytest.raises(AssertionError, match=r"eager: only 99.8%"):
        check_same("eager", ours, theirs)


def test_share_of_peak_prediction_and_energy_are_those_of_the_layers_own_work() -> None:
    found = row(dense=1e-3, ours=1e-3)
    dense = dense_work(16, 16, 32, 4, backward=True)
    ours = layer_work(BATCH_OF_32.config, 32, 4, backward=True, n_cores=2)
    assert found.work("dense") == dense and found.work("ours") == ours
    assert found.figures("ours")["share_of_peak"] == pytest.approx(ours.flops / 2e-3 / 1e9)
    slower = max(dense.flops, dense.n_bytes) / 1e9
    predicted = found.figures("dense")["predicted_seconds"]
    assert predicted == pytest.approx(slower + dense.n_operations * 1e-6)
    joules = found.figures("ours")["estimated_joules"]
    assert joules == pytest.approx(2.3e-12 * ours.flops + 162.5e-12 * ours.n_bytes)
    assert row("bfloat16", dense=1.0, ours=1.0).work("dense").n_bytes == dense.n_bytes / 2


def test_growth_is_relative_to_the_fewest_experts() -> None:
    (_, first, alike), *_, (_, last, more) = growth_of(growth_on(MACHINE))
    assert first.median == 1 == alike and last.median == 8
    assert more is not None and more > 1


@pytest.mark.skipif(sys.platform != "linux", reason="read from Linux's /proc")
def test_the_memory_of_a_step_holds_gradients_and_both_moments_of_adam() -> None:
    wide = MoEConfig(d_model=64, d_expert=256, n_routed_experts=16, top_k=2)
    attention = AttentionConfig(d_model=64, n_heads=2, n_kv_heads=2, d_head=32)
    config = ModelConfig(n_layers=2, attention=attention, moe=wide)
    measured = steps.step_bytes(config, (2, 8), "cpu", "ours")
    if measured is None:
        pytest.skip("this /proc does not count the peak anew")
    weights = 4 * sum(parameter.numel() for parameter in Transformer(config).parameters())
    assert 3 * weights < measured < 3 * weights + 200e6


def test_a_whole_run_counts_one_bar_to_its_end_and_writes_its_figure(
    small: None, tmp_path: Path
) -> None:
    counted: list[int] = []
    said: list[str] = []

    def progress(first: int, last: int) -> Iterator[int]:
        for number in range(first, last):
            yield number
            counted.append(number)

    out = tmp_path / "made" / "bench.svg"
    benchmark = run_benchmark(out, bfloat16=True, say=said.append, progress=progress)
    assert counted == list(range(4 * 3)) and said[-1] == f"wrote {out}"
    assert out.read_bytes().startswith(b"<?xml") and list(out.parent.iterdir()) == [out]
    assert [found.name for found in benchmark.layers] == ["S1", "S1 bfloat16", "D1", "D1 bfloat16"]
    text = report(benchmark)
    assert text.startswith(benchmark.machine.processor) and "12.0 MB" in text
    assert 'pip install -e ".[parity]"' in " ".join(text.splitlines())
    assert max(map(len, text.splitlines())) < 120


def test_parts_that_were_not_asked_for_are_not_timed(small: None, tmp_path: Path) -> None:
    only = run_benchmark(tmp_path / "a.png", ["D1"])
    assert [found.name for found in only.layers] == ["D1"] and only.n_rounds == 3
    assert only.models == {} and only.growth == ()
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    quick = run_benchmark(tmp_path / "b.png", ["growth"], quick=True)
    assert quick.n_rounds == records.QUICK_ROUNDS
    assert [found.shape.n_experts for found in quick.growth] == [2, 16]


def test_without_anything_to_draw_no_figure_is_written(small: None, tmp_path: Path) -> None:
    said: list[str] = []
    run_benchmark(tmp_path / "a.png", ["coarse"], say=said.append)
    assert said[-1] == "nothing to draw" and list(tmp_path.iterdir()) == []


def test_json_holds_every_number_of_the_tables_and_every_round() -> None:
    result: dict[str, Any] = json.loads(as_json(benchmark_of()))
    (layer,) = result["layers"]
    assert layer["timings"]["eager"] == {"median_seconds": 10, "seconds": [5, 10, 15]}
    assert layer["ours_to_dense"] == {"median": 0.5, "quartiles": [0.5, 0.5]}
    assert layer["best_of_transformers"] == "grouped_mm"
    assert layer["ours_to_best_of_transformers"]["median"] == 2
    assert layer["shape"]["n_experts"] == 4 and result["machine"]["processor"] == "A processor"
    seconds = layer["predicted_seconds"]["ours"]
    assert layer["prediction_error"]["ours"] == pytest.approx(seconds / 4 - 1)
    assert layer["estimated_joules"]["ours"] > layer["estimated_joules"]["dense"] > 0
    model = result["models"]["coarse"]
    assert model["peak_bytes"] == {"ours": 1_000_000, "eager": None}
    assert model["tokens_per_second"]["eager"] == 2 * 8 / 2
    assert model["best_of_transformers"] == "eager"
    assert [point["times_as_long"]["median"] for point in result["growth"]] == [1, 2, 4, 8]


def test_the_tables_show_the_ratios_and_a_dash_for_what_is_not_known() -> None:
    text = report(benchmark_of())
    assert "0.50 [0.50–0.50]     2.00 [2.00–2.00]" in text and "not installed" not in text
    (eager,) = (line for line in text.splitlines() if line.startswith("transformers, eager"))
    assert eager.split()[-3:] == ["2.00", "[2.00–2.00]", "–"]
    gpu = replace(MACHINE, device="A GPU", peaks={})
    text = report(benchmark_on(gpu))
    assert text.startswith("A GPU (A processor, 2 threads on 2 cores")
    second = [line for line in text.splitlines() if line.startswith("S1")][1]
    assert second.split()[1:7] == ["–"] * 6
    assert picture(benchmark_on(gpu)) != picture(benchmark_of())
