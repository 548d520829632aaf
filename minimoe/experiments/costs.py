"""What a training step costs on this machine: seconds side by side, and bytes held."""

import json
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from minimoe.data.batches import Batch
from minimoe.data.text import Corpus
from minimoe.experiments.plan import RULES, TEXTS, Entry
from minimoe.experiments.rows import STORED, machine
from minimoe.measure.timing import time_interleaved
from minimoe.training.loop import Run, cross_entropy, next_batch, start, train_step

BYTES_PER_PARAMETER = 16  # float32: the weight, its gradient, and AdamW's two moments


def measure_costs(
    entries: Iterable[Entry],
    *,
    rounds: int = 15,
    warm_up: int = 20,
    progress: Callable[[int, int], Iterable[int]] = range,
) -> dict[str, Any]:
    """Time training steps of each entry, in turns and on one thread, and count the bytes held.

    Returns:
        By name: seconds of each round, bytes of weights, gradients and moments, and bytes that
        the forward pass keeps for the backward pass.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as the runner trains
    try:
        runs, corpus = {e.name: _started(e) for e in entries}, TEXTS["real"]().train
        steps = {name: partial(_next_step, run, corpus) for name, run in runs.items()}
        timings = time_interleaved(steps, rounds=rounds, warm_up=warm_up, progress=progress)
        found = {
            name: {
                "seconds": [round(s, 5) for s in timings[name].seconds],
                "parameter_bytes": BYTES_PER_PARAMETER * _n_parameters(run),
                "activation_bytes": activation_bytes(run, next_batch(run, corpus)),
            }
            for name, run in runs.items()
        }
        return {"machine": machine(), "threads": torch.get_num_threads(), "steps": found}
    finally:
        torch.set_num_threads(threads)


def _next_step(run: Run, corpus: Corpus) -> None:
    train_step(run, next_batch(run, corpus))


def _started(entry: Entry) -> Run:
    return start(entry.model, entry.training, rule=RULES[entry.rule])


def _n_parameters(run: Run) -> int:
    return sum(parameter.numel() for parameter in run.model.parameters())


def activation_bytes(run: Run, batch: Batch) -> int:
    """Bytes that one forward pass keeps for its backward pass, weights not counted."""
    weights = {parameter.untyped_storage().data_ptr() for parameter in run.model.parameters()}
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        logits, _ = run.model(batch.inputs)
        loss = cross_entropy(logits, batch.targets).mean()
    loss.backward()  # the kept tensors live until here, so no storage stands for two of them
    return sum(kept.values())


def stored_costs(plan: str) -> dict[str, Any]:
    """The costs that come with the package, measured on a quiet machine."""
    costs: dict[str, Any] = json.loads((STORED / f"{plan}-costs.json").read_text())
    return costs
