"""The tour: a dense and an MoE model of equal active parameters, trained and compared here.

plan.py says how many steps there is time for, turns.py trains, measuring.py measures the trained
models, and comparing.py compares them over the seeds.
"""

import json
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path

from minimoe.config import ModelConfig, TrainConfig, preset
from minimoe.data.batches import validation_batches
from minimoe.data.text import Text
from minimoe.errors import InputError
from minimoe.experiments.tour.comparing import compare
from minimoe.experiments.tour.measuring import contender, samples
from minimoe.experiments.tour.plan import BATCH_SIZE, LENGTH, Plan, plan_for, plan_of
from minimoe.experiments.tour.turns import Key, train_in_turn
from minimoe.files import usable_folder, write_file
from minimoe.measure.comparison import MOST_SEEDS
from minimoe.show.comparison import Comparison, Contender, Tour, comparison_rows, verdicts
from minimoe.show.report import tour_page
from minimoe.show.tables import text_table
from minimoe.training.checkpoint import save_checkpoint, text_digest
from minimoe.training.loop import Run, start

VALIDATION_BYTES = 18_432  # of text, the same for every point and for the table
REPORT_SHARE = 0.12  # of the time given: kept for the last evaluation, measuring, drawing


def run_tour(
    text: Text,
    out: Path,
    *,
    dense: ModelConfig | None = None,
    moe: ModelConfig | None = None,
    minutes: float = 1.35,
    steps: int | None = None,
    seed: int = 0,
    n_seeds: int = 3,
    say: Callable[[str], None] = lambda line: None,
    progress: Callable[[int, int], Iterable[int]] = range,
) -> Tour:
    """Train a dense and an MoE model with each seed, measure them, write a report.

    All runs take one step each in turn, so a machine that slows down slows all of them. One seed
    gives both models the same batches. Ctrl-C ends the training, not the report. Written to `out`:
    index.html, tour.json, and the models of the first seed as dense/ and moe/.

    Args:
        text: to train on and to validate on.
        out: folder for the report.
        dense, moe: the two models; the presets of these names if not given.
        minutes: for all of it, counted from the call.
        steps: of training, however long they take, instead of minutes.
        seed: the first one; the others follow it.
        n_seeds: in [1, 10]; a single seed gives no interval.
        say: gets lines for the user.
        progress: gets the first step and the number of steps, returns an iterable over them.

    Raises:
        InputError: minutes leave no time for a step, n_seeds is out of range, or the text is
            shorter than one batch needs.
        OSError: `out` cannot be written to.
    """
    if not 0 < minutes < float("inf"):
        raise InputError(f"minutes must be above 0 and finite, got {minutes:g}")
    if not 1 <= n_seeds <= MOST_SEEDS:
        raise InputError(f"seeds must lie in [1, {MOST_SEEDS}], got {n_seeds}")
    deadline = time.perf_counter() + 60 * minutes * (1 - REPORT_SHARE)
    out = usable_folder(out)
    configs = {"dense": dense or preset("dense"), "moe": moe or preset("moe")}
    judged = list(validation_batches(text.validation, length=LENGTH, max_bytes=VALIDATION_BYTES))
    if steps is None:
        plan = plan_for(minutes, deadline, list(configs.values()), n_seeds, text, judged)
    else:
        plan = plan_of(steps)
    runs = _start(configs, plan, range(seed, seed + n_seeds))
    tokens = plan.steps * BATCH_SIZE * LENGTH
    many = f"{n_seeds} seed{'s' * (n_seeds > 1)}"
    say(f"training dense and MoE in turn, {many}: {plan.steps} steps, {tokens:,} bytes each")
    found = train_in_turn(runs, text, judged, plan, progress)
    say("measuring and drawing")
    models = {name: contender(name, runs, found, judged) for name in configs}
    tour = _compared(models["dense"], models["moe"], tokens)
    _write(out, tour, runs, seed, text)
    return tour


def _start(configs: dict[str, ModelConfig], plan: Plan, seeds: Iterable[int]) -> dict[Key, Run]:
    """The runs at step 0; the two models of a seed stand side by side."""
    return {
        (name, seed): start(
            model,
            TrainConfig(steps=plan.steps, batch_size=BATCH_SIZE, length=LENGTH, seed=seed),
            seed,
        )
        for seed in seeds
        for name, model in configs.items()
    }


def _compared(dense: Contender, moe: Contender, planned_tokens: int) -> Tour:
    by_flops, by_seconds = compare(dense, moe, "flops"), compare(dense, moe, "seconds")
    return Tour(dense, moe, by_flops, by_seconds, planned_tokens)


def _write(out: Path, tour: Tour, runs: dict[Key, Run], seed: int, text: Text) -> None:
    """Write the page, the numbers, and the models of one seed."""
    routed = samples(runs["moe", seed].model, text.validation)
    write_file(out / "index.html", tour_page(tour, routed, text.credits))
    write_file(out / "tour.json", as_json(tour))
    digest = text_digest(text.train)
    for name in ("dense", "moe"):
        save_checkpoint(runs[name, seed], out / name, digest)


def summary(tour: Tour) -> str:
    """The table and what the seeds show, as text for a terminal."""
    headers, rows = comparison_rows(tour)
    return "\n\n".join([text_table(headers, rows), *verdicts(tour)])


def as_json(tour: Tour) -> str:
    """The numbers of every seed, the comparisons and their sentences, for a program to read."""

    def compared(found: Comparison, sentence: str) -> dict[str, object]:
        return {"sentence": sentence, **asdict(found)}

    by_flops, by_seconds = verdicts(tour)
    content = {
        "models": {model.name: asdict(model) for model in (tour.dense, tour.moe)},
        "planned_tokens": tour.planned_tokens,
        "by_flops": compared(tour.by_flops, by_flops),
        "by_seconds": compared(tour.by_seconds, by_seconds),
    }
    return json.dumps(content, indent=1)
