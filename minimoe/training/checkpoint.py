"""Checkpoints: one folder each, complete or absent."""

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor
from torch.nn import Parameter

from minimoe import config as configs
from minimoe.config import InputError, ModelConfig, TrainConfig
from minimoe.data.text import Corpus
from minimoe.files import locked, write_file
from minimoe.model.routing import Routing, RoutingRule
from minimoe.model.transformer import Transformer
from minimoe.training.loop import Hook, Losses, Run, StepRecord, start, train


def text_digest(corpus: Corpus) -> str:
    """SHA-256 of a corpus and its domains, so that a run is not resumed on another text."""
    parts = (corpus.tokens, corpus.domain_ids)
    return hashlib.sha256(b"".join(part.numpy().tobytes() for part in parts)).hexdigest()


def save_checkpoint(run: Run, folder: Path, text: str) -> Path:
    """Write folder/step-NNNNNNN with model.safetensors, optimizer.safetensors and state.json.

    The files are written to a hidden folder. It is renamed when all of them are on the disk, so a
    kill at any moment leaves a complete checkpoint. Then all other checkpoints in `folder` are
    removed, also those of other runs. `text` is the digest of the training text.
    """
    folder.mkdir(parents=True, exist_ok=True)
    final = folder / f"step-{run.step:07d}"
    partial, replaced = folder / f".{final.name}.partial", folder / f".{final.name}.old.partial"
    shutil.rmtree(partial, ignore_errors=True)
    try:
        partial.mkdir()
        for name, content in _contents(run, text):
            write_file(partial / name, content)
        if final.exists():  # of another run at the same step; a rename does not replace a folder
            shutil.rmtree(replaced, ignore_errors=True)
            os.replace(final, replaced)
        os.replace(partial, final)
        _sync(folder)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    for other in folder.iterdir():
        old = other.name.startswith("step-") and other != final
        if old or other.name.endswith(".partial"):
            shutil.rmtree(other, ignore_errors=True)
    return final


def latest_checkpoint(folder: Path) -> Path | None:
    """The checkpoint with the most steps below `folder`, `folder` itself if it is one, or None."""
    if (folder / "state.json").is_file():
        return folder
    if not folder.is_dir():
        return None
    return max((p for p in folder.glob("step-*") if p.is_dir()), default=None)


def load_model(folder: Path) -> Transformer:
    """The model of the latest checkpoint in `folder`.

    Raises:
        InputError: there is no checkpoint, or it is damaged.
    """
    path, state = _read_state(folder)
    model = Transformer(state["model_config"]).to(getattr(torch, state["train_config"].dtype))
    _load_weights(model, path)
    return model


def train_config_in(folder: Path) -> TrainConfig:
    """The training configuration of the latest checkpoint in `folder`.

    Raises:
        InputError: there is no checkpoint, or it is damaged.
    """
    config: TrainConfig = _read_state(folder)[1]["train_config"]
    return config


def resume(
    folder: Path,
    model_config: ModelConfig,
    config: TrainConfig,
    text: str,
    *,
    rule: RoutingRule | None = None,
    losses: Losses | None = None,
) -> Run:
    """The run in the state of the latest checkpoint in `folder`.

    A checkpoint does not hold `rule` and `losses`, which are functions: give those of the run.

    Raises:
        InputError: there is no checkpoint, it is damaged, or it belongs to another run.
    """
    path, state = _read_state(folder)
    _same("model", asdict(model_config), asdict(state["model_config"]), path)
    _same("training", asdict(config), asdict(state["train_config"]), path)
    _same("text", {"sha256": text}, {"sha256": state["text"]}, path)
    run = start(model_config, config, rule=rule, losses=losses)
    _load_weights(run.model, path)
    named = dict(run.model.named_parameters())
    if not set(map(str, state["frozen"])) <= set(named):
        raise InputError(f"{path} is damaged: frozen in state.json names no parameter; delete it")
    for name in state["frozen"]:
        named[name].requires_grad_(False)
    _load_optimizer(run, named, path)
    run.history = state["history"]
    return run


def _load_optimizer(run: Run, named: dict[str, Parameter], path: Path) -> None:
    """AdamW's state; a parameter that was frozen or had no gradient has none and starts anew."""
    tensors = _read_tensors(path / "optimizer.safetensors")
    parts = ("exp_avg", "exp_avg_sq", "step")
    stored = {name.rpartition(".")[0] for name in tensors}
    fits = {f"{name}.{part}" for name in stored for part in parts} == set(tensors) and all(
        name in named and tensors[f"{name}.{part}"].shape == named[name].shape
        for name in stored
        for part in parts[:2]
    )
    if not fits:
        raise InputError(
            f"{path} is damaged: its optimizer state belongs to another model; delete it"
        )
    for name in stored:
        run.optimizer.state[named[name]] = {part: tensors[f"{name}.{part}"] for part in parts}


def _contents(run: Run, text: str) -> Iterator[tuple[str, bytes]]:
    """The name and the content of each file of a checkpoint."""
    weights = {_plain(name): part.contiguous() for name, part in run.model.state_dict().items()}
    yield "model.safetensors", save(weights)
    named = {_plain(name): parameter for name, parameter in run.model.named_parameters()}
    optimizer = {
        f"{name}.{part}": tensor.contiguous()
        for name, parameter in named.items()
        for part, tensor in run.optimizer.state.get(parameter, {}).items()
    }
    yield "optimizer.safetensors", save(optimizer)
    state = {
        "frozen": [name for name, parameter in named.items() if not parameter.requires_grad],
        "model_config": asdict(run.model.config),
        "train_config": asdict(run.config),
        "text": text,
        "history": [asdict(record) for record in run.history],
    }
    yield "state.json", json.dumps(state, indent=1).encode()


def _plain(name: str) -> str:
    """The name in an uncompiled model: torch.compile adds `_orig_mod.` to it."""
    return name.replace("_orig_mod.", "")


def _sync(folder: Path) -> None:
    """Write a rename in `folder` to the disk, where the system can."""
    if hasattr(os, "O_DIRECTORY"):
        descriptor = os.open(folder, os.O_DIRECTORY)
        os.fsync(descriptor)
        os.close(descriptor)


def _read_state(folder: Path) -> tuple[Path, dict[str, Any]]:
    path = latest_checkpoint(folder)
    if path is None:
        raise InputError(f"no checkpoint in {folder}; `minimoe train --out {folder}` makes one")
    try:
        state = {"frozen": [], **json.loads((path / "state.json").read_bytes())}
        missing = {"model_config", "train_config", "text", "history"} - set(state)
        if missing:
            raise ValueError(f"lacks {', '.join(sorted(missing))}")
        state["model_config"] = configs.model_config_from(state["model_config"])
        state["train_config"] = configs.train_config_from(state["train_config"])
        for name in ("frozen", "history"):
            if not isinstance(state[name], list):
                raise ValueError(f"{name} is not a list")
        state["history"] = [StepRecord(**record) for record in state["history"]]
    except (ValueError, TypeError, FileNotFoundError) as error:
        raise InputError(f"{path} is damaged: state.json: {error}; delete that folder") from error
    return path, state


def _read_tensors(path: Path) -> dict[str, Tensor]:
    try:
        return load(path.read_bytes())
    except (SafetensorError, FileNotFoundError) as error:
        raise InputError(
            f"{path.parent} is damaged: {path.name}: {error}; delete that folder"
        ) from error


def _load_weights(model: Transformer, path: Path) -> None:
    try:
        model.load_state_dict(_read_tensors(path / "model.safetensors"))
    except RuntimeError as error:
        problems = " ".join(str(error).split())
        raise InputError(f"{path} belongs to another model: {problems}") from error


def _same(what: str, wanted: dict[str, Any], found: dict[str, Any], path: Path) -> None:
    wanted, found = _flat(wanted), _flat(found)
    differing = [
        f"{key}={found.get(key)!r} there, {wanted.get(key)!r} asked for"
        for key in sorted(set(wanted) | set(found))
        if wanted.get(key) != found.get(key)
    ]
    if differing:
        raise InputError(
            f"{path} belongs to another {what}: {'; '.join(differing)}; choose another --out"
        )


def _flat(data: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Flatten nested fields: {"moe": {"top_k": 2}} becomes {"moe.top_k": 2}."""
    flat: dict[str, Any] = {}
    for key, value in data.items():
        nested = isinstance(value, dict)
        flat |= _flat(value, f"{prefix}{key}.") if nested else {prefix + key: value}
    return flat


def train_in_folder(
    model_config: ModelConfig,
    config: TrainConfig,
    corpus: Corpus,
    folder: Path,
    *,
    save_every: int = 100,
    hooks: Iterable[Hook] = (),
    rule: RoutingRule | None = None,
    losses: Losses | None = None,
    progress: Callable[[int, int], Iterable[int]] = range,
) -> Run:
    """Train to the end, from the latest checkpoint if there is one; save every `save_every` steps.

    Ctrl-C saves a checkpoint and returns.

    Args:
        save_every: steps between two checkpoints; the last step is always saved.
        hooks: called after every step, before the checkpoint is written.
        rule, losses: as in `start`; a resumed run needs the same.
        progress: called with the first step and the number of steps; returns an iterable over the
            remaining steps.

    Returns:
        The run; its `step` is below `config.steps` if it was interrupted.

    Raises:
        InputError: the checkpoint in `folder` is damaged or belongs to another run, or another
            process trains there.
        OSError: `folder` cannot be written to.
    """
    if save_every < 1:
        raise InputError(f"save_every must be at least 1 step, got {save_every}")
    text = text_digest(corpus)

    def save_sometimes(run: Run, _routings: tuple[Routing, ...]) -> None:
        if run.step % save_every == 0 or run.step == config.steps:
            save_checkpoint(run, folder, text)

    with locked(folder):
        if latest_checkpoint(folder) is None:
            run = start(model_config, config, config.seed, rule=rule, losses=losses)
        else:
            run = resume(folder, model_config, config, text, rule=rule, losses=losses)
        try:
            train(run, corpus, hooks=(*hooks, save_sometimes), progress=progress)
        except KeyboardInterrupt:
            if run.between_steps:  # not after a second Ctrl-C in the middle of a step
                save_checkpoint(run, folder, text)
    return run
