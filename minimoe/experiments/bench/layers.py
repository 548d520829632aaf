"""Time a layer beside a dense one and beside transformers', in one interleaved run."""

import functools
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from minimoe.experiments.bench.plan import IMPLEMENTATIONS, ROUNDS, Shape
from minimoe.experiments.bench.records import Growth, LayerRow, Machine, dtype_of
from minimoe.experiments.bench.theirs import check_same, mixtral_layer
from minimoe.measure.timing import Rounds, Timing, time_interleaved
from minimoe.model.feed_forward import SwiGLU
from minimoe.model.moe import MoE
from minimoe.model.parameters import initialize_

AT_LEAST = 0.01  # seconds of one timed run: a shorter one is repeated inside it


def time_layer(
    shape: Shape,
    machine: Machine,
    device: str = "cpu",
    dtypes: Sequence[str] = ("float32",),
    with_transformers: bool = False,
    *,
    n_rounds: int = ROUNDS,
    rounds: Rounds = range,
) -> list[LayerRow]:
    """Time a layer, in every dtype, beside all that it is compared with.

    Forward and backward with fresh gradients for a batch, forward alone for a single token.
    """
    runs: dict[str, Callable[[], object]] = {}
    for dtype in dtypes:
        x, dy = _batch(shape, device, dtype)
        also = with_transformers and dtype == "float32"
        for name, contender in _contenders(shape, x, also).items():
            run = functools.partial(contender.compute, x)
            runs[f"{dtype} {name}"] = _learning(contender, x, dy) if shape.backward else run
    timings = timed(runs, device, not shape.backward, n_rounds, rounds)
    return [
        LayerRow(
            shape,
            dtype,
            {name.split()[1]: timings[name] for name in runs if name.startswith(f"{dtype} ")},
            machine,
        )
        for dtype in dtypes
    ]


def time_growth(
    shapes: tuple[Shape, ...], machine: Machine, device: str, n_rounds: int, rounds: Rounds
) -> Growth:
    """Time layers that differ only in their number of experts."""
    runs: dict[str, Callable[[], object]] = {}
    for shape in shapes:
        x, dy = _batch(shape, device, "float32")
        runs[str(shape.n_experts)] = _learning(_contenders(shape, x, False)["ours"], x, dy)
    timings = timed(runs, device, False, n_rounds, rounds)
    pairs = zip(shapes, timings.values(), strict=True)
    return Growth(
        tuple(LayerRow(shape, "float32", {"ours": timing}, machine) for shape, timing in pairs)
    )


def _batch(
    shape: Shape, device: str, dtype: str
) -> tuple[Float[Tensor, "T D"], Float[Tensor, "T D"]]:
    """Tokens, and the gradient of their outputs."""
    generator = torch.Generator().manual_seed(0)
    x, dy = (torch.randn(shape.n_tokens, shape.d_model, generator=generator) for _ in range(2))
    x, dy = x.to(device, dtype_of(dtype)), dy.to(device, dtype_of(dtype))
    return x.requires_grad_(shape.backward), dy


@dataclass(frozen=True)
class _Contender:
    """A module, and how it is called with tokens [T, D] to give tokens."""

    module: nn.Module
    compute: Callable[[Tensor], Tensor]


def _contenders(shape: Shape, x: Tensor, with_transformers: bool) -> dict[str, _Contender]:
    """The dense layer, ours, and transformers' with our weights, which give the same outputs."""
    dense, ours = SwiGLU(shape.d_model, shape.d_ff), MoE(shape.config)
    initialize_(dense, 0)
    contenders = {
        "dense": _Contender(dense, dense),
        "ours": _Contender(ours, lambda x: ours(x)[0]),
    }
    theirs = IMPLEMENTATIONS if with_transformers else ()
    contenders |= {name: _Contender(*mixtral_layer(ours, name)) for name in theirs}
    for contender in contenders.values():
        contender.module.to(x.device, x.dtype)
    with torch.no_grad():
        for name in theirs:
            check_same(name, ours(x)[0], contenders[name].compute(x))
    return contenders


def _learning(contender: _Contender, x: Tensor, dy: Tensor) -> Callable[[], object]:
    """Forward and backward, with fresh gradients."""
    tensors = [x, *contender.module.parameters()]

    def run() -> None:
        for tensor in tensors:
            tensor.grad = None
        contender.compute(x).backward(dy)

    return run


def timed(
    runs: Mapping[str, Callable[[], object]],
    device: str,
    inference: bool,
    n_rounds: int,
    rounds: Rounds,
) -> dict[str, Timing]:
    """Seconds of each run; all are repeated as often as the quickest needs to last AT_LEAST."""

    def repeated(run: Callable[[], object], n: int) -> None:
        with torch.inference_mode(inference):
            for _ in range(n):
                run()
        if device == "cuda":
            torch.cuda.synchronize()

    n = max(repeats(functools.partial(repeated, run)) for run in runs.values())
    wholes = {name: functools.partial(repeated, run, n) for name, run in runs.items()}
    timings = time_interleaved(wholes, rounds=n_rounds, warm_up=0, progress=rounds)
    return {
        name: Timing(tuple(seconds / n for seconds in timing.seconds))
        for name, timing in timings.items()
    }


def repeats(run: Callable[[int], object], clock: Callable[[], float] = time.perf_counter) -> int:
    """Find how many repeats last AT_LEAST, twice in turn; a power of 2.

    Args:
        run: gets the number of repeats.
        clock: seconds.

    Returns:
        4 for a run of 0.003 s.
    """
    run(1)  # the first one compiles and allocates, so its time does not count

    def too_short(n: int) -> bool:
        start = clock()
        run(n)
        return clock() - start < AT_LEAST

    n = 1
    while too_short(n) or too_short(n):
        n *= 2
    return n
