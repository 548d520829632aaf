"""Training: one step, and the loop that repeats it."""

import math
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType
from typing import TypeVar

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from minimoe.config import InputError, ModelConfig, TrainConfig
from minimoe.data.batches import Batch, training_batch
from minimoe.data.text import Corpus
from minimoe.model.parameters import decays
from minimoe.model.routing import Routing, RoutingRule
from minimoe.model.transformer import Transformer
from minimoe.randomness import derived_seed
from minimoe.training.balance import load_balancing_loss, router_z_loss, update_expert_bias_
from minimoe.training.progress import watched

# From the routing of one layer and the mask of its tokens (None = no padding) to a loss.
RouterLoss = Callable[[Routing, Tensor | None], Tensor]


@dataclass(frozen=True)
class Losses:
    """The two losses of the routers that a step adds to the cross-entropy."""

    balance: RouterLoss = load_balancing_loss
    z: RouterLoss = router_z_loss


@dataclass(frozen=True)
class StepRecord:
    """What one training step reports.

    Attributes:
        step: counted from 1.
        tokens: read so far, this step's included.
        cross_entropy: nats a token; the auxiliary losses are NOT in it.
        load_balancing_loss, router_z_loss: means over the MoE layers, before their factors.
        gradient_norm: before clipping.
        learning_rate: of this step.
        seconds: of training so far.
    """

    step: int
    tokens: int
    cross_entropy: float
    load_balancing_loss: float
    router_z_loss: float
    gradient_norm: float
    learning_rate: float
    seconds: float


@dataclass
class Run:
    """A model in training: everything that a checkpoint must hold to go on bit for bit.

    `history` has one record for each step that is done. `between_steps` is False while a step
    changes the model, before it is recorded.
    """

    model: Transformer
    optimizer: torch.optim.AdamW
    config: TrainConfig
    losses: Losses = Losses()
    history: list[StepRecord] = field(default_factory=list)
    between_steps: bool = True

    @property
    def step(self) -> int:
        """Steps done."""
        return len(self.history)


# Called after each step with the run and with what each MoE layer decided in it.
Hook = Callable[[Run, tuple[Routing, ...]], None]
Runs = TypeVar("Runs", Run, list[Run])


def start(
    model_config: ModelConfig,
    config: TrainConfig,
    seed: int = 0,
    *,
    rule: RoutingRule | None = None,
    losses: Losses | None = None,
) -> Run:
    """A new run: initial weights from `seed`, and AdamW that decays matrices only.

    Args:
        rule: how the routers choose; None = `minimoe.model.routing.route`.
        losses: of the routers; None = the load-balancing loss and the z-loss.

    Raises:
        InputError: config.length exceeds the model's max_length.
    """
    if config.length > model_config.max_length:
        raise InputError(
            f"length must lie in [1, max_length={model_config.max_length}], got {config.length}"
        )
    model = Transformer(model_config, seed, rule).to(getattr(torch, config.dtype))
    parameters = list(model.parameters())
    groups = [
        {"params": [p for p in parameters if decays(p)], "weight_decay": config.weight_decay},
        {"params": [p for p in parameters if not decays(p)], "weight_decay": 0.0},
    ]
    betas = (config.beta1, config.beta2)
    optimizer = torch.optim.AdamW(groups, lr=config.learning_rate, betas=betas, fused=True)
    return Run(model, optimizer, config, losses or Losses())


def learning_rate(config: TrainConfig, step: int) -> float:
    """Linear warm-up, then a cosine (or a plateau and a line) down to final_lr_share of the peak.

    1000 steps, a peak of 0.003, warmup_share 0.05 and final_lr_share 0.1 give 0.003 at step 50 and
    0.0003 at step 1000. With decay_share 0.2 the rate is 0.003 up to step 800 and 0.00165 at 900.
    """
    if step <= config.warmup_steps:
        return config.learning_rate * step / config.warmup_steps
    begins = config.decay_begins
    progress = min(max(0.0, step - begins) / max(1, config.steps - begins), 1.0)
    left = 1 - progress
    if config.decay_share is None:
        left = (1 + math.cos(math.pi * progress)) / 2
    return config.learning_rate * (config.final_lr_share + (1 - config.final_lr_share) * left)


def cross_entropy(
    logits: Float[Tensor, "B L V"], targets: Int[Tensor, "B L"]
) -> Float[Tensor, "B L"]:
    """-ln p(target), in nats, for every position. Equal logits over 256 bytes give 5.545."""
    losses = nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="none")
    return losses.view_as(targets)


def mean_over_layers(
    loss: RouterLoss, routings: tuple[Routing, ...], mask: Bool[Tensor, "T"] | None, like: Tensor
) -> Float[Tensor, ""]:
    """A router loss averaged over the MoE layers; 0 for a dense model."""
    if not routings:
        return like.new_zeros(())
    return torch.stack([loss(routing, mask) for routing in routings]).mean()


def train_step(run: Run, batch: Batch) -> tuple[StepRecord, tuple[Routing, ...]]:
    """One step: forward, losses, backward, clip, selection bias, AdamW, record.

    Padding (where batch.mask is False) counts in no loss and in no load.

    Returns:
        What the step reports, and what each MoE layer decided for its batch.

    Raises:
        InputError: the batch holds no text, or its mask is not of True and False.
        FloatingPointError: the gradient is not finite; the model is as before the step.
    """
    began = time.perf_counter()
    model, config, step = run.model, run.config, run.step + 1
    mask = None if batch.mask is None else batch.mask.flatten()
    n_text = batch.inputs.numel() if mask is None else int(mask.sum())
    if n_text == 0 or (mask is not None and mask.dtype != torch.bool):
        kind = "no mask" if mask is None else f"a mask of {mask.dtype}"
        raise InputError(
            f"a batch needs at least 1 token of text and a mask of torch.bool, "
            f"got {n_text} tokens and {kind}"
        )

    noise_seed = derived_seed(config.seed, run.step, "router noise")
    logits, routings = model(batch.inputs, noise_seed=noise_seed)
    nats = cross_entropy(logits, batch.targets)
    language = (nats if batch.mask is None else nats[batch.mask]).mean()
    balance = mean_over_layers(run.losses.balance, routings, mask, language)
    z = mean_over_layers(run.losses.z, routings, mask, language)
    loss = language + config.balance_weight * balance + config.z_weight * z

    run.optimizer.zero_grad(set_to_none=True)
    loss.backward()
    norm = nn.utils.clip_grad_norm_(model.parameters(), config.clip_norm)
    if not math.isfinite(float(norm)):
        raise FloatingPointError(
            f"the gradient of step {step} is not finite; lower learning_rate="
            f"{config.learning_rate} or clip_norm={config.clip_norm}"
        )
    run.between_steps = False
    for layer, routing in zip(model.moe_layers(), routings, strict=True):
        update_expert_bias_(layer.router, routing.of(mask), config.expert_bias_rate)
    rate = learning_rate(config, step)
    for group in run.optimizer.param_groups:
        group["lr"] = rate
    run.optimizer.step()

    tokens, seconds = (run.history[-1].tokens, run.history[-1].seconds) if run.history else (0, 0.0)
    record = StepRecord(
        step=step,
        tokens=tokens + batch.inputs.numel(),
        cross_entropy=language.item(),
        load_balancing_loss=balance.item(),
        router_z_loss=z.item(),
        gradient_norm=norm.item(),
        learning_rate=rate,
        seconds=seconds + time.perf_counter() - began,
    )
    run.history.append(record)
    run.between_steps = True
    return record, routings


def next_batch(run: Run, corpus: Corpus) -> Batch:
    """The batch of the run's next step: a function of the seed and the step alone."""
    config = run.config
    return training_batch(
        corpus,
        batch_size=config.batch_size,
        length=config.length,
        seed=config.seed,
        step=run.step,
        domain_weights=config.domain_weights,
    )


def train(
    runs: Runs,
    corpus: Corpus,
    *,
    steps: int | None = None,
    hooks: Iterable[Hook] = (),
    next_batch: Callable[[Run, Corpus], Batch] = next_batch,
    progress: Callable[[int, int], Iterable[int]] = watched,
) -> Runs:
    """Train one run, or several in turn, until `steps` steps are done. The only training loop.

    Several runs take one step each in turn, so a machine that slows down slows all of them. A run
    that was stopped and resumed reads what the uninterrupted one reads.

    Args:
        runs: all at the same step.
        steps: where to end, counted from the start of the run; None = config.steps.
        hooks: called in order after each step of each run.
        next_batch: makes the next batch of a run.
        progress: gets the first step and the number of steps, returns an iterable over them.
            By default a bar in a notebook, nothing elsewhere.

    Returns:
        `runs`, trained in place.

    Raises:
        KeyboardInterrupt: after Ctrl-C, when every run has finished its step; at once after a
            second one.
    """
    each, hooks = [runs] if isinstance(runs, Run) else runs, tuple(hooks)
    last = each[0].config.steps if steps is None else steps
    for _ in progress(each[0].step, last):
        with deferred_interrupt():
            for run in each:
                _, routings = train_step(run, next_batch(run, corpus))
                for hook in hooks:
                    hook(run, routings)
    return runs


@contextmanager
def deferred_interrupt() -> Iterator[None]:
    """Defer the first Ctrl-C until the block ends; a second one interrupts at once.

    In a thread that is not the main one there is nothing to defer: Python sends it no Ctrl-C.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    pressed = False

    def remember(signum: int, frame: FrameType | None) -> None:
        nonlocal pressed
        pressed = True
        signal.signal(signal.SIGINT, before)

    before = signal.signal(signal.SIGINT, remember)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if pressed:
        raise KeyboardInterrupt
