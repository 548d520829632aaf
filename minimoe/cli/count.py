"""`minimoe count`."""

import argparse
import json

from minimoe.config import PRESETS, InputError

HELP = "parameters, KV cache, FLOPs and memory of real models"
EXAMPLE = "deepseek-v3 mixtral-8x7b"


def add_options(parser: argparse.ArgumentParser) -> None:
    names = (
        "a published model (--all lists them), the path of a config.json or its directory, "
        f"or a preset: {', '.join(PRESETS)} (the presets)"
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=names)
    parser.add_argument("--all", action="store_true", help="every published model, a line each")
    positions = "positions, for FLOPs (4096; presets 128; with --all at most what a model can read)"
    parser.add_argument("--length", type=int, help=positions)


def run(options: argparse.Namespace) -> None:
    """Print the counts of the named models; nothing is built or downloaded."""
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
