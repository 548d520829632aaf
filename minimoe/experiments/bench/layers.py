"""Time layers beside a dense one and beside transformers', in one interleaved run."""

import functools
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from minimoe.config import AttentionConfig, ModelConfig
from minimoe.experiments.bench.records import (
    IMPLEMENTATIONS,
    ROUNDS,
    LayerRow,
    Machine,
    Shape,
    dtype_of,
)
from minimoe.measure.timing import Name, Rounds, Timing, time_interleaved
from minimoe.model.feed_forward import SwiGLU
from minimoe.model.moe import MoE
from minimoe.model.parameters import initialize_
from minimoe.model.transformer import Transformer
from minimoe.zoo.configs import hub_config_from
from minimoe.zoo.tensors import hub_tensors

AT_LEAST = 0.01  # seconds of one timed run: a shorter one is repeated inside it

Compute = Callable[[Tensor], Tensor]  # from tokens [T, D] to tokens


def time_layers(
    cases: Sequence[tuple[Shape, str]],
    machine: Machine,
    device: str = "cpu",
    names: Sequence[str] = ("dense", "ours"),
    *,
    n_rounds: int = ROUNDS,
    rounds: Rounds = range,
) -> list[LayerRow]:
    """Time layers, each a shape and a dtype, beside all that they are compared with.

    Forward and backward with fresh gradients for a batch, forward alone for a single token.
    transformers' layers are timed in float32 only.
    """
    runs: dict[tuple[Shape, str, str], Callable[[], object]] = {}
    for shape, dtype in cases:
        x, dy = _batch(shape, device, dtype)
        for name, (module, compute) in _contenders(shape, x, names).items():
            run = functools.partial(compute, x)
            learning = _learning(module, compute, x, dy)
            runs[shape, dtype, name] = learning if shape.backward else run
    timings = timed(runs, device, not cases[0][0].backward, n_rounds, rounds)
    return [
        LayerRow(*case, {at[2]: timings[at] for at in runs if at[:2] == case}, machine)
        for case in cases
    ]


def _batch(
    shape: Shape, device: str, dtype: str
) -> tuple[Float[Tensor, "T D"], Float[Tensor, "T D"]]:
    """Tokens, and the gradient of their outputs."""
    generator = torch.Generator().manual_seed(0)
    x, dy = (torch.randn(shape.n_tokens, shape.d_model, generator=generator) for _ in range(2))
    x, dy = x.to(device, dtype_of(dtype)), dy.to(device, dtype_of(dtype))
    return x.requires_grad_(shape.backward), dy


def _contenders(
    shape: Shape, x: Tensor, names: Sequence[str]
) -> dict[str, tuple[nn.Module, Compute]]:
    """The dense layer, ours, and transformers' with our weights, which give the same outputs."""
    dense, ours = SwiGLU(shape.d_model, shape.d_ff), MoE(shape.config)
    initialize_(dense, 0)
    known: dict[str, tuple[nn.Module, Compute]] = {
        "dense": (dense, dense),
        "ours": (ours, lambda x: ours(x)[0]),
    }
    theirs = [name for name in names if name in IMPLEMENTATIONS and x.dtype == torch.float32]
    known |= {name: mixtral_layer(ours, name) for name in theirs}
    for module, _ in known.values():
        module.to(x.device, x.dtype)
    with torch.no_grad():
        for name in theirs:
            check_same(name, ours(x)[0], known[name][1](x))
    return {name: known[name] for name in names if name in known}


def _learning(module: nn.Module, compute: Compute, x: Tensor, dy: Tensor) -> Callable[[], None]:
    """Forward and backward, with fresh gradients."""
    tensors = [x, *module.parameters()]

    def run() -> None:
        for tensor in tensors:
            tensor.grad = None
        compute(x).backward(dy)

    return run


def timed(
    runs: Mapping[Name, Callable[[], object]],
    device: str,
    inference: bool,
    n_rounds: int,
    rounds: Rounds,
) -> dict[Name, Timing]:
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


def mixtral_layer(ours: MoE, implementation: str) -> tuple[nn.Module, Compute]:
    """transformers' Mixtral layer with the weights of ours, and how it reads tokens [T, D]."""
    d_model = ours.config.d_model
    attention = AttentionConfig(d_model=d_model, n_heads=1, n_kv_heads=1, d_head=d_model)
    config = ModelConfig(n_layers=1, attention=attention, moe=ours.config)
    layer = mixtral_model(config, implementation).model.layers[0].mlp
    with torch.no_grad():
        layer.gate.weight.copy_(ours.router.weight)
        layer.experts.gate_up_proj.copy_(ours.experts.gate_up)
        layer.experts.down_proj.copy_(ours.experts.down)
    return layer, lambda x: layer(x.unsqueeze(0)).squeeze(0)


def mixtral_model(config: ModelConfig, implementation: str) -> Any:
    """transformers' Mixtral with the weights of `Transformer(config)`."""
    import transformers  # only here, since it is optional and large

    transformers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity_error()
    tensors = hub_tensors(Transformer(config), "mixtral").items()
    theirs = transformers.MixtralForCausalLM.from_pretrained(
        None,
        config=transformers.MixtralConfig(**hub_config_from(config)),
        state_dict={at: tensor.stored() for at, tensor in tensors},
        dtype=torch.float32,
        experts_implementation=implementation,
    )
    for parameter in theirs.parameters():
        parameter.data = parameter.data.clone()  # no longer the same memory as ours
    return theirs.train()


def check_same(name: str, ours: Float[Tensor, "T D"], theirs: Float[Tensor, "T D"]) -> None:
    """Make sure that two implementations compute the same, before their times are compared.

    One token in a thousand may differ: in float32 a near tie of two experts may go either way.

    Raises:
        AssertionError: they do not.
    """
    same = torch.isclose(ours, theirs, rtol=1e-4, atol=1e-5).all(-1).double().mean()
    if same < 0.999:
        raise AssertionError(f"{name}: only {float(same):.1%} of the tokens have our outputs")
