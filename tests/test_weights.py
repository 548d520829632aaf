"""Weights go out and in again bit for bit, under the hub's names; damaged files are refused."""

import io
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import warnings
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

import minimoe
from minimoe import InputError, Transformer, load_pretrained, save_pretrained
from minimoe.config import preset
from minimoe.zoo.configs import FAMILIES, model_config_from_hub
from minimoe.zoo.tensors import ROWS, hub_tensors

SIZES = {
    "hidden_act": "silu",
    "hidden_size": 16,
    "intermediate_size": 10,
    "max_position_embeddings": 32,
    "num_attention_heads": 4,
    "num_hidden_layers": 2,
    "num_key_value_heads": 2,
    "rms_norm_eps": 1e-6,
    "rope_theta": 10_000.0,
    "tie_word_embeddings": False,
    "vocab_size": 17,
}
HEADS = SIZES | {"head_dim": 6, "attention_bias": False}
EXPERTS = {"num_experts_per_tok": 2, "norm_topk_prob": False, "moe_intermediate_size": 5}
QWEN_EXPERTS = EXPERTS | {"num_experts": 3, "decoder_sparse_step": 1, "mlp_only_layers": [0]}
LATENT = SIZES | {
    "attention_bias": False,
    "first_k_dense_replace": 1,
    "kv_lora_rank": 6,
    "n_routed_experts": 4,
    "n_shared_experts": 2,
    "num_key_value_heads": 4,
    "q_lora_rank": 7,
    "qk_nope_head_dim": 3,
    "qk_rope_head_dim": 4,
    "routed_scaling_factor": 1.5,
    "v_head_dim": 5,
}
GROUPS = {"n_group": 2, "topk_group": 1}
HUB: dict[str, dict[str, Any]] = {
    "llama": HEADS | {"mlp_bias": False},
    "llama with biases": HEADS | {"mlp_bias": True, "attention_bias": True},
    "qwen2": HEADS | {"tie_word_embeddings": True},
    "qwen3": HEADS,
    "mixtral": HEADS | {"num_local_experts": 3, "num_experts_per_tok": 2},
    "qwen2_moe": HEADS | QWEN_EXPERTS | {"shared_expert_intermediate_size": 9},
    "qwen3_moe": HEADS | QWEN_EXPERTS,
    "olmoe": SIZES | {"attention_bias": False, "num_experts": 3, **EXPERTS},
    "deepseek_v2": LATENT | EXPERTS | GROUPS | {"topk_method": "group_limited_greedy"},
    "deepseek_v2 lite": LATENT | EXPERTS | {"q_lora_rank": None, "topk_method": "greedy"},
    "deepseek_v3": LATENT | EXPERTS | GROUPS,
    "gpt_oss": HEADS
    | {"attention_bias": True, "num_local_experts": 3, "num_experts_per_tok": 2}
    | {"sliding_window": 4, "rope_scaling": {"rope_type": "default"}},
    "gpt2": {
        "activation_function": "gelu_new",
        "layer_norm_epsilon": 1e-5,
        "n_embd": 12,
        "n_head": 4,
        "n_layer": 2,
        "n_positions": 32,
        "vocab_size": 17,
    },
}
NAMES = tuple(HUB)


def hub_config(name: str) -> dict[str, Any]:
    return {"model_type": name.split()[0], **HUB[name]}


def random_model(name: str, dtype: torch.dtype = torch.float64) -> Transformer:
    """Every number drawn at random, norms, biases and selection biases too."""
    model = Transformer(model_config_from_hub(hub_config(name))).to(dtype)
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


@pytest.mark.parametrize("max_shard_bytes", [10**9, 4000], ids=["one file", "shards"])
@pytest.mark.parametrize("name", NAMES)
def test_a_saved_model_is_loaded_bit_for_bit(
    tmp_path: Path, name: str, max_shard_bytes: int
) -> None:
    model = random_model(name)
    save_pretrained(model, tmp_path, max_shard_bytes)
    assert (tmp_path / "model.safetensors.index.json").exists() == (max_shard_bytes == 4000)
    loaded = load_pretrained(tmp_path)
    assert same(loaded, model)
    tokens = torch.arange(16).view(2, 8)
    logits, routings = loaded(tokens)
    assert torch.equal(logits, model(tokens)[0])
    assert len(routings) == len(model.moe_layers())
    assert all(parameter.requires_grad for parameter in loaded.parameters())


def test_every_family_is_tested_and_has_its_names() -> None:
    assert {name.split()[0] for name in NAMES} == set(FAMILIES) == set(ROWS)


@pytest.mark.parametrize("name", NAMES)
def test_the_hub_tensors_hold_every_number_of_the_model_once(name: str) -> None:
    model = random_model(name)
    for tensor in (*model.parameters(), *model.buffers()):
        tensor.detach().zero_()
    for tensor in hub_tensors(model, name.split()[0]).values():
        for part in tensor.parts:
            part += 1
    assert all(bool((t == 1).all()) for t in (*model.parameters(), *model.buffers()))


def test_a_llama_of_two_layers_has_21_hub_tensors_and_a_tied_one_20() -> None:
    model = random_model("llama")
    assert len(hub_tensors(model, "llama")) == 2 + 2 * 9 + 1
    model.head = None
    assert len(hub_tensors(model, "llama")) == 2 + 2 * 9


def test_a_tensor_without_a_name_in_the_family_is_refused() -> None:
    assert refusal(lambda: hub_tensors(random_model("qwen2_moe"), "qwen3_moe")) == (
        "model_type 'qwen3_moe' has no place for "
        "blocks.1.ff.shared.down, blocks.1.ff.shared.gate_up, blocks.1.ff.shared_gate"
    )


# Names and places, as the published checkpoints have them -----------------------------------------

QKVO = "self_attn.q_proj self_attn.k_proj self_attn.v_proj self_attn.o_proj"
LATENTS = (
    "self_attn.q_a_proj self_attn.q_a_layernorm self_attn.q_b_proj self_attn.kv_a_proj_with_mqa "
    "self_attn.kv_a_layernorm self_attn.kv_b_proj self_attn.o_proj"
)
QK_NORMS = "self_attn.q_norm self_attn.k_norm"
DENSE = "mlp.gate_proj mlp.up_proj mlp.down_proj"


def three(place: str, experts: int = 3) -> str:
    return " ".join(f"mlp.{place}.{e}.{DENSE[4:].split(' mlp.')[i]}" for e in range(experts)
                    for i in range(3))  # fmt: skip


LAST_LAYER = {  # what has a weight (and a bias) in layer 1
    "llama": (f"{QKVO} {DENSE}", ""),
    "llama with biases": (f"{QKVO} {DENSE}", f"{QKVO} {DENSE}"),
    "qwen2": (f"{QKVO} {DENSE}", QKVO.rsplit(" ", 1)[0]),
    "qwen3": (f"{QKVO} {QK_NORMS} {DENSE}", ""),
    "mixtral": (
        f"{QKVO} block_sparse_moe.gate "
        + " ".join(f"block_sparse_moe.experts.{e}.w{i}" for e in range(3) for i in (1, 2, 3)),
        "",
    ),
    "qwen2_moe": (
        f"{QKVO} mlp.gate {three('experts')} mlp.shared_expert.gate_proj mlp.shared_expert.up_proj "
        "mlp.shared_expert.down_proj mlp.shared_expert_gate",
        QKVO.rsplit(" ", 1)[0],
    ),
    "qwen3_moe": (f"{QKVO} {QK_NORMS} mlp.gate {three('experts')}", ""),
    "olmoe": (f"{QKVO} {QK_NORMS} mlp.gate {three('experts')}", ""),
    "deepseek_v3": (
        f"{LATENTS} mlp.gate {three('experts', 4)} mlp.shared_experts.gate_proj "
        "mlp.shared_experts.up_proj mlp.shared_experts.down_proj",
        "",
    ),
    "gpt_oss": (f"{QKVO} mlp.router", f"{QKVO} mlp.router"),
}
BARE = {
    "deepseek_v3": "mlp.gate.e_score_correction_bias",
    "gpt_oss": "self_attn.sinks mlp.experts.gate_up_proj mlp.experts.gate_up_proj_bias "
    "mlp.experts.down_proj mlp.experts.down_proj_bias",
}


@pytest.mark.parametrize("name", LAST_LAYER)
def test_a_layer_has_the_names_of_the_published_checkpoints(tmp_path: Path, name: str) -> None:
    weights, biases = LAST_LAYER[name]
    wanted = {f"{place}.weight" for place in weights.split()}
    wanted |= {f"{place}.bias" for place in biases.split()} | set(BARE.get(name, "").split())
    wanted |= {"input_layernorm.weight", "post_attention_layernorm.weight"}
    stored = load_file(saved(tmp_path, name) / "model.safetensors")
    layer = "model.layers.1."
    assert {key.removeprefix(layer) for key in stored if key.startswith(layer)} == wanted
    stem = {"model.embed_tokens.weight", "model.norm.weight", "lm_head.weight"}
    stem -= {"lm_head.weight"} if name == "qwen2" else set()
    assert {key for key in stored if ".layers." not in key} == stem


def test_gpt2_has_the_names_and_turned_matrices_of_the_published_checkpoint(tmp_path: Path) -> None:
    model = random_model("gpt2")
    save_pretrained(model, tmp_path)
    stored = load_file(tmp_path / "model.safetensors")
    parts = ["ln_1", "attn.c_attn", "attn.c_proj", "ln_2", "mlp.c_fc", "mlp.c_proj"]
    layers = {f"h.{i}.{p}.{kind}" for i in (0, 1) for p in parts for kind in ("weight", "bias")}
    stem = {"wte.weight", "wpe.weight", "ln_f.weight", "ln_f.bias"}
    assert set(stored) == {f"transformer.{name}" for name in layers | stem}
    attention, ff = model.layers()[1].attention, model.layers()[1].ff
    joined = torch.cat([attention.q, attention.k, attention.v]).T
    assert torch.equal(stored["transformer.h.1.attn.c_attn.weight"], joined)
    joined = torch.cat([attention.q_bias, attention.k_bias, attention.v_bias])
    assert torch.equal(stored["transformer.h.1.attn.c_attn.bias"], joined)
    assert torch.equal(stored["transformer.h.1.attn.c_proj.weight"], attention.o.T)
    assert torch.equal(stored["transformer.h.1.mlp.c_fc.weight"], ff.up.T)
    assert torch.equal(stored["transformer.h.1.mlp.c_proj.weight"], ff.down.T)


AS_STORED = {  # in layer 1, and ours
    "self_attn.{}_proj.weight": "attention.{}",
    "self_attn.{}_proj.bias": "attention.{}_bias",
    "self_attn.{}_norm.weight": "attention.{}_norm.weight",
    "self_attn.sinks": "attention.sinks",
    "self_attn.q_a_proj.weight": "attention.q_down",
    "self_attn.q_a_layernorm.weight": "attention.q_norm.weight",
    "self_attn.q_b_proj.weight": "attention.q_up",
    "self_attn.kv_a_proj_with_mqa.weight": "attention.kv_down",
    "self_attn.kv_a_layernorm.weight": "attention.kv_norm.weight",
    "self_attn.kv_b_proj.weight": "attention.kv_up",
    "input_layernorm.weight": "attention_norm.weight",
    "post_attention_layernorm.weight": "ff_norm.weight",
    "ln_1.{}": "attention_norm.{}",
    "ln_2.{}": "ff_norm.{}",
    "attn.c_proj.bias": "attention.o_bias",
    "mlp.gate.weight": "ff.router.weight",
    "mlp.gate.e_score_correction_bias": "ff.router.expert_bias",
    "mlp.router.{}": "ff.router.{}",
    "mlp.shared_expert_gate.weight": "ff.shared_gate",
    "mlp.shared_experts.down_proj.weight": "ff.shared.down",
    "mlp.experts.down_proj_bias": "ff.experts.down_bias",
    "mlp.down_proj.bias": "ff.down_bias",
}


@pytest.mark.parametrize("name", NAMES)
def test_what_is_stored_as_we_have_it_stands_under_its_name(tmp_path: Path, name: str) -> None:
    model = random_model(name)
    save_pretrained(model, tmp_path)
    stored, ours, n_seen = load_file(tmp_path / "model.safetensors"), model.state_dict(), 0
    layer = "transformer.h.1." if name == "gpt2" else "model.layers.1."
    for there, here in AS_STORED.items():
        for part in ("q", "k", "v", "o", "weight", "bias") if "{}" in there else ("",):
            if layer + there.format(part) in stored:
                tensor = ours["blocks.1." + here.format(part)]
                assert torch.equal(stored[layer + there.format(part)], tensor), there
                n_seen += 1
    assert n_seen >= 5


@pytest.mark.parametrize(
    ("name", "expert", "gate_up_down"),
    [
        ("mixtral", "block_sparse_moe.experts.{}", ("w1", "w3", "w2")),
        ("qwen3_moe", "mlp.experts.{}", ("gate_proj", "up_proj", "down_proj")),
        ("deepseek_v2", "mlp.experts.{}", ("gate_proj", "up_proj", "down_proj")),
    ],
)
def test_an_expert_is_rows_of_the_stacked_tensors_gate_before_up(
    tmp_path: Path, name: str, expert: str, gate_up_down: tuple[str, str, str]
) -> None:
    model = random_model(name)
    save_pretrained(model, tmp_path)
    stored = load_file(tmp_path / "model.safetensors")
    experts = model.moe_layers()[-1].experts
    width = experts.down.shape[-1]
    for e in range(3):
        gate, up, down = (
            stored[f"model.layers.1.{expert.format(e)}.{part}.weight"] for part in gate_up_down
        )
        assert torch.equal(gate, experts.gate_up[e, :width])
        assert torch.equal(up, experts.gate_up[e, width:])
        assert torch.equal(down, experts.down[e])


def test_gpt_oss_stores_experts_turned_with_gate_and_up_taking_turns(tmp_path: Path) -> None:
    model = random_model("gpt_oss")
    save_pretrained(model, tmp_path)
    stored = load_file(tmp_path / "model.safetensors")
    experts, width = model.moe_layers()[1].experts, 10
    gate_up = stored["model.layers.1.mlp.experts.gate_up_proj"]
    assert gate_up.shape == (3, 16, 20)
    assert torch.equal(gate_up[:, :, 0::2], experts.gate_up[:, :width].mT)
    assert torch.equal(gate_up[:, :, 1::2], experts.gate_up[:, width:].mT)
    bias = stored["model.layers.1.mlp.experts.gate_up_proj_bias"]
    assert torch.equal(bias[:, 0::2], experts.gate_up_bias[:, :width])
    assert torch.equal(bias[:, 1::2], experts.gate_up_bias[:, width:])
    assert torch.equal(stored["model.layers.1.mlp.experts.down_proj"], experts.down.mT)


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
            if name.startswith("model.layers.1."):
                tensors[name.replace("layers.1", "layers.2")] = tensors[name].clone()

    change(saved(tmp_path, "deepseek_v3"), add)
    assert "unexpected: model.layers.2." in refusal(lambda: load_pretrained(tmp_path))
    predicts = {"model.layers.2.eh_proj.weight": torch.ones(16, 32)}
    change(tmp_path, lambda tensors: tensors.update(predicts))
    assert same(load_pretrained(tmp_path), random_model("deepseek_v3"))
    inside = {"model.layers.1.eh_proj.weight": torch.ones(16, 32)}
    change(tmp_path, lambda tensors: tensors.update(inside))
    message = refusal(lambda: load_pretrained(tmp_path))
    assert message.endswith("config.json; 1 unexpected: model.layers.1.eh_proj.weight")


def test_kimi_k2_is_loaded_as_a_deepseek_v3(tmp_path: Path) -> None:
    change_json(saved(tmp_path, "deepseek_v3") / "config.json", model_type="kimi_k2")
    assert same(load_pretrained(tmp_path), random_model("deepseek_v3"))


@pytest.mark.parametrize("name", ["qwen2", "gpt2"])
def test_the_head_of_a_tied_model_must_equal_the_embedding(tmp_path: Path, name: str) -> None:
    embedding = {"qwen2": "model.embed_tokens.weight", "gpt2": "transformer.wte.weight"}[name]
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
    bias = model.moe_layers()[0].router.expert_bias = torch.randn(4)
    save_pretrained(model, tmp_path)
    for dtype in (None, "bfloat16"):
        assert same(load_pretrained(tmp_path, dtype), model)
    found = load_pretrained(tmp_path, "float64").moe_layers()[0].router.expert_bias
    assert found is not None and torch.equal(found, bias.double())
    x = torch.ones(3, 16, dtype=torch.bfloat16)
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
        message = "dtype must be one of float64, float32, float16, bfloat16, got 'int8'"
        assert refusal(lambda dtype=dtype: load_pretrained(tmp_path, dtype)) == message


# Memory and progress ------------------------------------------------------------------------------

PEAK = """
import re, sys, minimoe
from pathlib import Path
def peak():  # of this process alone; getrusage would count the test runner's
    return 1024 * int(re.search(r"VmHWM:\\s*(\\d+) kB", Path("/proc/self/status").read_text())[1])
minimoe.load_pretrained(sys.argv[1])  # so that nothing else is loaded for the first time
before = peak()
model = minimoe.load_pretrained(sys.argv[2])
print((peak() - before) / sum(p.nbytes for p in model.parameters()))
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux to measure")
def test_loading_needs_the_memory_of_one_model(tmp_path: Path) -> None:
    """100 MB in one file: neither a second model nor the whole file may be in memory at once."""
    sizes = {"hidden_size": 512, "intermediate_size": 4096, "num_hidden_layers": 4}
    config = hub_config("llama") | sizes
    with torch.device("meta"):
        model = Transformer(model_config_from_hub(config))
    model.to_empty(device="cpu")
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(1.0)
    save_pretrained(model, tmp_path / "large")
    saved(tmp_path / "small", "llama")
    arguments = [sys.executable, "-c", PEAK, str(tmp_path / "small"), str(tmp_path / "large")]
    run = subprocess.run(arguments, capture_output=True, text=True, check=True)
    assert 0.9 < float(run.stdout) < 1.5
    assert run.stderr == ""  # no progress into a pipe


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
        tensors["lm_head.weight"] = torch.ones(16, 17)

    change(saved(tmp_path, "llama"), spoil)
    assert refusal(lambda: load_pretrained(tmp_path)) == (
        f"{tmp_path}: the tensors are not those of config.json; "
        "2 missing: model.norm.weight, model.layers.1.self_attn.q_proj.weight; "
        "1 unexpected: 'extra\\nline'; "
        "1 of another shape: lm_head.weight is [16, 17], not [17, 16]"
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


@pytest.mark.parametrize("shards", [False, True])
@pytest.mark.parametrize("damage", ["cut", "header only", "emptied", "garbage", "long header"])
def test_a_damaged_file_is_refused_by_name(tmp_path: Path, damage: str, shards: bool) -> None:
    saved(tmp_path, max_shard_bytes=4000 if shards else 10**9)
    path = sorted(tmp_path.glob("*.safetensors"))[-1]
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
        message = f"{path} is not a directory; give the one that holds config.json"
        assert refusal(lambda path=path: load_pretrained(path)) == message
    assert "holds no config.json" in refusal(lambda: load_pretrained(tmp_path))
    (saved(tmp_path) / "model.safetensors").unlink()
    message = refusal(lambda: load_pretrained(tmp_path))
    assert "holds neither model.safetensors nor model.safetensors.index.json" in message


def test_a_pickle_is_refused_unread_with_the_way_to_convert_it(tmp_path: Path) -> None:
    (saved(tmp_path) / "model.safetensors").rename(tmp_path / "pytorch_model.bin")
    message = refusal(lambda: load_pretrained(tmp_path))
    assert "pickled weights only (pytorch_model.bin)" in message
    assert "AutoModelForCausalLM.from_pretrained(directory).save_pretrained(directory)" in message


INDEX = "model.safetensors.index.json"


@pytest.mark.parametrize(
    ("file", "complaint"),
    [
        ("../model.safetensors", "which is not a *.safetensors file beside it"),
        ("/etc/passwd", "which is not a *.safetensors file beside it"),
        ("/model.safetensors", "which is not a *.safetensors file beside it"),
        ("a\\model.safetensors", "which is not a *.safetensors file beside it"),
        ("c:model.safetensors", "which is not a *.safetensors file beside it"),
        ("a\0.safetensors", "which is not a *.safetensors file beside it"),
        ("pytorch_model.bin", "which is not a *.safetensors file beside it"),
        ("..", "which is not a *.safetensors file beside it"),
        ("", "which is not a *.safetensors file beside it"),
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
    saved(tmp_path, max_shard_bytes=4000)
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
    message = f"{tmp_path}: in two of the files that {INDEX} names: {moved}"
    assert message_with(files) == message


def test_two_checkpoints_in_one_directory_are_refused(tmp_path: Path) -> None:
    saved(tmp_path, max_shard_bytes=4000)
    save_file({"a": torch.ones(1)}, tmp_path / "model.safetensors")
    message = f"{tmp_path} holds both model.safetensors and {INDEX}; delete the one that is older"
    assert refusal(lambda: load_pretrained(tmp_path)) == message


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
        f"1 tensors are quantised (F32), {weight}_scale_inv for one; dequantise it to bfloat16"
    )
    assert message in refusal(lambda: load_pretrained(tmp_path))
    change(tmp_path, lambda t: t.update({weight: t[weight].to(torch.float8_e4m3fn)}))
    assert "2 tensors are quantised (F32, F8_E4M3)" in refusal(lambda: load_pretrained(tmp_path))
    change_json(tmp_path / "config.json", quantization_config={"quant_method": "fp8"})
    message = f"{tmp_path}: the weights are quantised (fp8); dequantise it to bfloat16 first"
    assert refusal(lambda: load_pretrained(tmp_path)) == message
    change_json(tmp_path / "config.json", quantization_config=None, compression_config="fp8")
    assert refusal(lambda: load_pretrained(tmp_path)) == message


def test_the_blocks_of_a_published_gpt_oss_are_refused_as_quantised(tmp_path: Path) -> None:
    blocks = {
        "model.layers.0.mlp.experts.gate_up_proj_blocks": torch.ones(3, 20, dtype=torch.uint8)
    }
    change(saved(tmp_path, "gpt_oss"), lambda tensors: tensors.update(blocks))
    assert "1 tensors are quantised (U8)" in refusal(lambda: load_pretrained(tmp_path))


@pytest.mark.parametrize(
    "fields",
    [
        {"num_hidden_layers": 10**12},
        {"num_local_experts": 10**15},
        {"intermediate_size": 10**18},
        {"vocab_size": 10**18},
    ],
)
def test_a_config_of_a_far_larger_model_is_refused_before_one_is_built(
    tmp_path: Path, fields: dict[str, int]
) -> None:
    change_json(saved(tmp_path) / "config.json", **fields)
    assert " parameters, but the files hold 5,904; " in refusal(lambda: load_pretrained(tmp_path))


def test_an_unknown_family_is_refused(tmp_path: Path) -> None:
    change_json(saved(tmp_path) / "config.json", model_type="mamba")
    assert "got 'mamba'" in refusal(lambda: load_pretrained(tmp_path))


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
    assert index["metadata"]["total_size"] == sum(map(sum, sizes)) == 5904 * 8
    saved(tmp_path, max_shard_bytes=5904 * 8)
    assert names(tmp_path) == ["config.json", "model.safetensors"]
    message = "max_shard_bytes must be at least 1, got 0"
    assert refusal(lambda: saved(tmp_path, max_shard_bytes=0)) == message


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


def test_our_own_dense_and_moe_presets_are_a_llama_and_a_mixtral(tmp_path: Path) -> None:
    for name, family in (("dense", "llama"), ("moe", "mixtral")):
        model = Transformer(preset(name), seed=3)
        save_pretrained(model, tmp_path / name)
        config = json.loads((tmp_path / name / "config.json").read_text())
        assert config["model_type"] == family
        assert same(load_pretrained(tmp_path / name), model)


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


def test_loading_and_saving_are_exported() -> None:
    assert {"load_pretrained", "save_pretrained"} <= set(minimoe.__all__)
