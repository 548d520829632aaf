"""Which trained models come with the package, how was each of them made, and what does it know?"""

import json
import os
import platform
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from jaxtyping import UInt8
from safetensors import safe_open
from safetensors.torch import load, save
from torch import Tensor

from minimoe.config import RECIPES, InputError, model_config_from
from minimoe.data.batches import Batch, validation_batches
from minimoe.data.text import Corpus, Text
from minimoe.files import write_file
from minimoe.measure.bits import bits_per_byte
from minimoe.model.routing import Routing
from minimoe.model.transformer import Transformer
from minimoe.training.checkpoint import load_model, resume, text_digest, train_config_in
from minimoe.training.loop import Hook, Run

HERE = Path(__file__).parent
LENGTH = RECIPES["text_moe_loss"].training.length  # positions, the same in every recipe
PROBE_BYTES = 2304  # of validation text, 3 windows of each domain
SNAPSHOT_STEPS = (25, 50, 100, 200, 400, 800, 1600, 2400, 3200, 4000)
SNAPSHOT_BYTES = 2**14  # of validation text, for the loss at a snapshot
SNAPSHOT_PART = "validation, the part of a snapshot"  # its name among a card's losses


def load_trained(name: str, dtype: torch.dtype = torch.float64) -> Transformer:
    """A model that comes with the package, by the name of its recipe.

    Args:
        name: a key of RECIPES.
        dtype: to compute in. The weights are stored in float16; in float64 what is computed from
            them has the same digits on every machine.

    Returns:
        The model; its parameters ask for no gradient.

    Raises:
        InputError: there is no such model.
    """
    path, card = _file(name), trained_card(name)
    model = Transformer(model_config_from(card["model_config"])).to(dtype)
    stored = load(path.read_bytes())
    model.load_state_dict(
        {key: tensor for key, tensor in stored.items() if not key.startswith("chosen.")}
    )
    return model.requires_grad_(False)


def named_model(name: str) -> tuple[Transformer, int]:
    """A model that comes with the package, or the one of a checkpoint's folder.

    Args:
        name: a key of RECIPES, or the path of a folder.

    Returns:
        The model, and the length of the sequences it was trained on: at later positions it was
        never taught to read, and does not.

    Raises:
        InputError: there is no such model, or the folder's checkpoint is damaged.
    """
    if name in RECIPES:
        return load_trained(name), RECIPES[name].training.length
    if not Path(name).exists():
        there = ", ".join(available())
        raise InputError(f"a model is a checkpoint's folder or one of {there}, got {name!r}")
    return load_model(Path(name)), train_config_in(Path(name)).length


def available() -> list[str]:
    """The names of the trained models that are there, in the order of their recipes."""
    return [name for name in RECIPES if (HERE / f"{name}.safetensors").is_file()]


def trained_card(name: str) -> dict[str, Any]:
    """What is known of a trained model: recipe, text, machine, hours, losses, the command.

    Raises:
        InputError: there is no such model.
    """
    card: dict[str, Any] = json.loads(_file(name).with_suffix(".json").read_bytes())
    return card


def routing_history(name: str) -> dict[int, UInt8[Tensor, "layers T K"]]:
    """The experts that a model chose for the tokens of `probe` while it was trained, by step.

    Returns:
        For each step of SNAPSHOT_STEPS the chosen experts, best first; empty for a dense model.
    """
    with safe_open(_file(name), "pt") as file:
        names = file.keys()
        chosen = {key: file.get_tensor(key) for key in names if key.startswith("chosen.")}
    return {int(key.partition(".")[2]): chosen[key] for key in sorted(chosen)}


def probe(text: Text) -> Batch:
    """The validation text whose routing `routing_history` holds: 9 windows, 3 of each domain."""
    (batch,) = validation_batches(
        text.validation, batch_size=9, length=LENGTH, max_bytes=PROBE_BYTES
    )
    return batch


def _file(name: str) -> Path:
    path = HERE / f"{name}.safetensors"
    if name not in RECIPES or not path.is_file():
        there = ", ".join(available()) or "none"
        raise InputError(f"no trained model {name!r} comes with the package, only {there}")
    return path


def snapshots(text: Text, folder: Path) -> Hook:
    """What to do after each step of a recipe: at SNAPSHOT_STEPS, write what the model chooses.

    folder/snapshot-NNNNNNN.safetensors holds the chosen experts of the probe, and in its metadata
    the validation loss of each domain.
    """
    asked = probe(text)
    judged = _judged(text.validation, SNAPSHOT_BYTES)

    @torch.no_grad()
    def after_step(run: Run, _routings: tuple[Routing, ...]) -> None:
        if run.step not in SNAPSHOT_STEPS:
            return
        bits = bits_per_byte(run.model, judged, text.validation.domains)
        routings = run.model(asked.inputs)[1]
        tensors = {}
        if routings:
            ids = torch.stack([routing.expert_ids for routing in routings])
            tensors["expert_ids"] = ids.to(torch.uint8)
        metadata = {"bits_per_byte": json.dumps(bits)}
        write_file(folder / f"snapshot-{run.step:07d}.safetensors", save(tensors, metadata))

    return after_step


def snapshot_loss(model: Transformer, text: Text) -> dict[str, float]:
    """Bits per byte of the validation text that a snapshot measures, for each domain and "all"."""
    judged = _judged(text.validation, SNAPSHOT_BYTES)
    return bits_per_byte(model, judged, text.validation.domains)


def _judged(corpus: Corpus, max_bytes: int | None) -> list[Batch]:
    return list(validation_batches(corpus, batch_size=16, length=LENGTH, max_bytes=max_bytes))


def release(name: str, folder: Path, text: Text, to: Path = HERE) -> None:
    """Make of a finished run what comes with the package: weights in float16, and a card.

    Args:
        name: of the recipe.
        folder: where `minimoe train --preset NAME --out FOLDER` wrote its checkpoints.
        text: that it was trained on.
        to: where NAME.safetensors and NAME.json are written.

    Raises:
        InputError: there is no such recipe, or the folder holds no such run, or one that is not
            at its end.
    """
    if name not in RECIPES:
        raise InputError(f"a recipe is one of {', '.join(RECIPES)}, got {name!r}")
    recipe, digest = RECIPES[name], text_digest(text.train)
    run = resume(folder, recipe.model, recipe.training, digest)
    if run.step < recipe.training.steps:
        raise InputError(
            f"{folder} stands at step {run.step} of {recipe.training.steps}; train it to the end"
        )
    tensors, curve = _snapshots_in(folder)
    weights = {key: _stored(key, value) for key, value in run.model.state_dict().items()}
    model = Transformer(recipe.model).double().requires_grad_(False)
    model.load_state_dict(weights)
    last = run.history[-1]
    card = {
        "name": name,
        "what": recipe.what,
        "command": f"minimoe train --preset {name} --out runs/{name}",
        "parameters": sum(p.numel() for p in model.parameters()),
        "stored_as": "float16 weights, float32 selection bias",
        "model_config": asdict(recipe.model),
        "train_config": asdict(recipe.training),
        "seeds": {"weights": recipe.training.seed, "batches": recipe.training.seed},
        "text": {
            "sha256": digest,
            "bytes": dict(
                zip(text.train.domains, text.train.bytes_per_domain.tolist(), strict=True)
            ),
        },
        "tokens": last.tokens,
        "hours": round(last.seconds / 3600, 2),
        "hours_undisturbed": round(_undisturbed_seconds(run) / 3600, 2),
        "machine": f"{platform.machine()}, {torch.get_num_threads()} of {os.cpu_count()} cores, "
        f"torch {torch.__version__}",
        "curve": curve,
    }
    domains, judged = text.validation.domains, _judged(text.validation, None)
    card["bits_per_byte"] = {
        "validation": bits_per_byte(model, judged, domains),
        "validation, before rounding to float16": bits_per_byte(run.model, judged, domains),
        # Little enough to be computed again by a test.
        SNAPSHOT_PART: snapshot_loss(model, text),
        "training": bits_per_byte(model, _judged(text.train, 2**18), domains),
    }
    write_file(to / f"{name}.safetensors", save({**weights, **tensors}))
    write_file(to / f"{name}.json", json.dumps(card, indent=1))


def _undisturbed_seconds(run: Run) -> float:
    """What the training takes on a machine that does nothing else: its quickest decile of steps.

    Other programs on the same cores make steps slower, never quicker. Steps of 2, 1 and 9 seconds
    give 3.
    """
    clock = [0.0, *(record.seconds for record in run.history)]
    steps = sorted(after - before for before, after in pairwise(clock))
    return steps[len(steps) // 10] * len(steps)


def _stored(key: str, tensor: Tensor) -> Tensor:
    return tensor.float() if key.endswith("expert_bias") else tensor.half()


def _snapshots_in(folder: Path) -> tuple[dict[str, Tensor], list[dict[str, Any]]]:
    """The chosen experts as chosen.STEP, and the validation losses by step."""
    tensors, curve = {}, []
    for path in sorted(folder.glob("snapshot-*.safetensors")):
        step = int(path.stem.partition("-")[2])
        with safe_open(path, "pt") as file:
            curve.append({"step": step, **json.loads(file.metadata()["bits_per_byte"])})
            names = file.keys()
            if "expert_ids" in names:
                tensors[f"chosen.{step:07d}"] = file.get_tensor("expert_ids")
    return tensors, curve
