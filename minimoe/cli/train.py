"""`minimoe train`."""

import argparse
from dataclasses import replace
from pathlib import Path

from minimoe.cli.shared import print_result, progress, say, text_of, text_option
from minimoe.config import PRESETS, RECIPES, InputError, ModelConfig, TrainConfig, preset

HELP = "train a preset; the same command goes on after a stop"
EXAMPLE = "--out runs/moe"
NAMES = ", ".join([*PRESETS, *RECIPES])
VALIDATION_BYTES = 2**16  # at most, for the loss at the end
FIELDS = ("steps", "batch_size", "length", "learning_rate", "balance_weight", "z_weight",
          "expert_bias_rate", "seed", "dtype")  # fmt: skip


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--preset", default="moe", help=f"{NAMES} (moe)")
    parser.add_argument("--out", required=True, help="folder of the checkpoints")
    parser.add_argument("--save-every", type=int, default=100, metavar="STEPS", help="(100)")
    defaults = TrainConfig(steps=1000)
    for name in FIELDS:
        value = getattr(defaults, name)
        what = f"({value}; a text_... preset has its own)"
        parser.add_argument(f"--{name.replace('_', '-')}", type=type(value), help=what)
    text_option(parser)


def run(options: argparse.Namespace) -> None:
    """Train, or go on with the training in the folder; print the validation loss."""
    model_config, config = _configs(options)

    from minimoe.data.batches import validation_batches
    from minimoe.measure.bits import bits_per_byte
    from minimoe.trained.release import snapshots
    from minimoe.training.checkpoint import train_in_folder

    recipe, folder = RECIPES.get(options.preset), Path(options.out)
    text = text_of(options.text, recipe.text if recipe else "real")
    batches = list(
        validation_batches(text.validation, length=config.length, max_bytes=VALIDATION_BYTES)
    )
    trained = train_in_folder(
        model_config,
        config,
        text.train,
        folder,
        save_every=options.save_every,
        hooks=[snapshots(text, folder)] if recipe else [],
        progress=progress,
    )
    if trained.step < config.steps:
        say(f"stopped after {trained.step} of {config.steps} steps; the same command goes on")
    bits = bits_per_byte(trained.model, batches, text.validation.domains)
    rows = [[f"bits per byte, {domain}", f"{value:.3f}"] for domain, value in bits.items()]
    tokens = trained.history[-1].tokens
    result = {"steps": trained.step, "tokens": tokens, "bits_per_byte": bits}
    print_result(options.json, result, ["validation", options.preset], rows)


def _configs(options: argparse.Namespace) -> tuple[ModelConfig, TrainConfig]:
    """The model and the training of a preset; options that were given replace its fields."""
    given = {each: value for each in FIELDS if (value := getattr(options, each)) is not None}
    name = options.preset
    if name in RECIPES and options.text is not None:
        raise InputError(f"{name} weighs the domains of its own text; leave out --text")
    if name in RECIPES:
        return RECIPES[name].model, replace(RECIPES[name].training, **given)
    if name not in PRESETS:
        raise InputError(f"preset must be one of {NAMES}, got {name!r}")
    return preset(name), TrainConfig(**{"steps": 1000, **given})
