"""Which tensor of a published checkpoint is which of ours, and which part of it?

A row says of which of our tensors a hub tensor is made, and by which view of each. Copying into the
views loads, reading them saves. {l} is a layer, {e} an expert; a row whose tensor a model does not
have (a bias, say) is no row of that model. The hub's names are those of transformers 5.23.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor

from minimoe.config import InputError
from minimoe.model.transformer import Transformer

View = Callable[[Tensor], Tensor]


def whole(tensor: Tensor) -> Tensor:
    """All of it, as it is stored there."""
    return tensor


def turned(tensor: Tensor) -> Tensor:
    """Stored there as [inputs, outputs], or [E, inputs, outputs]."""
    return tensor.mT


def gate(tensor: Tensor) -> Tensor:
    """The rows of a gate_up that make the gate."""
    return tensor.chunk(2)[0]


def up(tensor: Tensor) -> Tensor:
    """The rows of a gate_up that make the up-projection."""
    return tensor.chunk(2)[1]


def gates(tensor: Tensor) -> Tensor:
    """The gates of all experts, [E, inputs, F], or [E, F] of biases."""
    half = tensor.chunk(2, dim=1)[0]
    return half.mT if half.dim() == 3 else half


def ups(tensor: Tensor) -> Tensor:
    """The up-projections of all experts, [E, inputs, F], or [E, F] of biases."""
    half = tensor.chunk(2, dim=1)[1]
    return half.mT if half.dim() == 3 else half


@dataclass(frozen=True)
class Row:
    """A hub tensor's parts, side by side along its last axis, or taking turns there."""

    parts: tuple[tuple[str, View], ...]
    interleaved: bool = False


def _same(hub: str, ours: str, names: dict[str, str]) -> dict[str, Row]:
    """Rows of tensors that are stored as we have them, below a prefix on each side."""
    return {f"{hub}{there}": Row(((f"{ours}{here}", whole),)) for there, here in names.items()}


def _swiglu(hub: str, ours: str, names: str = "gate_proj up_proj down_proj") -> dict[str, Row]:
    """Rows of a SwiGLU, whose gate and up-projection are one tensor here."""
    to_gate, to_up, to_down = names.split()
    rows: dict[str, Row] = {}
    for kind, suffix in (("weight", ""), ("bias", "_bias")):
        rows[f"{hub}.{to_gate}.{kind}"] = Row(((f"{ours}.gate_up{suffix}", gate),))
        rows[f"{hub}.{to_up}.{kind}"] = Row(((f"{ours}.gate_up{suffix}", up),))
        rows[f"{hub}.{to_down}.{kind}"] = Row(((f"{ours}.down{suffix}", whole),))
    return rows


_LAYER, _BLOCK = "model.layers.{l}.", "blocks.{l}."
_MLP, _FF = f"{_LAYER}mlp", f"{_BLOCK}ff"

_STEM = _same(
    "",
    "",
    {
        "model.embed_tokens.weight": "embedding",
        "model.norm.weight": "norm.weight",
        "lm_head.weight": "head",
        f"{_LAYER}input_layernorm.weight": f"{_BLOCK}attention_norm.weight",
        f"{_LAYER}post_attention_layernorm.weight": f"{_BLOCK}ff_norm.weight",
    },
)
_HEADS = _same(
    f"{_LAYER}self_attn.",
    f"{_BLOCK}attention.",
    {
        "q_proj.weight": "q",
        "k_proj.weight": "k",
        "v_proj.weight": "v",
        "o_proj.weight": "o",
        "q_proj.bias": "q_bias",
        "k_proj.bias": "k_bias",
        "v_proj.bias": "v_bias",
        "o_proj.bias": "o_bias",
        "q_norm.weight": "q_norm.weight",
        "k_norm.weight": "k_norm.weight",
        "sinks": "sinks",
    },
)
_LATENT = _same(
    f"{_LAYER}self_attn.",
    f"{_BLOCK}attention.",
    {
        "q_proj.weight": "q",
        "q_a_proj.weight": "q_down",
        "q_a_proj.bias": "q_down_bias",
        "q_a_layernorm.weight": "q_norm.weight",
        "q_b_proj.weight": "q_up",
        "kv_a_proj_with_mqa.weight": "kv_down",
        "kv_a_proj_with_mqa.bias": "kv_down_bias",
        "kv_a_layernorm.weight": "kv_norm.weight",
        "kv_b_proj.weight": "kv_up",
        "o_proj.weight": "o",
        "o_proj.bias": "o_bias",
    },
)
_DENSE = _swiglu(_MLP, _FF)
_MOE = (
    _same(_MLP, _FF, {".gate.weight": ".router.weight"})
    | _swiglu(f"{_MLP}.experts.{{e}}", f"{_FF}.experts")
    | _DENSE
)
_QWEN_SHARED = _swiglu(f"{_MLP}.shared_expert", f"{_FF}.shared") | _same(
    _MLP, _FF, {".shared_expert_gate.weight": ".shared_gate"}
)
_DEEPSEEK = (
    _STEM
    | _LATENT
    | _MOE
    | _swiglu(f"{_MLP}.shared_experts", f"{_FF}.shared")
    | _same(_MLP, _FF, {".gate.e_score_correction_bias": ".router.expert_bias"})
)
_MIXTRAL = _same(f"{_LAYER}block_sparse_moe", _FF, {".gate.weight": ".router.weight"}) | _swiglu(
    f"{_LAYER}block_sparse_moe.experts.{{e}}", f"{_FF}.experts", "w1 w3 w2"
)
_GPT_OSS = _same(
    _MLP,
    _FF,
    {
        ".router.weight": ".router.weight",
        ".router.bias": ".router.bias",
        ".experts.down_proj_bias": ".experts.down_bias",
    },
) | {
    f"{_MLP}.experts.gate_up_proj": Row(
        ((f"{_FF}.experts.gate_up", gates), (f"{_FF}.experts.gate_up", ups)), interleaved=True
    ),
    f"{_MLP}.experts.gate_up_proj_bias": Row(
        ((f"{_FF}.experts.gate_up_bias", gates), (f"{_FF}.experts.gate_up_bias", ups)),
        interleaved=True,
    ),
    f"{_MLP}.experts.down_proj": Row(((f"{_FF}.experts.down", turned),)),
}
_H = "transformer.h.{l}."
_GPT2 = (
    _same(
        "transformer.",
        "",
        {
            "wte.weight": "embedding",
            "wpe.weight": "positions",
            "ln_f.weight": "norm.weight",
            "ln_f.bias": "norm.bias",
        },
    )
    | _same("", "", {"lm_head.weight": "head"})
    | _same(
        _H,
        _BLOCK,
        {
            "ln_1.weight": "attention_norm.weight",
            "ln_1.bias": "attention_norm.bias",
            "ln_2.weight": "ff_norm.weight",
            "ln_2.bias": "ff_norm.bias",
            "attn.c_proj.bias": "attention.o_bias",
            "mlp.c_fc.bias": "ff.up_bias",
            "mlp.c_proj.bias": "ff.down_bias",
        },
    )
    | {
        f"{_H}attn.c_attn.weight": Row(tuple((f"{_BLOCK}attention.{x}", turned) for x in "qkv")),
        f"{_H}attn.c_attn.bias": Row(tuple((f"{_BLOCK}attention.{x}_bias", whole) for x in "qkv")),
        f"{_H}attn.c_proj.weight": Row(((f"{_BLOCK}attention.o", turned),)),
        f"{_H}mlp.c_fc.weight": Row(((f"{_FF}.up", turned),)),
        f"{_H}mlp.c_proj.weight": Row(((f"{_FF}.down", turned),)),
    }
)

ROWS: dict[str, dict[str, Row]] = {
    "llama": _STEM | _HEADS | _DENSE,
    "qwen2": _STEM | _HEADS | _DENSE,
    "qwen3": _STEM | _HEADS | _DENSE,
    "mixtral": _STEM | _HEADS | _MIXTRAL,
    "qwen2_moe": _STEM | _HEADS | _MOE | _QWEN_SHARED,
    "qwen3_moe": _STEM | _HEADS | _MOE,
    "olmoe": _STEM | _HEADS | _MOE,
    "deepseek_v2": _DEEPSEEK,
    "deepseek_v3": _DEEPSEEK,
    "gpt_oss": _STEM | _HEADS | _GPT_OSS,
    "gpt2": _GPT2,
}


@dataclass(frozen=True)
class HubTensor:
    """One tensor of a checkpoint, as views of the model's own tensors."""

    parts: tuple[Tensor, ...]
    interleaved: bool = False

    @property
    def shape(self) -> tuple[int, ...]:
        """Its shape in the file."""
        return (*self.parts[0].shape[:-1], sum(part.shape[-1] for part in self.parts))

    @property
    def n_bytes(self) -> int:
        """Its bytes, in the model's dtype."""
        return prod(self.shape) * self.parts[0].element_size()

    def load_(self, stored: Tensor) -> None:
        """Copy what the file holds into the model, converted to the model's dtype."""
        if self.interleaved:
            shares = [stored[..., i :: len(self.parts)] for i in range(len(self.parts))]
        else:
            shares = list(stored.split([part.shape[-1] for part in self.parts], dim=-1))
        for part, share in zip(self.parts, shares, strict=True):
            part.copy_(share)

    def stored(self) -> Tensor:
        """What the file is to hold; no copy where the model stores the same."""
        if self.interleaved:
            return torch.stack(self.parts, dim=-1).flatten(-2).cpu()
        joined = self.parts[0] if len(self.parts) == 1 else torch.cat(self.parts, dim=-1)
        return joined.contiguous().cpu()


def hub_tensors(model: Transformer, family: str) -> dict[str, HubTensor]:
    """Every tensor of a checkpoint of this model, by its name there, layer after layer.

    Args:
        model: on any device, "meta" included.
        family: one of `minimoe.zoo.configs.FAMILIES`.

    Returns:
        A dense llama of 2 layers has 2 + 2 * 9 of them, and lm_head.weight unless it is tied.

    Raises:
        InputError: the model has a tensor for which the family has no name.
    """
    ours = {
        name: tensor.detach()
        for name, tensor in (*model.named_parameters(), *model.named_buffers())
    }
    moe = model.config.moe
    table: dict[str, HubTensor] = {}
    placed = set()

    def place(hub: str, row: Row, layer: int) -> None:
        names = [name.format(l=layer) for name, _ in row.parts]
        if not set(names) <= set(ours):
            return
        placed.update(names)
        for e in range(moe.n_routed_experts) if moe and "{e}" in hub else (None,):
            tensors = (ours[name] if e is None else ours[name][e] for name in names)
            parts = (view(tensor) for (_, view), tensor in zip(row.parts, tensors, strict=True))
            table[hub.format(l=layer, e=e)] = HubTensor(tuple(parts), row.interleaved)

    of_layers = {hub: row for hub, row in ROWS[family].items() if "{l}" in hub}
    for hub, row in ROWS[family].items():
        if hub not in of_layers:
            place(hub, row, 0)
    for layer in range(model.config.n_layers):
        for hub, row in of_layers.items():
            place(hub, row, layer)
    if set(ours) - placed:
        raise InputError(
            f"model_type {family!r} has no place for {', '.join(sorted(set(ours) - placed))}"
        )
    return table
