"""The tour: a dense and an MoE model of equal active parameters, trained and compared here."""

import json
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from statistics import median

import torch

from minimoe.config import ModelConfig, TrainConfig, preset
from minimoe.data.batches import Batch, validation_batches
from minimoe.data.text import Corpus, Text
from minimoe.errors import InputError
from minimoe.experiments.routed import routed_sample
from minimoe.files import usable_folder, write_file
from minimoe.formulas.flops import count_flops
from minimoe.formulas.parameters import count_parameters
from minimoe.measure.bits import bits_per_byte
from minimoe.measure.flops import measured_flops
from minimoe.measure.parameters import touched_parameters
from minimoe.measure.routes import model_load
from minimoe.model.transformer import Transformer
from minimoe.show.report import Contender, Point, comparison_rows, tour_page, verdicts
from minimoe.show.sample import Sample
from minimoe.show.tables import text_table
from minimoe.training.checkpoint import save_checkpoint, text_digest
from minimoe.training.loop import Run, next_batch, start, train, train_step

BATCH_SIZE, LENGTH = 8, 128  # many small steps show more in a minute than a few large ones
N_POINTS = 8  # of the validation curve
VALIDATION_BYTES = 18_432  # of text, the same for every point and for the table
SAMPLE_BYTES = 500
REPORT_SHARE = 0.15  # of the time given: kept for the last evaluation, measuring, drawing
TRIAL_SECONDS = 1.5  # for each model, at most 2 % of the time given: measures one step


def run_tour(
    text: Text,
    out: Path,
    *,
    dense: ModelConfig | None = None,
    moe: ModelConfig | None = None,
    minutes: float = 1.35,
    steps: int | None = None,
    seed: int = 0,
    say: Callable[[str], None] = lambda line: None,
    progress: Callable[[int, int], Iterable[int]] = range,
) -> tuple[Contender, ...]:
    """Train a dense and an MoE model step by step in turn, measure both, write a report.

    The two take turns so that a machine that slows down slows both. Ctrl-C ends the training, not
    the report. Written to `out`: index.html, tour.json, and the models as dense/ and moe/.

    Args:
        text: to train on and to validate on.
        out: folder for the report.
        dense, moe: the two models; the presets of these names if not given.
        minutes: for all of it, counted from the call.
        steps: of training, however long they take, instead of minutes.
        say: gets lines for the user.
        progress: gets the first step and the number of steps, returns an iterable over them.

    Raises:
        InputError: minutes leave no time for a step, or the text is shorter than one batch needs.
        OSError: `out` cannot be written to.
    """
    if not 0 < minutes < float("inf"):
        raise InputError(f"minutes must be above 0 and finite, got {minutes:g}")
    deadline = time.perf_counter() + 60 * minutes * (1 - REPORT_SHARE)
    out = usable_folder(out)
    configs = {"dense": dense or preset("dense"), "moe": moe or preset("moe")}
    if steps is None:
        planned = _steps_that_fit(configs, text.train, minutes, deadline)
    else:
        planned, deadline = steps, float("inf")
    config = TrainConfig(steps=planned, batch_size=BATCH_SIZE, length=LENGTH, seed=seed)
    runs = {name: start(model, config, seed) for name, model in configs.items()}
    tokens = planned * BATCH_SIZE * LENGTH
    say(f"training dense and MoE in turn, {planned} steps, {tokens:,} bytes of text each")
    judged = list(validation_batches(text.validation, length=LENGTH, max_bytes=VALIDATION_BYTES))
    curves = _train_in_turn(runs, text, judged, deadline, progress)
    say("measuring and drawing")
    contenders = tuple(
        _measure(name, run.model, curves[name], text, judged) for name, run in runs.items()
    )
    samples = _samples(runs["moe"].model, text.validation)
    write_file(out / "index.html", tour_page(contenders, samples, tokens))
    write_file(out / "tour.json", as_json(contenders))
    for name, run in runs.items():
        save_checkpoint(run, out / name, text_digest(text.train))
    return contenders


def summary(contenders: tuple[Contender, ...]) -> str:
    """The table and the two sentences, as text for a terminal."""
    headers, rows = comparison_rows(contenders)
    return "\n\n".join([text_table(headers, rows), "\n".join(verdicts(*contenders))])


def as_json(contenders: tuple[Contender, ...]) -> str:
    """The numbers of the tour and its two sentences, for a program to read."""
    by_flops, by_seconds = verdicts(*contenders)
    models = {contender.name: asdict(contender) for contender in contenders}
    return json.dumps({"models": models, "by_flops": by_flops, "by_seconds": by_seconds}, indent=1)


def _steps_that_fit(
    configs: dict[str, ModelConfig], corpus: Corpus, minutes: float, deadline: float
) -> int:
    """How many steps of every model there is time for."""
    trial = min(TRIAL_SECONDS, 0.02 * 60 * minutes)
    pair_seconds = sum(_step_seconds(model, corpus, trial) for model in configs.values())
    left = max(0.0, deadline - time.perf_counter())
    planned = int(left / (1.15 * pair_seconds))  # 15 % for the evaluations on the way
    if planned < 1:
        raise InputError(
            f"minutes={minutes:g} leave {left:.1f} s for training and a step of both "
            f"models takes {pair_seconds:.1f} s; give more minutes"
        )
    return planned


def _step_seconds(model: ModelConfig, corpus: Corpus, seconds: float) -> float:
    """Median seconds of a training step, run for this many seconds; the first half warms up."""
    run = start(model, TrainConfig(steps=10**6, batch_size=BATCH_SIZE, length=LENGTH))
    taken: list[float] = []
    while sum(taken) < seconds or len(taken) < 4:
        began = time.perf_counter()
        train_step(run, next_batch(run, corpus))
        taken.append(time.perf_counter() - began)
    return median(taken[len(taken) // 2 :])


def _train_in_turn(
    runs: dict[str, Run],
    text: Text,
    judged: list[Batch],
    deadline: float,
    progress: Callable[[int, int], Iterable[int]],
) -> dict[str, list[Point]]:
    """Train until the plan, the deadline or Ctrl-C ends it; evaluate on the way and at the end."""
    last = list(runs.values())[-1]
    evaluate_at = {round(last.config.steps * i / N_POINTS) for i in range(N_POINTS + 1)}
    curves: dict[str, list[Point]] = {name: [] for name in runs}

    def evaluate() -> None:
        for name, run in runs.items():
            curves[name].append(_point(run, judged, text))

    def evaluate_on_the_way(run: Run, _routings: object) -> None:
        if run is last and run.step in evaluate_at:
            evaluate()

    def in_time(first: int, end: int) -> Iterator[int]:
        for step in progress(first, end):
            if time.perf_counter() > deadline:
                return
            yield step

    evaluate()
    with suppress(KeyboardInterrupt):
        train(list(runs.values()), text.train, hooks=[evaluate_on_the_way], progress=in_time)
    if last.step not in evaluate_at:
        evaluate()
    return curves


def _point(run: Run, judged: list[Batch], text: Text) -> Point:
    """The validation loss of a run now, and what its training has used."""
    tokens, seconds = (run.history[-1].tokens, run.history[-1].seconds) if run.history else (0, 0.0)
    flops = count_flops(run.model.config, LENGTH).training_per_token * tokens
    bits = bits_per_byte(run.model, judged, text.validation.domains)["all"]
    return Point(tokens, flops, seconds, bits)


def _measure(
    name: str, model: Transformer, curve: list[Point], text: Text, judged: list[Batch]
) -> Contender:
    """Measure all that the table says of one model."""
    config, tokens = model.config, judged[0].inputs[:1]
    touched = touched_parameters(model, tokens[0, :32]).unique()
    if len(touched) != 1:
        raise AssertionError(f"tokens touched {touched.tolist()} parameters: not one number")
    return Contender(
        name=name,
        total_parameters=sum(p.numel() for p in model.parameters()),
        active_parameters=count_parameters(config).touched,
        touched_parameters=int(touched),
        flops_per_token=count_flops(config, LENGTH).forward // LENGTH,
        measured_flops_per_token=measured_flops(model, tokens) // LENGTH,
        bits_per_byte=bits_per_byte(model, judged, text.validation.domains),
        seconds=curve[-1].seconds,
        tokens=curve[-1].tokens,
        load=model_load(model, judged).tolist(),
        curve=curve,
    )


def _samples(model: Transformer, corpus: Corpus) -> list[Sample]:
    """A passage of each domain, six at most, and what the model's routers decide for it."""
    passages = {domain: _passage(corpus, i) for i, domain in enumerate(corpus.domains[:6])}
    return [routed_sample(model, text, domain) for domain, text in passages.items() if text]


def _passage(corpus: Corpus, domain: int) -> bytes:
    """Whole lines from the middle of a domain's text, SAMPLE_BYTES long at most."""
    positions = torch.nonzero(corpus.domain_ids == domain).flatten()
    if not len(positions):
        return b""
    text = corpus.tokens.numpy().tobytes()
    middle = int(positions[len(positions) // 2])
    begin = text.rfind(b"\n", 0, middle) + 1
    passage = text[begin : begin + SAMPLE_BYTES]
    return passage.decode(errors="ignore").encode()  # without half a character at the end
