"""Is everything compared that is said to be, with the same work, and told without a loss?"""

import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from minimoe.config import AttentionConfig, ModelConfig, MoEConfig
from minimoe.experiments import bench
from minimoe.formulas.roofline import MachinePeak, dense_work, layer_work
from minimoe.measure.timing import Timing
from minimoe.model.moe import MoE
from minimoe.model.transformer import Transformer
from minimoe.show.speed import (
    Benchmark,
    Growth,
    LayerRow,
    Machine,
    Shape,
    StepRows,
    as_json,
    fastest,
    picture,
    report,
)

PEAK = MachinePeak(flops_per_second=1e9, bytes_per_second=1e9, seconds_per_operation=1e-6)
MACHINE = Machine("A processor", 2, 2, "2.13.0", "cpu", {"float32": PEAK, "bfloat16": PEAK})
LEARNED, READ = Shape("S1", 4, 2, 16, 8, 32), Shape("D1", 4, 2, 16, 8, 1)
GROWTH = tuple(Shape("growth", n, 2, 16, 8, 32) for n in (2, 4, 8, 16))
MODEL = ModelConfig(
    n_layers=2,
    attention=AttentionConfig(d_model=16, n_heads=2, n_kv_heads=2, d_head=8),
    moe=MoEConfig(d_model=16, d_expert=8, n_routed_experts=4, top_k=2),
)


@pytest.fixture
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """No transformers, small everything, no process of its own for the memory."""
    monkeypatch.setitem(sys.modules, "transformers", None)
    for name, value in {
        "SHAPES": (LEARNED, READ),
        "GROWTH": GROWTH,
        "MODELS": {"coarse": MODEL},
        "BATCH": (2, 8),
        "ROUNDS": 3,
        "measure_peak": lambda dtype: PEAK,
        "step_bytes": lambda *_: 12_000_000,
    }.items():
        monkeypatch.setattr(bench, name, value)


def row(dtype: str = "float32", shape: Shape = LEARNED, **seconds: float) -> LayerRow:
    timings = {name: Timing((s, 2 * s, 3 * s)) for name, s in seconds.items()}
    return LayerRow(shape, dtype, timings, MACHINE)


def test_the_shapes_and_parts_are_named_once() -> None:
    names = [shape.name for shape in bench.SHAPES]
    assert names == ["S1", "S2", "S3", "S4", "S5", "D1", "D2"]
    assert set(bench.QUICK_PARTS) < set(bench.PARTS) == {*names, *bench.MODELS, "growth"}


@pytest.mark.parametrize("shape", bench.SHAPES, ids=lambda shape: shape.name)
def test_the_dense_layer_has_the_active_flops_of_the_experts(shape: Shape) -> None:
    sizes = (shape.d_model, shape.d_ff, shape.n_tokens)
    dense = dense_work(*sizes, 4, backward=shape.backward).flops
    router = 2 * shape.n_tokens * shape.d_model * shape.n_experts * (3 if shape.backward else 1)
    assert (
        dense + router == layer_work(shape.config, shape.n_tokens, 4, backward=shape.backward).flops
    )


def test_growth_leaves_everything_but_the_number_of_experts() -> None:
    assert [shape.n_experts for shape in bench.GROWTH] == [4, 16, 64, 256]
    assert len({replace(shape, n_experts=1) for shape in bench.GROWTH}) == 1


def test_a_layer_and_a_dense_one_are_timed_in_each_dtype_and_round() -> None:
    for shape in (LEARNED, READ):
        rows = bench.time_layer(shape, MACHINE, dtypes=("float32", "bfloat16"), n_rounds=3)
        assert [found.name for found in rows] == [shape.name, f"{shape.name} bfloat16"]
        for found in rows:
            assert set(found.timings) == {"dense", "ours"} and found.to_best is None
            assert all(len(timing.seconds) == 3 for timing in found.timings.values())


def test_transformers_computes_what_ours_does_and_is_timed_beside_it() -> None:
    pytest.importorskip("transformers")
    for shape in (LEARNED, READ):
        (found,) = bench.time_layer(shape, MACHINE, with_transformers=True, n_rounds=2)
        assert set(found.timings) == {"dense", "ours", "eager", "grouped_mm"}
        assert found.best in ("eager", "grouped_mm") and found.to_best is not None


def test_transformers_learns_the_same_in_a_step_of_the_whole_model() -> None:
    pytest.importorskip("transformers")
    tokens = bench._tokens(MODEL, (2, 8), "cpu")
    after = {}
    for name in ("ours", "eager", "grouped_mm"):
        model = bench._model(MODEL, name)
        step = bench.training_step(model, tokens)
        before = bench._logits(model, tokens)
        step(), step()
        after[name] = bench._logits(model, tokens)
        assert not torch.allclose(before, after[name], atol=1e-5)
    assert torch.allclose(after["eager"], after["ours"], atol=1e-5)
    assert torch.allclose(after["grouped_mm"], after["ours"], atol=1e-5)


def test_each_training_step_has_fresh_gradients() -> None:
    model = Transformer(MODEL)
    step = bench.training_step(model, bench._tokens(MODEL, (2, 8), "cpu"))
    norms = []
    for _ in range(2):
        step()
        gradients = [p.grad for p in model.parameters() if p.grad is not None]
        norms.append(float(torch.cat([gradient.flatten() for gradient in gradients]).norm()))
    assert norms[1] == pytest.approx(norms[0], rel=0.1)  # of old and new together: twice as much


def test_each_learning_run_has_fresh_gradients_and_reading_has_none() -> None:
    layer = MoE(LEARNED.config)
    contender = bench._Contender(layer, lambda x: layer(x)[0])
    x, dy = bench._batch(LEARNED, "cpu", "float32")
    run = bench._learning(contender, x, dy)
    run()
    first = [tensor.grad.clone() for tensor in (x, *layer.parameters())]  # type: ignore
    run()
    again = [tensor.grad for tensor in (x, *layer.parameters())]
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))  # type: ignore
    modes = []
    bench._timed(
        {"a": lambda: modes.append(torch.is_inference_mode_enabled())}, "cpu", True, 2, range
    )
    assert all(modes)
    assert not bench._batch(READ, "cpu", "float32")[0].requires_grad


def test_a_short_run_is_repeated_until_it_lasts_and_its_time_is_that_of_one() -> None:
    def repeats(seconds: Iterator[float]) -> int:
        now = [0.0]

        def run(n: int) -> None:
            now[0] += n * next(seconds)

        return bench.repeats(run, lambda: now[0])

    assert repeats(iter([9.0] + [0.003] * 9)) == 4  # the first run does not count
    assert repeats(iter([9.0, 0.02] + [0.003] * 9)) == 4  # nor does one slow one
    assert repeats(iter([0.5] * 3)) == 1
    timing = bench._timed({"a": lambda: None}, "cpu", False, 2, range)["a"]
    assert timing.median < bench.AT_LEAST / 10


def test_one_token_in_a_thousand_may_go_elsewhere_and_two_may_not() -> None:
    ours = torch.ones(1000, 2)
    theirs = ours.clone()
    theirs[0] = 2
    bench.check_same("eager", ours, theirs)
    theirs[1] = 2
    with pytest.raises(AssertionError, match=r"eager: only 99.8% of the tokens"):
        bench.check_same("eager", ours, theirs)


def test_ratios_are_seconds_of_the_other_over_ours() -> None:
    found = row(dense=1.0, ours=2.0, eager=5.0, grouped_mm=4.0)
    assert found.to_dense.median == 0.5 and found.best == "grouped_mm"
    assert found.to_best is not None and found.to_best.median == 2
    assert fastest({"ours": Timing((1.0,)), "eager": Timing((2.0,))}) == "eager"
    assert fastest({"ours": Timing((1.0,))}) is None


def test_share_of_peak_prediction_and_energy_are_those_of_the_layers_own_work() -> None:
    found = row(dense=1e-3, ours=1e-3)
    dense = dense_work(16, 16, 32, 4, backward=True)
    ours = layer_work(LEARNED.config, 32, 4, backward=True, n_cores=2)
    assert found.work("dense") == dense and found.work("ours") == ours
    assert found.share_of_peak("ours") == pytest.approx(ours.flops / 2e-3 / 1e9)
    predicted = found.predicted("dense")
    assert predicted is not None
    slower = max(dense.flops, dense.n_bytes) / 1e9
    assert predicted.seconds == pytest.approx(slower + dense.n_operations * 1e-6)
    assert found.joules("ours") == pytest.approx(2.3e-12 * ours.flops + 162.5e-12 * ours.n_bytes)
    half = row("bfloat16", dense=1.0, ours=1.0)
    assert half.work("dense").n_bytes == dense.n_bytes / 2
    unknown = replace(found, machine=replace(MACHINE, peaks={}))
    assert unknown.share_of_peak("ours") is None and unknown.predicted("ours") is None


def test_growth_is_relative_to_the_fewest_experts() -> None:
    timings = {n: Timing((n / 4, n / 4, n / 2)) for n in (2, 4, 8, 16)}
    growth = Growth(GROWTH, timings, MACHINE)
    assert growth.times_as_long(GROWTH[0]).median == 1 == growth.predicted_times_as_long(GROWTH[0])
    assert growth.times_as_long(GROWTH[3]).median == 8
    more = growth.predicted_times_as_long(GROWTH[3])
    assert more is not None and more > 1


def test_tokens_per_second_count_the_whole_batch() -> None:
    step = StepRows(MODEL, (8, 256), {"ours": Timing((0.5, 0.5)), "eager": Timing((1.0, 1.0))}, {})
    assert step.n_tokens == 2048 and step.tokens_per_second("ours") == 4096
    assert step.to_best is not None and step.to_best.median == 2


@pytest.mark.skipif(sys.platform != "linux", reason="read from Linux's /proc")
def test_the_memory_of_a_step_holds_gradients_and_both_moments_of_adam() -> None:
    wide = MoEConfig(d_model=64, d_expert=256, n_routed_experts=16, top_k=2)
    attention = AttentionConfig(d_model=64, n_heads=2, n_kv_heads=2, d_head=32)
    config = ModelConfig(n_layers=2, attention=attention, moe=wide)
    measured = bench.step_bytes(config, (2, 8), "cpu", "ours")
    if measured is None:
        pytest.skip("this /proc does not count the peak anew")
    weights = 4 * sum(parameter.numel() for parameter in Transformer(config).parameters())
    assert 3 * weights < measured < 3 * weights + 200e6


def test_a_process_that_fails_is_not_a_measurement(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(ChildProcessError, match=r"measures memory: 1, no message"):
        bench.step_bytes(MODEL, (2, 8), "cpu", "ours")


def test_a_whole_run_counts_one_bar_to_its_end_and_writes_what_it_says(
    quiet: None, tmp_path: Path
) -> None:
    counted: list[int] = []
    said: list[str] = []

    def progress(first: int, last: int) -> Iterator[int]:
        for number in range(first, last):
            yield number
            counted.append(number)

    out = tmp_path / "made" / "bench.svg"
    benchmark = bench.run_benchmark(out, bfloat16=True, say=said.append, progress=progress)
    assert counted == list(range(4 * 3)) and said[-1] == f"wrote {out}"
    assert out.read_bytes().startswith(b"<?xml") and list(out.parent.iterdir()) == [out]
    text = report(benchmark)
    lines = text.splitlines()
    assert lines[0].startswith(benchmark.machine.processor)
    assert max(map(len, lines)) < 120
    assert [line.split()[0] for line in lines if line.startswith(("S1", "D1"))] == [
        "S1",
        "S1",
        "D1",
        "D1",
    ] * 2
    assert 'pip install -e ".[parity]"' in " ".join(lines) and "12.0 MB" in text
    assert [found.name for found in benchmark.layers] == ["S1", "S1 bfloat16", "D1", "D1 bfloat16"]


def test_parts_that_were_not_asked_for_are_not_timed(quiet: None, tmp_path: Path) -> None:
    only = bench.run_benchmark(tmp_path / "a.png", ["D1"])
    assert [found.name for found in only.layers] == ["D1"] and only.n_rounds == 3
    assert only.models == {} and only.growth is None
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    quick = bench.run_benchmark(tmp_path / "b.png", ["growth"], quick=True)
    assert quick.growth is not None and quick.n_rounds == bench.QUICK_ROUNDS
    assert [shape.n_experts for shape in quick.growth.shapes] == [2, 16]


def test_without_anything_to_draw_no_figure_is_written(quiet: None, tmp_path: Path) -> None:
    said: list[str] = []
    benchmark = bench.run_benchmark(tmp_path / "a.png", ["coarse"], say=said.append)
    assert picture(benchmark) is None and said[-1] == "nothing to draw"
    assert list(tmp_path.iterdir()) == []


def benchmark_of(machine: Machine = MACHINE) -> Benchmark:
    timings = {n: Timing((n / 4, n / 4, n / 4)) for n in (2, 4, 8, 16)}
    step = {
        "ours": Timing((1.0, 1.0)),
        "eager": Timing((2.0, 2.0)),
        "grouped_mm": Timing((3.0, 3.0)),
    }
    return Benchmark(
        machine=machine,
        layers=(replace(row(dense=1.0, ours=2.0, eager=5.0, grouped_mm=4.0), machine=machine),),
        models={"coarse": StepRows(MODEL, (2, 8), step, {"ours": 1_000_000, "eager": None})},
        growth=Growth(GROWTH, timings, machine),
        with_transformers=True,
        n_rounds=3,
        seconds=1.0,
    )


def test_json_holds_every_number_of_the_tables_and_every_round() -> None:
    result: dict[str, Any] = json.loads(as_json(benchmark_of()))
    (layer,) = result["layers"]
    assert layer["timings"]["eager"] == {"median_seconds": 10, "seconds": [5, 10, 15]}
    assert layer["ours_to_dense"] == {"median": 0.5, "quartiles": [0.5, 0.5]}
    assert layer["best_of_transformers"] == "grouped_mm"
    assert layer["ours_to_best_of_transformers"]["median"] == 2
    assert layer["shape"]["n_experts"] == 4 and result["machine"]["processor"] == "A processor"
    assert layer["prediction_error"]["ours"] < 0 < layer["estimated_joules"]["ours"]
    assert result["models"]["coarse"]["peak_bytes"] == {"ours": 1_000_000, "eager": None}
    assert result["models"]["coarse"]["best_of_transformers"] == "eager"
    assert result["models"]["coarse"]["ours_to_best_of_transformers"]["median"] == 2
    assert [point["times_as_long"]["median"] for point in result["growth"]] == [1, 2, 4, 8]


def test_the_tables_show_the_ratios_and_a_dash_for_what_is_not_known() -> None:
    text = report(benchmark_of())
    assert "0.50 [0.50–0.50]     2.00 [2.00–2.00]" in text and "not installed" not in text
    (eager,) = (line for line in text.splitlines() if line.startswith("transformers, eager"))
    assert eager.split()[-3:] == ["2.00", "[2.00–2.00]", "–"]
    gpu = replace(MACHINE, device="A GPU", peaks={})
    text = report(benchmark_of(gpu))
    assert text.startswith("A GPU (A processor, 2 threads on 2 cores")
    second = [line for line in text.splitlines() if line.startswith("S1")][1]
    assert second.split()[1:7] == ["–"] * 6
    assert picture(benchmark_of(gpu)) != picture(benchmark_of())
