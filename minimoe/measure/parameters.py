"""Parameters that a computation reads, recorded while it runs."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from minimoe.model.cache import KVCache
from minimoe.model.transformer import Transformer


class TouchRecorder(TorchDispatchMode):
    """Mark every element of the given parameters that an operation reads.

    While it is active it sees each tensor operation with its operands. An operand inside a
    parameter's memory marks the elements that it spans. So a slice of the stacked experts marks
    one expert, and an embedding look-up marks its rows.
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
        # A view reads nothing yet, and an operation on zero rows reads nothing at all.
        if not func.is_view and all(operand.numel() for operand in operands):
            rows = _rows_read(func, args)
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
        """Number of distinct parameters that were read so far."""
        return sum(int(marks.sum()) for marks in self.marks.values())


def _rows_read(func: Any, args: tuple[Any, ...]) -> Tensor | None:
    """The rows that an operation reads of its operand, or None for all of them."""
    name = func.overloadpacket.__name__
    if name in ("embedding", "index"):
        chosen = args[1] if name == "embedding" else args[1][0]
        return None if chosen is None else chosen.flatten()
    return None


@contextmanager
def recorded(model: nn.Module) -> Iterator[TouchRecorder]:
    """Record which parameters of a model are read inside a `with` block."""
    recorder = TouchRecorder(list(model.parameters()))
    with torch.no_grad(), recorder:
        yield recorder


def touched_parameters(model: Transformer, tokens: Int[Tensor, "L"]) -> Int[Tensor, "L"]:
    """Measure how many distinct parameters each token's computation reads.

    The model reads the text token by token with a KV cache, under `recorded`. Each number equals
    `count_parameters(config).touched`.
    """
    cache = KVCache(model.config, 1, len(tokens), like=model.embedding)
    counts = []
    for token in tokens:
        with recorded(model) as recorder:
            model(token.view(1, 1), cache)
        counts.append(recorder.n_touched)
    return torch.tensor(counts, dtype=torch.int64)
