"""How many parameters does a model have, and how many does one token really touch?"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from minimoe.config import AttentionConfig, LatentAttentionConfig, ModelConfig, MoEConfig
from minimoe.model.cache import KVCache
from minimoe.model.transformer import Transformer


@dataclass(frozen=True)
class ParameterCount:
    """Parameters of a model by place, from its configuration alone.

    Attributes:
        embedding: the input embedding; it is also the output head if they are tied.
        head: the output head; 0 if tied.
        positions: the learned embedding of positions; 0 with rotary positions.
        attention, router, routed_experts, shared_experts, dense: summed over all layers, biases
            and sinks included; the shared experts' gate stands with them.
        norms: all norms, those of queries, keys and latents too.
        idle_experts: routed experts' parameters that one token does not use, (E - K) of E.
        embedding_row, position_row: the row of an untied embedding, and of the learned positions,
            that one token reads.
        vectors: of the active parameters, biases and sinks: added, not multiplied.
    """

    embedding: int
    head: int
    positions: int
    attention: int
    router: int
    routed_experts: int
    shared_experts: int
    dense: int
    norms: int
    idle_experts: int
    embedding_row: int
    position_row: int
    vectors: int

    @property
    def total(self) -> int:
        """All parameters; equals the sum of `numel` over the built model's parameters."""
        ff = self.router + self.routed_experts + self.shared_experts + self.dense
        return self.embedding + self.head + self.positions + self.attention + ff + self.norms

    @property
    def active_with_embeddings(self) -> int:
        """Active parameters of one token, the whole input embedding and the head counted."""
        return self.total - self.idle_experts

    @property
    def active_without_input_embedding(self) -> int:
        """Active parameters, the head counted and the input embedding not; tied weights count."""
        return self.active_with_embeddings - (self.embedding if self.head else 0)

    @property
    def active_without_embeddings(self) -> int:
        """Active parameters of the blocks, norms and learned positions alone."""
        return self.active_with_embeddings - self.embedding - self.head

    @property
    def touched(self) -> int:
        """Distinct weights that computing one token reads: of an untied embedding, one row."""
        rows = self.embedding_row + self.position_row
        return self.active_without_input_embedding - self.positions + rows


@dataclass(frozen=True)
class _Part:
    """Parameters of one part of one layer."""

    matrices: int = 0
    vectors: int = 0
    norms: int = 0

    @property
    def weights(self) -> int:
        return self.matrices + self.vectors


def count_parameters(config: ModelConfig) -> ParameterCount:
    """Count a model's parameters by formula, without building it.

    Returns:
        Parameters by place. A layer of 8 experts with d_model=128, d_expert=256 and top_k=2 has
        8 * 3 * 128 * 256 = 786,432 routed parameters, of which 6/8 are idle, and a router of 1,024.
        With DeepSeek-V3's latent attention a layer's attention has 187,105,280 parameters.
    """
    d_model, moe = config.d_model, config.moe
    n_layers, n_moe = config.n_layers, config.n_moe_layers
    n_dense = n_layers - n_moe
    attention = _attention(config.attention)
    dense = _dense(config)
    router, expert, shared = (_Part(),) * 3 if moe is None else _moe_parts(moe)
    n_experts, top_k = (0, 0) if moe is None else (moe.n_routed_experts, moe.top_k)
    norm = d_model if config.norm == "rms" else 2 * d_model
    embedding = config.vocab_size * d_model
    vectors = attention.vectors * n_layers + dense.vectors * n_dense
    vectors += (router.vectors + shared.vectors + top_k * expert.vectors) * n_moe
    return ParameterCount(
        embedding=embedding,
        head=0 if config.tie_embeddings else embedding,
        positions=config.max_length * d_model if config.learned_positions else 0,
        attention=n_layers * attention.weights,
        router=n_moe * router.weights,
        routed_experts=n_moe * n_experts * expert.weights,
        shared_experts=n_moe * shared.weights,
        dense=n_dense * dense.weights,
        norms=n_layers * (2 * norm + attention.norms) + norm,
        idle_experts=n_moe * (n_experts - top_k) * expert.weights,
        embedding_row=0 if config.tie_embeddings else d_model,
        position_row=d_model if config.learned_positions else 0,
        vectors=vectors,
    )


def _attention(config: AttentionConfig | LatentAttentionConfig) -> _Part:
    """Queries and output have H * d_head columns each, keys and values n_kv_heads * d_head."""
    if isinstance(config, LatentAttentionConfig):
        return _latent(config)
    width, kv_width = config.n_heads * config.d_head, config.n_kv_heads * config.d_head
    vectors = config.qkv_bias * (width + 2 * kv_width) + config.o_bias * config.d_model
    return _Part(
        matrices=2 * config.d_model * (width + kv_width),
        vectors=vectors + config.sinks * config.n_heads,
        norms={"none": 0, "head": 2 * config.d_head, "all_heads": width + kv_width}[config.qk_norm],
    )


def _latent(config: LatentAttentionConfig) -> _Part:
    """Down to the latents of queries and of keys and values, up to all heads, and back."""
    q_width = config.n_heads * (config.d_nope + config.d_rope)
    kv_width = config.n_heads * (config.d_nope + config.d_value)
    kept, q_rank = config.kv_rank + config.d_rope, config.q_rank or 0
    queries = q_rank * (config.d_model + q_width) if q_rank else config.d_model * q_width
    keys_and_values = config.d_model * kept + config.kv_rank * kv_width
    return _Part(
        matrices=queries + keys_and_values + config.d_model * config.n_heads * config.d_value,
        vectors=config.bias * (q_rank + kept + config.d_model),
        norms=q_rank + config.kv_rank,
    )


def _gated(d_model: int, width: int, bias: bool = False) -> _Part:
    """Gate, up and down."""
    return _Part(3 * d_model * width, bias * (2 * width + d_model))


def _dense(config: ModelConfig) -> _Part:
    d_model, d_ff = config.d_model, config.d_ff or 0
    if config.ff == "swiglu":
        return _gated(d_model, d_ff, config.ff_bias)
    return _Part(2 * d_model * d_ff, config.ff_bias * (d_ff + d_model))


def _moe_parts(config: MoEConfig) -> tuple[_Part, _Part, _Part]:
    """The router, one routed expert, and the shared experts with their gate."""
    n_experts, d_model = config.n_routed_experts, config.d_model
    shared = _gated(d_model, config.shared_width)
    return (
        _Part(n_experts * d_model, config.router_bias * n_experts),
        _gated(d_model, config.d_expert, config.biased_experts),
        replace(shared, matrices=shared.matrices + config.gate_shared * d_model),
    )


class TouchRecorder(TorchDispatchMode):
    """Marks every element of the given parameters that an operation reads while it is active.

    It sees each tensor operation with its real operands. An operand that lies in a parameter's
    memory marks just the elements it spans: a slice of the stacked experts marks one expert, an
    embedding look-up marks the rows it reads, a grouped product marks the experts with rows.
    """

    def __init__(self, parameters: list[nn.Parameter]) -> None:
        super().__init__()
        self.marks = {
            p.untyped_storage().data_ptr(): torch.zeros(p.numel(), dtype=torch.bool)
            for p in parameters
        }

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        operands = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        # A view reads nothing yet, and an operation without rows to work on reads nothing at all.
        if not func.is_view and all(operand.numel() for operand in operands):
            rows = _rows_read(func, args, kwargs or {})
            for operand in operands:
                self._mark(operand, rows)
        return func(*args, **(kwargs or {}))

    def _mark(self, operand: Tensor, rows: Tensor | None) -> None:
        marks = self.marks.get(operand.untyped_storage().data_ptr())
        if marks is None:
            return
        span = marks.as_strided(operand.shape, operand.stride(), operand.storage_offset())
        if rows is None:
            span.fill_(True)
        else:
            span[rows] = True

    @property
    def n_touched(self) -> int:
        """Distinct parameters read so far."""
        return sum(int(marks.sum()) for marks in self.marks.values())


def _rows_read(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor | None:
    """The rows of the operand that an operation reads, if it does not read all of it."""
    name = func.overloadpacket.__name__
    if name in ("embedding", "index"):
        chosen = args[1] if name == "embedding" else args[1][0]
        return None if chosen is None else chosen.flatten()
    if name == "_grouped_mm":
        ends = args[2] if len(args) > 2 else kwargs["offs"]
        return torch.diff(ends, prepend=ends.new_zeros(1)).nonzero().squeeze(1)
    return None


@contextmanager
def recorded(model: nn.Module) -> Iterator[TouchRecorder]:
    """Record which parameters of `model` are read inside the block."""
    recorder = TouchRecorder(list(model.parameters()))
    with torch.no_grad(), recorder:
        yield recorder


def touched_parameters(model: Transformer, tokens: Int[Tensor, "L"]) -> Int[Tensor, "L"]:
    """Measure how many distinct parameters each token's computation reads.

    The text is read token by token with a KV cache, under a recorder that watches the operands of
    every tensor operation; nothing is taken from the configuration or from the routing.

    Returns:
        Parameters, for each token. `count_parameters(config).touched` for every token, if no two of
        its choices are equal (they never are).
    """
    cache = KVCache(model.config, 1, len(tokens), like=model.embedding)
    counts = []
    for token in tokens:
        with recorded(model) as recorder:
            model(token.view(1, 1), cache)
        counts.append(recorder.n_touched)
    return torch.tensor(counts, dtype=torch.int64)
