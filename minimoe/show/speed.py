"""What did the benchmark find? Its records; tables, JSON and a picture of them."""

import json
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch

from minimoe.config import ModelConfig, MoEConfig
from minimoe.formulas.energy import estimated_joules, horowitz
from minimoe.formulas.roofline import (
    MachinePeak,
    Prediction,
    Work,
    dense_work,
    layer_work,
    predicted_seconds,
)
from minimoe.measure.timing import Ratio, Timing
from minimoe.show.figures import speed_picture
from minimoe.show.tables import MISSING, grouped, si, text_table

IMPLEMENTATIONS = ("eager", "grouped_mm")  # of the experts of transformers' Mixtral
MEMORY_STEPS = 3  # training steps over which the peak of memory is taken
INSTALL = (
    "transformers is not installed, so nothing is compared with it; to compare: "
    'pip install -e ".[parity]".'
)


@dataclass(frozen=True)
class Shape:
    """One MoE layer and a batch for it: the router's E and K, D, F, and T tokens."""

    name: str
    n_experts: int
    top_k: int
    d_model: int
    d_expert: int
    n_tokens: int

    @property
    def config(self) -> MoEConfig:
        """The layer's."""
        return MoEConfig(
            d_model=self.d_model,
            d_expert=self.d_expert,
            n_routed_experts=self.n_experts,
            top_k=self.top_k,
        )

    @property
    def d_ff(self) -> int:
        """Width of the dense layer of equal active FLOPs: that of K experts together."""
        return self.top_k * self.d_expert

    @property
    def backward(self) -> bool:
        """A batch is learned from; a single token is only read, as in generation."""
        return self.n_tokens > 1


@dataclass(frozen=True)
class Machine:
    """What everything was timed on.

    Attributes:
        processor: its name.
        n_cores: that this process may use.
        n_threads: that torch uses.
        torch: its version.
        device: "cpu", or a GPU's name.
        peaks: by dtype; empty on a GPU, whose peak is not measured.
    """

    processor: str
    n_cores: int
    n_threads: int
    torch: str
    device: str
    peaks: Mapping[str, MachinePeak]


class _BesideTransformers:
    """What is timed as "ours", and as transformers' implementations if they are there."""

    timings: Mapping[str, Timing]

    @property
    def best(self) -> str | None:
        """The faster implementation of transformers, by median; None without transformers."""
        return fastest(self.timings)

    @property
    def to_best(self) -> Ratio | None:
        """How many times as fast as `best` ours is."""
        return None if self.best is None else self.timings["ours"].ratio(self.timings[self.best])


@dataclass(frozen=True)
class LayerRow(_BesideTransformers):
    """One shape in one dtype: seconds of "dense", "ours" and transformers' implementations."""

    shape: Shape
    dtype: str
    timings: Mapping[str, Timing]
    machine: Machine

    @property
    def name(self) -> str:
        """The shape's, and the dtype if it is not float32."""
        return self.shape.name if self.dtype == "float32" else f"{self.shape.name} {self.dtype}"

    @property
    def to_dense(self) -> Ratio:
        """How many times as fast as the dense layer ours is."""
        return self.timings["ours"].ratio(self.timings["dense"])

    def work(self, name: str) -> Work:
        """What there is to do for "dense" or for "ours"."""
        shape, itemsize = self.shape, dtype_of(self.dtype).itemsize
        if name == "dense":
            sizes = (shape.d_model, shape.d_ff, shape.n_tokens)
            return dense_work(*sizes, itemsize, backward=shape.backward)
        return _work(shape, itemsize, self.machine)

    def share_of_peak(self, name: str) -> float | None:
        """FLOPs per second over the machine's peak, 0 to 1; None where the peak is not known."""
        peak = self.machine.peaks.get(self.dtype)
        if peak is None:
            return None
        return self.work(name).flops / self.timings[name].median / peak.flops_per_second

    def predicted(self, name: str) -> Prediction | None:
        """What the roofline says of it; None where the peak is not known."""
        return _predicted(self.work(name), self.machine, self.dtype)

    def joules(self, name: str) -> float:
        """An estimate of the energy of one run, from its FLOPs and bytes."""
        work = self.work(name)
        return estimated_joules(work.flops, work.n_bytes, horowitz(dtype_of(self.dtype).itemsize))


@dataclass(frozen=True)
class StepRows(_BesideTransformers):
    """A training step of the whole model, "ours" and transformers'.

    Attributes:
        config: the model's.
        batch: number of sequences, and their length.
        timings: of the step.
        peak_bytes: what a step needs on top of what was there before the first one: gradients,
            optimizer, activations; None where it cannot be measured.
    """

    config: ModelConfig
    batch: tuple[int, int]
    timings: Mapping[str, Timing]
    peak_bytes: Mapping[str, int | None]

    @property
    def n_tokens(self) -> int:
        """Of the batch."""
        return self.batch[0] * self.batch[1]

    def tokens_per_second(self, name: str) -> float:
        """2,048 tokens in half a second are 4,096."""
        return self.n_tokens / self.timings[name].median


@dataclass(frozen=True)
class Growth:
    """The same active parameters in layers of more and more experts.

    Attributes:
        shapes: the one with fewest experts first.
        timings: of each, by number of experts.
    """

    shapes: tuple[Shape, ...]
    timings: Mapping[int, Timing]
    machine: Machine

    def times_as_long(self, shape: Shape) -> Ratio:
        """Seconds of this one over those of the first, round by round; 1 for the first itself."""
        return self.timings[self.shapes[0].n_experts].ratio(self.timings[shape.n_experts])

    def predicted_times_as_long(self, shape: Shape) -> float | None:
        """The same by the roofline; None where the peak is not known."""
        first, this = (
            _predicted(_work(of, 4, self.machine), self.machine, "float32")
            for of in (self.shapes[0], shape)
        )
        return None if first is None or this is None else this.seconds / first.seconds


@dataclass(frozen=True)
class Benchmark:
    """Everything that one run measured; None for what was not asked for."""

    machine: Machine
    layers: tuple[LayerRow, ...]
    models: Mapping[str, StepRows]
    growth: Growth | None
    with_transformers: bool
    n_rounds: int
    seconds: float


def fastest(timings: Mapping[str, Timing]) -> str | None:
    """Which of transformers' implementations has the least median; None if none was timed."""
    theirs = [name for name in IMPLEMENTATIONS if name in timings]
    return min(theirs, key=lambda name: timings[name].median) if theirs else None


def report(benchmark: Benchmark) -> str:
    """The machine, the tables and what they mean, as text for a terminal."""
    found = [
        _layers_text(benchmark.layers),
        *(_model_text(name, model) for name, model in benchmark.models.items()),
        _growth_text(benchmark.growth),
    ]
    ending = f"Medians of {benchmark.n_rounds} rounds in turn; {benchmark.seconds:.0f} s in all."
    install = "" if benchmark.with_transformers else _wrapped(INSTALL)
    machine = textwrap.fill(machine_line(benchmark.machine), 119)
    parts = [machine, *found, install, ending]
    return "\n\n".join(part for part in parts if part)


def machine_line(machine: Machine) -> str:
    """What everything was timed on, on one line."""
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


def _layers_text(rows: Sequence[LayerRow]) -> str:
    if not rows:
        return ""
    headers = ["", "experts", "D × F", "tokens", "dense", *IMPLEMENTATIONS, "ours",
               "ours ÷ dense", "ours ÷ transformers"]  # fmt: skip
    cells = [
        [
            row.name,
            f"{row.shape.top_k} of {row.shape.n_experts}",
            f"{row.shape.d_model} × {row.shape.d_expert}",
            grouped(row.shape.n_tokens),
            *(_seconds(row.timings.get(name)) for name in ("dense", *IMPLEMENTATIONS, "ours")),
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
    meaning = _wrapped(
        "Forward and backward of the whole layer, router included; a single token (D1, D2) forward "
        "only. Dense: a SwiGLU of equal active FLOPs (d_ff = K * d_expert), which has no router. "
        "eager, grouped_mm: transformers' Mixtral layer with the same weights. ours ÷ dense: how "
        "many times as fast ours is, round by round, so above 1 is faster; the middle half of the "
        "rounds in brackets. ours ÷ transformers: the same against the faster of its two."
    )
    sources = _wrapped(
        "of peak: FLOPs a second over those of a large matrix product. predicted: by the roofline, "
        "from FLOPs, bytes and the number of operations; error: predicted over measured, less 1. "
        "energy: an estimate from FLOPs and bytes with joules for each "
        f"({horowitz().source}), not a measurement."
    )
    return "\n\n".join([first, meaning, second, sources])


def _model_text(kind: str, model: StepRows) -> str:
    cells = [
        [
            name if name == "ours" else f"transformers, {name}",
            _seconds(timing),
            grouped(round(model.tokens_per_second(name))),
            MISSING if name == "ours" else _ratio(model.timings["ours"].ratio(timing)),
            _bytes(model.peak_bytes.get(name)),
        ]
        for name, timing in model.timings.items()
    ]
    headers = [
        f"training step, {kind}",
        "time",
        "tokens per second",
        "ours ÷ this",
        "memory of a step",
    ]
    moe, (n_sequences, length) = model.config.moe, model.batch
    assert moe is not None  # the only kind that is timed
    meaning = _wrapped(
        f"{model.config.n_layers} layers, d_model {moe.d_model}, {moe.top_k} of "
        f"{moe.n_routed_experts} experts of width {moe.d_expert}, {n_sequences} × {length} tokens: "
        "forward, cross-entropy, backward, AdamW, in float32. memory: the most that the process "
        f"held during {MEMORY_STEPS} steps (VmHWM) less what it held before the first (VmRSS), on "
        "a GPU what torch allocated; in a process of its own each, for ours and the faster other."
    )
    return "\n\n".join([text_table(headers, cells, align="lrrrr"), meaning])


def _growth_text(growth: Growth | None) -> str:
    if growth is None:
        return ""
    cells = [
        [
            shape.n_experts,
            si(growth.timings[shape.n_experts].median / shape.n_tokens, "s"),
            _ratio(growth.times_as_long(shape)),
            _number(growth.predicted_times_as_long(shape)),
        ]
        for shape in growth.shapes
    ]
    first = growth.shapes[0]
    headers = ["experts", "time per token", f"times as long as {first.n_experts}", "predicted"]
    meaning = _wrapped(
        f"Forward and backward at fixed active parameters: {first.top_k} experts a token, "
        f"d_model {first.d_model}, d_expert {first.d_expert}, {grouped(first.n_tokens)} tokens."
    )
    return "\n\n".join([text_table(headers, cells, align="rrrr"), meaning])


def _wrapped(text: str) -> str:
    return textwrap.fill(text, 100)


def _seconds(timing: Timing | None) -> str:
    return MISSING if timing is None else si(timing.median, "s")


def _bytes(n_bytes: int | None) -> str:
    return MISSING if n_bytes is None else si(n_bytes, "B")


def _percent(share: float | None) -> str:
    if share is None:
        return MISSING
    return f"{100 * share:.0f} %" if share >= 0.095 else f"{100 * share:.1f} %"


def _number(value: float | None) -> str:
    return MISSING if value is None else f"{value:.2f}"


def _ratio(ratio: Ratio | None) -> str:
    if ratio is None:
        return MISSING
    low, high = ratio.quartiles
    return f"{ratio.median:.2f} [{low:.2f}–{high:.2f}]"


def _prediction(row: LayerRow, name: str) -> tuple[str, str]:
    predicted = row.predicted(name)
    if predicted is None:
        return MISSING, MISSING
    error = predicted.error(row.timings[name].median)
    return si(predicted.seconds, "s"), f"{100 * error:+.0f} %"


def as_json(benchmark: Benchmark) -> str:
    """Every number of the tables, unrounded, and the seconds of every round."""
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
    predicted = {name: row.predicted(name) for name in ("dense", "ours")}
    return {
        "name": row.name,
        "shape": asdict(row.shape),
        "dtype": row.dtype,
        "backward": row.shape.backward,
        "timings": {name: _timing_json(timing) for name, timing in row.timings.items()},
        "ours_to_dense": _ratio_json(row.to_dense),
        "best_of_transformers": row.best,
        "ours_to_best_of_transformers": _ratio_json(row.to_best),
        "share_of_peak": {name: row.share_of_peak(name) for name in ("dense", "ours")},
        "predicted_seconds": {
            name: None if found is None else found.seconds for name, found in predicted.items()
        },
        "prediction_error": {
            name: None if found is None else found.error(row.timings[name].median)
            for name, found in predicted.items()
        },
        "estimated_joules": {name: row.joules(name) for name in ("dense", "ours")},
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
            "n_experts": shape.n_experts,
            "shape": asdict(shape),
            "timing": _timing_json(growth.timings[shape.n_experts]),
            "times_as_long": _ratio_json(growth.times_as_long(shape)),
            "predicted_times_as_long": growth.predicted_times_as_long(shape),
        }
        for shape in growth.shapes
    ]


def _timing_json(timing: Timing) -> dict[str, Any]:
    return {"median_seconds": timing.median, "seconds": timing.seconds}


def _ratio_json(ratio: Ratio | None) -> dict[str, Any] | None:
    return None if ratio is None else {"median": ratio.median, "quartiles": ratio.quartiles}


def picture(benchmark: Benchmark, form: str = "png") -> bytes | None:
    """The ratios as bars, and the growth as a curve beside its prediction, as a file's content.

    Returns:
        None if there is neither: a model alone, without transformers.
    """
    rows, growth = benchmark.layers, benchmark.growth
    to_dense = {_label(row): _bar(row.to_dense) for row in rows}
    to_best = {_label(row): row.to_best for row in rows}
    to_best |= {name: model.to_best for name, model in benchmark.models.items()}
    ratios = {
        "ours ÷ dense of equal active FLOPs": to_dense,
        "ours ÷ best of transformers": {
            name: _bar(ratio) for name, ratio in to_best.items() if ratio is not None
        },
    }
    curves: dict[str, tuple[Sequence[int], Sequence[Sequence[float]]]] = {}
    if growth is not None:
        n_experts = [shape.n_experts for shape in growth.shapes]
        rounds = [growth.times_as_long(shape).rounds for shape in growth.shapes]
        curves["measured"] = (n_experts, list(zip(*rounds, strict=True)))
        predicted = [growth.predicted_times_as_long(shape) for shape in growth.shapes]
        known = [value for value in predicted if value is not None]
        if known:
            curves["predicted by the roofline"] = (n_experts, [known])
    bars = {series: found for series, found in ratios.items() if found}
    if not bars and not curves:
        return None
    return speed_picture(bars, curves, machine_line(benchmark.machine), form)


def _label(row: LayerRow) -> str:
    return row.name.replace(" ", "\n")


def _bar(ratio: Ratio) -> tuple[float, float, float]:
    low, high = ratio.quartiles
    return low, ratio.median, high


def _work(shape: Shape, itemsize: int, machine: Machine) -> Work:
    return layer_work(
        shape.config,
        shape.n_tokens,
        itemsize,
        backward=shape.backward,
        n_cores=machine.n_threads,
    )


def _predicted(work: Work, machine: Machine, dtype: str) -> Prediction | None:
    peak = machine.peaks.get(dtype)
    if peak is None:
        return None
    return predicted_seconds(work.flops, work.n_bytes, work.n_operations, peak)


def dtype_of(name: str) -> torch.dtype:
    """torch's dtype of that name."""
    dtype: torch.dtype = getattr(torch, name)
    return dtype
