"""How many parameters does a model have, and how many does one token really touch?"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from minimoe.config import AttentionConfig, ModelConfig, MoEConfig
from minimoe.model.attention import KVCache
from minimoe.model.transformer import Transformer


@dataclass(frozen=True)
class ParameterCount:
    """Parameters of a model by place, from its configuration alone.

    Attributes:
        embedding: the input embedding; it is also the output head if they are tied.
        head: the output head; 0 if tied.
        attention, router, routed_experts, shared_experts, dense, norms: summed over all layers.
        idle_experts: routed experts' parameters that one token does not use, (E - K) of E.
        embedding_row: the row of an untied embedding that one token reads.
    """

    embedding: int
    head: int
    attention: int
    router: int
    routed_experts: int
    shared_experts: int
    dense: int
    norms: int
    idle_experts: int
    embedding_row: int

    @property
    def total(self) -> int:
        """All parameters; equals the sum of `numel` over the built model's parameters."""
        ff = self.router + self.routed_experts + self.shared_experts + self.dense
        return self.embedding + self.head + self.attention + ff + self.norms

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
        """Active parameters of the blocks and norms alone."""
        return self.active_with_embeddings - self.embedding - self.head

    @property
    def touched(self) -> int:
        """Distinct weights that computing one token reads: of an untied embedding, one row."""
        return self.active_without_input_embedding + self.embedding_row


def count_parameters(config: ModelConfig) -> ParameterCount:
    """Count a model's parameters by formula, without building it.

    Returns:
        Parameters by place. A layer of 8 experts with d_model=128, d_expert=256 and top_k=2 has
        8 * 3 * 128 * 256 = 786,432 routed parameters, of which 6/8 are idle, and a router of 1,024.
    """
    d_model, moe = config.d_model, config.moe
    n_moe, n_dense = config.n_moe_layers, config.n_layers - config.n_moe_layers
    routed, shared, router, idle = (0, 0, 0, 0) if moe is None else _moe_layer(moe)
    embedding = config.vocab_size * d_model
    qk_norms = 2 * config.attention.d_head if config.attention.qk_norm == "head" else 0
    return ParameterCount(
        embedding=embedding,
        head=0 if config.tie_embeddings else embedding,
        attention=config.n_layers * _attention_layer(config.attention),
        router=n_moe * router,
        routed_experts=n_moe * routed,
        shared_experts=n_moe * shared,
        dense=n_dense * 3 * d_model * (config.d_ff or 0),
        norms=config.n_layers * (2 * d_model + qk_norms) + d_model,
        idle_experts=n_moe * idle,
        embedding_row=0 if config.tie_embeddings else d_model,
    )


def _attention_layer(config: AttentionConfig) -> int:
    """Queries and output have H * d_head columns each, keys and values n_kv_heads * d_head."""
    return 2 * config.d_model * config.d_head * (config.n_heads + config.n_kv_heads)


def _moe_layer(config: MoEConfig) -> tuple[int, int, int, int]:
    """Routed, shared, router and idle parameters of one layer."""
    expert = 3 * config.d_model * config.d_expert
    idle = config.n_routed_experts - config.top_k
    return (
        config.n_routed_experts * expert,
        config.n_shared_experts * expert,
        config.n_routed_experts * config.d_model,
        idle * expert,
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
