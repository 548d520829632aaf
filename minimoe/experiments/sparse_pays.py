"""Does sparse pay? The plan: dense and MoE models, and what each is compared with.

Every model has 3 layers; d_model is 64 unless the name says otherwise. `dense` has the active
parameters of `moe-E`, a model with E experts of width 64 of which a token uses 2. A step reads
8 windows of 128 bytes.
"""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from minimoe.config import AttentionConfig, ModelConfig, MoEConfig, TrainConfig
from minimoe.experiments.plan import Entry, Plan

LENGTH, TOKENS = 128, 1024  # positions of a window, and tokens of a step
SEEDS = (0, 1, 2, 3, 4)
TUNING_SEEDS = (100, 101)  # no compared run has these
SHORT, BASE, LONG = 512, 1024, 2048  # steps of 1024 bytes
EXPERTS = (2, 4, 8, 16, 32, 64)

# The best of the part "tuning", for dense and for MoE.
LEARNING_RATE = {"dense": 4e-3, "moe": 4e-3}
TUNED_RATES = (2e-3, 4e-3, 8e-3, 16e-3)
TUNED_BATCHES = (4, 8, 16)


def dense(d_model: int = 64, width: float = 2) -> ModelConfig:
    """A dense model whose feed-forward layers are width * d_model wide."""
    return ModelConfig(
        n_layers=3, attention=_attention(d_model), d_ff=round(width * d_model), max_length=LENGTH
    )


def moe(n_experts: int, d_model: int = 64, **layer: Any) -> ModelConfig:
    """A model with an MoE layer in every block; 2 experts of width d_model for each token."""
    fields = {"d_expert": d_model, "top_k": 2, "n_routed_experts": n_experts, **layer}
    return ModelConfig(
        n_layers=3,
        attention=_attention(d_model),
        moe=MoEConfig(d_model=d_model, **fields),
        max_length=LENGTH,
    )


def _attention(d_model: int) -> AttentionConfig:
    return AttentionConfig(
        d_model=d_model, n_heads=d_model // 16, n_kv_heads=d_model // 32, d_head=16
    )


def training(kind: str, steps: int, **changes: Any) -> TrainConfig:
    """The tuned training of dense or MoE models, of this many steps of 1024 bytes."""
    fields = {
        "batch_size": TOKENS // LENGTH,
        "length": LENGTH,
        "learning_rate": LEARNING_RATE[kind],
        "warmup_share": 64 / steps,
        "decay_share": 0.2,
        "final_lr_share": 0.0,
        "balance_weight": 0.02,
        **changes,
    }
    return TrainConfig(steps=steps, **fields)


def _entry(
    name: str, model: ModelConfig, budgets: Iterable[int], *, seeds: tuple[int, ...] = SEEDS,
    kind: str | None = None, change: dict[str, Any] | None = None, **fields: Any,
) -> Entry:  # fmt: skip
    budgets = tuple(budgets)
    kind = kind or ("dense" if model.moe is None else "moe")
    recipe = training(kind, budgets[-1], **(change or {}))
    return Entry(
        name=name, model=model, training=recipe, budgets=budgets, seeds=seeds, **fields
    )


def _tuning() -> tuple[Entry, ...]:
    """Learning rates and batch sizes, as many for dense as for MoE, on the same bytes."""
    models = {"dense": dense(), "moe-16": moe(16)}
    return tuple(
        _entry(
            f"tuning {name}, batch {batch}, rate {rate:g}", model, [BASE * 8 // batch],
            seeds=TUNING_SEEDS,
            change={"batch_size": batch, "learning_rate": rate, "warmup_share": batch_warmup(batch)},
        )
        for batch in TUNED_BATCHES
        for rate in TUNED_RATES
        for name, model in models.items()
    )  # fmt: skip


def batch_warmup(batch: int) -> float:
    """The warm-up as a share of the steps of a tuning run: 64 steps for every batch size."""
    return 64 / (BASE * 8 // batch)


PLAN = Plan(
    name="sparse-pays",
    what="dense and MoE models, compared at equal parameters, tokens, seconds and memory",
    parts={"tuning": _tuning()},
)
