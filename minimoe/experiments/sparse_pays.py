"""Does sparse pay? The plan: dense and MoE models, and what each is compared with.

Every model has 3 layers; d_model is 64 unless the name says otherwise. `dense` has the active
parameters of `moe-E`, a model with E experts of width 64 of which a token uses 2. A step reads
4 windows of 128 bytes.
"""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from minimoe.config import AttentionConfig, ModelConfig, MoEConfig, TrainConfig
from minimoe.experiments.plan import Entry, Plan

LENGTH, TOKENS = 128, 512  # positions of a window, and tokens of a step
SEEDS = (0, 1, 2, 3, 4)
TUNING_SEEDS = (100, 101)  # no compared run has these
WARMUP = 64  # steps
LIVE, SHORT, BASE, LONG = 128, 512, 1024, 2048  # steps of 512 bytes
EXPERTS = (2, 4, 8, 16, 32, 64)

# The best rates of the part "tuning" at 4 windows a step, for dense and for MoE. On equal bytes a
# smaller batch reaches a lower loss and takes more seconds: the part "batch" compares there too.
LEARNING_RATE = {"dense": 4e-3, "moe": 4e-3}
TUNED_RATES = (2e-3, 4e-3, 8e-3, 16e-3)
TUNED_BATCHES = (2, 4, 8)


def dense(d_model: int = 64, width: int = 2) -> ModelConfig:
    """A dense model whose feed-forward layers are width * d_model wide."""
    return ModelConfig(
        n_layers=3, attention=_attention(d_model), d_ff=width * d_model, max_length=LENGTH
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
    """The tuned training of dense or MoE models, of this many steps of 512 bytes."""
    fields = {
        "batch_size": TOKENS // LENGTH,
        "length": LENGTH,
        "learning_rate": LEARNING_RATE[kind],
        "warmup_share": WARMUP / steps,
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
    return Entry(name=name, model=model, training=recipe, budgets=budgets, seeds=seeds, **fields)


def _tuning() -> tuple[Entry, ...]:
    """Learning rates and batch sizes, as many for dense as for MoE, on the same bytes."""
    return tuple(
        _entry(
            f"tuning {name}, batch {batch}, rate {rate:g}",
            model,
            [BASE * 4 // batch],
            seeds=TUNING_SEEDS,
            change={"batch_size": batch, "learning_rate": rate},
        )
        for batch in TUNED_BATCHES
        for rate in TUNED_RATES
        for name, model in {"dense": dense(), "moe-16": moe(16)}.items()
    )


def _equal_active() -> tuple[Entry, ...]:
    """E experts at equal active parameters and tokens; dense on, to find where it catches up."""
    live, budgets = (LIVE,), (SHORT, BASE, LONG)
    on = (2 * LONG, 4 * LONG)
    return (
        _entry("dense", dense(), live + budgets + on),
        *(_entry(f"moe-{n}", moe(n), (live if n == 16 else ()) + budgets) for n in EXPERTS),
    )


def _equal_total() -> tuple[Entry, ...]:
    """Dense models with all the parameters of moe-8 and moe-16, each of them active."""
    return tuple(
        _entry(f"dense as large as moe-{n}", dense(width=n), (SHORT, BASE, LONG)) for n in (8, 16)
    )


def _batch() -> tuple[Entry, ...]:
    """dense and moe-16 on equal bytes with half and twice the batch, at the best rates of these."""
    rates = {2: 2e-3, 8: 4e-3}
    return tuple(
        _entry(
            f"{name}, batch {batch}",
            model,
            [LONG * 4 // batch],
            change={"batch_size": batch, "learning_rate": rate},
        )
        for batch, rate in rates.items()
        for name, model in {"dense": dense(), "moe-16": moe(16)}.items()
    )


def _longer() -> tuple[Entry, ...]:
    """Four times the tokens."""
    return tuple(
        _entry(f"{name}, longer", model, [4 * LONG])
        for name, model in {"moe-16": moe(16), "moe-64": moe(64)}.items()
    )


def _wrong() -> tuple[Entry, ...]:
    """Runs that must come out worse: routers that learn nothing, and untuned learning rates."""
    routers = (
        _entry(f"moe-16, {rule} router", moe(16), [BASE], rule=rule) for rule in ("dead", "frozen")
    )
    rates = (
        _entry(
            f"{name}, rate x {factor:g}",
            model,
            [BASE],
            change={"learning_rate": factor * LEARNING_RATE[name.partition("-")[0]]},
        )
        for name, model in {"dense": dense(), "moe-16": moe(16)}.items()
        for factor in (0.25, 4)
    )
    return (*routers, *rates)


def _one_change() -> tuple[Entry, ...]:
    """moe-16 with one thing changed at a time; all have moe-16's total parameters but for K."""
    one: dict[str, Any] = {
        "score_function": "sigmoid",
        "normalize_weights": False,
        "route_scale": 2.0,
    }
    parts = {
        "1 part": moe(8, d_expert=128, top_k=1, **one),
        "4 parts": moe(32, d_expert=32, top_k=4),
        "8 parts": moe(64, d_expert=16, top_k=8),
        "K = 1": moe(16, top_k=1, **one),
        "K = 4": moe(16, top_k=4),
        "first layer dense": replace(moe(16), dense_layers=(0,), d_ff=128),
    }
    shared = {
        "1 shared": moe(15, top_k=1, n_shared_experts=1, **one),
        "4 parts, 1 shared": moe(31, d_expert=32, top_k=3, n_shared_experts=1),
    }
    losses = {f"loss {w:g}": {"balance_weight": w} for w in (0.0, 0.002, 0.2)}
    rates = {
        f"bias {r:g}": {"balance_weight": 0.0, "expert_bias_rate": r} for r in (1e-4, 1e-3, 1e-2)
    }
    return (
        *(_entry(f"moe-16, {name}", model, [BASE]) for name, model in parts.items()),
        *(_entry(f"moe-16, {name}", m, [BASE], probe_shared=True) for name, m in shared.items()),
        *(_entry(f"moe-16, {name}", moe(16), [BASE], change=c) for name, c in losses.items()),
        *(
            _entry(f"moe-16, {name}", moe(16, use_expert_bias=True), [BASE], change=change)
            for name, change in rates.items()
        ),
    )


def _law() -> tuple[Entry, ...]:
    """The same models half as wide. Their learning rate is twice that of d_model 64."""
    models = {"dense": dense(32)} | {f"moe-{n}": moe(n, 32) for n in (4, 16, 64)}
    return tuple(
        _entry(f"{name}, d_model 32", model, (SHORT, BASE, LONG)) for name, model in models.items()
    )


def _predicted() -> tuple[Entry, ...]:
    """Models of 9 times the training FLOPs of the largest that a law is fitted to."""
    return tuple(
        _entry(f"{name}, d_model 128", model, [3 * LONG], seeds=SEEDS[:2])
        for name, model in {"dense": dense(128), "moe-16": moe(16, 128)}.items()
    )


def _languages() -> tuple[Entry, ...]:
    """Sixteen synthetic languages, whose smallest possible loss is known."""
    models = {"dense": dense()} | {f"moe-{n}": moe(n) for n in (4, 16, 64)}
    return tuple(
        _entry(f"{name}, languages", model, [SHORT, BASE], text="languages")
        for name, model in models.items()
    )


PLAN = Plan(
    name="sparse-pays",
    what="dense and MoE models, compared at equal parameters, tokens, seconds and memory",
    parts={
        "tuning": _tuning(),
        "equal-active": _equal_active(),
        "equal-total": _equal_total(),
        "wrong": _wrong(),
        "batch": _batch(),
        "longer": _longer(),
        "one-change": _one_change(),
        "law": _law(),
        "predicted": _predicted(),
        "languages": _languages(),
    },
)
