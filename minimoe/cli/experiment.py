"""`minimoe experiment`."""

import argparse
import json
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from minimoe.cli.shared import print_result, progress, say
from minimoe.config import InputError

if TYPE_CHECKING:
    from minimoe.experiments.plan import Entry, Plan

HELP = "run an experiment of the notebooks again, in parallel; a killed run goes on"
EXAMPLE = "sparse-pays --part tuning"
NAMES = ("sparse-pays",)


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", choices=NAMES, metavar="NAME", help=f"one of {', '.join(NAMES)}")
    parser.add_argument("--part", action="append", help="only this part of it; may be repeated")
    parser.add_argument("--seeds", type=int, help="only the first N seeds of each configuration")
    parser.add_argument("--workers", type=int, help="processes, one thread each (all cores)")
    parser.add_argument("--out", metavar="FILE", help="rows, one a line (runs/NAME.jsonl)")
    parser.add_argument("--list", action="store_true", help="print the plan, and train nothing")
    parser.add_argument("--costs", action="store_true", help="time one step of each, side by side")


def run(options: argparse.Namespace) -> None:
    """Train what the file lacks, and print the mean of each configuration beside the stored one."""
    from minimoe.experiments.sparse_pays import PLAN

    entries = _chosen(PLAN, options)
    if options.list:
        _print_plan(options.json, entries)
    elif options.costs:
        _measure_costs(options, entries)
    else:
        _print_rows(options.json, _train(options, entries), PLAN.name)


def _chosen(plan: "Plan", options: argparse.Namespace) -> list["Entry"]:
    """The entries of the parts asked for, with the seeds asked for."""
    from dataclasses import replace

    for name in ("seeds", "workers"):
        value = getattr(options, name)
        if value is not None and value < 1:
            raise InputError(f"--{name} must be at least 1, got {value}")
    parts = options.part or list(plan.parts)
    for part in parts:
        if part not in plan.parts:
            raise InputError(f"a part is one of {', '.join(plan.parts)}, got {part!r}")
    chosen = dict.fromkeys(entry for part in parts for entry in plan.parts[part])
    return [replace(entry, seeds=entry.seeds[: options.seeds]) for entry in chosen]


def _train(options: argparse.Namespace, entries: list["Entry"]) -> list[dict[str, Any]]:
    from minimoe.experiments.runner import run_plan
    from minimoe.files import locked, usable_file

    file = usable_file(Path(options.out or f"runs/{options.name}.jsonl"))
    began = time.perf_counter()

    def finished(n: int, done: float, to_do: float) -> None:
        spent = time.perf_counter() - began
        left = f", about {spent * (to_do - done) / done / 60:.0f} min left" if done else ""
        say(f"{n} rows, {done / to_do if to_do else 1:.0%} of the FLOPs{left}")

    with locked(file.with_suffix(".lock")):
        workers = options.workers or os.cpu_count() or 1
        return run_plan(entries, file, workers=workers, finished=finished)


def _print_rows(as_json: bool, rows: list[dict[str, Any]], plan: str) -> None:
    """One line for each configuration and budget: ours and the stored one, over the seeds."""
    from minimoe.experiments.rows import stored_rows

    ours, stored = _bits(rows), _bits(stored_rows(plan))
    table = [
        [name, steps, len(bits), _mean_and_spread(bits), _mean_and_spread(stored.get(key, []))]
        for key, bits in ours.items()
        for name, steps in [key]
    ]
    headers = ["configuration", "steps", "seeds", "bits per byte", "stored with the package"]
    print_result(as_json, rows, headers, table)


def _bits(rows: list[dict[str, Any]]) -> dict[tuple[str, int], list[float]]:
    found: dict[tuple[str, int], list[float]] = {}
    for row in rows:
        found.setdefault((row["name"], row["steps"]), []).append(row["bits"]["all"])
    return found


def _mean_and_spread(bits: list[float]) -> str | None:
    """Mean and standard deviation over the seeds."""
    from statistics import mean, stdev

    if not bits:
        return None
    return f"{mean(bits):.3f} ± {stdev(bits):.3f}" if len(bits) > 1 else f"{bits[0]:.3f}"


def _print_plan(as_json: bool, entries: list["Entry"]) -> None:
    headers = ["configuration", "steps", "seeds", "TFLOPs of training"]
    rows = [
        [e.name, ", ".join(map(str, e.budgets)), len(e.seeds), e.cost * len(e.seeds) / 1e12]
        for e in entries
    ]
    plan = [{"name": e.name, "budgets": e.budgets, "seeds": e.seeds} for e in entries]
    print_result(as_json, plan, headers, rows)


def _measure_costs(options: argparse.Namespace, entries: list["Entry"]) -> None:
    from statistics import median

    from minimoe.experiments.costs import measure_costs
    from minimoe.files import usable_file, write_file

    file = usable_file(Path(options.out or f"runs/{options.name}-costs.json"))
    costs = measure_costs(entries, progress=progress)
    write_file(file, json.dumps(costs) + "\n")
    headers = ["configuration", "ms a step", "MB of parameters", "MB of activations"]
    rows = [
        [name, 1e3 * median(c["seconds"]), c["parameter_bytes"] / 1e6, c["activation_bytes"] / 1e6]
        for name, c in costs["steps"].items()
    ]
    print_result(options.json, costs, headers, rows)
