"""Run a plan: entries in parallel processes, a row for each finished run, resumed after a kill."""

import copy
import multiprocessing
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

import torch

from minimoe.data.batches import Batch, validation_batches
from minimoe.data.text import Text
from minimoe.errors import InputError
from minimoe.experiments.matched_start import match_start_
from minimoe.experiments.plan import RULES, TEXTS, Entry
from minimoe.experiments.rows import Key, append_row, key_of, machine, read_rows
from minimoe.experiments.without_shared import shared_replaced
from minimoe.formulas.flops import count_flops
from minimoe.formulas.parameters import count_parameters
from minimoe.measure.bits import bits_per_byte
from minimoe.measure.routes import dead_experts, max_violation, model_load
from minimoe.model.routing import Routing
from minimoe.training.checkpoint import latest_checkpoint, resume, save_checkpoint, text_digest
from minimoe.training.loop import Hook, Run, next_batch, start, train

Row = dict[str, Any]
JUDGED_BYTES = 2**16  # of validation text: as many windows of each domain
ROWS = "rows.jsonl"  # of an unfinished entry, beside its checkpoint


def run_plan(
    entries: Iterable[Entry],
    file: Path,
    *,
    workers: int,
    save_seconds: float = 60.0,
    finished: Callable[[int, float, float], None] = lambda n, done, all_: None,
) -> list[Row]:
    """Train what the file does not hold yet, and append a row for each run that ends.

    Args:
        entries: in the order in which they are trained.
        file: of the rows; beside it a folder holds the checkpoints of unfinished runs.
        workers: processes, one thread each.
        save_seconds: between two checkpoints of a run; a kill loses no more.
        finished: gets the number of rows done, and the cost done and to do, in FLOPs.

    Returns:
        All rows of the entries, in the order of the plan.

    Raises:
        InputError: the file holds a row of another version of an entry.
    """
    entries = tuple(entries)
    checkpoints = file.with_suffix(".unfinished")
    rows = {key_of(row): row for row in read_rows(file)}
    todo = [one for entry in entries for one in _unfinished(entry, rows)]
    cost, done = sum(entry.cost for entry in todo), 0.0
    finished(0, done, cost)
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context, _prepare_worker) as pool:
        waiting = iter(todo)
        running: dict[Future[list[Row]], Entry] = {}
        try:
            while True:
                for entry in _first(waiting, workers - len(running)):
                    running[pool.submit(train_entry, entry, checkpoints, save_seconds)] = entry
                if not running:
                    break
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    done += running.pop(future).cost
                    for row in future.result():
                        if key_of(row) not in rows:
                            append_row(file, row)
                            rows[key_of(row)] = row
                    finished(len(rows), done, cost)
        except BaseException:
            for process in list((pool._processes or {}).values()):
                process.terminate()
            raise
    shutil.rmtree(checkpoints, ignore_errors=True)
    return [rows[key] for entry in entries for key in entry.row_keys()]


def _first(entries: Iterator[Entry], n: int) -> Iterator[Entry]:
    return (entry for _, entry in zip(range(n), entries, strict=False))


def _unfinished(entry: Entry, rows: dict[Key, Row]) -> Iterator[Entry]:
    """The entry with one seed at a time, where a row of it is missing."""
    for key in entry.row_keys():
        if key in rows and rows[key]["config"] != entry.digest:
            raise InputError(
                f"the row of {entry.name!r} is of config {rows[key]['config']}, the plan has "
                f"{entry.digest}; name another file with --out"
            )
    for seed in entry.seeds:
        missing = [steps for steps in entry.budgets if (entry.name, seed, steps) not in rows]
        if missing:
            yield replace(entry, seeds=(seed,), budgets=tuple(missing))


def _prepare_worker() -> None:
    """One thread; end when the process that started this one is gone."""
    torch.set_num_threads(1)
    parent = multiprocessing.parent_process()

    def watch() -> None:
        while parent is not None and parent.is_alive():
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def train_entry(
    entry: Entry, checkpoints: Path | None = None, save_seconds: float = 60.0
) -> list[Row]:
    """Train an entry with its only seed, and judge it at each of its budgets.

    The run of the largest budget goes on while a copy of it finishes each smaller one.

    Args:
        checkpoints: folder in which an unfinished entry is kept, to go on after a kill.
    """
    (seed,) = entry.seeds
    text = TEXTS[entry.text]()
    folder = (
        None if checkpoints is None else checkpoints / f"{entry.name}-{seed}-{entry.budgets[-1]}"
    )
    rows = [] if folder is None else read_rows(folder / ROWS)
    trunk = _trunk(entry, seed, text, folder)
    done = {row["steps"] for row in rows}
    for budget in (steps for steps in entry.budgets if steps not in done):
        config, run = entry.run_of(budget, seed), trunk
        if budget < entry.budgets[-1]:
            train(
                trunk,
                text.train,
                steps=config.decay_begins,
                hooks=_saver(folder, text, save_seconds),
            )
            run = copy.deepcopy(trunk)
            run.config = config
        train(run, text.train, hooks=_saver(folder, text, save_seconds) if run is trunk else ())
        rows.append(_row(entry, run, text))
        if folder is not None:
            save_checkpoint(trunk, folder, text_digest(text.train))  # never behind its rows
            append_row(folder / ROWS, rows[-1])
    if folder is not None:
        shutil.rmtree(folder, ignore_errors=True)
    return rows


def _trunk(entry: Entry, seed: int, text: Text, folder: Path | None) -> Run:
    """The run of the largest budget: new, or as its last checkpoint left it."""
    config, rule = entry.run_of(entry.budgets[-1], seed), RULES[entry.rule]
    if folder is not None and latest_checkpoint(folder) is not None:
        return resume(folder, entry.model, config, text_digest(text.train), rule=rule)
    run = start(entry.model, config, seed, rule=rule)
    match_start_(run.model, next_batch(run, text.train))
    return run


def _saver(folder: Path | None, text: Text, seconds: float) -> tuple[Hook, ...]:
    """A hook that saves the run from time to time; none without a folder."""
    if folder is None:
        return ()
    saved = time.perf_counter()

    def save(run: Run, _routings: tuple[Routing, ...]) -> None:
        nonlocal saved
        if time.perf_counter() - saved > seconds:
            save_checkpoint(run, folder, text_digest(text.train))
            saved = time.perf_counter()

    return (save,)


def judged(text: Text, length: int) -> list[Batch]:
    """The validation windows on which every run is judged."""
    return list(validation_batches(text.validation, length=length, max_bytes=JUDGED_BYTES))


def _row(entry: Entry, run: Run, text: Text) -> Row:
    """What a finished run reached, and what it cost."""
    model, config = run.model, run.config
    batches, domains = judged(text, config.length), text.validation.domains
    bits = bits_per_byte(model, batches, domains)
    count = count_parameters(entry.model)
    clock = [record.seconds for record in run.history]
    tokens = run.history[-1].tokens
    row: Row = {
        "name": entry.name, "seed": config.seed, "steps": config.steps, "config": entry.digest,
        "tokens": tokens, "total": count.total, "active": count.active_without_embeddings,
        "flops": round(count_flops(entry.model, config.length).training_per_token * tokens),
        "bits": {name: round(value, 5) for name, value in bits.items()},
        "step_seconds": round(median(b - a for a, b in pairwise(clock)), 5),
        "machine": machine(),
    }  # fmt: skip
    load = model_load(model, batches[::4])
    if len(load):
        row["max_violation"] = round(max(max_violation(layer) for layer in load), 3)
        row["dead"] = sum(dead_experts(layer) for layer in load)
    if entry.probe_shared:
        for name, extra in (("without_shared", 0), ("routed_instead", 1)):
            other = shared_replaced(model, extra)
            row[name] = round(bits_per_byte(other, batches, domains)["all"], 5)
    return row
