"""Many small experts or a few big ones? Models that differ in nothing else, and what came of it."""

import json
import math
import sys
from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from minimoe.config import AttentionConfig, InputError, ModelConfig, MoEConfig, TrainConfig
from minimoe.data.batches import Batch, validation_batches
from minimoe.data.packaged import real_text
from minimoe.data.text import Text
from minimoe.files import write_file
from minimoe.measure.bits import bits_per_byte
from minimoe.model.moe import MoE
from minimoe.model.routing import Router, Routing
from minimoe.model.transformer import Transformer
from minimoe.training.checkpoint import text_digest
from minimoe.training.loop import Run, start, train

RECORD = Path(__file__).with_name("granularity.json")
PARTS = (1, 2, 4, 8)
SEEDS = (0, 1, 2, 3)
JUDGED_STEPS = (100, 200, 400, 600)
JUDGED_BYTES = 2**15


# Layers that differ in granularity alone ----------------------------------------------------------


# The rules under which parts weigh what the whole weighs.
_CUT_ONLY = {
    "score_function": "softmax",
    "normalize_weights": False,
    "shared_width": 0,
    "use_expert_bias": False,
    "n_expert_groups": 1,
    "router_bias": False,
    "biased_experts": False,
    "activation": "swiglu",
}


def finer(coarse: MoEConfig, parts: int, n_shared: int = 0) -> MoEConfig:
    """The same layer with every expert cut into `parts` (arXiv 2401.06066, section 3).

    Experts and choices are `parts` times as many, an expert is 1/parts as wide. Then `n_shared` of
    the experts that each token passes through are made shared: there are so many fewer to choose
    from, and so many fewer choices. Neither changes the experts' parameters, all or active; the
    router has a row for each routed expert.

    The route scale is the number of routed experts, so that a combine weight is E * score: 1 for
    every expert while the router is undecided, as for a shared one, at every granularity.

    Args:
        coarse: plain SwiGLU experts, softmax scores that are not normalized, no groups, no biases,
            no shared experts.
        parts: divides d_expert; 1 = as it is.
        n_shared: fewer than parts * top_k.

    Returns:
        The configuration. 8 experts of width 128 and top_k=2 in 4 parts, one of them shared, are 31
        routed experts of width 32 with top_k=7 and a shared one.

    Raises:
        InputError: the layer cannot be cut so.
    """
    for name, value in _CUT_ONLY.items():
        if getattr(coarse, name) != value:
            raise InputError(
                f"only a layer with {name}={value!r} is cut into parts, got "
                f"{name}={getattr(coarse, name)!r}"
            )
    if parts < 1 or coarse.d_expert % parts:
        raise InputError(f"parts must divide d_expert={coarse.d_expert}, got {parts}")
    if not 0 <= n_shared < parts * coarse.top_k:
        raise InputError(
            f"n_shared must lie in [0, parts * top_k={parts * coarse.top_k}), got {n_shared}"
        )
    n_routed = parts * coarse.n_routed_experts - n_shared
    return replace(
        coarse,
        d_expert=coarse.d_expert // parts,
        n_routed_experts=n_routed,
        top_k=parts * coarse.top_k - n_shared,
        n_shared_experts=n_shared,
        route_scale=float(n_routed),
    )


@torch.no_grad()
def split_experts(layer: MoE, parts: int) -> MoE:
    """A finer layer that computes the same function, slice by slice.

    Slice j of an expert has rows j * F/parts to (j + 1) * F/parts of its gate and of its up matrix,
    and these columns of its down matrix. The slices of one expert have equal router rows, so that
    they are chosen together, and 1/parts of its score.

    Returns:
        The layer, of the configuration `finer(layer.config, parts)`; its output equals the coarse
        one's to rounding, if the coarse route scale is its number of experts.
    """
    fine = MoE(finer(layer.config, parts)).to(layer.router.weight)
    gate, up = layer.experts.gate_up.chunk(2, dim=1)
    slices = [matrix.unflatten(1, (parts, -1)).flatten(0, 1) for matrix in (gate, up)]
    fine.experts.gate_up.copy_(torch.cat(slices, dim=1))
    down = layer.experts.down.unflatten(2, (parts, -1)).transpose(1, 2)
    fine.experts.down.copy_(down.flatten(0, 1))
    fine.router.weight.copy_(layer.router.weight.repeat_interleave(parts, dim=0))
    return fine


def combinations(config: MoEConfig) -> int:
    """How many sets of experts a token can be sent to in one layer.

    C(E, K); with group-limited routing only the sets that lie in `n_limited_groups` groups.

    Returns:
        The number. 2 of 16 are 120 sets, 8 of 64 are 4,426,165,368.
    """
    size = config.n_routed_experts // config.n_expert_groups
    return sum(
        math.comb(config.n_expert_groups, n) * _in_each_of(n, size, config.top_k)
        for n in range(1, config.n_limited_groups + 1)
    )


def _in_each_of(n_groups: int, size: int, k: int) -> int:
    """Sets of k out of n_groups * size that have a member in every group (inclusion, exclusion)."""
    return sum(
        (-1) ** left_out
        * math.comb(n_groups, left_out)
        * math.comb((n_groups - left_out) * size, k)
        for left_out in range(n_groups + 1)
    )


# What a trained layer does ------------------------------------------------------------------------


@torch.no_grad()
def expert_overlap(layer: MoE, x: Float[Tensor, "T D"]) -> float:
    """How alike the routed experts are: the mean squared cosine between two experts' outputs.

    Every expert computes every token. Two outputs of D numbers with nothing in common have a
    squared cosine of 1/D in the mean.

    Returns:
        In [0, 1]: 1 for equal experts, 1/D for independent ones.
    """
    n_experts = layer.config.n_routed_experts
    outputs = torch.stack([layer.experts.one(x, expert) for expert in range(n_experts)], dim=1)
    directions = torch.nn.functional.normalize(outputs.double(), dim=-1)
    squared = (directions @ directions.mT).square()
    pairs = n_experts * (n_experts - 1)
    return float((squared.sum((1, 2)) - squared.diagonal(dim1=1, dim2=2).sum(1)).mean() / pairs)


def without_shared(model: Transformer) -> Transformer:
    """A copy whose shared experts add nothing: removed after training, without retraining."""
    cut = deepcopy(model)
    for layer in cut.moe_layers():
        if layer.shared is not None:
            torch.nn.init.zeros_(layer.shared.down)
    return cut


def without_best(model: Transformer) -> Transformer:
    """A copy in which each token's best routed expert adds nothing, in every layer."""
    cut = deepcopy(model)
    for layer in cut.moe_layers():
        layer.router.register_forward_hook(_silence_best)
    return cut


def _silence_best(_router: Router, _inputs: Any, routing: Routing) -> Routing:
    silent = torch.ones_like(routing.weights)
    silent[:, 0] = 0
    return replace(routing, weights=routing.weights * silent)


def layer_inputs(model: Transformer, batch: Batch) -> list[Float[Tensor, "T D"]]:
    """What enters each MoE layer when the model reads a batch."""
    seen: list[Tensor] = []
    hooks = [
        layer.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].detach()))
        for layer in model.moe_layers()
    ]
    with torch.no_grad():
        model(batch.inputs)
    for hook in hooks:
        hook.remove()
    return seen


# The record ---------------------------------------------------------------------------------------


def name_of(parts: int, n_shared: int) -> str:
    """Such as "4 parts, 1 shared"."""
    return f"{parts} part{'s' * (parts > 1)}, {n_shared} shared"


def grid(coarse: ModelConfig) -> dict[str, ModelConfig]:
    """The model at each granularity of PARTS, without shared experts and with one.

    Returns:
        Eight configurations, from "1 part, 0 shared" to "8 parts, 1 shared".
    """
    assert coarse.moe is not None
    return {
        name_of(parts, n_shared): replace(coarse, moe=finer(coarse.moe, parts, n_shared))
        for parts in PARTS
        for n_shared in (0, 1)
    }


def trials() -> dict[str, ModelConfig]:
    """What was trained for the record: a dense model, and each granularity with and without shared.

    The dense model's layers are as wide as the experts that a token passes through.
    """
    attention = AttentionConfig(d_model=64, n_heads=4, n_kv_heads=2, d_head=16)
    layer = MoEConfig(
        d_model=64, d_expert=128, n_routed_experts=8, top_k=2, normalize_weights=False
    )
    sparse = ModelConfig(n_layers=2, attention=attention, moe=layer, max_length=64)
    return {"dense": replace(sparse, moe=None, d_ff=2 * 128), **grid(sparse)}


TRAINING = TrainConfig(steps=JUDGED_STEPS[-1], batch_size=8, length=64)


@dataclass(frozen=True)
class Row:
    """What became of one model of the record.

    Attributes:
        trial, seed: which model; the seed is that of its weights and of its batches.
        first_loss: cross-entropy of the first batch, before anything was learnt, in nats.
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
    judged = _judged(text)
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
    return Row(
        trial=trial,
        seed=seed,
        first_loss=run.history[0].cross_entropy,
        bits_per_byte=bits,
        overlap=None if moe is None else _mean_overlap(model, judged[0]),
        without_shared=measure(without_shared(model)) if shared else None,
        without_best=None if moe is None else measure(without_best(model)),
    )


def _judged(text: Text) -> list[Batch]:
    batches = validation_batches(
        text.validation, batch_size=32, length=TRAINING.length, max_bytes=JUDGED_BYTES
    )
    return list(batches)


def _mean_overlap(model: Transformer, batch: Batch) -> float:
    pairs = zip(model.moe_layers(), layer_inputs(model, batch), strict=True)
    each = [expert_overlap(layer, x[:512]) for layer, x in pairs]
    return sum(each) / len(each)


def record() -> list[Row]:
    """The stored rows; `python -m minimoe.experiments.granularity FILE` makes them again.

    Returns:
        One for each trial and seed. They were trained in float32: made again on another machine,
        a few tokens choose other experts, and the bits differ in the third decimal or the second.
    """
    return rows_of(RECORD.read_text(encoding="utf-8"))


def rows_of(text: str) -> list[Row]:
    """Rows as `main` writes them."""
    rows: list[Mapping[str, Any]] = json.loads(text)["rows"]
    return [
        Row(**{**row, "bits_per_byte": {int(s): b for s, b in row["bits_per_byte"].items()}})
        for row in rows
    ]


def by_trial(rows: Iterable[Row], measured: str = "bits_per_byte") -> dict[str, list[float]]:
    """What was measured of each trial at the end of training, in the order of the seeds.

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


@dataclass(frozen=True)
class Paired:
    """Differences between two trials, seed by seed: same seed, same text in the same order.

    Attributes:
        differences: one minus other, for each seed.
        mean: of the differences.
        low, high: its 95 % confidence interval, by Student's t.
    """

    differences: tuple[float, ...]
    mean: float
    low: float
    high: float

    @property
    def settled(self) -> bool:
        """The interval does not hold 0."""
        return not self.low <= 0 <= self.high


# 97.5 % quantiles of Student's t for 1, 2, ... 9 degrees of freedom.
_T = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262)


def paired(one: Sequence[float], other: Sequence[float]) -> Paired:
    """Compare two trials of the same seeds, in the same order.

    Returns:
        The comparison. (1, 2, 3) against (0, 0, 0) differ by 2 in the mean, from -0.484 to 4.484.

    Raises:
        InputError: other than 2 to 10 seeds, or not as many on both sides.
    """
    if len(one) != len(other) or not 2 <= len(one) <= 10:
        raise InputError(
            f"2 to 10 seeds on both sides are compared, got {len(one)} and {len(other)}"
        )
    differences = torch.tensor(one, dtype=torch.float64) - torch.tensor(other, dtype=torch.float64)
    n, mean = len(differences), float(differences.mean())
    half = _T[n - 2] * float(differences.std()) / math.sqrt(n)
    return Paired(tuple(differences.tolist()), mean, mean - half, mean + half)


def comparisons(measured: Mapping[str, Sequence[float]]) -> dict[str, Paired]:
    """What finer experts change, and what a shared one changes, by label.

    Args:
        measured: a number for each trial of a grid and each seed.

    Returns:
        Seven: each finer trial minus the coarse one, none with a shared expert; then for each
        granularity the trial with a shared expert minus the one without.
    """

    def minus(one: tuple[int, int], other: tuple[int, int]) -> Paired:
        return paired(measured[name_of(*one)], measured[name_of(*other)])

    finer_ones = {f"{parts} parts − 1 part": minus((parts, 0), (1, 0)) for parts in PARTS[1:]}
    shared_ones = {
        f"1 shared − 0, {name_of(parts, 0).partition(',')[0]}": minus((parts, 1), (parts, 0))
        for parts in PARTS
    }
    return finer_ones | shared_ones


def main(path: Path) -> None:
    """Train every trial with every seed, and write the rows after each; about 10 minutes."""
    text, rows = real_text(), []
    for seed in SEEDS:
        for trial, config in trials().items():
            rows.append(asdict(train_one(trial, config, seed, text)))
            found: dict[str, Any] = {
                "text_sha256": text_digest(text.train),
                "torch": torch.__version__,
            }
            found |= {"training": asdict(TRAINING), "rows": rows}
            write_file(path, json.dumps(found, indent=1) + "\n")
            print(seed, trial, rows[-1]["bits_per_byte"], flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
