"""Checkpoints in the hub's format, loaded and saved tensor by tensor."""

import json
import os
from math import prod
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from tqdm import tqdm

from minimoe.config import ModelConfig
from minimoe.config.checks import check_choice
from minimoe.errors import InputError, listed
from minimoe.files import usable_folder, write_file
from minimoe.formulas.parameters import count_parameters
from minimoe.model.transformer import Transformer
from minimoe.zoo import configs
from minimoe.zoo.family import BuiltFamily
from minimoe.zoo.stored import (
    DEQUANTIZE,
    DTYPES,
    INDEX,
    SINGLE,
    StoredTensor,
    drop_prediction_layers,
    read_headers,
    read_tensors,
)
from minimoe.zoo.tensors import HubTensor, hub_tensors

_SELECTION_BIAS = ".e_score_correction_bias"


def load_pretrained(
    directory: str | os.PathLike[str], dtype: torch.dtype | str | None = None
) -> Transformer:
    """Load a model from files as the hub has them: config.json and *.safetensors.

    The tensors are read one by one into the model, so the memory needed is that of one model.
    Nothing is unpickled. Layers after the last one that only predict further tokens
    (multi-token prediction, arXiv 2412.19437, section 2.2) are skipped, as transformers does.

    Args:
        directory: holds config.json and either model.safetensors or its shards with
            model.safetensors.index.json.
        dtype: of every weight, "bfloat16", "float16", "float32", "float64" or the torch dtype; None
            = as stored. The selection bias of a router is never made narrower than it is stored.

    Returns:
        The model, on the CPU. Saved again with `save_pretrained` it has the same numbers.

    Raises:
        InputError: a file or tensor is missing, unexpected, of another shape, damaged or quantised,
            or config.json does not describe a model of a known family.
    """
    folder = Path(directory)
    wanted = None if dtype is None else _known_dtype(dtype)
    data = _read_config(folder)
    config = configs.model_config_from_hub(data)
    family = configs.family_of(data)
    assert isinstance(family, BuiltFamily)  # or the line above refused it
    stored = read_headers(folder, family.optional_prefix)
    drop_prediction_layers(stored, config.n_layers)
    _check_size(folder, stored, config)
    with torch.device("meta"):  # shapes without numbers: none to draw, no memory
        model = Transformer(config)
    _check_tensors(folder, stored, hub_tensors(model, family.model_type), config.tie_embeddings)
    model.to(_stored_dtype(folder, stored) if wanted is None else wanted)
    _keep_wide_selection_bias(model, stored)
    model.to_empty(device="cpu")
    table = hub_tensors(model, family.model_type)
    with torch.no_grad(), _progress(sum(t.n_bytes for t in stored.values()), "load") as bar:
        for name, tensor in read_tensors(stored):
            if name in table:
                table[name].load_(tensor)
            bar.update(stored[name].n_bytes)
    _check_tied_head(folder, stored, model)
    return model


def _known_dtype(dtype: torch.dtype | str) -> torch.dtype:
    name = str(dtype).removeprefix("torch.")
    check_choice("dtype", name, tuple(DTYPES.values()))
    known: torch.dtype = getattr(torch, name)
    return known


def _read_config(folder: Path) -> dict[str, Any]:
    if not folder.is_dir():
        raise InputError(f"{folder} is not a directory; give the one that holds config.json")
    if not (folder / "config.json").is_file():
        raise InputError(f"{folder} holds no config.json; give a directory with a whole checkpoint")
    data = configs.read_hub_config(folder)
    method = data.get("quantization_config") or data.get("compression_config")
    if method:
        kind = method.get("quant_method", "unknown") if isinstance(method, dict) else method
        raise InputError(f"{folder}: the weights are quantised ({kind}); {DEQUANTIZE}")
    return data


def _check_size(folder: Path, stored: dict[str, StoredTensor], config: ModelConfig) -> None:
    """Refuse a config.json of a far larger model before a million layers are built."""
    wanted = count_parameters(config).total
    found = sum(prod(tensor.shape) for tensor in stored.values())
    if wanted > 2 * found:
        raise InputError(
            f"{folder}: config.json describes {wanted:,} parameters, but the files hold {found:,}; "
            "one of them is of another model"
        )


def _check_tensors(
    folder: Path, stored: dict[str, StoredTensor], table: dict[str, HubTensor], tied: bool
) -> None:
    missing = [name for name in table if name not in stored]
    unexpected = [
        name for name in stored if name not in table and not (tied and name == "lm_head.weight")
    ]
    misshapen = [
        f"{name} is {list(stored[name].shape)}, not {list(tensor.shape)}"
        for name, tensor in table.items()
        if name in stored and stored[name].shape != tensor.shape
    ]
    problems = {"missing": missing, "unexpected": unexpected, "of another shape": misshapen}
    if any(problems.values()):
        shown = 5 if sum(map(bool, problems.values())) == 1 else 2
        found = (f"{len(n):,} {what}: {listed(n, shown)}" for what, n in problems.items() if n)
        raise InputError(f"{folder}: the tensors are not those of config.json; {'; '.join(found)}")


def _stored_dtype(folder: Path, stored: dict[str, StoredTensor]) -> torch.dtype:
    """The one dtype of all weights; the selection bias may have another."""
    examples = {t.dtype: name for name, t in stored.items() if not name.endswith(_SELECTION_BIAS)}
    if len(examples) > 1:
        found = " and ".join(f"{DTYPES[dtype]} ({name})" for dtype, name in examples.items())
        raise InputError(f"{folder}: the weights are stored in {found}; name the dtype you want")
    return _known_dtype(DTYPES[next(iter(examples))])


def _keep_wide_selection_bias(model: Transformer, stored: dict[str, StoredTensor]) -> None:
    """Rounded to bfloat16, selection biases tie, and other experts are chosen."""
    found = {t.dtype for name, t in stored.items() if name.endswith(_SELECTION_BIAS)}
    for layer in model.moe_layers():
        for name in found:
            bias = layer.router.expert_bias
            assert bias is not None  # its absence would have made the stored one unexpected
            dtype = torch.promote_types(bias.dtype, _known_dtype(DTYPES[name]))
            layer.router.expert_bias = bias.to(dtype)


def _check_tied_head(folder: Path, stored: dict[str, StoredTensor], model: Transformer) -> None:
    head = stored.get("lm_head.weight")
    if head is None or not model.config.tie_embeddings:
        return
    tensor = next(read_tensors({"lm_head.weight": head}))[1]
    if not tensor.to(model.embedding.dtype).equal(model.embedding):
        raise InputError(
            f"{folder}: config.json ties head and embedding, but lm_head.weight differs from the "
            "embedding; set tie_word_embeddings to false"
        )


def _progress(n_bytes: int, what: str) -> Any:
    """Bytes done, and the time that is left; only on a terminal."""
    return tqdm(total=n_bytes, desc=what, unit="B", unit_scale=True, disable=None)


def save_pretrained(
    model: Transformer,
    directory: str | os.PathLike[str],
    max_shard_bytes: int = 5_000_000_000,
) -> None:
    """Write a model to files as the hub has them; transformers loads them too.

    The shards are written under temporary names. Then an older config.json is removed, the shards
    are renamed, those of an earlier save are removed, and config.json is written last. So a kill
    leaves the older model, the new one, or a directory without config.json, which is refused. Other
    files, such as a tokenizer, are left alone. The same model gives the same bytes.

    Args:
        directory: it is made if it does not exist.
        max_shard_bytes: the most bytes of weights in a file; a larger tensor has its own file.

    Raises:
        InputError: no known family has all that the model has.
        OSError: the directory cannot be written to, or the disk is full.
    """
    if max_shard_bytes < 1:
        raise InputError(f"max_shard_bytes must be at least 1, got {max_shard_bytes}")
    config = configs.hub_config_from(model.config)
    table = hub_tensors(model, config["model_type"])
    config["dtype"] = str(model.embedding.dtype).removeprefix("torch.")
    shards = _shards(table, max_shard_bytes)
    folder = usable_folder(directory)
    try:
        with _progress(sum(tensor.n_bytes for tensor in table.values()), "save") as bar:
            for file, names in shards.items():
                _write_shard(folder / f".{file}.partial", {name: table[name] for name in names})
                bar.update(sum(table[name].n_bytes for name in names))
        (folder / "config.json").unlink(missing_ok=True)
        for file in shards:
            os.replace(folder / f".{file}.partial", folder / file)
    finally:
        for partial in (*folder.glob(".model*.partial"), *folder.glob(".config.json.*.partial")):
            partial.unlink()
    for older in (folder / SINGLE, folder / INDEX, *folder.glob("model-*-of-*.safetensors")):
        if older.name not in shards:
            older.unlink(missing_ok=True)
    if len(shards) > 1:
        n_bytes = sum(tensor.n_bytes for tensor in table.values())
        files = {name: file for file, names in shards.items() for name in names}
        index = {"metadata": {"total_size": n_bytes}, "weight_map": dict(sorted(files.items()))}
        write_file(folder / INDEX, json.dumps(index, indent=2) + "\n")
    write_file(folder / "config.json", json.dumps(config, indent=2) + "\n")


def _shards(table: dict[str, HubTensor], max_shard_bytes: int) -> dict[str, list[str]]:
    """Which tensors each file holds, in the table's order."""
    groups: list[list[str]] = [[]]
    n_bytes = 0
    for name, tensor in table.items():
        if groups[-1] and n_bytes + tensor.n_bytes > max_shard_bytes:
            groups.append([])
            n_bytes = 0
        groups[-1].append(name)
        n_bytes += tensor.n_bytes
    if len(groups) == 1:
        return {SINGLE: groups[0]}
    n = len(groups)
    return {f"model-{i:05d}-of-{n:05d}.safetensors": names for i, names in enumerate(groups, 1)}


def _write_shard(path: Path, tensors: dict[str, HubTensor]) -> None:
    stored = {name: tensor.stored() for name, tensor in tensors.items()}
    try:
        save_file(stored, path, metadata={"format": "pt"})
    except SafetensorError as error:
        raise OSError(f"{path.parent} cannot be written to: {error}") from error
    with open(path, "rb+") as file:
        os.fsync(file.fileno())
    os.chmod(path, 0o644)  # safetensors makes files that only their owner reads
