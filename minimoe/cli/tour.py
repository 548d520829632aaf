"""`minimoe tour`."""

import argparse
from pathlib import Path

from minimoe.cli.shared import progress, say, text_of, text_option

HELP = "train dense and MoE with several seeds, compare them, write a report"
EXAMPLE = "--minutes 5"


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--minutes", type=float, default=1.35, help="for all of it (1.35)")
    parser.add_argument("--steps", type=int, help="training steps, instead of minutes")
    parser.add_argument("--out", default="tour", help="folder of the report (tour)")
    parser.add_argument(
        "--seed", type=int, default=0, help="the first one, of weights and batches (0)"
    )
    parser.add_argument("--seeds", type=int, default=3, help="how many to train, 1 to 10 (3)")
    text_option(parser)


def run(options: argparse.Namespace) -> None:
    """Train both models with every seed, write the report, print the comparison."""
    from minimoe.experiments.tour import as_json, run_tour, summary
    from minimoe.files import locked

    text = text_of(options.text)
    with locked(options.out) as folder:
        tour = run_tour(
            text,
            folder,
            minutes=options.minutes,
            steps=options.steps,
            seed=options.seed,
            n_seeds=options.seeds,
            say=say,
            progress=progress,
        )
    say(f"wrote {Path(options.out, 'index.html')}: open it in a browser")
    print(as_json(tour) if options.json else summary(tour))
