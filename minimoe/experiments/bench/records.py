"""What the benchmark measured, and what follows from it: ratios, shares of peak, predictions."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch

from minimoe.config import ModelConfig
from minimoe.experiments.bench.plan import IMPLEMENTATIONS, Shape
from minimoe.formulas.energy import estimated_joules, horowitz
from minimoe.formulas.roofline import Prediction, Work, dense_work, layer_work, predicted_seconds
from minimoe.measure.timing import MachinePeak, Ratio, Timing


@dataclass(frozen=True)
class Machine:
    """The machine that everything was timed on.

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
    """Timings of "ours", and of transformers' implementations if they were timed."""

    timings: Mapping[str, Timing]

    @property
    def best(self) -> str | None:
        """The faster implementation of transformers, by median; None without transformers."""
        theirs = {name: self.timings[name] for name in IMPLEMENTATIONS if name in self.timings}
        return min(theirs, key=lambda name: theirs[name].median, default=None)

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
        """FLOPs, bytes and operations of "dense" or of "ours"."""
        shape, itemsize = self.shape, dtype_of(self.dtype).itemsize
        if name == "dense":
            sizes = (shape.d_model, shape.d_ff, shape.n_tokens)
            return dense_work(*sizes, itemsize, backward=shape.backward)
        n_cores = self.machine.n_threads
        return layer_work(
            shape.config, shape.n_tokens, itemsize, backward=shape.backward, n_cores=n_cores
        )

    def share_of_peak(self, name: str) -> float | None:
        """FLOPs per second over the machine's peak, 0 to 1; None where the peak is not known."""
        peak = self.machine.peaks.get(self.dtype)
        if peak is None:
            return None
        return self.work(name).flops / self.timings[name].median / peak.flops_per_second

    def predicted(self, name: str) -> Prediction | None:
        """Seconds by the roofline; None where the peak is not known."""
        work, peak = self.work(name), self.machine.peaks.get(self.dtype)
        if peak is None:
            return None
        return predicted_seconds(work.flops, work.n_bytes, work.n_operations, peak)

    def error(self, name: str) -> float | None:
        """Predicted over measured seconds, less 1; None where the peak is not known."""
        found = self.predicted(name)
        return None if found is None else found.error(self.timings[name].median)

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
        peak_bytes: memory of a step on top of what the process held before the first one:
            gradients, optimizer, activations; None where it cannot be measured.
    """

    config: ModelConfig
    batch: tuple[int, int]
    timings: Mapping[str, Timing]
    peak_bytes: Mapping[str, int | None]

    @property
    def n_tokens(self) -> int:
        """Tokens of the batch."""
        return self.batch[0] * self.batch[1]

    def tokens_per_second(self, name: str) -> float:
        """2,048 tokens in half a second are 4,096."""
        return self.n_tokens / self.timings[name].median


@dataclass(frozen=True)
class Growth:
    """Layers with the same active parameters and more and more experts, fewest experts first."""

    rows: tuple[LayerRow, ...]

    def times_as_long(self, row: LayerRow) -> Ratio:
        """Seconds of this one over those of the first, round by round; 1 for the first itself."""
        return self.rows[0].timings["ours"].ratio(row.timings["ours"])

    def predicted_times_as_long(self, row: LayerRow) -> float | None:
        """The same by the roofline; None where the peak is not known."""
        first, this = self.rows[0].predicted("ours"), row.predicted("ours")
        return None if first is None or this is None else this.seconds / first.seconds


@dataclass(frozen=True)
class Benchmark:
    """All that one run measured; None for what was not asked for."""

    machine: Machine
    layers: tuple[LayerRow, ...]
    models: Mapping[str, StepRows]
    growth: Growth | None
    with_transformers: bool
    n_rounds: int
    seconds: float


def dtype_of(name: str) -> torch.dtype:
    """torch's dtype of that name."""
    dtype: torch.dtype = getattr(torch, name)
    return dtype
