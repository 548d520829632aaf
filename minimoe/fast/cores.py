"""Experts on all cores, whole experts for each core, with a hand-written gradient."""

import functools
import inspect
import itertools
import os
import sys
import threading
import warnings
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import _get_current_dispatch_mode

from minimoe.fast.gradients import plain_gradients
from minimoe.fast.sort import sorted_slots

MIN_SHARE = 2_000_000  # multiply-adds for each core; with fewer, waking it costs more than it saves
SMALL_MATRIX = 2**17  # elements that one thread reads before a second one is awake
MAX_SKEW = 1.5  # work of the fullest expert over a core's share; above, all cores share each expert


def mixture(x: Tensor, experts: Any, routing: Any) -> Tensor:
    """Dispatch the tokens, compute SwiGLU experts without biases, and combine.

    A core computes whole experts, one after the other, so the data of an expert stay in its cache.

    Args:
        x: tokens [T, D].
        experts: has the stacked weights gate_up [E, 2F, D] and down [E, D, F].
        routing: has expert_ids, weights and kept, each [T, K].

    Returns:
        The weighted sum [T, D]. It can be differentiated more than once.
    """
    gate_up, down, weights = experts.gate_up, experts.down, routing.weights
    learns = torch.is_grad_enabled()
    if len(x) == 1 and not learns and all(routing.kept.tolist()[0]):
        (weight,), (chosen,) = weights.tolist(), routing.expert_ids.tolist()
        return _one_token(x, gate_up, down, weight, chosen)
    n_experts = len(gate_up)
    expert = routing.expert_ids.masked_fill(~routing.kept, n_experts).flatten()
    *counts, n_dropped = torch.bincount(expert, minlength=n_experts + 1).tolist()
    slots = sorted_slots(expert, n_experts)[: len(expert) - n_dropped]
    if n_dropped:
        weights = weights.masked_fill(~routing.kept, 0)  # a dropped token may be NaN
    y: Tensor = _Mixture.apply(x, gate_up, down, weights, slots, counts, learns)
    return y


class _Mixture(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        gate_up: Tensor,
        down: Tensor,
        weights: Tensor,
        slots: Tensor,
        counts: list[int],
        learns: bool,
    ) -> Tensor:
        n_rows, top_k = len(slots), weights.shape[1]
        token = slots // top_k
        hidden = x.new_empty(n_rows, gate_up.shape[1])
        sigma = x.new_empty(n_rows, down.shape[2]) if learns else None
        out = x.new_empty(n_rows + 1, x.shape[1])
        out[n_rows] = 0  # the row of dropped assignments
        place = token.new_full((weights.numel(),), n_rows)
        place[slots] = torch.arange(n_rows)
        place = place.view_as(weights)
        _share_out(_forward, counts, x, token, gate_up, down, hidden, sigma, out)
        ctx.save_for_backward(x, gate_up, down, weights, slots, token, place, hidden, sigma, out)
        ctx.counts = counts
        return _sum_rows(place, out, weights)

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
        x, gate_up, down, weights, slots, token, place, hidden, sigma, out = ctx.saved_tensors
        if torch.is_grad_enabled():
            plain = functools.partial(_plain, slots=slots, token=token, counts=ctx.counts)
            return *plain_gradients(plain, (x, gate_up, down, weights), dy), None, None, None
        d_gate_up, d_down = torch.empty_like(gate_up), torch.empty_like(down)
        d_rows, d_weights = torch.empty_like(out), weights.new_zeros(weights.shape)
        d_rows[len(token)] = 0
        d_row_weights = x.new_empty(len(token))
        row_weights = weights.flatten()[slots].unsqueeze(-1)
        _share_out(
            _backward, ctx.counts, dy, x, token, row_weights, gate_up, down, hidden,
            sigma, out, d_gate_up, d_down, d_rows, d_row_weights,
        )  # fmt: skip
        d_weights.view(-1)[slots] = d_row_weights
        return _sum_rows(place, d_rows, None), d_gate_up, d_down, d_weights, None, None, None


def _plain(
    x: Tensor,
    gate_up: Tensor,
    down: Tensor,
    weights: Tensor,
    slots: Tensor,
    token: Tensor,
    counts: list[int],
) -> Tensor:
    """The same sum in operations that autograd can differentiate again."""
    outs = []
    for expert, rows in enumerate(x[token].split(counts)):
        gate, up = (rows @ gate_up[expert].T).chunk(2, 1)
        outs.append((nn.functional.silu(gate) * up) @ down[expert].T)
    return torch.zeros_like(x).index_add(0, token, torch.cat(outs) * weights.flatten()[slots, None])


def _sum_rows(place: Tensor, rows: Tensor, weights: Tensor | None) -> Tensor:
    """For each token, the sum of its rows, times their weights if given."""
    bag = torch.nn.functional.embedding_bag
    return bag(place, rows, per_sample_weights=weights, mode="sum")


# These two run as TorchScript, so their annotations are plain. They write to their arguments.


def _forward(
    experts: list[int],
    counts: list[int],
    ends: list[int],
    x: Tensor,
    token: Tensor,
    gate_up: Tensor,
    down: Tensor,
    hidden: Tensor,
    sigma: Tensor | None,
    out: Tensor,
) -> None:
    d_expert = down.size(2)
    for expert in experts:
        end = ends[expert]
        start = end - counts[expert]
        h = hidden[start:end]
        torch.mm(x.index_select(0, token[start:end]), gate_up[expert].t(), out=h)
        gate, up = h[:, :d_expert], h[:, d_expert:]
        # silu; its sigmoid is saved for backward, if there is one, so no exponential is repeated
        if sigma is None:
            inner = torch.sigmoid(gate).mul_(gate)
        else:
            inner = torch.sigmoid(gate, out=sigma[start:end]) * gate
        torch.mm(inner.mul_(up), down[expert].t(), out=out[start:end])


def _backward(
    experts: list[int],
    counts: list[int],
    ends: list[int],
    dy: Tensor,
    x: Tensor,
    token: Tensor,
    row_weights: Tensor,
    gate_up: Tensor,
    down: Tensor,
    hidden: Tensor,
    sigma: Tensor,
    out: Tensor,
    d_gate_up: Tensor,
    d_down: Tensor,
    d_rows: Tensor,
    d_row_weights: Tensor,
) -> None:
    d_expert = down.size(2)
    for expert in experts:
        end = ends[expert]
        start = end - counts[expert]
        tokens, h = token[start:end], hidden[start:end]
        gate, up = h[:, :d_expert], h[:, d_expert:]
        d_out = dy.index_select(0, tokens)
        torch.sum(d_out * out[start:end], [1], out=d_row_weights[start:end])
        d_out.mul_(row_weights[start:end])
        d_inner = torch.mm(d_out, down[expert])
        s, d_h = sigma[start:end], torch.empty_like(h)
        silu = gate * s
        torch.mul(d_inner, silu, out=d_h[:, d_expert:])
        torch.mm(d_out.t(), silu * up, out=d_down[expert])
        slope = torch.addcmul(silu, silu, s, value=-1).add_(s)  # of silu
        torch.mul(d_inner.mul_(up), slope, out=d_h[:, :d_expert])
        torch.mm(d_h.t(), x.index_select(0, tokens), out=d_gate_up[expert])
        torch.mm(d_h, gate_up[expert], out=d_rows[start:end])


def _one_token(
    x: Tensor, gate_up: Tensor, down: Tensor, weights: Sequence[float], experts: Sequence[int]
) -> Tensor:
    """The weighted sum of the K chosen experts for one token [1, D], without a gradient.

    Only their weights are read. Half of the time is the start of operations, so there are few. One
    thread computes small experts, because waking another one takes longer than the product.
    """
    n_threads = torch.get_num_threads()
    if gate_up.shape[1] * gate_up.shape[2] < SMALL_MATRIX:
        torch.set_num_threads(1)
    try:
        token, hidden = x[0], x.new_empty(len(experts), gate_up.shape[1])
        for i, expert in enumerate(experts):
            torch.mv(gate_up[expert], token, out=hidden[i])
        gate, up = hidden.chunk(2, 1)
        inner = torch.sigmoid(gate).mul_(gate).mul_(up)  # silu(gate) * up, as for many tokens
        y = torch.mv(down[experts[0]], inner[0]).mul_(weights[0])
        for i, expert in enumerate(experts[1:], start=1):
            y.addmv_(down[expert], inner[i], alpha=weights[i])
    finally:
        torch.set_num_threads(n_threads)
    return y.unsqueeze(0)


def _share_out(function: Callable[..., None], counts: list[int], *tensors: Tensor | None) -> None:
    """Run `function` for every expert: on all cores, or in this thread if that is faster."""
    function, ends = without_python(function), list(itertools.accumulate(counts))
    n_cores, n_rows = torch.get_num_threads(), sum(counts)
    n_weights = next(t[0].numel() for t in tensors if t is not None and t.ndim == 3)
    small = n_rows * n_weights < n_cores * MIN_SHARE
    watched = _get_current_dispatch_mode() is not None  # by an observer that sees this thread only
    if n_cores == 1 or small or watched or max(counts) * n_cores > MAX_SKEW * n_rows:
        function(list(range(len(counts))), counts, ends, *tensors)
        return
    pool, todo = _cores(n_cores), deque(shares_of(counts, n_cores))

    def work() -> None:
        with torch.inference_mode():
            while todo:
                try:
                    share = todo.popleft()
                except IndexError:  # another core took the last one
                    return
                function(share, counts, ends, *tensors)

    for run in [pool.submit(work) for _ in range(n_cores)]:
        run.result()


def shares_of(counts: Sequence[int], n_cores: int) -> list[list[int]]:
    """Cut the experts into shares that free cores take in turn, large ones first.

    Each share is about 1 / (2 * n_cores) of the remaining rows. So the last shares are small, and a
    core that another program slows down takes fewer of them. Counts (5, 1, 4, 2) on two cores give
    the experts ((0,), (2,), (3,), (1,)).
    """
    shares: list[list[int]] = []
    left = sum(counts)
    full = 0.0
    for expert in sorted(range(len(counts)), key=lambda e: -counts[e]):
        if not shares or (full <= 0 and counts[expert]):  # experts without rows cost almost nothing
            shares.append([])
            full = left / (2 * n_cores)
        shares[-1].append(expert)
        full -= counts[expert]
        left -= counts[expert]
    return shares


@functools.cache
def without_python(function: Callable[..., Any]) -> Callable[..., Any]:
    """The same function as TorchScript, which runs without Python's lock, so cores run in parallel.

    Python 3.14 has no TorchScript and takes the function itself, which is slower.
    """
    if sys.version_info >= (3, 14):
        return function
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # torch's version is pinned
        scripted: Callable[..., Any] = torch.jit.script(inspect.unwrap(function))
    return scripted


@functools.cache
def _cores(n_cores: int) -> ThreadPoolExecutor:
    """A pool of threads that is kept; each thread computes on one core."""
    started = threading.Barrier(n_cores + 1)

    def start() -> None:
        torch.get_num_threads()  # the first call copies the default into this thread
        if not {"GOMP_SPINCOUNT", "OMP_WAIT_POLICY"} & os.environ.keys():
            # OpenMP's idle threads would spin for milliseconds on the cores that are needed here.
            # They stop spinning when there are more of them than cores, so add one.
            torch.set_num_threads(2)
            torch.ones(2**17).neg_()
        torch.set_num_threads(1)
        started.wait()

    pool = ThreadPoolExecutor(n_cores, "minimoe-core", start)
    for _ in range(n_cores):
        pool.submit(int)
    started.wait()
    torch.set_num_threads(n_cores)  # the default for new threads, which `start` has set to 1
    return pool


if hasattr(os, "register_at_fork"):  # a forked process has no threads
    os.register_at_fork(after_in_child=_cores.cache_clear)
