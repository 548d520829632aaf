"""Weights go out and in again bit for bit, under the hub's names; damaged files are refused."""

import ctypes
import gc
import io
import json
import os
import re
import resource
import shutil
import signal
import sys
import warnings
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from hub_cases import FIRST, tiny
from safetensors.torch import load_file, save_file
from torch import Tensor

from minimoe import InputError, Transformer, load_pretrained, save_pretrained
from minimoe.config import preset
from minimoe.zoo.configs import model_config_from_hub
from minimoe.zoo.tensors import hub_tensors

INDEX = "model.safetensors.index.json"


def random_model(name: str, dtype: torch.dtype = torch.float64) -> Transformer:
    """A family's tiny model; every number is drawn, norms, biases and selection biases too."""
    model = Transformer(model_config_from_hub(tiny(name))).to(dtype)
    generator = torch.Generator().manual_seed(len(name))
    with torch.no_grad():
        for tensor in (*model.parameters(), *model.buffers()):
            drawn = torch.randn(tensor.shape, generator=generator, dtype=torch.float64)
            tensor.copy_(drawn * 0.3)
    return model


def saved(folder: Path, name: str = "mixtral", **options: Any) -> Path:
    save_pretrained(random_model(name), folder, **options)
    return folder


def change(folder: Path, edit: Callable[[dict[str, Tensor]], object]) -> None:
    """Edit the tensors of model.safetensors."""
    tensors = load_file(folder / "model.safetensors")
    edit(tensors)
    contiguous = {name: tensor.contiguous() for name, tensor in tensors.items()}
    save_file(contiguous, folder / "model.safetensors", metadata={"format": "pt"})


def change_json(path: Path, **fields: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def same(one: Transformer, other: Transformer) -> bool:
    """Equal bit for bit, dtypes included."""
    a, b = one.state_dict(), other.state_dict()
    return list(a) == list(b) and all(
        a[name].dtype == b[name].dtype and torch.equal(a[name], b[name]) for name in a
    )


def refusal(act: Callable[[], object]) -> str:
    """The message with which `act` is refused: always one line."""
    with pytest.raises(InputError) as error:
        act()
    assert str(error.value).isprintable()
    return str(error.value)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# There and back ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FIRST)
def test_a_saved_model_is_loaded_bit_for_bit(tmp_path: Path, name: str) -> None:
    model = random_model(name)
    loaded = load_pretrained(saved(tmp_path, name))
    assert same(loaded, model)
    tokens = torch.arange(16).view(2, 8)
    assert torch.equal(loaded(tokens)[0], model(tokens)[0])
    assert all(parameter.requires_grad for parameter in loaded.parameters())


def test_a_model_in_several_files_is_loaded_bit_for_bit(tmp_path: Path) -> None:
    saved(tmp_path, "deepseek_v3", max_shard_bytes=4000)
    assert same(load_pretrained(tmp_path), random_model("deepseek_v3"))
    assert (tmp_path / INDEX).exists() and not (tmp_path / "model.safetensors").exists()


@pytest.mark.parametrize("name", FIRST)
def test_the_hub_tensors_hold_every_number_of_the_model_once(name: str) -> None:
    model = random_model(name)
    for tensor in (*model.parameters(), *model.buffers()):
        tensor.detach().zero_()
    for tensor in hub_tensors(model, name).values():
        for part in tensor.parts:
            part += 1
    assert all(bool((t == 1).all()) for t in (*model.parameters(), *model.buffers()))


def test_a_llama_of_two_layers_has_21_hub_tensors_and_a_tied_one_20() -> None:
    model = random_model("llama")
    assert len(hub_tensors(model, "llama")) == 2 + 2 * 9 + 1
    model.head = None
    assert len(hub_tensors(model, "llama")) == 2 + 2 * 9


def test_gpt2_stores_a_matrix_with_its_inputs_first(tmp_path: Path) -> None:
    stored = load_file(saved(tmp_path, "gpt2") / "model.safetensors")
    up = random_model("gpt2").blocks[0].ff.up
    assert torch.equal(stored["transformer.h.0.mlp.c_fc.weight"], up.mT)


def test_a_tensor_without_a_name_in_the_family_is_refused() -> None:
    message = refusal(lambda: hub_tensors(random_model("qwen2_moe"), "qwen3_moe"))
    assert "'qwen3_moe'" in message and "blocks.0.ff.shared.down, " in message
    assert message.endswith("4 more")


# What real checkpoints have besides ---------------------------------------------------------------


def test_gpt2_loads_without_the_prefix_and_with_the_buffers_of_the_published_file(
    tmp_path: Path,
) -> None:
    def as_published(tensors: dict[str, Tensor]) -> None:
        for name in list(tensors):
            tensors[name.removeprefix("transformer.")] = tensors.pop(name)
        for layer in (0, 1):
            tensors[f"h.{layer}.attn.bias"] = torch.ones(1, 1, 32, 32, dtype=torch.uint8)
            tensors[f"h.{layer}.attn.masked_bias"] = torch.tensor(-1e4)

    change(saved(tmp_path, "gpt2"), as_published)
    assert same(load_pretrained(tmp_path), random_model("gpt2"))
    change(tmp_path, lambda t: t.update({"transformer.wte.weight": t["wte.weight"].clone()}))
    assert "transformer.wte.weight is stored twice" in refusal(lambda: load_pretrained(tmp_path))


def test_computed_buffers_are_ignored(tmp_path: Path) -> None:
    inv_freq = {"model.layers.0.self_attn.rotary_emb.inv_freq": torch.ones(2)}
    change(saved(tmp_path, "llama"), lambda tensors: tensors.update(inv_freq))
    assert same(load_pretrained(tmp_path), random_model("llama"))


def test_layers_that_predict_further_tokens_are_skipped_and_others_are_not(tmp_path: Path) -> None:
    def add(tensors: dict[str, Tensor]) -> None:
        for name in list(tensors):
            if name.startswith("model.layers.2."):
                tensors[name.replace("layers.2", "layers.3")] = tensors[name].clone()

    change(saved(tmp_path, "deepseek_v3"), add)
    assert "unexpected: model.layers.3." in refusal(lambda: load_pretrained(tmp_path))
    predicts = {"model.layers.3.eh_proj.weight": torch.ones(17, 34)}
    change(tmp_path, lambda tensors: tensors.update(predicts))
    assert same(load_pretrained(tmp_path), random_model("deepseek_v3"))
    inside = {"model.layers.2.eh_proj.weight": torch.ones(17, 34)}
    change(tmp_path, lambda tensors: tensors.update(inside))
    message = refusal(lambda: load_pretrained(tmp_path))
    assert message.endswith("config.json; 1 unexpected: model.layers.2.eh_proj.weight")


def test_kimi_k2_is_loaded_as_a_deepseek_v3(tmp_path: Path) -> None:
    change_json(saved(tmp_path, "deepseek_v3") / "config.json", model_type="kimi_k2")
    assert same(load_pretrained(tmp_path), random_model("deepseek_v3"))


def test_the_head_of_a_tied_model_must_equal_the_embedding(tmp_path: Path) -> None:
    embedding, name = "transformer.wte.weight", "gpt2"
    saved(tmp_path, name)
    change(tmp_path, lambda t: t.update({"lm_head.weight": t[embedding].clone()}))
    assert same(load_pretrained(tmp_path), random_model(name))
    assert load_pretrained(tmp_path, "bfloat16").embedding.dtype == torch.bfloat16
    change(tmp_path, lambda t: t["lm_head.weight"][3].add_(1))
    message = refusal(lambda: load_pretrained(tmp_path))
    assert "lm_head.weight differs from the embedding; set tie_word_embeddings" in message


# Numbers ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["bfloat16", "float16", "float32", "float64"])
def test_the_weights_have_the_dtype_that_is_stored_or_asked_for(tmp_path: Path, name: str) -> None:
    dtype: torch.dtype = getattr(torch, name)
    model = random_model("mixtral", dtype)
    save_pretrained(model, tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["dtype"] == name
    assert same(load_pretrained(tmp_path), model)
    wide = load_pretrained(tmp_path, "float64")
    assert same(wide, model.to(torch.float64))
    assert same(load_pretrained(tmp_path, torch.float64), wide)
    narrow = load_pretrained(tmp_path, torch.bfloat16)
    assert same(narrow, model.to(torch.bfloat16))


def test_a_selection_bias_stays_as_wide_as_it_is_stored(tmp_path: Path) -> None:
    model = random_model("deepseek_v3", torch.bfloat16)
    bias = torch.randn(8)
    for layer in model.moe_layers():
        layer.router.expert_bias = bias.clone()
    save_pretrained(model, tmp_path)
    for dtype in (None, "bfloat16"):
        assert same(load_pretrained(tmp_path, dtype), model)
    found = load_pretrained(tmp_path, "float64").moe_layers()[0].router.expert_bias
    assert found is not None and torch.equal(found, bias.double())
    x = torch.ones(3, 17, dtype=torch.bfloat16)
    assert load_pretrained(tmp_path).moe_layers()[0].router(x).weights.dtype == torch.bfloat16


def test_weights_of_two_dtypes_need_a_dtype(tmp_path: Path) -> None:
    saved(tmp_path, "llama")
    norm = "model.norm.weight"
    change(tmp_path, lambda t: t.update({norm: t[norm].float()}))
    message = refusal(lambda: load_pretrained(tmp_path))
    assert "float64 (" in message and f"float32 ({norm}); name the dtype you want" in message
    assert load_pretrained(tmp_path, "float32").norm.weight.dtype == torch.float32


def test_an_unknown_dtype_is_refused(tmp_path: Path) -> None:
    for dtype in ("int8", torch.int8):
        assert "'int8'" in refusal(lambda dtype=dtype: load_pretrained(tmp_path, dtype))


# Memory and progress ------------------------------------------------------------------------------

STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def peak() -> int:
    """The most bytes that this process has held since the peak was last counted anew."""
    return 1024 * int(re.findall(r"VmHWM:\s*(\d+) kB", STATUS.read_text())[0])


@pytest.mark.skipif(not os.access(CLEAR, os.W_OK), reason="needs Linux to measure")
def test_loading_needs_the_memory_of_one_model(tmp_path: Path) -> None:
    """100 MB in one file: neither a second model nor the whole file may be in memory at once."""
    sizes = {"hidden_size": 512, "intermediate_size": 4096, "num_hidden_layers": 4}
    config = tiny("llama", **sizes)
    with torch.device("meta"):
        model = Transformer(model_config_from_hub(config))
    model.to_empty(device="cpu")
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(1.0)
    save_pretrained(model, tmp_path / "large")
    del model
    load_pretrained(saved(tmp_path / "small", "llama"))  # what is loaded once is loaded now
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)  # gives back what this process holds unused
    CLEAR.write_text("5")  # the peak starts anew
    before = peak()
    model = load_pretrained(tmp_path / "large")
    assert 0.9 < (peak() - before) / sum(p.nbytes for p in model.parameters()) < 1.5


def test_progress_in_bytes_is_shown_on_a_terminal_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    load_pretrained(saved(tmp_path))
    assert capfd.readouterr().err == ""

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(sys, "stderr", Terminal())
    load_pretrained(saved(tmp_path))
    written = sys.stderr.getvalue()
    assert "save: 100%" in written and "load: 100%" in written and "B/s" in written


# Refusals -----------------------------------------------------------------------------------------


def test_all_tensors_that_do_not_fit_stand_in_one_line(tmp_path: Path) -> None:
    def spoil(tensors: dict[str, Tensor]) -> None:
        del tensors["model.norm.weight"], tensors["model.layers.1.self_attn.q_proj.weight"]
        tensors["extra\nline"] = torch.ones(2)
        tensors["lm_head.weight"] = torch.ones(20, 31)

    change(saved(tmp_path, "llama"), spoil)
    assert refusal(lambda: load_pretrained(tmp_path)) == (
        f"{tmp_path}: the tensors are not those of config.json; "
        "2 missing: model.norm.weight, model.layers.1.self_attn.q_proj.weight; "
        "1 unexpected: 'extra\\nline'; "
        "1 of another shape: lm_head.weight is [20, 31], not [31, 20]"
    )


def write_header(path: Path, header: dict[str, Any] | bytes, n_data: int = 0) -> None:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + bytes(n_data))


def lies(dtype: str, shape: list[int], *offsets: int) -> dict[str, Any]:
    return {"lm_head.weight": {"dtype": dtype, "shape": shape, "data_offsets": list(offsets)}}


@pytest.mark.parametrize(
    ("header", "n_data"),
    [
        (lies("F32", [2, 2], 0, 16), 8),
        (lies("F32", [2, 2], 0, 8), 8),
        (lies("F32", [2**40, 2**40], 0, 16), 16),
        (lies("F32", [2, 2], 16, 32), 32),
        (lies("F32", [2, 2], 0, 16), 99),
        (lies("F32", [-2, 2], 0, 16), 16),
        (lies("X32", [2, 2], 0, 16), 16),
        (b"{", 0),
        (b"[]", 0),
        (b'{"a": ' * 10_000, 0),
    ],
    ids=["short", "shape", "huge", "hole", "rest", "negative", "dtype", "cut", "list", "deep"],
)
def test_a_header_that_lies_is_refused(
    tmp_path: Path, header: dict[str, Any] | bytes, n_data: int
) -> None:
    path = saved(tmp_path) / "model.safetensors"
    write_header(path, header, n_data)
    message = refusal(lambda: load_pretrained(tmp_path))
    assert message.startswith(f"{path} is damaged: ")
    assert message.endswith("; download it again")


@pytest.mark.parametrize("damage", ["cut", "header only", "emptied", "garbage", "long header"])
def test_a_damaged_file_is_refused_by_name(tmp_path: Path, damage: str) -> None:
    path = saved(tmp_path) / "model.safetensors"
    content = path.read_bytes()
    bad = {
        "cut": content[:-1],
        "header only": content[: 8 + int.from_bytes(content[:8], "little")],
        "emptied": b"",
        "garbage": b"\xff\n\x00" * 99,
        "long header": (2**63).to_bytes(8, "little") + content[8:],
    }
    path.write_bytes(bad[damage])
    message = refusal(lambda: load_pretrained(tmp_path))
    assert message.startswith(f"{path} is damaged: ")


def test_a_directory_without_a_whole_checkpoint_is_refused(tmp_path: Path) -> None:
    nowhere, file = tmp_path / "nowhere", tmp_path / "file"
    file.write_text("")
    for path in (nowhere, file):
        assert refusal(lambda path=path: load_pretrained(path)).startswith(f"{path} is not a dir")
    assert "holds no config.json" in refusal(lambda: load_pretrained(tmp_path))
    (saved(tmp_path) / "model.safetensors").unlink()
    message = refusal(lambda: load_pretrained(tmp_path))
    assert "holds neither model.safetensors nor model.safetensors.index.json" in message


def test_a_pickle_is_refused_unread_with_the_way_to_convert_it(tmp_path: Path) -> None:
    (saved(tmp_path) / "model.safetensors").rename(tmp_path / "pytorch_model.bin")
    message = refusal(lambda: load_pretrained(tmp_path))
    assert "pickled weights only (pytorch_model.bin)" in message
    assert "AutoModelForCausalLM.from_pretrained(directory).save_pretrained(directory)" in message


@pytest.mark.parametrize(
    ("file", "complaint"),
    [
        ("../model.safetensors", "which is not a *.safetensors file beside it"),
        ("/etc/passwd", "which is not a *.safetensors file beside it"),
        ("a\\model.safetensors", "which is not a *.safetensors file beside it"),
        ("a\0.safetensors", "which is not a *.safetensors file beside it"),
        ("pytorch_model.bin", "which is not a *.safetensors file beside it"),
        ("a\n.safetensors", "which is not there; download it too"),
        ("other.safetensors", "which is not there; download it too"),
        (5, "is damaged: TypeError('a file name is not text'); download it again"),
    ],
)
def test_an_index_that_points_nowhere_or_outside_is_refused(
    tmp_path: Path, file: object, complaint: str
) -> None:
    saved(tmp_path / "inside", max_shard_bytes=4000)
    path = tmp_path / "inside" / INDEX
    shutil.copy(sorted(path.parent.glob("model-*"))[0], tmp_path / "model.safetensors")
    files = json.loads(path.read_text())["weight_map"]
    change_json(path, weight_map=files | {"lm_head.weight": file})
    message = refusal(lambda: load_pretrained(path.parent))
    assert message.startswith(str(path)) and message.endswith(complaint)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"weight_map": 5}', "\xff", "[" * 99_999])
def test_a_damaged_index_is_refused(tmp_path: Path, text: str) -> None:
    path = saved(tmp_path, max_shard_bytes=4000) / INDEX
    path.write_text(text, encoding="latin-1")
    message = refusal(lambda: load_pretrained(tmp_path))
    assert message.startswith(f"{path} is damaged: ")


def test_an_index_that_disagrees_with_its_files_is_refused(tmp_path: Path) -> None:
    saved(tmp_path, max_shard_bytes=10_000)
    files = json.loads((tmp_path / INDEX).read_text())["weight_map"]
    first, last = min(files.values()), max(files.values())
    moved = min(name for name in files if files[name] == first)

    def message_with(weight_map: dict[str, str]) -> str:
        change_json(tmp_path / INDEX, weight_map=weight_map)
        return refusal(lambda: load_pretrained(tmp_path))

    wrong = "names tensors that are not in the file it says: "
    assert message_with(files | {moved: last}).endswith(wrong + moved)
    assert message_with(files | {"invented": last}).endswith(wrong + "invented")
    less = {name: file for name, file in files.items() if name != moved}
    assert message_with(less).endswith(f"does not name what its files hold: {moved}")

    held = load_file(tmp_path / last)
    save_file(held | {moved: load_file(tmp_path / first)[moved]}, tmp_path / last)
    assert message_with(files).endswith(moved)


def test_two_checkpoints_in_one_directory_are_refused(tmp_path: Path) -> None:
    saved(tmp_path, max_shard_bytes=4000)
    save_file({"a": torch.ones(1)}, tmp_path / "model.safetensors")
    assert f"model.safetensors and {INDEX}" in refusal(lambda: load_pretrained(tmp_path))


def test_shards_may_be_links_into_another_directory(tmp_path: Path) -> None:
    saved(tmp_path / "files", max_shard_bytes=4000)
    (tmp_path / "links").mkdir()
    for path in (tmp_path / "files").iterdir():
        (tmp_path / "links" / path.name).symlink_to(path)
    assert same(load_pretrained(tmp_path / "links"), random_model("mixtral"))


def test_quantised_weights_are_refused_with_what_to_do(tmp_path: Path) -> None:
    saved(tmp_path, "deepseek_v3")
    weight = "model.layers.1.self_attn.o_proj.weight"
    change(tmp_path, lambda t: t.update({f"{weight}_scale_inv": torch.ones(1, 1)}))
    message = (
        f"1 tensors are quantised (F32), such as {weight}_scale_inv; dequantise it to bfloat16"
    )
    assert message in refusal(lambda: load_pretrained(tmp_path))
    change(tmp_path, lambda t: t.update({weight: t[weight].to(torch.float8_e4m3fn)}))
    assert "2 tensors are quantised (F32, F8_E4M3)" in refusal(lambda: load_pretrained(tmp_path))
    change_json(tmp_path / "config.json", quantization_config={"quant_method": "fp8"})
    assert "(fp8)" in refusal(lambda: load_pretrained(tmp_path))
    change_json(tmp_path / "config.json", quantization_config=None, compression_config="fp8")
    assert "(fp8)" in refusal(lambda: load_pretrained(tmp_path))


def test_the_blocks_of_a_published_gpt_oss_are_refused_as_quantised(tmp_path: Path) -> None:
    blocks = {
        "model.layers.0.mlp.experts.gate_up_proj_blocks": torch.ones(3, 20, dtype=torch.uint8)
    }
    change(saved(tmp_path, "gpt_oss"), lambda tensors: tensors.update(blocks))
    assert "1 tensors are quantised (U8)" in refusal(lambda: load_pretrained(tmp_path))


@pytest.mark.parametrize(
    "fields",
    [
        {"num_hidden_layers": 10**5},
        {"num_local_experts": 10**12},
        {"vocab_size": 10**12},
    ],
)
def test_a_config_of_a_far_larger_model_is_refused_before_one_is_built(
    tmp_path: Path, fields: dict[str, int]
) -> None:
    change_json(saved(tmp_path) / "config.json", **fields)
    assert " parameters, but the files hold 8,048; " in refusal(lambda: load_pretrained(tmp_path))


# Writing ------------------------------------------------------------------------------------------


def test_the_same_model_is_written_in_the_same_bytes(tmp_path: Path) -> None:
    for options in ({}, {"max_shard_bytes": 4000}):
        one, two = (saved(tmp_path / name, "deepseek_v3", **options) for name in ("one", "two"))
        assert {p.name: p.read_bytes() for p in one.iterdir()} == {
            p.name: p.read_bytes() for p in two.iterdir()
        }


def test_a_shard_holds_at_most_so_many_bytes_or_one_tensor(tmp_path: Path) -> None:
    saved(tmp_path, max_shard_bytes=1000)
    shards = sorted(tmp_path.glob("model-*.safetensors"))
    n = len(shards)
    assert [p.name for p in shards] == [
        f"model-{i:05d}-of-{n:05d}.safetensors" for i in range(1, n + 1)
    ]
    sizes = [[t.nbytes for t in load_file(path).values()] for path in shards]
    assert all(sum(size) <= 1000 or len(size) == 1 for size in sizes) and n > 10
    together = (sum(one) + two[0] for one, two in pairwise(sizes))
    assert all(n_bytes > 1000 for n_bytes in together)
    index = json.loads((tmp_path / INDEX).read_text())
    assert index["metadata"]["total_size"] == sum(map(sum, sizes)) == 8048 * 8
    saved(tmp_path, max_shard_bytes=8048 * 8)
    assert names(tmp_path) == ["config.json", "model.safetensors"]
    assert "got 0" in refusal(lambda: saved(tmp_path, max_shard_bytes=0))


def test_files_of_an_earlier_save_are_removed_and_others_are_left(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text("mine")
    saved(tmp_path, "llama", max_shard_bytes=4000)
    saved(tmp_path, "qwen3")
    assert names(tmp_path) == ["config.json", "model.safetensors", "tokenizer.json"]
    saved(tmp_path, "llama", max_shard_bytes=4000)
    assert same(load_pretrained(tmp_path), random_model("llama"))
    assert "model.safetensors" not in names(tmp_path)
    assert {path.stat().st_mode & 0o777 for path in tmp_path.glob("model*")} == {0o644}


def test_a_model_that_no_family_has_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    model = Transformer(preset("switch"))
    message = refusal(lambda: save_pretrained(model, tmp_path / "new"))
    assert "moe.normalize_weights=False" in message
    assert names(tmp_path) == []


def in_a_child(work: Callable[[], object]) -> bool:
    """Fork; the child works and exits, unless SIGKILL comes first. Did it come?"""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # the test runner has threads
        pid = os.fork()
    if pid == 0:
        try:
            work()
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL


def die_at(n: int, model: Transformer, folder: Path) -> None:
    """Save, but let SIGKILL come just before the n-th call to the disk."""
    calls = 0

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal calls
        if event in ("open", "os.rename", "os.remove", "os.chmod"):
            calls += 1
            if calls > n:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(watch)
    save_pretrained(model, folder, max_shard_bytes=15_000)


def test_a_kill_at_each_call_to_the_disk_never_leaves_a_mixture(tmp_path: Path) -> None:
    """Both models have the same shapes, so only the numbers could tell a mixture."""
    older, newer = random_model("llama"), random_model("llama")
    with torch.no_grad():
        for parameter in newer.parameters():
            parameter.neg_()
    found = []
    for n in range(100):
        folder = tmp_path / str(n)
        save_pretrained(older, folder, max_shard_bytes=12_000 if n % 2 else 15_000)
        if not in_a_child(lambda n=n, folder=folder: die_at(n, newer, folder)):
            break
        try:
            loaded = load_pretrained(folder)
            found.append("new" if same(loaded, newer) else "old" if same(loaded, older) else "mix")
        except InputError as error:
            found.append("refused" if "holds no config.json" in str(error) else str(error))
        save_pretrained(newer, folder)
        assert names(folder) == ["config.json", "model.safetensors"]  # nothing is left over
    assert same(load_pretrained(folder), newer)
    assert sorted(set(found)) == ["old", "refused"]
    assert found == sorted(found) and found.count("old") > 5 and found.count("refused") > 3


def test_a_disk_that_is_full_leaves_the_older_model(tmp_path: Path) -> None:
    saved(tmp_path, "llama")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (9_000, before[1]))
    try:
        with pytest.raises(OSError, match="cannot be written to"):
            saved(tmp_path, "mixtral")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert names(tmp_path) == ["config.json", "model.safetensors"]
    assert same(load_pretrained(tmp_path), random_model("llama"))
