"""The benchmark as text for a terminal, as JSON, and as a picture."""

import json
import math
import textwrap
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from minimoe.experiments.bench.records import (
    IMPLEMENTATIONS,
    MEMORY_STEPS,
    Benchmark,
    LayerRow,
    Machine,
    StepRows,
    growth_of,
)
from minimoe.formulas.energy import horowitz
from minimoe.measure.timing import Ratio, Timing
from minimoe.show.speed import speed_picture
from minimoe.show.tables import si, text_table

BOTH = ("dense", "ours")
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
        *([] if benchmark.with_transformers else [textwrap.fill(INSTALL, 100)]),
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
            *(si(row.timings[n].median, "s") if n in row.timings else None for n in timed),
            _ratio(row.to_dense),
            _ratio(row.to_best),
        ]
        for row in rows
    ]
    more = ["", "of peak: dense", "ours", "predicted: dense", "error", "ours", "error",
            "energy (estimate): dense", "ours"]  # fmt: skip
    first = _part(headers, cells, LAYER_COLUMNS)
    return first + _part(more, [_predicted(row) for row in rows], PREDICTED_COLUMNS)


def _predicted(row: LayerRow) -> list[Any]:
    """Shares of peak, predicted seconds with their errors, joules: of dense and of ours."""
    shares: list[Any] = []
    predictions: list[Any] = []
    energies: list[Any] = []
    for name in BOTH:
        share, seconds, error, joules = row.figures(name).values()
        shares.append(share and f"{100 * share:.{0 if share >= 0.095 else 1}f} %")
        predictions += [seconds and si(seconds, "s"), error and f"{100 * error:+.0f} %"]
        energies.append(joules and si(joules, "J"))
    return [row.name, *shares, *predictions, *energies]


def _model_text(kind: str, model: StepRows) -> list[str]:
    cells = [
        [
            name if name == "ours" else f"transformers, {name}",
            si(timing.median, "s"),
            f"{round(model.tokens_per_second(name)):,}",
            None if name == "ours" else _ratio(model.timings["ours"].ratio(timing)),
            si(model.peak_bytes.get(name) or math.nan, "B"),
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
    return _part(headers, cells, meaning)


def _growth_text(rows: Sequence[LayerRow]) -> list[str]:
    first = rows[0].shape
    cells = [
        [
            row.shape.n_experts,
            si(row.timings["ours"].median / row.shape.n_tokens, "s"),
            _ratio(ratio),
            predicted and f"{predicted:.2f}",
        ]
        for row, ratio, predicted in growth_of(rows)
    ]
    headers = ["experts", "time per token", f"times as long as {first.n_experts}", "predicted"]
    meaning = (
        f"Forward and backward at fixed active parameters: {first.top_k} experts a token, "
        f"d_model {first.d_model}, d_expert {first.d_expert}, {first.n_tokens:,} tokens."
    )
    return _part(headers, cells, meaning)


def _part(headers: Sequence[str], cells: Sequence[Sequence[Any]], meaning: str) -> list[str]:
    """A table and what its columns mean; all but names stand to the right."""
    align = ("r" if headers[0] == "experts" else "l") + "r" * (len(headers) - 1)
    return [text_table(headers, cells, align=align), textwrap.fill(meaning, 100)]


def _ratio(ratio: Ratio | None) -> str | None:
    if ratio is None:
        return None
    low, high = ratio.quartiles
    return f"{ratio.median:.2f} [{low:.2f}–{high:.2f}]"


def as_json(benchmark: Benchmark) -> str:
    """Write every number of the tables, unrounded, and the seconds of every round."""
    growth = [
        {
            "n_experts": row.shape.n_experts,
            "shape": row.shape,
            "timing": row.timings["ours"],
            "times_as_long": ratio,
            "predicted_times_as_long": predicted,
        }
        for row, ratio, predicted in growth_of(benchmark.growth)
    ]
    result = {
        "machine": benchmark.machine,
        "rounds": benchmark.n_rounds,
        "seconds": benchmark.seconds,
        "layers": [_layer_json(row) for row in benchmark.layers],
        "models": {name: _model_json(model) for name, model in benchmark.models.items()},
        "growth": growth or None,
    }
    return json.dumps(result, indent=1, default=_json)


def _json(value: Any) -> dict[str, Any]:
    """A record as JSON has it."""
    if isinstance(value, Timing):
        return {"median_seconds": value.median, "seconds": value.seconds}
    if isinstance(value, Ratio):
        return {"median": value.median, "quartiles": value.quartiles}
    return asdict(value)


def _layer_json(row: LayerRow) -> dict[str, Any]:
    figures = {name: row.figures(name) for name in BOTH}
    return {
        "name": row.name,
        "shape": row.shape,
        "dtype": row.dtype,
        "backward": row.shape.backward,
        "timings": row.timings,
        "ours_to_dense": row.to_dense,
        "best_of_transformers": row.best,
        "ours_to_best_of_transformers": row.to_best,
        **{key: {name: figures[name][key] for name in BOTH} for key in figures["ours"]},
    }


def _model_json(model: StepRows) -> dict[str, Any]:
    return {
        "n_tokens": model.batch[0] * model.batch[1],
        "timings": model.timings,
        "tokens_per_second": {name: model.tokens_per_second(name) for name in model.timings},
        "best_of_transformers": model.best,
        "ours_to_best_of_transformers": model.to_best,
        "peak_bytes": model.peak_bytes,
    }


def picture(benchmark: Benchmark, form: str = "png") -> bytes | None:
    """Draw the ratios as bars, and the growth as a curve beside its prediction.

    Returns:
        The content of a file of that form, "png" or "svg"; None if there is neither: a model alone,
        without transformers.
    """
    rows = {row.name.replace(" ", "\n"): row for row in benchmark.layers}
    to_best = {label: row.to_best for label, row in {**rows, **benchmark.models}.items()}
    ratios = {
        "ours ÷ dense of equal active FLOPs": {
            label: _bar(row.to_dense) for label, row in rows.items()
        },
        "ours ÷ best of transformers": {
            label: _bar(ratio) for label, ratio in to_best.items() if ratio is not None
        },
    }
    points = growth_of(benchmark.growth)
    n_experts = [row.shape.n_experts for row, _, _ in points]
    known = [predicted for _, _, predicted in points if predicted is not None]
    curves: dict[str, tuple[Sequence[int], Sequence[Sequence[float]]]] = {}
    if points:
        rounds = zip(*(ratio.rounds for _, ratio, _ in points), strict=True)
        curves["measured"] = (n_experts, list(rounds))
    if known:
        curves["predicted by the roofline"] = (n_experts, [known])
    bars = {series: found for series, found in ratios.items() if found}
    if not bars and not curves:
        return None
    return speed_picture(bars, curves, machine_line(benchmark.machine), form)


def _bar(ratio: Ratio) -> tuple[float, float, float]:
    low, high = ratio.quartiles
    return low, ratio.median, high
