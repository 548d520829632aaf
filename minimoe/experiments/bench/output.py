"""The benchmark as text for a terminal, as JSON, and as a picture."""

import json
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

from minimoe.experiments.bench.plan import IMPLEMENTATIONS, MEMORY_STEPS
from minimoe.experiments.bench.records import Benchmark, Growth, LayerRow, Machine, StepRows
from minimoe.formulas.energy import horowitz
from minimoe.measure.timing import Ratio, Timing
from minimoe.show.speed import speed_picture
from minimoe.show.tables import MISSING, si, text_table

INSTALL = (
    "transformers is not installed, so nothing is compared with it; to compare: "
    'pip install -e ".[parity]".'
)
LAYER_COLUMNS = (
    "Forward and backward of the whole layer, router included; a single token (D1, D2) forward "
    "only. Dense: a SwiGLU of equal active FLOPs (d_ff = K * d_expert), which has no router. "
    "eager, grouped_mm: transformers' Mixtral layer with the same weights. ours ÷ dense: how "
    "many times as fast ours is, round by round, so above 1 is faster; the middle half of the "
    "rounds in brackets. ours ÷ transformers: the same against the faster of its two."
)
PREDICTED_COLUMNS = (
    "of peak: FLOPs a second over those of a large matrix product. predicted: by the roofline, "
    "from FLOPs, bytes and the number of operations; error: predicted over measured, less 1. "
    "energy: an estimate from FLOPs and bytes with joules for each "
    f"({horowitz().source}), not a measurement."
)


def report(benchmark: Benchmark) -> str:
    """Write the machine, the tables and what they mean, at most 119 columns wide."""
    parts = [
        textwrap.fill(machine_line(benchmark.machine), 119),
        *(_layers_text(benchmark.layers) if benchmark.layers else []),
        *(part for name, model in benchmark.models.items() for part in _model_text(name, model)),
        *(_growth_text(benchmark.growth) if benchmark.growth else []),
        *([] if benchmark.with_transformers else [_wrapped(INSTALL)]),
        f"Medians of {benchmark.n_rounds} rounds in turn; {benchmark.seconds:.0f} s in all.",
    ]
    return "\n\n".join(parts)


def machine_line(machine: Machine) -> str:
    """The machine on one line."""
    line = (
        f"{machine.processor}, {machine.n_threads} threads on {machine.n_cores} cores, "
        f"torch {machine.torch}"
    )
    if machine.device != "cpu":
        return f"{machine.device} ({line})"
    peaks = (
        f"{dtype} at best {si(peak.flops_per_second, 'FLOP/s')}, "
        f"{si(peak.bytes_per_second, 'B/s')}, {si(peak.seconds_per_operation, 's')} an operation"
        for dtype, peak in machine.peaks.items()
    )
    return "; ".join([line, *peaks])


def _layers_text(rows: Sequence[LayerRow]) -> list[str]:
    timed = ("dense", *IMPLEMENTATIONS, "ours")
    headers = ["", "experts", "D × F", "tokens", *timed, "ours ÷ dense", "ours ÷ transformers"]
    cells = [
        [
            row.name,
            f"{row.shape.top_k} of {row.shape.n_experts}",
            f"{row.shape.d_model} × {row.shape.d_expert}",
            f"{row.shape.n_tokens:,}",
            *(_seconds(row.timings.get(name)) for name in timed),
            _ratio(row.to_dense),
            _ratio(row.to_best),
        ]
        for row in rows
    ]
    first = text_table(headers, cells, align="lrrrrrrrrr")
    headers = ["", "of peak: dense", "ours", "predicted: dense", "error", "ours", "error",
               "energy (estimate): dense", "ours"]  # fmt: skip
    cells = [
        [
            row.name,
            *(_percent(row.share_of_peak(name)) for name in ("dense", "ours")),
            *(cell for name in ("dense", "ours") for cell in _prediction(row, name)),
            *(si(row.joules(name), "J") for name in ("dense", "ours")),
        ]
        for row in rows
    ]
    second = text_table(headers, cells, align="lrrrrrrrr")
    return [first, _wrapped(LAYER_COLUMNS), second, _wrapped(PREDICTED_COLUMNS)]


def _model_text(kind: str, model: StepRows) -> list[str]:
    cells = [
        [
            name if name == "ours" else f"transformers, {name}",
            _seconds(timing),
            f"{round(model.tokens_per_second(name)):,}",
            MISSING if name == "ours" else _ratio(model.timings["ours"].ratio(timing)),
            si(model.peak_bytes.get(name) or float("nan"), "B"),
        ]
        for name, timing in model.timings.items()
    ]
    headers = [f"training step, {kind}", "time", "tokens per second", "ours ÷ this",
               "memory of a step"]  # fmt: skip
    moe, (n_sequences, length) = model.config.moe, model.batch
    assert moe is not None  # the only kind that is timed
    meaning = (
        f"{model.config.n_layers} layers, d_model {moe.d_model}, {moe.top_k} of "
        f"{moe.n_routed_experts} experts of width {moe.d_expert}, {n_sequences} × {length} tokens: "
        "forward, cross-entropy, backward, AdamW, in float32. memory: the most that the process "
        f"held during {MEMORY_STEPS} steps (VmHWM) less what it held before the first (VmRSS), on "
        "a GPU what torch allocated; in a process of its own each, for ours and the faster other."
    )
    return [text_table(headers, cells, align="lrrrr"), _wrapped(meaning)]


def _growth_text(growth: Growth) -> list[str]:
    first = growth.rows[0].shape
    cells = [
        [
            row.shape.n_experts,
            si(row.timings["ours"].median / row.shape.n_tokens, "s"),
            _ratio(growth.times_as_long(row)),
            MISSING if predicted is None else f"{predicted:.2f}",
        ]
        for row in growth.rows
        for predicted in [growth.predicted_times_as_long(row)]
    ]
    headers = ["experts", "time per token", f"times as long as {first.n_experts}", "predicted"]
    meaning = (
        f"Forward and backward at fixed active parameters: {first.top_k} experts a token, "
        f"d_model {first.d_model}, d_expert {first.d_expert}, {first.n_tokens:,} tokens."
    )
    return [text_table(headers, cells, align="rrrr"), _wrapped(meaning)]


def _wrapped(text: str) -> str:
    return textwrap.fill(text, 100)


def _seconds(timing: Timing | None) -> str:
    return MISSING if timing is None else si(timing.median, "s")


def _percent(share: float | None) -> str:
    if share is None:
        return MISSING
    return f"{100 * share:.0f} %" if share >= 0.095 else f"{100 * share:.1f} %"


def _ratio(ratio: Ratio | None) -> str:
    if ratio is None:
        return MISSING
    low, high = ratio.quartiles
    return f"{ratio.median:.2f} [{low:.2f}–{high:.2f}]"


def _prediction(row: LayerRow, name: str) -> tuple[str, str]:
    predicted, error = row.predicted(name), row.error(name)
    if predicted is None or error is None:
        return MISSING, MISSING
    return si(predicted.seconds, "s"), f"{100 * error:+.0f} %"


def as_json(benchmark: Benchmark) -> str:
    """Write every number of the tables, unrounded, and the seconds of every round."""
    growth = benchmark.growth
    result = {
        "machine": asdict(benchmark.machine),
        "rounds": benchmark.n_rounds,
        "seconds": benchmark.seconds,
        "layers": [_layer_json(row) for row in benchmark.layers],
        "models": {name: _model_json(model) for name, model in benchmark.models.items()},
        "growth": None if growth is None else _growth_json(growth),
    }
    return json.dumps(result, indent=1)


def _layer_json(row: LayerRow) -> dict[str, Any]:
    def both(measured: Callable[[str], Any]) -> dict[str, Any]:
        return {name: measured(name) for name in ("dense", "ours")}

    return {
        "name": row.name,
        "shape": asdict(row.shape),
        "dtype": row.dtype,
        "backward": row.shape.backward,
        "timings": {name: _timing_json(timing) for name, timing in row.timings.items()},
        "ours_to_dense": _ratio_json(row.to_dense),
        "best_of_transformers": row.best,
        "ours_to_best_of_transformers": _ratio_json(row.to_best),
        "share_of_peak": both(row.share_of_peak),
        "predicted_seconds": {
            name: found and found.seconds for name, found in both(row.predicted).items()
        },
        "prediction_error": both(row.error),
        "estimated_joules": both(row.joules),
    }


def _model_json(model: StepRows) -> dict[str, Any]:
    return {
        "n_tokens": model.n_tokens,
        "timings": {name: _timing_json(timing) for name, timing in model.timings.items()},
        "tokens_per_second": {name: model.tokens_per_second(name) for name in model.timings},
        "best_of_transformers": model.best,
        "ours_to_best_of_transformers": _ratio_json(model.to_best),
        "peak_bytes": dict(model.peak_bytes),
    }


def _growth_json(growth: Growth) -> list[dict[str, Any]]:
    return [
        {
            "n_experts": row.shape.n_experts,
            "shape": asdict(row.shape),
            "timing": _timing_json(row.timings["ours"]),
            "times_as_long": _ratio_json(growth.times_as_long(row)),
            "predicted_times_as_long": growth.predicted_times_as_long(row),
        }
        for row in growth.rows
    ]


def _timing_json(timing: Timing) -> dict[str, Any]:
    return {"median_seconds": timing.median, "seconds": timing.seconds}


def _ratio_json(ratio: Ratio | None) -> dict[str, Any] | None:
    return None if ratio is None else {"median": ratio.median, "quartiles": ratio.quartiles}


def picture(benchmark: Benchmark, form: str = "png") -> bytes | None:
    """Draw the ratios as bars, and the growth as a curve beside its prediction.

    Returns:
        The content of a file of that form, "png" or "svg"; None if there is neither: a model alone,
        without transformers.
    """
    rows, growth = benchmark.layers, benchmark.growth
    labels = [row.name.replace(" ", "\n") for row in rows]
    to_best = dict(zip(labels, (row.to_best for row in rows), strict=True))
    to_best |= {name: model.to_best for name, model in benchmark.models.items()}
    ratios = {
        "ours ÷ dense of equal active FLOPs": {
            label: _bar(row.to_dense) for label, row in zip(labels, rows, strict=True)
        },
        "ours ÷ best of transformers": {
            name: _bar(ratio) for name, ratio in to_best.items() if ratio is not None
        },
    }
    curves: dict[str, tuple[Sequence[int], Sequence[Sequence[float]]]] = {}
    if growth is not None:
        n_experts = [row.shape.n_experts for row in growth.rows]
        rounds = [growth.times_as_long(row).rounds for row in growth.rows]
        curves["measured"] = (n_experts, list(zip(*rounds, strict=True)))
        predicted = [growth.predicted_times_as_long(row) for row in growth.rows]
        known = [value for value in predicted if value is not None]
        if known:
            curves["predicted by the roofline"] = (n_experts, [known])
    bars = {series: found for series, found in ratios.items() if found}
    if not bars and not curves:
        return None
    return speed_picture(bars, curves, machine_line(benchmark.machine), form)


def _bar(ratio: Ratio) -> tuple[float, float, float]:
    low, high = ratio.quartiles
    return low, ratio.median, high
