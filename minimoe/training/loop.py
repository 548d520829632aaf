"""How does it learn? One training step spelled out, and the run that repeats it."""

import math
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from minimoe.config import InputError, ModelConfig, TrainConfig
from minimoe.data.batches import Batch, training_batch
from minimoe.data.text import Corpus
from minimoe.model.routing import Routing
from minimoe.model.transformer import Transformer
from minimoe.randomness import generator_of
from minimoe.training.balance import load_balancing_loss, router_z_loss, update_expert_bias_


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
    """A model in training: everything that a checkpoint must hold to go on bit for bit."""

    model: Transformer
    optimizer: torch.optim.AdamW
    config: TrainConfig
    history: list[StepRecord] = field(default_factory=list)

    @property
    def step(self) -> int:
        """Steps done."""
        return len(self.history)


# Looks at a run after each step, and at what the routers decided in it.
AfterStep = Callable[[Run, tuple[Routing, ...]], None]


def start(model_config: ModelConfig, config: TrainConfig, seed: int = 0) -> Run:
    """A new run: initial weights from `seed`, AdamW that decays matrices only.

    Biases (the experts' stacked ones too), norm gains and attention sinks do not decay.
    """
    if config.length > model_config.max_length:
        raise InputError(
            f"length must lie in [1, max_length={model_config.max_length}], got {config.length}"
        )
    model = Transformer(model_config, seed).to(getattr(torch, config.dtype))
    matrices: list[nn.Parameter] = []
    others: list[nn.Parameter] = []
    for name, parameter in model.named_parameters():
        is_matrix = parameter.dim() > 1 and not name.endswith("bias")
        (matrices if is_matrix else others).append(parameter)
    groups = [
        {"params": matrices, "weight_decay": config.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    betas = (config.beta1, config.beta2)
    optimizer = torch.optim.AdamW(groups, lr=config.learning_rate, betas=betas, fused=True)
    return Run(model, optimizer, config)


def learning_rate(config: TrainConfig, step: int) -> float:
    """Linear warm-up, then a cosine down to final_lr_share of the peak at the last step.

    1000 steps, a peak of 0.003, warmup_share 0.05 and final_lr_share 0.1 give 0.003 at step 50 and
    0.0003 at step 1000.
    """
    warmup = max(1, round(config.warmup_share * config.steps))
    if step <= warmup:
        return config.learning_rate * step / warmup
    progress = (step - warmup) / max(1, config.steps - warmup)
    cosine = (1 + math.cos(math.pi * min(progress, 1.0))) / 2
    share = config.final_lr_share + (1 - config.final_lr_share) * cosine
    return config.learning_rate * share


def cross_entropy(
    logits: Float[Tensor, "B L V"], targets: Int[Tensor, "B L"]
) -> Float[Tensor, "B L"]:
    """-ln p(target), in nats, for every position. Equal logits over 256 bytes give 5.545."""
    losses = nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="none")
    return losses.view_as(targets)


def mean_over_layers(
    loss: Callable[[Routing], Tensor], routings: tuple[Routing, ...], like: Tensor
) -> Float[Tensor, ""]:
    """A router loss averaged over the MoE layers; 0 for a dense model."""
    return torch.stack([loss(r) for r in routings]).mean() if routings else like.new_zeros(())


def train_step(run: Run, batch: Batch) -> tuple[StepRecord, tuple[Routing, ...]]:
    """One step: forward, losses, backward, clip, AdamW, selection bias. Appended to the history.

    Returns:
        What the step reports, and what each MoE layer decided for its batch.
    """
    began = time.perf_counter()
    model, config, step = run.model, run.config, run.step + 1
    for group in run.optimizer.param_groups:
        group["lr"] = learning_rate(config, step)

    noise = generator_of(config.seed, run.step, "router noise")
    logits, routings = model(batch.inputs, generator=noise)
    language = cross_entropy(logits, batch.targets).mean()
    balance = mean_over_layers(load_balancing_loss, routings, language)
    z = mean_over_layers(router_z_loss, routings, language)
    loss = language + config.balance_weight * balance + config.z_weight * z

    run.optimizer.zero_grad(set_to_none=True)
    loss.backward()
    norm = nn.utils.clip_grad_norm_(model.parameters(), config.clip_norm)
    if not math.isfinite(float(norm)):
        raise FloatingPointError(
            f"the gradient of step {step} is not finite; lower learning_rate="
            f"{config.learning_rate} or clip_norm={config.clip_norm}"
        )
    run.optimizer.step()
    for layer, routing in zip(model.moe_layers(), routings, strict=True):
        update_expert_bias_(layer.router, routing, config.expert_bias_rate)

    before = run.history[-1] if run.history else None
    record = StepRecord(
        step=step,
        tokens=(before.tokens if before else 0) + batch.inputs.numel(),
        cross_entropy=language.item(),
        load_balancing_loss=balance.item(),
        router_z_loss=z.item(),
        gradient_norm=norm.item(),
        learning_rate=learning_rate(config, step),
        seconds=(before.seconds if before else 0.0) + time.perf_counter() - began,
    )
    run.history.append(record)
    return record, routings


def train(
    run: Run,
    corpus: Corpus,
    *,
    steps: int | None = None,
    after_step: AfterStep | None = None,
) -> Run:
    """Train until `steps` steps are done (default: config.steps); a resumed run goes on.

    A run that was stopped and resumed reads what the uninterrupted one reads.
    """
    config = run.config
    while run.step < (config.steps if steps is None else steps):
        _, routings = train_step(run, next_batch(run, corpus))
        if after_step is not None:
            after_step(run, routings)
    return run


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


@torch.no_grad()
def bits_per_byte(
    model: Transformer, batches: Iterable[Batch], domains: tuple[str, ...]
) -> dict[str, float]:
    """Mean -log2 p of the targets, in bits a token (a byte), for each domain and over "all".

    A model that knows nothing has 8 bits a byte.
    """
    sums = torch.zeros(len(domains), dtype=torch.float64)
    counts = torch.zeros(len(domains), dtype=torch.int64)
    for batch in batches:
        losses = cross_entropy(model(batch.inputs)[0], batch.targets).double() / math.log(2)
        ids = batch.domain_ids.flatten()
        sums += torch.bincount(ids, losses.flatten(), len(domains))
        counts += torch.bincount(ids, minlength=len(domains))
    if not counts.sum():
        raise InputError("there is no validation text to measure, got 0 batches")
    bits = (sums / counts).tolist()
    known = {name: b for name, b, n in zip(domains, bits, counts, strict=True) if n}
    return {**known, "all": float(sums.sum() / counts.sum())}


@contextmanager
def interrupt_between_steps() -> Iterator[Callable[[], bool]]:
    """Turn the first Ctrl-C into a question that a loop asks between two steps.

    Yields:
        A function that says whether Ctrl-C was pressed; a second one interrupts at once.
    """
    pressed = False

    def remember(signum: int, frame: FrameType | None) -> None:
        nonlocal pressed
        pressed = True
        signal.signal(signal.SIGINT, before)

    before = signal.signal(signal.SIGINT, remember)
    try:
        yield lambda: pressed
    finally:
        signal.signal(signal.SIGINT, before)
