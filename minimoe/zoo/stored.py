"""Safetensors files of a checkpoint: their headers, index and tensors. Nothing is unpickled."""

import json
import re
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from minimoe.errors import InputError, listed

SINGLE, INDEX = "model.safetensors", "model.safetensors.index.json"
DTYPES = {"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16"}
_DERIVED = re.compile(r"(^|\.)(attn\.(masked_)?bias|rotary_emb\.inv_freq)$")
_QUANTIZED = re.compile(
    r"(_blocks|_scales|_scale|_scale_inv|qweight|qzeros|g_idx|weight_packed|absmax|quant_map)$"
)
BYTES_OPEN = 2**24  # read from a file before it is closed
DEQUANTIZE = "dequantise it to bfloat16 first"


@dataclass(frozen=True)
class StoredTensor:
    """What a file's header says of one tensor."""

    file: Path
    name: str
    shape: tuple[int, ...]
    dtype: str

    @property
    def n_bytes(self) -> int:
        """Its bytes in the file, for the four dtypes that are read."""
        return prod(self.shape) * getattr(torch, DTYPES[self.dtype]).itemsize


def read_headers(folder: Path, optional_prefix: str) -> dict[str, StoredTensor]:
    """What the directory holds, by hub name; optional_prefix is put where a name lacks it.

    Buffers that are computed from others are left out. So are tensors without elements, which
    transformers writes for no shared experts.
    """
    stored: dict[str, StoredTensor] = {}
    for tensor in _read_index(folder) if (folder / INDEX).exists() else _read_single(folder):
        bare = not tensor.name.startswith((optional_prefix, "lm_head."))
        name = optional_prefix + tensor.name if bare else tensor.name
        if name in stored:
            raise InputError(f"{folder}: {name} is stored twice; delete the older file")
        if 0 not in tensor.shape and not _DERIVED.search(name):
            stored[name] = tensor
    quantized = [n for n, t in stored.items() if t.dtype not in DTYPES or _QUANTIZED.search(n)]
    if quantized:
        dtypes = ", ".join(sorted({stored[name].dtype for name in quantized}))
        raise InputError(
            f"{folder}: {len(quantized)} tensors are quantised ({dtypes}), "
            f"such as {quantized[0]}; {DEQUANTIZE}"
        )
    return stored


def _read_single(folder: Path) -> list[StoredTensor]:
    if (folder / SINGLE).exists():
        return list(_read_header(folder / SINGLE))
    pickles = sorted(p.name for p in folder.iterdir() if p.suffix in (".bin", ".pt", ".pth"))
    if pickles:
        raise InputError(
            f"{folder} holds pickled weights only ({', '.join(pickles)}), which can run code when "
            "they are read; where you trust them, convert them with transformers: "
            "AutoModelForCausalLM.from_pretrained(directory).save_pretrained(directory)"
        )
    raise InputError(f"{folder} holds neither {SINGLE} nor {INDEX}; give a whole checkpoint")


def _read_index(folder: Path) -> list[StoredTensor]:
    if (folder / SINGLE).exists():
        raise InputError(f"{folder} holds both {SINGLE} and {INDEX}; delete the one that is older")
    path = folder / INDEX
    try:
        file_of = json.loads(path.read_bytes())["weight_map"]
        if not all(isinstance(file, str) for file in file_of.values()):
            raise TypeError("a file name is not text")
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(f"{path} is damaged: {error!r}; download it again") from error
    for file in sorted(set(file_of.values())):
        if not re.fullmatch(r"[^/\\:\0]+\.safetensors", file):
            raise InputError(f"{path} names {file!r}, which is not a *.safetensors file beside it")
        if not (folder / file).is_file():
            raise InputError(f"{path} names {file!r}, which is not there; download it too")
    held = [
        tensor for file in sorted(set(file_of.values())) for tensor in _read_header(folder / file)
    ]
    found = {(tensor.name, tensor.file.name) for tensor in held}
    if wrong := sorted(name for name, _ in file_of.items() - found):
        raise InputError(f"{path} names tensors that are not in the file it says: {listed(wrong)}")
    if unnamed := sorted(name for name, _ in found - file_of.items()):
        raise InputError(f"{path} does not name what its files hold: {listed(unnamed)}")
    return held


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    try:
        with safe_open(path, framework="pt") as file:
            yield file
    except (SafetensorError, OSError) as error:
        problem = " ".join(str(error).split())
        raise InputError(f"{path} is damaged: {problem}; download it again") from error


def _read_header(path: Path) -> Iterator[StoredTensor]:
    with _opened(path) as file:
        for name in file.offset_keys():
            tensor = file.get_slice(name)
            yield StoredTensor(path, name, tuple(tensor.get_shape()), tensor.get_dtype())


def read_tensors(stored: dict[str, StoredTensor]) -> Iterator[tuple[str, Tensor]]:
    """Read each tensor in turn; a file is closed now and then, as it is in memory while open."""
    left = deque(stored.items())
    while left:
        path, n_bytes = left[0][1].file, 0
        with _opened(path) as file:
            while left and left[0][1].file == path and n_bytes < BYTES_OPEN:
                name, tensor = left.popleft()
                n_bytes += tensor.n_bytes
                yield name, file.get_tensor(tensor.name)


def drop_prediction_layers(stored: dict[str, StoredTensor], n_layers: int) -> None:
    """Forget the layers after the last one that are marked as predicting further tokens."""
    numbers = [re.match(r"model\.layers\.(\d+)\.eh_proj\.weight$", name) for name in stored]
    layers = {number[1] for number in numbers if number and int(number[1]) >= n_layers}
    for name in list(stored):
        if name.startswith("model.layers.") and name.split(".")[2] in layers:
            del stored[name]
