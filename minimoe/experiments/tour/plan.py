"""The plan of a tour: steps and evaluations that fit into the time given."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

from minimoe.config import ModelConfig, TrainConfig
from minimoe.data.batches import Batch
from minimoe.data.text import Text
from minimoe.errors import InputError
from minimoe.measure.bits import bits_per_byte
from minimoe.training.loop import next_batch, start, train_step

BATCH_SIZE, LENGTH = 8, 128  # many small steps show more in a minute than a few large ones
# Points of the validation curve after the one before training. With fewer than 4, the straight
# lines between them lie too far above the true curve.
FEWEST_POINTS, MOST_POINTS = 4, 8
EVALUATION_SHARE = 0.2  # of the time for training, at most, if this allows the fewest points
RESERVE = 0.1  # of the time for steps: what a slower moment of the machine may take
TRIAL_SECONDS = 1.5  # for each model, at most 2 % of the time given: measures one step


@dataclass(frozen=True)
class Plan:
    """What every run does.

    Attributes:
        steps: of training.
        evaluate_at: steps after which every run is evaluated; 0 is before training.
        deadline: of time.perf_counter(); the training ends there at the latest.
    """

    steps: int
    evaluate_at: frozenset[int]
    deadline: float


@dataclass(frozen=True)
class Cost:
    """Seconds of one training step and of one evaluation."""

    step: float
    evaluation: float


def plan_of(steps: int, n_points: int = MOST_POINTS, deadline: float = float("inf")) -> Plan:
    """Spread the evaluations over the steps; `plan_of(16, 2).evaluate_at == {0, 8, 16}`."""
    return Plan(
        steps, frozenset(round(steps * i / n_points) for i in range(n_points + 1)), deadline
    )


def plan_for(
    minutes: float,
    deadline: float,
    models: Sequence[ModelConfig],
    n_seeds: int,
    text: Text,
    judged: Sequence[Batch],
) -> Plan:
    """Time a step and an evaluation of each model, and plan until the deadline.

    Raises:
        InputError: there is no time for a single step.
    """
    trial = min(TRIAL_SECONDS, 0.02 * 60 * minutes)
    costs = [_cost(model, text, judged, trial) for model in models]
    cost = Cost(
        step=n_seeds * sum(each.step for each in costs),
        evaluation=n_seeds * sum(each.evaluation for each in costs),
    )
    left = max(0.0, deadline - time.perf_counter())
    steps, n_points = fitting(left, cost)
    if steps < 1:
        n_runs = n_seeds * len(models)
        needed = cost.step / (1 - RESERVE) + (FEWEST_POINTS + 1) * cost.evaluation
        raise InputError(
            f"minutes={minutes:g} leave {left:.1f} s for training, and {n_runs} runs need "
            f"{needed:.1f} s for a step and {FEWEST_POINTS + 1} evaluations each; give more "
            "minutes or fewer seeds"
        )
    return plan_of(steps, n_points, deadline)


def fitting(seconds: float, cost: Cost) -> tuple[int, int]:
    """The steps and the points of the curve that fit; `fitting(100, Cost(1, 2)) == (73, 8)`.

    One point more is evaluated before training.
    """
    affordable = int(EVALUATION_SHARE * seconds / cost.evaluation) - 1
    n_points = max(FEWEST_POINTS, min(MOST_POINTS, affordable))
    for_steps = seconds - (n_points + 1) * cost.evaluation
    return max(0, int((1 - RESERVE) * for_steps / cost.step)), n_points


def _cost(model: ModelConfig, text: Text, judged: Sequence[Batch], seconds: float) -> Cost:
    """Train a new model for this many seconds, then evaluate it on one batch for a third of it."""
    run = start(model, TrainConfig(steps=10**6, batch_size=BATCH_SIZE, length=LENGTH))
    domains = text.validation.domains
    step = _median_seconds(lambda: train_step(run, next_batch(run, text.train)), seconds)
    batch = _median_seconds(lambda: bits_per_byte(run.model, judged[:1], domains), seconds / 3)
    return Cost(step, len(judged) * batch)


def _median_seconds(act: Callable[[], object], seconds: float) -> float:
    """Median seconds of an act that is repeated for this long; the first half warms up."""
    taken: list[float] = []
    while sum(taken) < seconds or len(taken) < 4:
        began = time.perf_counter()
        act()
        taken.append(time.perf_counter() - began)
    return median(taken[len(taken) // 2 :])
