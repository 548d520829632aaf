"""`minimoe experiment`."""

import argparse
import os
import time
from pathlib import Path

from minimoe.cli.shared import print_result, say
from minimoe.config import InputError

HELP = "run an experiment of the notebooks again, in parallel; a killed run goes on"
EXAMPLE = "sparse-pays --part tuning"
NAMES = ("sparse-pays",)


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", choices=NAMES, metavar="NAME", help=f"one of {', '.join(NAMES)}")
    parser.add_argument("--part", action="append", help="only this part of it; may be repeated")
    parser.add_argument("--seeds", type=int, help="only the first N seeds of each configuration")
    parser.add_argument("--workers", type=int, help="processes, one thread each (all cores)")
    parser.add_argument("--out", metavar="FILE", help="rows, one a line (runs/NAME.jsonl)")
    parser.add_argument("--list", action="store_true", help="print the parts, and train nothing")


def run(options: argparse.Namespace) -> None:
    """Train what the file lacks, and print the mean of each configuration."""
    from dataclasses import replace

    from minimoe.experiments.runner import run_plan
    from minimoe.experiments.sparse_pays import PLAN
    from minimoe.files import locked, usable_file

    parts = options.part or list(PLAN.parts)
    unknown = [part for part in parts if part not in PLAN.parts]
    if unknown:
        raise InputError(f"a part is one of {', '.join(PLAN.parts)}, got {unknown[0]!r}")
    chosen = {entry.name: entry for part in parts for entry in PLAN.parts[part]}
    entries = [replace(e, seeds=e.seeds[: options.seeds]) for e in chosen.values()]
    file = usable_file(Path(options.out or f"runs/{options.name}.jsonl"))
    workers = options.workers or os.cpu_count() or 1
    began = time.perf_counter()

    def finished(n: int, done: float, to_do: float) -> None:
        spent = time.perf_counter() - began
        left = f", about {spent * (to_do - done) / done / 60:.0f} min left" if done else ""
        say(f"{n} rows, {done / max(to_do, 1):.0%} of the FLOPs{left}")

    with locked(file.with_suffix(".lock")):
        rows = run_plan(entries, file, workers=workers, finished=finished)
    print(len(rows))
