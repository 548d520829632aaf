"""`minimoe tour`."""

import argparse
from pathlib import Path

from minimoe.cli.shared import progress, say, text_of, text_option

HELP = "train dense and MoE, compare them, write a report"
EXAMPLE = "--minutes 5"


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--minutes", type=float, default=1.35, help="for all of it (1.35)")
    parser.add_argument("--steps", type=int, help="training steps, instead of minutes")
    parser.add_argument("--out", default="tour", help="folder of the report (tour)")
    parser.add_argument("--seed", type=int, default=0, help="of weights and batches (0)")
    text_option(parser)


def run(options: argparse.Namespace) -> None:
    """Train both models, write the report, print the comparison."""
    from minimoe.experiments.tour import as_json, run_tour, summary
    from minimoe.files import locked

    text = text_of(options.text)
    with locked(options.out) as folder:
        contenders = run_tour(
            text,
            folder,
            minutes=options.minutes,
            steps=options.steps,
            seed=options.seed,
            say=say,
            progress=progress,
        )
    say(f"wrote {Path(options.out, 'index.html')}: open it in a browser")
    print(as_json(contenders) if options.json else summary(contenders))
