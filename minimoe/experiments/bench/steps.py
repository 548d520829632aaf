"""Time and memory of a training step, beside that of transformers' Mixtral with our weights."""

import gc
import multiprocessing
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from minimoe.config import ModelConfig
from minimoe.experiments.bench.layers import check_same, mixtral_model, timed
from minimoe.experiments.bench.records import MEMORY_STEPS, StepRows
from minimoe.measure.timing import Rounds
from minimoe.model.transformer import Transformer
from minimoe.training.loop import cross_entropy


def time_model(
    config: ModelConfig,
    batch: tuple[int, int],
    device: str,
    names: Sequence[str],
    n_rounds: int,
    rounds: Rounds,
) -> StepRows:
    """Time a training step of each model, "ours" first; measure the memory of ours and the best."""
    models = {name: model_of(config, name).to(device) for name in names}
    tokens = random_tokens(config, batch, device)
    with torch.no_grad():
        logits = {name: logits_of(model, tokens).flatten(0, 1) for name, model in models.items()}
    for name in names[1:]:
        check_same(name, logits["ours"], logits[name])
    runs = {name: training_step(model, tokens) for name, model in models.items()}
    rows = StepRows(config, batch, timed(runs, device, False, n_rounds, rounds), {})
    measured = ("ours", rows.best) if rows.best else ("ours",)
    peak_bytes = {name: step_bytes(config, batch, device, name) for name in measured}
    return replace(rows, peak_bytes=peak_bytes)


def model_of(config: ModelConfig, name: str) -> nn.Module:
    """Our model, or transformers' with its weights."""
    return Transformer(config) if name == "ours" else mixtral_model(config, name)


def random_tokens(config: ModelConfig, batch: tuple[int, int], device: str) -> Int[Tensor, "B L"]:
    """The same tokens in every run."""
    generator = torch.Generator().manual_seed(0)
    return torch.randint(config.vocab_size, batch, generator=generator).to(device)


def logits_of(model: nn.Module, tokens: Int[Tensor, "B L"]) -> Float[Tensor, "B L V"]:
    """The logits of our model or of transformers'."""
    if isinstance(model, Transformer):
        return model(tokens)[0]
    logits: Tensor = model(tokens, use_cache=False).logits
    return logits


def training_step(model: nn.Module, tokens: Int[Tensor, "B L"]) -> Callable[[], None]:
    """Forward, cross-entropy, backward, AdamW, without an auxiliary loss.

    The inputs double as targets; the cost is the same. Loss and optimizer are the same for every
    model.
    """
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        cross_entropy(logits_of(model, tokens), tokens).mean().backward()
        optimizer.step()

    return step


def step_bytes(config: ModelConfig, batch: tuple[int, int], device: str, name: str) -> int | None:
    """`peak_of_steps` in a process of its own, where nothing else takes memory."""
    own = ProcessPoolExecutor(
        1, multiprocessing.get_context("spawn"), torch.set_num_threads, (torch.get_num_threads(),)
    )
    with own:
        return own.submit(peak_of_steps, config, batch, device, name).result()


def peak_of_steps(
    config: ModelConfig, batch: tuple[int, int], device: str, name: str
) -> int | None:
    """Measure the bytes that MEMORY_STEPS training steps take on top of those held before.

    On a CPU the highest resident memory of the process (VmHWM) less the resident memory before
    (VmRSS): gradients, optimizer, activations, and whatever is loaded at first use. On a GPU the
    same of the memory that torch has allocated there.

    Returns:
        Bytes; None where Linux's /proc does not say.
    """
    model = model_of(config, name).to(device)
    step = training_step(model, random_tokens(config, batch, device))
    gc.collect()
    before = _memory(device, peak=False)
    for _ in range(MEMORY_STEPS):
        step()
    after = _memory(device, peak=True)
    return None if before is None or after is None else after - before


def _memory(device: str, *, peak: bool) -> int | None:
    """Bytes held now, and count the peak anew from here; or that peak."""
    if device == "cuda":
        if peak:
            return torch.cuda.max_memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        return torch.cuda.memory_allocated()
    try:
        if not peak:
            Path("/proc/self/clear_refs").write_text("5")  # VmHWM starts anew from VmRSS
        status = Path("/proc/self/status").read_text()
    except OSError:
        return None
    name = "VmHWM:" if peak else "VmRSS:"
    return next(1024 * int(line.split()[1]) for line in status.splitlines() if name in line)
