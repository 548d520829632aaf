"""What can be done from the command line? A thin layer: each command calls a public function."""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from minimoe import __version__
from minimoe.config import PRESETS, InputError, TrainConfig, preset

if TYPE_CHECKING:
    from minimoe.data.text import Text

VALIDATION_BYTES = 2**16  # at most, for the loss at the end of a training
EXAMPLES = """examples:
  minimoe tour                                  dense against MoE in about a minute and a half
  minimoe tour --minutes 10 --text my/notes     longer, on your own UTF-8 files
  minimoe train --preset fine_grained --out runs/fine --steps 2000
  minimoe generate --model tour/moe --prompt "def forward(self, x):"
  minimoe route --model tour/moe "Sparse models route tokens."
  minimoe count deepseek-v3 mixtral-8x7b        parameters, cache, FLOPs, memory
  minimoe count --all                           31 published models beside their authors' figures
  minimoe bench --quick                         the layer beside a dense one and transformers
  minimoe lab                                   the notebooks, in JupyterLab
"""


class Parser(argparse.ArgumentParser):
    """A parser whose refusal is one line."""

    def error(self, message: str) -> NoReturn:
        print(f"{self.prog}: {message} (see {self.prog} --help)", file=sys.stderr)
        raise SystemExit(2)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command. Returns 0, 1 if the machine refused (a full disk), 2 for bad input."""
    options = parser().parse_args(arguments)
    try:
        options.run(options)
        return 0
    except InputError as error:
        return _refuse(error, 2)
    except FloatingPointError as error:
        return _refuse(error, 1)
    except BrokenPipeError:  # `minimoe count | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        where = f" {error.filename}" if error.filename else ""
        return _refuse(f"cannot use{where}: {error.strerror or error}", 1)
    except KeyboardInterrupt:
        return _refuse("interrupted", 130)


def _refuse(message: object, status: int) -> int:
    print(f"minimoe: {' '.join(str(message).split())}", file=sys.stderr)
    return status


def parser() -> argparse.ArgumentParser:
    """Every command and its options."""
    top = Parser(
        prog="minimoe",
        description="A small Mixture-of-Experts transformer to learn from.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument("--version", action="version", version=f"minimoe {__version__}")
    commands = top.add_subparsers(required=True, metavar="COMMAND", parser_class=Parser)

    def command(run: Callable[[argparse.Namespace], None], what: str, example: str) -> Parser:
        name = run.__name__
        made = commands.add_parser(
            name, help=what, description=what, epilog=f"example: minimoe {name} {example}"
        )
        made.set_defaults(run=run)
        return made

    made = command(tour, "train dense and MoE, compare them, write a report", "--minutes 5")
    made.add_argument("--minutes", type=float, default=1.35, help="for the whole of it (1.35)")
    made.add_argument("--steps", type=int, help="so many, however long they take")
    made.add_argument("--out", default="tour", help="folder of the report (tour)")
    made.add_argument("--seed", type=int, default=0, help="of weights and batches (0)")
    _text_option(made)
    _json_option(made)

    made = command(train, "train a preset; the same command goes on after a stop", "--out runs/moe")
    made.add_argument("--preset", default="moe", help=f"{', '.join(PRESETS)} (moe)")
    made.add_argument("--out", required=True, help="folder of the checkpoints")
    made.add_argument("--save-every", type=int, default=100, metavar="STEPS", help="(100)")
    defaults = TrainConfig(steps=1000)
    for name in ("steps", "batch_size", "length", "learning_rate", "balance_weight", "z_weight",
                 "expert_bias_rate", "seed", "dtype"):  # fmt: skip
        value = getattr(defaults, name)
        option = f"--{name.replace('_', '-')}"
        made.add_argument(option, type=type(value), default=value, help=f"({value})")
    _text_option(made)
    _json_option(made)

    made = command(generate, "write text with a trained model", '--prompt "The "')
    _model_option(made)
    made.add_argument("--prompt", default="\n", help="what comes before")
    made.add_argument("--tokens", type=int, default=300, help="bytes to write (300)")
    made.add_argument("--temperature", type=float, default=0.8, help="0 = most likely (0.8)")
    made.add_argument("--top-k", type=int, help="sample from the k most likely bytes")
    made.add_argument("--top-p", type=float, help="sample from the likeliest share p")
    made.add_argument("--seed", type=int, default=0, help="(0)")
    _json_option(made)

    made = command(route, "show which experts a text goes to", '"MoE 路由 x += 1"')
    made.add_argument("text", help="what to route")
    _model_option(made)
    made.add_argument("--out", default="route.html", help="the view to write (route.html)")
    _json_option(made)

    made = command(
        count, "parameters, KV cache, FLOPs and memory of real models", "deepseek-v3 mixtral-8x7b"
    )
    made.add_argument(
        "names",
        nargs="*",
        metavar="NAME",
        help=f"a published model (--all lists them), the path of a config.json or its directory, "
        f"or a preset: {', '.join(PRESETS)} (the presets)",
    )
    made.add_argument("--all", action="store_true", help="every published model, a line each")
    made.add_argument(
        "--length",
        type=int,
        help="positions, for FLOPs (4096; presets 128; with --all at most what a model reads)",
    )
    _json_option(made)

    made = command(bench, "time the layer beside a dense one and beside transformers", "--quick")
    made.add_argument("--quick", action="store_true", help="fewer shapes and rounds, a minute")
    made.add_argument(
        "--shapes",
        metavar="LIST",
        help="the parts to time, parted by commas: S1 to S5, D1, D2, coarse, fine, growth (all)",
    )
    made.add_argument("--bfloat16", action="store_true", help="the layers in bfloat16 too")
    made.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="(cpu)")
    made.add_argument("--out", default="bench.png", help="the figure, png or svg (bench.png)")
    _json_option(made)

    made = command(lab, "open the notebooks in JupyterLab", "--notebooks path/to/notebooks")
    made.add_argument(
        "--notebooks", help="their folder (the one beside the package, or ./notebooks)"
    )
    return top


def _text_option(made: Parser) -> None:
    made.add_argument("--text", metavar="DIR", help="your own UTF-8 files instead of the real text")


def _json_option(made: Parser) -> None:
    made.add_argument("--json", action="store_true", help="print JSON for a program to read")


def _model_option(made: Parser) -> None:
    made.add_argument(
        "--model", default="tour/moe", metavar="DIR", help="a checkpoint's folder (tour/moe)"
    )


def tour(options: argparse.Namespace) -> None:
    """`minimoe tour`."""
    from minimoe.tour import as_json, run_tour, summary

    contenders = run_tour(
        _text(options.text),
        Path(options.out),
        minutes=options.minutes,
        steps=options.steps,
        seed=options.seed,
        say=_say,
        progress=_progress,
    )
    print(as_json(contenders) if options.json else summary(contenders))
    _say(f"wrote {Path(options.out, 'index.html')}: open it in a browser")


def train(options: argparse.Namespace) -> None:
    """`minimoe train`."""
    from minimoe.data.batches import validation_batches
    from minimoe.training.checkpoint import train_in_folder
    from minimoe.training.loop import bits_per_byte

    fields = TrainConfig.__dataclass_fields__
    config = TrainConfig(**{name: v for name, v in vars(options).items() if name in fields})
    text = _text(options.text)
    batches = list(
        validation_batches(
            text.validation, batch_size=32, length=config.length, max_bytes=VALIDATION_BYTES
        )
    )
    run = train_in_folder(
        preset(options.preset),
        config,
        text.train,
        Path(options.out),
        save_every=options.save_every,
        progress=_progress,
    )
    if run.step < config.steps:
        _say(f"stopped after {run.step} of {config.steps} steps; the same command goes on")
    bits = bits_per_byte(run.model, batches, text.validation.domains)
    rows = [[f"bits per byte, {domain}", f"{value:.3f}"] for domain, value in bits.items()]
    result = {"steps": run.step, "tokens": run.history[-1].tokens, "bits_per_byte": bits}
    _print(options, result, ["validation", options.preset], rows)


def generate(options: argparse.Namespace) -> None:
    """`minimoe generate`."""
    from minimoe.data.text import decode, encode
    from minimoe.model.transformer import generate as write
    from minimoe.training.checkpoint import load_model

    tokens = write(
        load_model(Path(options.model)),
        encode(options.prompt).long(),
        options.tokens,
        temperature=options.temperature,
        top_k=options.top_k,
        top_p=options.top_p,
        seed=options.seed,
    )
    text = decode(list(tokens))
    print(json.dumps({"text": text}) if options.json else options.prompt + text)


def route(options: argparse.Namespace) -> None:
    """`minimoe route`."""
    import numpy as np

    from minimoe.show.explorer import routing_view
    from minimoe.tour import routed_sample
    from minimoe.training.checkpoint import load_model

    model = load_model(Path(options.model))
    sample = routed_sample(model, options.text.encode(), "text")
    assert model.config.moe is not None  # routed_sample refuses a dense model
    n_experts = model.config.moe.n_routed_experts
    view = routing_view([sample], n_experts=n_experts, title="Where the tokens went")
    view.save(options.out)
    ids, weights = np.asarray(sample.expert_ids), np.asarray(sample.weights)
    headers = ["byte", *(f"layer {layer + 1}" for layer in range(len(ids)))]
    rows = [
        [
            repr(bytes([byte]))[2:-1],
            *(
                " ".join(
                    f"{e}:{w:.2f}" for e, w in zip(ids[layer][t], weights[layer][t], strict=True)
                )
                for layer in range(len(ids))
            ),
        ]
        for t, byte in enumerate(sample.text)
    ]
    result = {"expert_ids": ids.tolist(), "weights": weights.tolist(), "view": options.out}
    _print(options, result, headers, rows)
    _say(f"wrote {options.out}: open it in a browser")


def count(options: argparse.Namespace) -> None:
    """`minimoe count`."""
    from minimoe.show.counts import BESIDE, count_list, count_table
    from minimoe.zoo.published import count_named, published_models

    if options.all and options.names:
        raise InputError(f"--all counts every published model; leave out {options.names[0]}")
    published = [model.id for model in published_models()] if options.all else []
    names = dict.fromkeys(options.names or published or PRESETS)
    counts = [count_named(name, options.length, cut=options.all) for name in names]
    if options.json:
        objects = {named.name: named.as_json() for named in counts}
        print(json.dumps(objects if len(counts) > 1 else objects[counts[0].name]))
    else:
        print(count_list(counts) if len(counts) > BESIDE else count_table(counts))


def bench(options: argparse.Namespace) -> None:
    """`minimoe bench`."""
    from minimoe.bench import run_benchmark
    from minimoe.show.speed import as_json, report

    benchmark = run_benchmark(
        Path(options.out),
        None if options.shapes is None else options.shapes.split(","),
        quick=options.quick,
        bfloat16=options.bfloat16,
        device=options.device,
        say=_say,
        progress=_progress,
    )
    print(as_json(benchmark) if options.json else report(benchmark))


def lab(options: argparse.Namespace) -> None:
    """`minimoe lab`."""
    beside = Path(__file__).parent.parent / "notebooks"
    folders = [Path(options.notebooks)] if options.notebooks else [beside, Path("notebooks")]
    found = [folder / "00_map.ipynb" for folder in folders if (folder / "00_map.ipynb").is_file()]
    if not found:
        raise InputError(
            f"no 00_map.ipynb in {' or '.join(map(str, folders))}; name the folder: "
            "minimoe lab --notebooks path/to/notebooks"
        )
    raise SystemExit(subprocess.call([sys.executable, "-m", "jupyter", "lab", str(found[0])]))


def _text(folder: str | None) -> "Text":
    from minimoe.data.text import folder_text, real_text

    return real_text() if folder is None else folder_text(folder)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _progress(first: int, last: int) -> Iterable[int]:
    """Count on a terminal, with the time that is left; be silent elsewhere."""
    from tqdm import tqdm

    return tqdm(range(first, last), initial=first, total=last, unit="step", disable=None)


def _print(
    options: argparse.Namespace, result: Any, headers: Sequence[str], rows: Sequence[Any]
) -> None:
    from minimoe.show.tables import text_table

    print(json.dumps(result) if options.json else text_table(headers, rows))


if __name__ == "__main__":
    raise SystemExit(main())
