"""What can be done from the command line? A thin layer: each command calls a public function."""

import argparse
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from minimoe import __version__
from minimoe.config import PRESETS, InputError, ModelConfig, TrainConfig, preset

if TYPE_CHECKING:
    from minimoe.data.text import Text
    from minimoe.show.sample import Sample

VALIDATION_BYTES = 2**16  # at most, for the loss at the end of a training
FILE_BYTES = 2**16  # at most, for a text to route: a larger view is slow in a browser
SHOWN_BYTES = 2000  # at most, of a text coloured in a terminal
MODEL = "text_moe_loss"  # comes with the package
RECIPES = ("text_dense", "text_moe_unbalanced", "text_moe_loss", "text_moe_bias")
MODEL_HELP = "a trained model's name (minimoe trained lists them) or a checkpoint's folder"
EXAMPLES = """examples:
  minimoe tour                                  dense against MoE in about a minute and a half
  minimoe tour --minutes 10 --text my/notes     longer, on your own UTF-8 files
  minimoe train --preset fine_grained --out runs/fine --steps 2000
  minimoe generate --prompt "def forward(self, x):"
  minimoe route "Sparse models route tokens."   colours here, and a view for the browser
  minimoe route --file notes.txt --model text_moe_loss --model text_moe_unbalanced
  minimoe trained                               the models that come with the package
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
    made.add_argument("--preset", default="moe", help=f"{', '.join([*PRESETS, *RECIPES])} (moe)")
    made.add_argument("--out", required=True, help="folder of the checkpoints")
    made.add_argument("--save-every", type=int, default=100, metavar="STEPS", help="(100)")
    defaults = TrainConfig(steps=1000)  # a preset text_... has its own, and the real text
    for name in ("steps", "batch_size", "length", "learning_rate", "balance_weight", "z_weight",
                 "expert_bias_rate", "seed", "dtype"):  # fmt: skip
        value = getattr(defaults, name)
        option = f"--{name.replace('_', '-')}"
        made.add_argument(option, type=type(value), help=f"({value}; text_...: the recipe's)")
    _text_option(made)
    _json_option(made)

    made = command(generate, "write text with a trained model", '--prompt "The "')
    made.add_argument("--model", default=MODEL, metavar="NAME", help=f"{MODEL_HELP} ({MODEL})")
    made.add_argument("--prompt", default="\n", help="what comes before")
    made.add_argument("--tokens", type=int, default=200, help="bytes to write (200)")
    made.add_argument("--temperature", type=float, default=0.8, help="0 = most likely (0.8)")
    made.add_argument("--top-k", type=int, help="sample from the k most likely bytes")
    made.add_argument("--top-p", type=float, help="sample from the likeliest share p")
    made.add_argument("--seed", type=int, default=0, help="(0)")
    _json_option(made)

    made = command(route, "show which experts a text goes to", '"MoE 路由 x += 1"')
    made.add_argument("text", nargs="?", help="what to route")
    made.add_argument("--file", metavar="PATH", help="a UTF-8 file to route instead")
    made.add_argument(
        "--model",
        action="append",
        metavar="NAME",
        help=f"{MODEL_HELP}; several stand side by side ({MODEL})",
    )
    made.add_argument("--layer", type=int, help="print this MoE layer only, counted from 1 (all)")
    made.add_argument("--out", default="route.html", help="the view to write (route.html)")
    _json_option(made)

    made = command(trained, "the trained models that come with the package", "text_moe_loss")
    made.add_argument("name", nargs="?", metavar="NAME", help="print all that is known of this one")
    made.add_argument("--release", metavar="RUN", help="make NAME of a finished run's folder")
    made.add_argument("--to", metavar="DIR", help="where --release writes (the package)")
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


def tour(options: argparse.Namespace) -> None:
    """`minimoe tour`."""
    from minimoe.experiments.tour import as_json, run_tour, summary

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
    from minimoe.trained.release import snapshots
    from minimoe.training.checkpoint import train_in_folder
    from minimoe.training.loop import bits_per_byte

    model_config, config = _recipe(options)
    text, folder = _text(options.text), Path(options.out)
    batches = list(
        validation_batches(
            text.validation, batch_size=32, length=config.length, max_bytes=VALIDATION_BYTES
        )
    )
    run = train_in_folder(
        model_config,
        config,
        text.train,
        folder,
        save_every=options.save_every,
        after_step=snapshots(text, folder) if options.preset in RECIPES else None,
        progress=_progress,
    )
    if run.step < config.steps:
        _say(f"stopped after {run.step} of {config.steps} steps; the same command goes on")
    bits = bits_per_byte(run.model, batches, text.validation.domains)
    rows = [[f"bits per byte, {domain}", f"{value:.3f}"] for domain, value in bits.items()]
    result = {"steps": run.step, "tokens": run.history[-1].tokens, "bits_per_byte": bits}
    _print(options, result, ["validation", options.preset], rows)


def _recipe(options: argparse.Namespace) -> tuple[ModelConfig, TrainConfig]:
    """The model of a preset, and how to train it: what the options say, else what the preset."""
    from minimoe.trained import RECIPES as recipes

    given = {
        name: value
        for name, value in vars(options).items()
        if name in TrainConfig.__dataclass_fields__ and value is not None
    }
    if options.preset in recipes:
        if options.text is not None:
            raise InputError(
                f"{options.preset} weighs the 3 domains of the real text; leave out --text"
            )
        recipe = recipes[options.preset]
        return recipe.model, replace(recipe.training, **given)
    if options.preset not in PRESETS:
        names = ", ".join([*PRESETS, *recipes])
        raise InputError(f"preset must be one of {names}, got {options.preset!r}")
    return preset(options.preset), TrainConfig(**{"steps": 1000, **given})


def generate(options: argparse.Namespace) -> None:
    """`minimoe generate`."""
    from minimoe.data.text import decode, encode
    from minimoe.model.transformer import generate as write
    from minimoe.trained.models import named_model

    model, length = named_model(options.model)
    prompt = encode(options.prompt).long()
    if len(prompt) + options.tokens > length:
        _say(f"beyond {length} bytes it writes what it was never trained for")
    tokens = write(
        model,
        prompt,
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
    from minimoe.experiments.routed import routed_sample, windows
    from minimoe.show.explorer import routing_view
    from minimoe.trained.models import named_model

    title, text = _text_to_route(options)
    names = list(dict.fromkeys(options.model or [MODEL]))
    samples, sizes = {}, {}
    for name in names:
        model, length = named_model(name)
        samples[name] = [routed_sample(model, text, title, length)]
        assert model.config.moe is not None  # routed_sample refuses a dense model
        sizes[name] = (len(model.moe_layers()), model.config.moe.n_routed_experts)
        n_windows = len(windows(text, length))
        if n_windows > 1:
            _say(f"{name} reads {len(text):,} bytes in {n_windows} windows of at most {length}, "
                 "the length it was trained on; each knows nothing of the one before")  # fmt: skip
    if len(set(sizes.values())) > 1:
        found = ", ".join(f"{name} has {n} of {e}" for name, (n, e) in sizes.items())
        raise InputError(f"side by side, models need as many MoE layers and experts: {found}")
    _, n_experts = sizes[names[0]]
    shown = samples if len(names) > 1 else samples[names[0]]
    view = routing_view(shown, n_experts=n_experts, title="Where the tokens went")
    for name in names:
        _print_routes(options, name if len(names) > 1 else "", samples[name][0], n_experts)
    view.save(options.out)
    if options.json:
        models = {name: _routes_as_json(sample) for name, (sample,) in samples.items()}
        routes = models if len(names) > 1 else models[names[0]]
        print(
            json.dumps({**({"models": routes} if len(names) > 1 else routes), "view": options.out})
        )
    _say(f"wrote {options.out}: open it in a browser")


def _text_to_route(options: argparse.Namespace) -> tuple[str, bytes]:
    """The title and the bytes of the text, from the command line or from a file."""
    if (options.text is None) == (options.file is None):
        raise InputError('give either a text in quotes or --file PATH: minimoe route "A text."')
    if options.file is None:
        return "text", options.text.encode(errors="surrogateescape")
    path = Path(options.file)
    if not path.is_file():
        raise InputError(f"--file must be a file of UTF-8 text, got {path}, which is none")
    text = path.read_bytes()
    if not 1 <= len(text) <= FILE_BYTES:
        raise InputError(f"--file must hold 1 to {FILE_BYTES:,} bytes, got {len(text):,} in {path}")
    try:
        text.decode("utf-8")
    except UnicodeDecodeError as error:
        bad = f"byte {error.start + 1:,} is 0x{text[error.start]:02X}"
        raise InputError(f"--file must be UTF-8 text, but in {path} {bad}") from error
    return path.name, text


def _layers(options: argparse.Namespace, n_layers: int) -> Sequence[int]:
    if options.layer is None:
        return range(n_layers)
    if not 1 <= options.layer <= n_layers:
        raise InputError(f"layer must lie in [1, n_layers={n_layers}], got {options.layer}")
    return [options.layer - 1]


def _routes_as_json(sample: "Sample") -> dict[str, Any]:
    import numpy as np

    return {
        "expert_ids": np.asarray(sample.expert_ids).tolist(),
        "weights": np.asarray(sample.weights).tolist(),
    }


def _print_routes(
    options: argparse.Namespace, model: str, sample: "Sample", n_experts: int
) -> None:
    """The bytes and their experts: coloured on a terminal, as a table elsewhere."""
    import numpy as np

    from minimoe.show.terminal import color_depth, routed_text

    ids, weights = np.asarray(sample.expert_ids), np.asarray(sample.weights)
    layers = _layers(options, len(ids))
    if options.json:
        return
    depth = color_depth(sys.stdout.isatty(), os.environ)
    if depth:
        width = shutil.get_terminal_size().columns
        for layer in layers:
            of = f"{model}, layer" if model else "layer"
            print(f"{of} {layer + 1} of {len(ids)}: the expert with the largest weight")
            print(routed_text(sample, layer=layer, n_experts=n_experts, width=width, depth=depth,
                              most=SHOWN_BYTES))  # fmt: skip
            if len(sample.text) > SHOWN_BYTES:
                print(f"... {len(sample.text):,} bytes in all; the view has the rest")
        return
    from minimoe.show.tables import text_table

    rows = [
        [
            repr(bytes([byte]))[2:-1],
            *(
                " ".join(
                    f"{e}:{w:.2f}" for e, w in zip(ids[layer][t], weights[layer][t], strict=True)
                )
                for layer in layers
            ),
        ]
        for t, byte in enumerate(sample.text)
    ]
    headers = ["byte", *(f"layer {layer + 1}" for layer in layers)]
    print(f"{model}\n" * bool(model) + text_table(headers, rows))


def trained(options: argparse.Namespace) -> None:
    """`minimoe trained`."""
    from minimoe.trained import HERE, available, trained_card

    if options.release is not None:
        if options.name is None:
            raise InputError("say which recipe the run is of: minimoe trained NAME --release RUN")
        from minimoe.trained.release import release

        to = HERE if options.to is None else Path(options.to)
        release(options.name, Path(options.release), _text(None), to)
        _say(f"wrote {to / options.name}.safetensors and .json")
        return
    if options.name is not None:
        card = trained_card(options.name)
        told = {key: card[key] for key in card if key not in ("curve", "model_config")}
        rows = [[key, value] for key, value in _flat(told).items()]
        _print(options, card, ["", options.name], rows)
        return
    cards = {name: trained_card(name) for name in available()}
    rows = [
        [name, card.get("what"), card.get("parameters"), card.get("hours"), _validation_bits(card)]
        for name, card in cards.items()
    ]
    headers = ["name", "what", "parameters", "hours", "bits per byte"]
    _print(options, cards, headers, rows)


def _validation_bits(card: dict[str, Any]) -> float | None:
    bits = card.get("bits_per_byte", {}).get("validation", {})
    return round(bits["all"], 3) if bits else None


def _flat(card: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """{"text": {"bytes": 3}} as {"text, bytes": 3}."""
    flat: dict[str, Any] = {}
    for key, value in card.items():
        inner = isinstance(value, dict)
        flat |= _flat(value, f"{prefix}{key}, ") if inner else {f"{prefix}{key}": value}
    return flat


def count(options: argparse.Namespace) -> None:
    """`minimoe count`."""
    from minimoe.zoo.published import count_named, published_models
    from minimoe.zoo.report import BESIDE, count_list, count_table

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
    from minimoe.experiments.bench import as_json, report, run_benchmark

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
    beside = Path(__file__).parent.parent.parent / "notebooks"
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
