"""`minimoe bench`."""

import argparse
from pathlib import Path

from minimoe.cli.shared import progress, say

HELP = "time the layer beside a dense one and beside transformers"
EXAMPLE = "--quick"


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--quick", action="store_true", help="fewer shapes and rounds, a minute")
    parts = "parts to time, comma-separated: S1 to S5, D1, D2, coarse, fine, growth (all)"
    parser.add_argument("--shapes", metavar="LIST", help=parts)
    parser.add_argument("--bfloat16", action="store_true", help="the layers in bfloat16 too")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="(cpu)")
    parser.add_argument("--out", default="bench.png", help="the figure, png or svg (bench.png)")


def run(options: argparse.Namespace) -> None:
    """Time the parts, write the figure, print the tables."""
    from minimoe.experiments.bench import run_benchmark
    from minimoe.experiments.bench.output import as_json, report

    benchmark = run_benchmark(
        Path(options.out),
        None if options.shapes is None else options.shapes.split(","),
        quick=options.quick,
        bfloat16=options.bfloat16,
        device=options.device,
        say=say,
        progress=progress,
    )
    print(as_json(benchmark) if options.json else report(benchmark))
