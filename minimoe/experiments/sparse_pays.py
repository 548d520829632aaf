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
FRESH_SEEDS = (5, 6, 7, 8, 9)  # of the stated test alone
TUNING_SEEDS = (100, 101)  # no compared run has these
WARMUP = 64  # steps
LIVE, SHORT, BASE, LONG = 128, 512, 1024, 2048  # steps of 512 bytes
# A law is fitted to runs of BASE to FITTED steps. Longer runs are held out.
FITTED, LONGEST, PREDICTED = 4096, 8192, 10_496
EXPERTS = (2, 4, 8, 16, 32, 64)
# What the law said about the part "predicted" before it was trained: forecast, and the interval of
# 95 % over seeds. It is data: a later fit with other draws gives other ends.
FORECAST_OF = "26 November 2026, 22:20"
FORECAST = {
    "dense": (2.358, 2.305, 2.393),
    "moe-16": (2.235, 2.162, 2.290),
    "gain": (0.123, 0.097, 0.149),
}

# The best rates of the part "tuning" at 4 windows a step, for dense and for MoE. On equal bytes a
# smaller batch reaches a lower loss and takes more seconds: the part "batch" compares there too.
LEARNING_RATE = {"dense": 4e-3, "moe": 4e-3}
# The best of the part "widths" for other values of d_model; at 96, the geometric mean of its
# neighbours.
RATE_OF_WIDTH = {
    32: {"dense": 8e-3, "moe": 8e-3},
    64: LEARNING_RATE,
    96: {"dense": 2.8e-3, "moe": 2e-3},
    128: {"dense": 2e-3, "moe": 1e-3},
}
TUNED_RATES = {
    2: (1e-3, 2e-3, 4e-3, 8e-3, 16e-3),
    4: (2e-3, 4e-3, 8e-3, 16e-3),
    8: (2e-3, 4e-3, 8e-3, 16e-3),
}
LONG_RATES = (2e-3, 2.8e-3, 4e-3)  # tried again at the budgets that are compared
LARGEST_RATE = 16e-3  # far from the best: one seed is enough


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


def training(kind: str, steps: int, d_model: int = 64, **changes: Any) -> TrainConfig:
    """The tuned training of dense or MoE models, of this many steps of 512 bytes."""
    fields = {
        "batch_size": TOKENS // LENGTH,
        "length": LENGTH,
        "learning_rate": RATE_OF_WIDTH[d_model][kind],
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
    recipe = training(kind, budgets[-1], model.attention.d_model, **(change or {}))
    return Entry(name=name, model=model, training=recipe, budgets=budgets, seeds=seeds, **fields)


def _pair() -> dict[str, ModelConfig]:
    return {"dense": dense(), "moe-16": moe(16)}


def _tuning() -> tuple[Entry, ...]:
    """Learning rates and batch sizes, as many for dense as for MoE, on the same bytes."""
    grid = (
        _entry(
            f"tuning {name}, batch {batch}, rate {rate:g}",
            model,
            [BASE * 4 // batch],
            seeds=TUNING_SEEDS[: 1 if rate == LARGEST_RATE else 2],
            change={"batch_size": batch, "learning_rate": rate},
        )
        for batch, rates in TUNED_RATES.items()
        for rate in rates
        for name, model in _pair().items()
    )
    longer = (
        _entry(
            f"tuning {name}, {LONG} steps, rate {rate:g}",
            model,
            [BASE, LONG],
            seeds=TUNING_SEEDS,
            change={"learning_rate": rate},
        )
        for rate in LONG_RATES
        for name, model in _pair().items()
    )
    return (*longer, *grid)


def _widths() -> tuple[Entry, ...]:
    """Learning rates for other widths, on the bytes of BASE steps.

    A side's grid goes on until its best rate is not the last of the grid.
    """
    models = {
        "dense, d_model 128": (dense(128), (1e-3, 2e-3, 4e-3)),
        "moe-16, d_model 128": (moe(16, 128), (0.5e-3, 1e-3, 2e-3, 4e-3)),
        "dense, d_model 32": (dense(32), (4e-3, 8e-3, 16e-3)),
        "moe-16, d_model 32": (moe(16, 32), (4e-3, 8e-3, 16e-3)),
        "dense as large as moe-16": (dense(width=16), (2e-3, 4e-3, 8e-3)),
    }
    return tuple(
        _entry(
            f"tuning {name}, rate {rate:g}",
            model,
            [BASE],
            seeds=TUNING_SEEDS[:1],
            change={"learning_rate": rate},
        )
        for name, (model, rates) in models.items()
        for rate in rates
    )


def _equal_active() -> tuple[Entry, ...]:
    """E experts at equal active parameters and tokens; dense on, to find where it catches up."""
    live, budgets = (LIVE,), (SHORT, BASE, LONG)
    on = (FITTED, LONGEST)
    return (
        _entry("dense", dense(), live + budgets + on),
        *(_entry(f"moe-{n}", moe(n), (live if n == 16 else ()) + budgets) for n in EXPERTS),
    )


def _equal_total() -> tuple[Entry, ...]:
    """Dense models with all the parameters of moe-8 and moe-16, each of them active."""
    return tuple(
        _entry(f"dense as large as moe-{n}", dense(width=n), (SHORT, BASE, LONG)) for n in (16, 8)
    )


def _test() -> tuple[Entry, ...]:
    """The stated test: moe-16 minus dense after LONG steps, on seeds that nobody has looked at.

    Written down before these seeds ran: paired Student's t, two-sided, 95 %.
    """
    return tuple(
        _entry(name, model, (SHORT, BASE, LONG), seeds=FRESH_SEEDS)
        for name, model in _pair().items()
    )


def _batch() -> tuple[Entry, ...]:
    """dense and moe-16 on equal bytes with half the batch, at the best rate of the tuning there."""
    return tuple(
        _entry(
            f"{name}, batch 2", model, [2 * LONG], change={"batch_size": 2, "learning_rate": 2e-3}
        )
        for name, model in _pair().items()
    )


def _longer() -> tuple[Entry, ...]:
    """Two and four times the tokens, as dense has them in "equal-active"."""
    return (_entry("moe-16", moe(16), (FITTED, LONGEST)),)


def _scaled(n_experts: int, **layer: Any) -> ModelConfig:
    """A model whose K weights sum to K: an expert starts as large as dense's, and learns as fast.

    With weights that sum to 1, matching the first outputs makes the experts larger by K, and a
    step of AdamW, whose size is absolute, then moves them less.
    """
    return moe(n_experts, route_scale=float(layer.get("top_k", 2)), **layer)


SCALED = "moe-16, weights sum to K"


def _scale() -> tuple[Entry, ...]:
    """The base of the parts below. With its router dead, it is dense in another form."""
    return (_entry(SCALED, _scaled(16), (BASE, LONG)),)


def _wrong() -> tuple[Entry, ...]:
    """Runs that must come out otherwise: routers that learn nothing, and an untuned rate."""
    routers = (
        _entry(f"{SCALED}, {rule} router", _scaled(16), [BASE], rule=rule)
        for rule in ("dead", "frozen")
    )
    rates = (
        _entry(
            f"{name}, rate / 4",
            model,
            [BASE],
            change={"learning_rate": LEARNING_RATE[name.partition("-")[0]] / 4},
        )
        for name, model in _pair().items()
    )
    # Where moe-16 is better than dense, a router that always chooses the same experts must cost.
    dead = _entry("moe-16, dead router", moe(16), [LONG], rule="dead")
    return (*routers, *rates, dead)


def _one_change() -> tuple[Entry, ...]:
    """The scaled moe-16 with one thing changed at a time, and a sigmoid base for K = 1."""
    one: dict[str, Any] = {"score_function": "sigmoid", "normalize_weights": False}
    single = {**one, "top_k": 1, "route_scale": 2.0}
    models = {
        "4 parts": _scaled(32, d_expert=32, top_k=4),
        "8 parts": _scaled(64, d_expert=16, top_k=8),
        "K = 4": _scaled(16, top_k=4),
        "first layer dense": replace(_scaled(16), dense_layers=(0,), d_ff=128),
        "sigmoid": moe(16, **one, route_scale=2.0),
        "sigmoid, K = 1": moe(16, **single),
        "sigmoid, 1 part": moe(8, d_expert=128, **single),
    }
    shared = {
        "sigmoid, 1 shared": moe(15, n_shared_experts=1, **single),
        "4 parts, 1 shared": _scaled(31, d_expert=32, top_k=3, n_shared_experts=1),
    }
    losses = {f"loss {w:g}": {"balance_weight": w} for w in (0.0, 0.2)}
    rates = {f"bias {r:g}": {"balance_weight": 0.0, "expert_bias_rate": r} for r in (1e-3, 1e-2)}
    biased = _scaled(16, use_expert_bias=True)
    return (
        *(_entry(f"moe-16, {name}", model, [BASE]) for name, model in models.items()),
        *(_entry(f"moe-16, {name}", m, [BASE], probe_shared=True) for name, m in shared.items()),
        *(_entry(f"moe-16, {name}", _scaled(16), [BASE], change=c) for name, c in losses.items()),
        *(_entry(f"moe-16, {name}", biased, [BASE], change=c) for name, c in rates.items()),
    )


def _law() -> tuple[Entry, ...]:
    """Two more widths, with three seeds each, so that a law sees what the width does."""
    budgets = {32: (BASE, LONG, FITTED), 96: (BASE, LONG)}
    return tuple(
        _entry(f"{name}, d_model {width}", model, budgets[width], seeds=SEEDS[:3])
        for width in budgets
        for name, model in {"dense": dense(width), "moe-16": moe(16, width)}.items()
    )


def _predicted() -> tuple[Entry, ...]:
    """Models of 8 times the training FLOPs of the largest that a law is fitted to."""
    return tuple(
        _entry(f"{name}, d_model 128", model, [PREDICTED], seeds=SEEDS[:2])
        for name, model in {"dense": dense(128), "moe-16": moe(16, 128)}.items()
    )


def _languages() -> tuple[Entry, ...]:
    """Sixteen synthetic languages, whose smallest possible loss is known."""
    return tuple(
        _entry(f"{name}, languages", model, [BASE, LONG], text="languages")
        for name, model in _pair().items()
    )


PLAN = Plan(
    name="sparse-pays",
    what="dense and MoE models, compared at equal parameters, tokens, seconds and memory",
    parts={
        "tuning": _tuning(),
        "equal-active": _equal_active(),
        "test": _test(),
        "scale": _scale(),
        "wrong": _wrong(),
        "longer": _longer(),
        "widths": _widths(),
        "law": _law(),
        "predicted": _predicted(),
        "equal-total": _equal_total(),
        "one-change": _one_change(),
        "batch": _batch(),
        "languages": _languages(),
    },
)
