"""Granularity: many small experts or a few big ones, in models equal in everything else.

layers.py cuts experts. This file has the models that were trained, what they reached
(granularity.json), and how they compare.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import mean
from typing import Any

import torch

from minimoe.config import AttentionConfig, ModelConfig, MoEConfig, TrainConfig
from minimoe.data.batches import validation_batches
from minimoe.data.packaged import small_text
from minimoe.data.text import Text
from minimoe.experiments.granularity.layers import (
    combinations,
    expert_overlap,
    finer,
    layer_inputs,
    split_experts,
    without_best,
    without_shared,
)
from minimoe.files import write_file
from minimoe.measure.bits import bits_per_byte
from minimoe.measure.comparison import Paired, paired
from minimoe.model.routing import Routing
from minimoe.model.transformer import Transformer
from minimoe.training.checkpoint import text_digest
from minimoe.training.loop import Run, start, train

RECORD = Path(__file__).with_name("granularity.json")
PARTS = (1, 2, 4, 8)
SEEDS = (0, 1, 2, 3)
JUDGED_STEPS = (100, 200, 400, 600)
JUDGED_BYTES = 2**15  # of validation text
TRAINING = TrainConfig(steps=JUDGED_STEPS[-1], batch_size=8, length=64)


def name_of(parts: int, n_shared: int) -> str:
    """Name a trial: `name_of(4, 1) == "4 parts, 1 shared"`."""
    return f"{parts} part{'s' * (parts > 1)}, {n_shared} shared"


def grid(coarse: ModelConfig) -> dict[str, ModelConfig]:
    """Return a model at each granularity of PARTS, without a shared expert and with one."""
    assert coarse.moe is not None
    return {
        name_of(parts, n_shared): replace(coarse, moe=finer(coarse.moe, parts, n_shared))
        for parts in PARTS
        for n_shared in (0, 1)
    }


def trials() -> dict[str, ModelConfig]:
    """Return the models of the record: a dense one of equal active width, and the grid."""
    attention = AttentionConfig(d_model=64, n_heads=4, n_kv_heads=2, d_head=16)
    layer = MoEConfig(
        d_model=64, d_expert=128, n_routed_experts=8, top_k=2, normalize_weights=False
    )
    sparse = ModelConfig(n_layers=2, attention=attention, moe=layer, max_length=64)
    return {"dense": replace(sparse, moe=None, d_ff=2 * 128), **grid(sparse)}


@dataclass(frozen=True)
class Row:
    """The results of one model of the record.

    Attributes:
        seed: of the weights and of the batches.
        first_loss: cross-entropy of the first batch, before the first update, in nats.
        bits_per_byte: of the validation text, by the step after which it was measured.
        overlap: `expert_overlap`, mean over layers; None for a dense model.
        without_shared, without_best: bits per byte at the end, if either is removed; None if there
            is nothing to remove.
    """

    trial: str
    seed: int
    first_loss: float
    bits_per_byte: dict[int, float]
    overlap: float | None
    without_shared: float | None
    without_best: float | None


def train_one(
    trial: str, config: ModelConfig, seed: int, text: Text, training: TrainConfig = TRAINING
) -> Row:
    """Train one model; measure it at the JUDGED_STEPS that it reaches, and at the end."""
    judged = list(
        validation_batches(text.validation, length=TRAINING.length, max_bytes=JUDGED_BYTES)
    )
    bits: dict[int, float] = {}

    def measure(model: Transformer) -> float:
        return bits_per_byte(model, judged, text.validation.domains)["all"]

    def after_step(run: Run, _routings: tuple[Routing, ...]) -> None:
        if run.step in (*JUDGED_STEPS, training.steps):
            bits[run.step] = measure(run.model)

    run = start(config, replace(training, seed=seed), seed)
    train(run, text.train, hooks=[after_step])
    model, moe = run.model, config.moe
    shared = moe is not None and moe.n_shared_experts > 0
    inputs = zip(model.moe_layers(), layer_inputs(model, judged[0]), strict=True)
    overlaps = [expert_overlap(layer, x[:512]) for layer, x in inputs]
    return Row(
        trial=trial,
        seed=seed,
        first_loss=run.history[0].cross_entropy,
        bits_per_byte=bits,
        overlap=mean(overlaps) if overlaps else None,
        without_shared=measure(without_shared(model)) if shared else None,
        without_best=None if moe is None else measure(without_best(model)),
    )


def record(path: Path = RECORD) -> list[Row]:
    """Read the stored rows; `python -m minimoe.experiments.granularity FILE` makes them again.

    They were trained in float32: another machine's bits differ in the third decimal or the second.
    """
    rows: list[Mapping[str, Any]] = json.loads(path.read_text(encoding="utf-8"))["rows"]
    return [
        Row(**{**row, "bits_per_byte": {int(s): b for s, b in row["bits_per_byte"].items()}})
        for row in rows
    ]


def by_trial(rows: Iterable[Row], measured: str = "bits_per_byte") -> dict[str, list[float]]:
    """Collect what was measured of each trial at the end of training, in the order of the seeds.

    Args:
        rows: such as `record()`.
        measured: a field of a row; trials for which it is None are left out.
    """
    found: dict[str, list[float]] = {}
    for row in sorted(rows, key=lambda row: row.seed):
        value = getattr(row, measured)
        if isinstance(value, dict):
            value = value[max(value)]
        if value is not None:
            found.setdefault(row.trial, []).append(value)
    return found


def comparisons(measured: Mapping[str, Sequence[float]]) -> dict[str, Paired]:
    """Compare the trials of a grid, given a number for each trial and seed.

    Returns:
        Seven, by label: each finer trial minus the coarse one, none with a shared expert; then for
        each granularity the trial with a shared expert minus the one without.
    """

    def minus(one: tuple[int, int], other: tuple[int, int]) -> Paired:
        return paired(measured[name_of(*one)], measured[name_of(*other)])

    finer_ones = {f"{parts} parts − 1 part": minus((parts, 0), (1, 0)) for parts in PARTS[1:]}
    shared_ones = {
        f"1 shared − 0, {name_of(parts, 0).partition(',')[0]}": minus((parts, 1), (parts, 0))
        for parts in PARTS
    }
    return finer_ones | shared_ones


def make_record(path: Path) -> None:
    """Train every trial with every seed, and write the rows after each; about 10 minutes."""
    text, rows = small_text(), []
    for seed in SEEDS:
        for trial, config in trials().items():
            rows.append(asdict(train_one(trial, config, seed, text)))
            found: dict[str, Any] = {
                "text_sha256": text_digest(text.train),
                "torch": torch.__version__,
                "training": asdict(TRAINING),
                "rows": rows,
            }
            write_file(path, json.dumps(found, indent=1) + "\n")
            print(seed, trial, rows[-1]["bits_per_byte"], flush=True)
