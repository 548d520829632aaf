"""How fast is the layer beside a dense one, and beside transformers?"""

import functools
import gc
import importlib.util
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from minimoe.config import (
    AttentionConfig,
    InputError,
    ModelConfig,
    MoEConfig,
    model_config_from,
)
from minimoe.files import usable_folder, write_file
from minimoe.measure.timing import Rounds, Timing, measure_peak, time_interleaved
from minimoe.model.feed_forward import SwiGLU
from minimoe.model.moe import MoE
from minimoe.model.parameters import initialize_
from minimoe.model.transformer import Transformer
from minimoe.show.speed import (
    IMPLEMENTATIONS,
    MEMORY_STEPS,
    Benchmark,
    Growth,
    LayerRow,
    Machine,
    Shape,
    StepRows,
    dtype_of,
    fastest,
    picture,
)
from minimoe.training.loop import cross_entropy
from minimoe.zoo.configs import hub_config_from
from minimoe.zoo.tensors import hub_tensors

SHAPES = (
    Shape("S1", 8, 2, 128, 256, 2048),
    Shape("S2", 16, 2, 128, 256, 4096),
    Shape("S3", 64, 6, 128, 64, 4096),
    Shape("S4", 64, 8, 256, 128, 8192),
    Shape("S5", 8, 2, 512, 1024, 4096),
    Shape("D1", 8, 2, 128, 256, 1),
    Shape("D2", 64, 6, 256, 128, 1),
)
GROWTH = tuple(Shape("growth", n_experts, 2, 256, 256, 16384) for n_experts in (4, 16, 64, 256))


def _model_of(d_expert: int, n_experts: int, top_k: int) -> ModelConfig:
    layer = MoEConfig(d_model=128, d_expert=d_expert, n_routed_experts=n_experts, top_k=top_k)
    attention = AttentionConfig(d_model=128, n_heads=4, n_kv_heads=4, d_head=32)
    return ModelConfig(n_layers=4, attention=attention, moe=layer)


MODELS = {"coarse": _model_of(256, 8, 2), "fine": _model_of(64, 64, 6)}  # layers as in S1, in S3
BATCH = (8, 256)  # sequences and their length, for a training step of a model
PARTS = (*(shape.name for shape in SHAPES), *MODELS, "growth")
QUICK_PARTS = ("S1", "S3", "D1", "coarse", "growth")
ROUNDS, QUICK_ROUNDS = 9, 5
AT_LEAST = 0.01  # seconds of one timed run: a shorter one is repeated inside it


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
        device: "cpu" or "cuda".
        say: gets lines for the user.
        progress: gets the first round and the number of rounds, returns an iterable over them.

    Returns:
        What was measured.

    Raises:
        InputError: an unknown part, no such device, or another kind of figure.
        OSError: `out` cannot be written to.
    """
    began = time.perf_counter()
    wanted = _checked_parts(parts if parts is not None else QUICK_PARTS if quick else PARTS)
    if out.suffix not in (".png", ".svg"):
        raise InputError(f"the figure's name must end in .png or .svg, got {out.name!r}")
    if device == "cuda" and not torch.cuda.is_available():
        raise InputError("device must be cpu: torch finds 0 CUDA devices here, got cuda")
    usable_folder(out.parent)
    shapes = [shape for shape in SHAPES if shape.name in wanted]
    sizes = GROWTH[::3] if quick else GROWTH
    n_rounds = QUICK_ROUNDS if quick else ROUNDS
    dtypes = ("float32", "bfloat16") if bfloat16 else ("float32",)
    with_transformers = importlib.util.find_spec("transformers") is not None
    configs = {name: config for name, config in MODELS.items() if name in wanted}
    n_parts = len(shapes) + len(configs) + ("growth" in wanted)
    say(f"timing {', '.join(wanted)}: {n_rounds} rounds each")
    machine = describe_machine(device, dtypes)
    rounds = _one_bar(progress, n_parts * n_rounds)
    layers = [
        row
        for shape in shapes
        for row in time_layer(
            shape, machine, device, dtypes, with_transformers, n_rounds=n_rounds, rounds=rounds
        )
    ]
    models = {
        name: time_model(config, BATCH, device, with_transformers, n_rounds, rounds)
        for name, config in configs.items()
    }
    growth = None
    if "growth" in wanted:
        growth = time_growth(sizes, machine, device, n_rounds, rounds)
    taken = time.perf_counter() - began
    benchmark = Benchmark(
        machine, tuple(layers), models, growth, with_transformers, n_rounds, taken
    )
    drawn = picture(benchmark, out.suffix[1:])
    if drawn is not None:
        write_file(out, drawn)
    say("nothing to draw" if drawn is None else f"wrote {out}")
    return benchmark


def _checked_parts(parts: Sequence[str]) -> Sequence[str]:
    if not parts:
        raise InputError(f"shapes must be some of {','.join(PARTS)}, got none")
    for part in parts:
        if part not in PARTS:
            raise InputError(f"shapes must be some of {','.join(PARTS)}, got {part!r}")
    return parts


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
    """What this is, and on a CPU what it can do at best."""
    on_cpu = device == "cpu"
    return Machine(
        processor=_processor(),
        n_cores=len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1,
        n_threads=torch.get_num_threads(),
        torch=torch.__version__,
        device="cpu" if on_cpu else torch.cuda.get_device_name(),
        peaks={dtype: measure_peak(dtype_of(dtype)) for dtype in dtypes} if on_cpu else {},
    )


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


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
    """Time a layer, in every dtype, beside all that it is compared with, in one run.

    Forward and backward with fresh gradients for a batch, forward alone for a single token.
    """
    runs: dict[str, Callable[[], object]] = {}
    names: dict[str, list[str]] = {dtype: [] for dtype in dtypes}
    for dtype in dtypes:
        x, dy = _batch(shape, device, dtype)
        also = with_transformers and dtype == "float32"
        for name, contender in _contenders(shape, x, also).items():
            run = _learning(contender, x, dy) if shape.backward else _reading(contender, x)
            runs[f"{dtype} {name}"] = run
            names[dtype].append(name)
    timings = _timed(runs, device, not shape.backward, n_rounds, rounds)
    return [
        LayerRow(
            shape,
            dtype,
            {name: timings[f"{dtype} {name}"] for name in names[dtype]},
            machine,
        )
        for dtype in dtypes
    ]


def _batch(
    shape: Shape, device: str, dtype: str
) -> tuple[Float[Tensor, "T D"], Float[Tensor, "T D"]]:
    """Tokens, and the gradient that comes back."""
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
    if with_transformers:
        contenders |= {name: _mixtral_layer(shape, ours, name) for name in IMPLEMENTATIONS}
    for contender in contenders.values():
        contender.module.to(x.device, x.dtype)
    with torch.no_grad():
        for name in contenders.keys() & set(IMPLEMENTATIONS):
            check_same(name, ours(x)[0], contenders[name].compute(x))
    return contenders


def _transformers() -> Any:
    """The library without its messages; loaded here only, since it is optional and large."""
    import transformers

    transformers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity_error()
    return transformers


def _mixtral_layer(shape: Shape, ours: MoE, implementation: str) -> _Contender:
    """transformers' Mixtral layer with the weights of ours; it wants a sequence."""
    config = _transformers().MixtralConfig(
        hidden_size=shape.d_model,
        intermediate_size=shape.d_expert,
        num_local_experts=shape.n_experts,
        num_experts_per_tok=shape.top_k,
        num_hidden_layers=1,
        num_attention_heads=1,
        num_key_value_heads=1,
        vocab_size=8,
        pad_token_id=None,
    )
    model = _transformers().AutoModel.from_config(config, experts_implementation=implementation)
    layer = model.layers[0].mlp
    with torch.no_grad():
        layer.gate.weight.copy_(ours.router.weight)
        layer.experts.gate_up_proj.copy_(ours.experts.gate_up)
        layer.experts.down_proj.copy_(ours.experts.down)
    return _Contender(layer, lambda x: layer(x.unsqueeze(0)).squeeze(0))


def check_same(name: str, ours: Float[Tensor, "T D"], theirs: Float[Tensor, "T D"]) -> None:
    """Make sure that two implementations compute the same, before their times are compared.

    Of a thousand tokens one may differ: float32 may break a near tie of two experts either way.

    Raises:
        AssertionError: they do not.
    """
    same = torch.isclose(ours, theirs, rtol=1e-4, atol=1e-5).all(-1).double().mean()
    if same < 0.999:
        raise AssertionError(f"{name}: only {float(same):.1%} of the tokens have our outputs")


def _learning(contender: _Contender, x: Tensor, dy: Tensor) -> Callable[[], object]:
    """Forward and backward, with fresh gradients."""
    tensors = [x, *contender.module.parameters()]

    def run() -> None:
        for tensor in tensors:
            tensor.grad = None
        contender.compute(x).backward(dy)

    return run


def _reading(contender: _Contender, x: Tensor) -> Callable[[], object]:
    return functools.partial(contender.compute, x)


def _timed(
    runs: Mapping[str, Callable[[], object]],
    device: str,
    inference: bool,
    n_rounds: int,
    rounds: Rounds,
) -> dict[str, Timing]:
    """Seconds of each run, every one repeated as often as the quickest needs to last AT_LEAST."""

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
    """How many repeats last AT_LEAST, twice in turn; a power of 2.

    Args:
        run: does something so many times.
        clock: seconds.

    Returns:
        4 for what takes 0.003 s.
    """
    run(1)  # the first one compiles, allocates, and says nothing

    def too_short(n: int) -> bool:
        start = clock()
        run(n)
        return clock() - start < AT_LEAST

    n = 1
    while too_short(n) or too_short(n):
        n *= 2
    return n


def time_growth(
    shapes: tuple[Shape, ...], machine: Machine, device: str, n_rounds: int, rounds: Rounds
) -> Growth:
    """Time layers that differ in their number of experts alone, in one run."""
    runs: dict[str, Callable[[], object]] = {}
    for shape in shapes:
        x, dy = _batch(shape, device, "float32")
        ours = _contenders(shape, x, False)["ours"]
        runs[str(shape.n_experts)] = _learning(ours, x, dy)
    timings = _timed(runs, device, False, n_rounds, rounds)
    return Growth(shapes, {int(n): timing for n, timing in timings.items()}, machine)


def time_model(
    config: ModelConfig,
    batch: tuple[int, int],
    device: str,
    with_transformers: bool,
    n_rounds: int,
    rounds: Rounds,
) -> StepRows:
    """Time a training step of our model beside transformers' with the same weights."""
    names = ("ours", *(IMPLEMENTATIONS if with_transformers else ()))
    models = {name: _model(config, name).to(device) for name in names}
    tokens = _tokens(config, batch, device)
    with torch.no_grad():
        logits = {name: _logits(model, tokens).flatten(0, 1) for name, model in models.items()}
    for name in names[1:]:
        check_same(name, logits["ours"], logits[name])
    runs = {name: training_step(model, tokens) for name, model in models.items()}
    timings = _timed(runs, device, False, n_rounds, rounds)
    best = fastest(timings)
    measured = ("ours",) if best is None else ("ours", best)
    peak_bytes = {name: step_bytes(config, batch, device, name) for name in measured}
    return StepRows(config, batch, timings, peak_bytes)


def _model(config: ModelConfig, name: str) -> nn.Module:
    """Our model, or transformers' with its weights."""
    ours = Transformer(config)
    if name == "ours":
        return ours
    fields = hub_config_from(config)
    stored = {at: tensor.stored() for at, tensor in hub_tensors(ours, "mixtral").items()}
    theirs: nn.Module = _transformers().MixtralForCausalLM.from_pretrained(
        None,
        config=_transformers().MixtralConfig(**fields),
        state_dict=stored,
        dtype=torch.float32,
        experts_implementation=name,
    )
    for parameter in theirs.parameters():
        parameter.data = parameter.data.clone()  # no longer the same memory as ours
    return theirs.train()


def _tokens(config: ModelConfig, batch: tuple[int, int], device: str) -> Int[Tensor, "B L"]:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(config.vocab_size, batch, generator=generator).to(device)


def _logits(model: nn.Module, tokens: Int[Tensor, "B L"]) -> Float[Tensor, "B L V"]:
    logits: Tensor
    if isinstance(model, Transformer):
        logits, _ = model(tokens)
    else:
        logits = model(tokens, use_cache=False).logits
    return logits


def training_step(model: nn.Module, tokens: Int[Tensor, "B L"]) -> Callable[[], None]:
    """Forward, cross-entropy, backward, AdamW; its own inputs are the targets, which costs alike.

    The same loss and the same optimizer for every model, and no auxiliary loss.
    """
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        cross_entropy(_logits(model, tokens), tokens).mean().backward()
        optimizer.step()

    return step


def step_bytes(config: ModelConfig, batch: tuple[int, int], device: str, name: str) -> int | None:
    """`peak_of_steps` in a process of its own, where nothing else takes memory."""
    given = {
        "config": asdict(config),
        "batch": batch,
        "device": device,
        "name": name,
        "n_threads": torch.get_num_threads(),
    }
    code = "import sys; from minimoe.experiments.bench import print_peak; print_peak(sys.argv[1])"
    command = [sys.executable, "-c", code, json.dumps(given)]
    child = subprocess.run(command, capture_output=True, text=True)
    if child.returncode:
        last = (child.stderr.strip().splitlines() or ["no message"])[-1]
        raise ChildProcessError(f"the process that measures memory: {child.returncode}, {last}")
    measured: int | None = json.loads(child.stdout)
    return measured


def print_peak(given: str) -> None:
    """What the process of `step_bytes` runs: arguments and result as JSON."""
    arguments = json.loads(given)
    torch.set_num_threads(arguments.pop("n_threads"))
    config, batch = model_config_from(arguments.pop("config")), tuple(arguments.pop("batch"))
    print(json.dumps(peak_of_steps(config, batch, **arguments)))


def peak_of_steps(
    config: ModelConfig, batch: tuple[int, int], device: str, name: str
) -> int | None:
    """Bytes that MEMORY_STEPS training steps take on top of what is there before the first.

    On a CPU the highest resident memory of the process (VmHWM) less the resident memory before
    (VmRSS): gradients, optimizer, activations, scratch, and whatever is loaded at first use. On a
    GPU the same of the memory that torch has allocated there.

    Returns:
        Bytes; None where Linux's /proc does not say.
    """
    model = _model(config, name).to(device)
    step = training_step(model, _tokens(config, batch, device))
    gc.collect()
    before = _memory(device, peak=False)
    for _ in range(MEMORY_STEPS):
        step()
    after = _memory(device, peak=True)
    return None if before is None or after is None else after - before


def _memory(device: str, *, peak: bool) -> int | None:
    """Bytes held now, from where on the peak is counted; or that peak."""
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
