"""Make a trained model of a finished run: snapshots while it trains, then weights and a card."""

import json
import os
import platform
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor

from minimoe.data.batches import Batch, validation_batches
from minimoe.data.packaged import packaged_text
from minimoe.data.text import Corpus, Text
from minimoe.errors import InputError
from minimoe.files import write_file
from minimoe.measure.bits import bits_per_byte
from minimoe.model.routing import Routing
from minimoe.model.transformer import Transformer
from minimoe.trained import HERE, LENGTH, RECIPES
from minimoe.trained.models import CHOSEN
from minimoe.training.checkpoint import resume, text_digest
from minimoe.training.loop import Hook, Run
from minimoe.training.reading import times_read

PROBE_BYTES = 2304  # of validation text, 3 windows of each domain
SNAPSHOT_STEPS = (25, 50, 100, 200, 400, 800, 1600, 2400, 3200, 4000)
SNAPSHOT_BYTES = 2**14  # of validation text, for the loss at a snapshot
SNAPSHOT_PART = "validation, the part of a snapshot"  # its name among a card's losses


def probe(text: Text) -> Batch:
    """The validation text whose routing snapshots hold: 9 windows, 3 of each domain."""
    (batch,) = validation_batches(
        text.validation, batch_size=9, length=LENGTH, max_bytes=PROBE_BYTES
    )
    return batch


def snapshots(text: Text, folder: Path) -> Hook:
    """Return a hook that writes snapshot-NNNNNNN.safetensors into a folder at SNAPSHOT_STEPS.

    It holds the experts chosen for the probe, and in its metadata the loss of each domain.
    """
    asked = probe(text)

    @torch.no_grad()
    def after_step(run: Run, _routings: tuple[Routing, ...]) -> None:
        if run.step not in SNAPSHOT_STEPS:
            return
        bits = snapshot_loss(run.model, text)
        ids = [routing.expert_ids for routing in run.model(asked.inputs)[1]]
        tensors = {"expert_ids": torch.stack(ids).to(torch.uint8)} if ids else {}
        metadata = {"bits_per_byte": json.dumps(bits)}
        write_file(folder / f"snapshot-{run.step:07d}.safetensors", save(tensors, metadata))

    return after_step


def snapshot_loss(model: Transformer, text: Text) -> dict[str, float]:
    """Bits per byte of the validation text that a snapshot measures, for each domain and "all"."""
    windows = _windows(text.validation, SNAPSHOT_BYTES)
    return bits_per_byte(model, windows, text.validation.domains)


def _windows(corpus: Corpus, max_bytes: int | None) -> list[Batch]:
    return list(validation_batches(corpus, batch_size=16, length=LENGTH, max_bytes=max_bytes))


def release(name: str, folder: Path, text: Text | None = None, to: Path = HERE) -> None:
    """Write NAME.safetensors, weights in float16, and NAME.json, the card of a finished run.

    `minimoe train --preset NAME --out FOLDER` has trained it in that folder, on that text; None =
    the text that the recipe names.

    Raises:
        InputError: there is no such recipe, or the folder holds no such run, or one that is not
            at its end.
    """
    if name not in RECIPES:
        raise InputError(f"a recipe is one of {', '.join(RECIPES)}, got {name!r}")
    recipe = RECIPES[name]
    text = text or packaged_text(recipe.text)
    digest = text_digest(text.train)
    run = resume(folder, recipe.model, recipe.training, digest)
    if run.step < recipe.training.steps:
        raise InputError(
            f"{folder} stands at step {run.step} of {recipe.training.steps}; train it to the end"
        )
    chosen, curve = _snapshots_in(folder)
    weights = {
        key: tensor.float() if key.endswith("expert_bias") else tensor.half()
        for key, tensor in run.model.state_dict().items()
    }
    card = json.dumps(_card(name, run, text, digest, weights, curve), indent=1)
    write_file(to / f"{name}.safetensors", save({**weights, **chosen}))
    write_file(to / f"{name}.json", card)


def _card(
    name: str,
    run: Run,
    text: Text,
    digest: str,
    weights: dict[str, Tensor],
    curve: list[dict[str, Any]],
) -> dict[str, Any]:
    """Collect the facts about a model; its losses are those of the rounded weights."""
    recipe, last = RECIPES[name], run.history[-1]
    model = Transformer(recipe.model).double().requires_grad_(False)
    model.load_state_dict(weights)
    domains, windows = text.validation.domains, _windows(text.validation, None)
    n_bytes = zip(text.train.domains, text.train.bytes_per_domain.tolist(), strict=True)
    return {
        "name": name,
        "what": recipe.what,
        "command": f"minimoe train --preset {name} --out runs/{name}",
        "parameters": sum(p.numel() for p in model.parameters()),
        "stored_as": "float16 weights, float32 selection bias",
        "model_config": asdict(recipe.model),
        "train_config": asdict(recipe.training),
        "seeds": {"weights": recipe.training.seed, "batches": recipe.training.seed},
        "text": {"sha256": digest, "bytes": dict(n_bytes)},
        "times_read": times_read(recipe.training, text.train),
        "tokens": last.tokens,
        "hours": round(last.seconds / 3600, 2),
        "hours_undisturbed": round(_undisturbed_seconds(run) / 3600, 2),
        "machine": f"{platform.machine()}, {torch.get_num_threads()} of {os.cpu_count()} cores, "
        f"torch {torch.__version__}",
        "curve": curve,
        "bits_per_byte": {
            "validation": bits_per_byte(model, windows, domains),
            "validation, before rounding to float16": bits_per_byte(run.model, windows, domains),
            # Little enough that a test computes it again.
            SNAPSHOT_PART: snapshot_loss(model, text),
            "training": bits_per_byte(model, _windows(text.train, 2**18), domains),
        },
    }


def _undisturbed_seconds(run: Run) -> float:
    """Estimate what the training takes on a machine that does nothing else.

    Other programs on the same cores make steps slower, never faster: the time of the fastest decile
    is taken for all steps. Steps of 2, 1 and 9 seconds give 3.
    """
    clock = [0.0, *(record.seconds for record in run.history)]
    steps = sorted(after - before for before, after in pairwise(clock))
    return steps[len(steps) // 10] * len(steps)


def _snapshots_in(folder: Path) -> tuple[dict[str, Tensor], list[dict[str, Any]]]:
    """The chosen experts as chosen.STEP, and the validation losses by step."""
    tensors, curve = {}, []
    for path in sorted(folder.glob("snapshot-*.safetensors")):
        step = int(path.stem.partition("-")[2])
        with safe_open(path, "pt") as file:
            curve.append({"step": step, **json.loads(file.metadata()["bits_per_byte"])})
            if "expert_ids" in list(file.keys()):
                tensors[f"{CHOSEN}{step:07d}"] = file.get_tensor("expert_ids")
    return tensors, curve
