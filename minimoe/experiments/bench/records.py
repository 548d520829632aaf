"""What the benchmark times, what it measured, and what follows from that."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from minimoe.config import AttentionConfig, ModelConfig, MoEConfig
from minimoe.formulas.energy import estimated_joules, horowitz
from minimoe.formulas.roofline import Work, dense_work, layer_work, predicted_seconds
from minimoe.measure.timing import MachinePeak, Ratio, Timing


@dataclass(frozen=True)
class Shape:
    """One MoE layer and a batch for it: E and K, D, F, and T tokens."""

    name: str
    n_experts: int
    top_k: int
    d_model: int
    d_expert: int
    n_tokens: int

    @property
    def config(self) -> MoEConfig:
        """The configuration of the layer."""
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
        """Whether the backward pass is timed too; not for a single token, as in generation."""
        return self.n_tokens > 1


SHAPES = (
    Shape("S1", 8, 2, 128, 256, 2048),
    Shape("S2", 16, 2, 128, 256, 4096),
    Shape("S3", 64, 6, 128, 64, 4096),
    Shape("S4", 64, 8, 256, 128, 8192),
    Shape("S5", 8, 2, 512, 1024, 4096),
    Shape("D1", 8, 2, 128, 256, 1),
    Shape("D2", 64, 6, 256, 128, 1),
)
GROWTH = tuple(Shape("growth", n_experts, 2, 256, 256, 16384) for n_experts in (4, 16, 64, 256))
ATTENTION = AttentionConfig(d_model=128, n_heads=4, n_kv_heads=4, d_head=32)
MODELS = {
    name: ModelConfig(n_layers=4, attention=ATTENTION, moe=shape.config)
    for name, shape in (("coarse", SHAPES[0]), ("fine", SHAPES[2]))
}
BATCH = (8, 256)  # sequences and their length, for a training step of a model
PARTS = (*(shape.name for shape in SHAPES), *MODELS, "growth")
QUICK_PARTS = ("S1", "S3", "D1", "coarse", "growth")
ROUNDS, QUICK_ROUNDS = 9, 5
IMPLEMENTATIONS = ("eager", "grouped_mm")  # of the experts in transformers' Mixtral
MEMORY_STEPS = 3  # training steps over which the peak of memory is taken


@dataclass(frozen=True)
class Machine:
    """The machine that everything was timed on.

    Attributes:
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
        theirs = [name for name in IMPLEMENTATIONS if name in self.timings]
        return min(theirs, key=lambda name: self.timings[name].median, default=None)

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

    def figures(self, name: str) -> dict[str, float | None]:
        """What follows from the work of "dense" or of "ours", and from its median time.

        Returns:
            The share of the machine's peak FLOPs per second, 0 to 1; the seconds by the roofline;
            their error, predicted over measured, less 1; an estimate of the joules. None for what
            depends on the peak, where that is not known.
        """
        work, peak = self.work(name), self.machine.peaks.get(self.dtype)
        seconds, energy = self.timings[name].median, horowitz(dtype_of(self.dtype).itemsize)
        found: dict[str, float | None] = dict.fromkeys(
            ("share_of_peak", "predicted_seconds", "prediction_error")
        )
        if peak is not None:
            predicted = predicted_seconds(work.flops, work.n_bytes, work.n_operations, peak)
            found["share_of_peak"] = work.flops / seconds / peak.flops_per_second
            found["predicted_seconds"] = predicted.seconds
            found["prediction_error"] = predicted.error(seconds)
        return found | {"estimated_joules": estimated_joules(work.flops, work.n_bytes, energy)}


@dataclass(frozen=True)
class StepRows(_BesideTransformers):
    """A training step of the whole model, "ours" and transformers'.

    Attributes:
        batch: number of sequences, and their length.
        peak_bytes: memory of a step on top of what the process held before the first one:
            gradients, optimizer, activations; None where it cannot be measured.
    """

    config: ModelConfig
    batch: tuple[int, int]
    timings: Mapping[str, Timing]
    peak_bytes: Mapping[str, int | None]

    def tokens_per_second(self, name: str) -> float:
        """2,048 tokens in half a second are 4,096."""
        return self.batch[0] * self.batch[1] / self.timings[name].median


@dataclass(frozen=True)
class Benchmark:
    """All that one run measured; empty what was not asked for.

    Attributes:
        growth: layers with the same active parameters, those of the fewest experts first.
    """

    machine: Machine
    layers: tuple[LayerRow, ...]
    models: Mapping[str, StepRows]
    growth: tuple[LayerRow, ...]
    with_transformers: bool
    n_rounds: int
    seconds: float


def growth_of(rows: Sequence[LayerRow]) -> list[tuple[LayerRow, Ratio, float | None]]:
    """Each layer, and how many times as long as the first it takes: measured, and by the roofline.

    The prediction is None where the peak is not known.
    """
    found = []
    for row in rows:
        first, this = (r.figures("ours")["predicted_seconds"] for r in (rows[0], row))
        predicted = this / first if this and first else None
        found.append((row, rows[0].timings["ours"].ratio(row.timings["ours"]), predicted))
    return found


def dtype_of(name: str) -> torch.dtype:
    """torch's dtype of that name."""
    dtype: torch.dtype = getattr(torch, name)
    return dtype
