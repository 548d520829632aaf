"""Configuration of a training run."""

from dataclasses import dataclass
from typing import Any, Literal

from minimoe.config import checks
from minimoe.errors import InputError


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """How a model is trained.

    Args:
        steps: optimizer steps of the whole run.
        batch_size: sequences in a batch (B).
        length: positions in a sequence (L).
        learning_rate: at the end of the warm-up.
        warmup_share: share of the steps over which the learning rate rises from 0, in [0, 1).
        final_lr_share: learning rate at the end, as a share of learning_rate.
        decay_share: None = the learning rate falls along a cosine after the warm-up. A number =
            it stays at its peak and falls linearly over this share of the steps at the end. Runs
            of different length then share their beginning (arXiv 2405.18392).
        weight_decay: of AdamW, on matrices only.
        beta1, beta2: of AdamW.
        clip_norm: upper limit of the gradient's norm.
        balance_weight: factor of the load-balancing loss (mean over MoE layers); 0 = off.
        z_weight: factor of the router z-loss (mean over MoE layers); 0 = off.
        expert_bias_rate: step of the selection-bias update, for models with use_expert_bias.
        domain_weights: relative frequency of windows that start in each domain of the text; None =
            equal frequencies.
        seed: of the batches; the model's initial weights have another seed.
        dtype: of weights and arithmetic.
    """

    steps: int
    batch_size: int = 16
    length: int = 128
    learning_rate: float = 4e-3
    warmup_share: float = 0.1
    final_lr_share: float = 0.1
    decay_share: float | None = None
    weight_decay: float = 0.1
    beta1: float = 0.9
    beta2: float = 0.95
    clip_norm: float = 1.0
    balance_weight: float = 0.03
    z_weight: float = 0.001
    expert_bias_rate: float = 0.001
    domain_weights: tuple[float, ...] | None = None
    seed: int = 0
    dtype: Literal["float32", "float64"] = "float32"

    def __post_init__(self) -> None:
        checks.check_each(self, checks.check_integer, "steps length", 1)
        checks.check_integer("batch_size", self.batch_size, 1, 2**31 - 1)
        checks.check_integer("seed", self.seed, 0, 2**63 - 1)  # the range of a torch generator
        checks.check_each(self, checks.check_positive, "learning_rate clip_norm")
        weights = "weight_decay balance_weight z_weight expert_bias_rate"
        checks.check_each(self, checks.check_number, weights, 0.0)
        checks.check_number("final_lr_share", self.final_lr_share, 0.0, 1.0)
        if self.decay_share is not None:
            checks.check_number("decay_share", self.decay_share, 0.0, 1.0)
        for name in ("warmup_share", "beta1", "beta2"):
            checks.check_number(name, getattr(self, name), 0.0, 1.0)
            if getattr(self, name) == 1:
                raise InputError(f"{name} must be below 1, got {getattr(self, name)!r}")
        checks.check_choice("dtype", self.dtype, ("float32", "float64"))
        if self.domain_weights is not None:
            if not isinstance(self.domain_weights, tuple) or not self.domain_weights:
                raise InputError(
                    f"domain_weights must be a tuple of numbers, got {self.domain_weights!r}"
                )
            for weight in self.domain_weights:
                checks.check_number("a weight of domain_weights", weight, 0.0)

    @property
    def decay_begins(self) -> int:
        """Steps before the decay: 80 of 100 with decay_share 0.2, the warm-up with a cosine."""
        if self.decay_share is None:
            return self.warmup_steps
        return max(self.warmup_steps, self.steps - round(self.decay_share * self.steps))

    @property
    def warmup_steps(self) -> int:
        """Steps over which the learning rate rises, at least 1."""
        return max(1, round(self.warmup_share * self.steps))


def train_config_from(data: dict[str, Any]) -> TrainConfig:
    """The TrainConfig that `dataclasses.asdict` turned into a dictionary.

    Raises:
        InputError: a field is missing, unknown or out of range.
    """
    try:
        if isinstance(data.get("domain_weights"), list):  # JSON has no tuples
            data = {**data, "domain_weights": tuple(data["domain_weights"])}
        return TrainConfig(**data)
    except (TypeError, AttributeError) as error:
        raise InputError(f"not the configuration of a training run: {error}") from error
