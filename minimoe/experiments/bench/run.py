"""Run the benchmark: choose the parts, time them in turn, write the figure."""

import importlib.util
import os
import platform
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import torch

from minimoe.errors import InputError
from minimoe.experiments.bench import records
from minimoe.experiments.bench.layers import time_layers
from minimoe.experiments.bench.output import picture
from minimoe.experiments.bench.records import PARTS, Benchmark, LayerRow, Machine, Shape
from minimoe.experiments.bench.steps import time_model
from minimoe.files import usable_file, write_file
from minimoe.measure.timing import Rounds, measure_peak


def run_benchmark(
    out: Path,
    parts: Sequence[str] | None = None,
    *,
    quick: bool = False,
    bfloat16: bool = False,
    device: str = "cpu",
    say: Callable[[str], None] = lambda line: None,
    progress: Rounds = range,
) -> Benchmark:
    """Time every part in turns with what it is compared with, and write the figure.

    Args:
        out: the figure, *.png or *.svg; a part that is not timed is not drawn.
        parts: of PARTS; None for all, or for those of QUICK_PARTS.
        quick: fewer parts, rounds and points.
        bfloat16: the layers in bfloat16 too, beside a dense layer in bfloat16.
        say: gets lines for the user.
        progress: gets the first round and the number of rounds, returns an iterable over them.

    Raises:
        InputError: an unknown part, no such device, or another kind of figure.
        OSError: `out` cannot be written to.
    """
    began = time.perf_counter()
    wanted = parts if parts is not None else records.QUICK_PARTS if quick else PARTS
    _check(out, wanted, device)
    with_transformers = importlib.util.find_spec("transformers") is not None
    names = ("ours", *(records.IMPLEMENTATIONS if with_transformers else ()))
    n_rounds = records.QUICK_ROUNDS if quick else records.ROUNDS
    say(f"timing {', '.join(wanted)}: {n_rounds} rounds each")
    dtypes = ("float32", "bfloat16") if bfloat16 else ("float32",)
    machine = describe_machine(device, dtypes)
    rounds = _one_bar(progress, len(set(wanted)) * n_rounds)

    def layers(
        shapes: Sequence[Shape], dtypes: Sequence[str], names: Sequence[str]
    ) -> list[LayerRow]:
        cases = [(shape, dtype) for shape in shapes for dtype in dtypes]
        return time_layers(cases, machine, device, names, n_rounds=n_rounds, rounds=rounds)

    timed = [
        row
        for shape in records.SHAPES
        if shape.name in wanted
        for row in layers([shape], dtypes, ("dense", *names))
    ]
    models = {
        name: time_model(config, records.BATCH, device, names, n_rounds, rounds)
        for name, config in records.MODELS.items()
        if name in wanted
    }
    sizes = records.GROWTH[::3] if quick else records.GROWTH
    growth = layers(sizes, ("float32",), ("ours",)) if "growth" in wanted else []
    seconds = time.perf_counter() - began
    benchmark = Benchmark(
        machine, tuple(timed), models, tuple(growth), with_transformers, n_rounds, seconds
    )
    drawn = picture(benchmark, out.suffix[1:])
    if drawn is not None:
        write_file(out, drawn)
    say("nothing to draw" if drawn is None else f"wrote {out}")
    return benchmark


def _check(out: Path, parts: Sequence[str], device: str) -> None:
    """Refuse what cannot be timed or written, before anything is timed."""
    wrong = [repr(part) for part in parts if part not in PARTS]
    if wrong or not parts:
        got = wrong[0] if wrong else "none"
        raise InputError(f"shapes must be some of {','.join(PARTS)}, got {got}")
    if out.suffix not in (".png", ".svg"):
        raise InputError(f"the figure's name must end in .png or .svg, got {out.name!r}")
    if device == "cuda" and not torch.cuda.is_available():
        raise InputError("device must be cpu: torch finds 0 CUDA devices here, got cuda")
    usable_file(out)


def _one_bar(progress: Rounds, total: int) -> Rounds:
    """Rounds of all parts as the steps of one bar."""
    bar = iter(progress(0, total))
    next(bar, None)

    def rounds(first: int, last: int) -> Iterator[int]:
        for number in range(first, last):
            yield number
            next(bar, None)

    return rounds


def describe_machine(device: str, dtypes: Iterable[str]) -> Machine:
    """Name the machine, and on a CPU measure its peak in each dtype."""
    on_cpu = device == "cpu"
    return Machine(
        processor=_processor(),
        n_cores=len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1,
        n_threads=torch.get_num_threads(),
        torch=torch.__version__,
        device="cpu" if on_cpu else torch.cuda.get_device_name(),
        peaks={dtype: measure_peak(records.dtype_of(dtype)) for dtype in dtypes} if on_cpu else {},
    )


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
