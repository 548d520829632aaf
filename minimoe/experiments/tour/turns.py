"""Training of all runs of a tour in turn, with evaluations on the way."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from minimoe.data.batches import Batch
from minimoe.data.text import Text
from minimoe.experiments.tour.plan import LENGTH, Plan
from minimoe.formulas.flops import count_flops
from minimoe.measure.bits import bits_per_byte
from minimoe.show.comparison import Point
from minimoe.training.loop import Run, train

Key = tuple[str, int]  # the name of the model, the seed


@dataclass(frozen=True)
class Evaluation:
    """A point of a run's curve, and the loss of each domain there."""

    point: Point
    bits_per_byte: dict[str, float]


def train_in_turn(
    runs: Mapping[Key, Run],
    text: Text,
    judged: Sequence[Batch],
    plan: Plan,
    progress: Callable[[int, int], Iterable[int]],
) -> dict[Key, list[Evaluation]]:
    """Train until the plan, the deadline or Ctrl-C ends it; evaluate on the way and at the end."""
    last = list(runs.values())[-1]
    found: dict[Key, list[Evaluation]] = {key: [] for key in runs}

    def evaluate() -> None:
        for key, run in runs.items():
            found[key].append(_evaluation(run, judged, text))

    def evaluate_on_the_way(run: Run, _routings: object) -> None:
        if run is last and run.step in plan.evaluate_at:
            evaluate()

    def in_time(first: int, end: int) -> Iterator[int]:
        for step in progress(first, end):
            if time.perf_counter() > plan.deadline:
                return
            yield step

    evaluate()
    with suppress(KeyboardInterrupt):
        train(list(runs.values()), text.train, hooks=[evaluate_on_the_way], progress=in_time)
    if last.step not in plan.evaluate_at:
        evaluate()
    return found


def _evaluation(run: Run, judged: Sequence[Batch], text: Text) -> Evaluation:
    """The validation loss of a run now, and what its training has used."""
    tokens, seconds = (run.history[-1].tokens, run.history[-1].seconds) if run.history else (0, 0.0)
    flops = count_flops(run.model.config, LENGTH).training_per_token * tokens
    bits = bits_per_byte(run.model, judged, text.validation.domains)
    return Evaluation(Point(float(tokens), float(flops), seconds, bits["all"]), bits)
