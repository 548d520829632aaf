"""The command line: one file for each command, none of which loads torch to print its help."""

import argparse
import io
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from minimoe import __version__
from minimoe.cli import (
    bench,
    count,
    experiment,
    generate,
    lab,
    progress,
    route,
    text,
    tour,
    train,
    trained,
)
from minimoe.config import InputError
from minimoe.errors import one_line

COMMANDS = (tour, text, train, generate, route, trained, count, bench, experiment, lab, progress)
EXAMPLES = """examples:
  minimoe tour                                  dense against MoE in about a minute and a half
  minimoe tour --minutes 10 --text my/notes     longer, on your own UTF-8 files
  minimoe text --leakage                        what is read, whose it is, how well it is split
  minimoe tour --text encyclopedia              on summaries from Wikipedia (an extra package)
  minimoe train --preset fine_grained --out runs/fine --steps 2000
  minimoe generate --prompt "def forward(self, x):"
  minimoe route "Sparse models route tokens."   colours here, and a view for the browser
  minimoe route --file notes.txt --model text_moe_loss --model text_moe_unbalanced
  minimoe trained                               the models that come with the package
  minimoe count deepseek-v3 mixtral-8x7b        parameters, cache, FLOPs, memory
  minimoe count --all                           31 published models beside their authors' figures
  minimoe bench --quick                         the layer beside a dense one and transformers
  minimoe experiment sparse-pays --part wrong   train stored rows again; goes on after a kill
  minimoe lab                                   the notebooks, in JupyterLab
  minimoe progress                              what you have done in them
"""


class Parser(argparse.ArgumentParser):
    """A parser that refuses in one line."""

    def error(self, message: str) -> NoReturn:
        print(f"{self.prog}: {message} (see {self.prog} --help)", file=sys.stderr)
        raise SystemExit(2)


def parser() -> argparse.ArgumentParser:
    """The parser of all commands; the parsed options hold the command's `run`."""
    top = Parser(
        prog="minimoe",
        description="A small Mixture-of-Experts transformer to learn from.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument("--version", action="version", version=f"minimoe {__version__}")
    commands = top.add_subparsers(required=True, metavar="COMMAND", parser_class=Parser)
    for command in COMMANDS:
        name = command.__name__.rpartition(".")[2]
        example = f"example: minimoe {name} {command.EXAMPLE}"
        about = {"help": command.HELP, "description": command.HELP, "epilog": example}
        made = commands.add_parser(name, **about)
        command.add_options(made)
        if command is not lab:
            json = "print JSON for a program to read"
            made.add_argument("--json", action="store_true", help=json)
        made.set_defaults(run=command.run)
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    Returns:
        0; 1 if the machine refused (a full disk); 2 for bad input; 130 after Ctrl-C.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # "?" for a character that the encoding lacks
    try:
        options = parser().parse_args(arguments)
        options.run(options)
        print(end="", flush=True)
        return 0
    except (InputError, FloatingPointError) as error:
        return _refuse(error, 2 if isinstance(error, InputError) else 1)
    except BrokenPipeError:  # `minimoe count | head`
        return 0
    except (MemoryError, RuntimeError) as error:  # torch raises the latter
        if isinstance(error, MemoryError) or "allocate memory" in str(error):
            return _refuse("not enough memory; choose a smaller batch, length or model", 1)
        raise
    except OSError as error:
        where = f" {error.filename}" if error.filename else ""
        return _refuse(f"cannot use{where}: {error.strerror or error}", 1)
    except KeyboardInterrupt:
        return _refuse("interrupted", 130)
    finally:
        _flush()


def _refuse(message: object, status: int) -> int:
    print(f"minimoe: {one_line(message)}", file=sys.stderr)
    return status


def _flush() -> None:
    """Flush the output. Drop what cannot be written, or Python would complain when it exits."""
    for stream in (sys.stdout, sys.stderr):
        try:
            print(end="", file=stream, flush=True)
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
