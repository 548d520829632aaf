"""Names of tensors in published checkpoints, and the parts of our tensors they hold.

A row says which of our tensors a hub tensor is made of, and by which view of each; copying into the
views loads, reading them saves. {l} is a layer, {e} an expert. A row whose tensor a model does not
have (a bias, say) does not apply to that model. The hub's names are those of transformers 5.23.
"""

from dataclasses import dataclass
from typing import Literal

View = Literal["whole", "turned", "gate", "up", "gates", "ups"]


@dataclass(frozen=True)
class Row:
    """One hub tensor, made of views of our tensors, which are its parts along the last axis."""

    parts: tuple[tuple[str, View], ...]
    interleaved: bool = False  # the parts take turns along that axis, not side by side


Rows = dict[str, Row]
LAYER, BLOCK = "model.layers.{l}.", "blocks.{l}."
MLP, FF = f"{LAYER}mlp", f"{BLOCK}ff"


def same(hub: str, ours: str, names: dict[str, str]) -> Rows:
    """Rows of tensors that are stored as we have them, below a prefix on each side."""
    return {f"{hub}{there}": Row(((f"{ours}{here}", "whole"),)) for there, here in names.items()}


def swiglu(hub: str, ours: str, names: str = "gate_proj up_proj down_proj") -> Rows:
    """Rows of a SwiGLU, whose gate and up-projection are one tensor of ours."""
    to_gate, to_up, to_down = names.split()
    rows: Rows = {}
    for kind, suffix in (("weight", ""), ("bias", "_bias")):
        rows[f"{hub}.{to_gate}.{kind}"] = Row(((f"{ours}.gate_up{suffix}", "gate"),))
        rows[f"{hub}.{to_up}.{kind}"] = Row(((f"{ours}.gate_up{suffix}", "up"),))
        rows[f"{hub}.{to_down}.{kind}"] = Row(((f"{ours}.down{suffix}", "whole"),))
    return rows


STEM = same(
    "",
    "",
    {
        "model.embed_tokens.weight": "embedding",
        "model.norm.weight": "norm.weight",
        "lm_head.weight": "head",
        f"{LAYER}input_layernorm.weight": f"{BLOCK}attention_norm.weight",
        f"{LAYER}post_attention_layernorm.weight": f"{BLOCK}ff_norm.weight",
    },
)
HEADS = same(
    f"{LAYER}self_attn.",
    f"{BLOCK}attention.",
    {f"{x}_proj.weight": x for x in "qkvo"}
    | {f"{x}_proj.bias": f"{x}_bias" for x in "qkvo"}
    | {f"{x}_norm.weight": f"{x}_norm.weight" for x in "qk"}
    | {"sinks": "sinks"},
)
LATENT = same(
    f"{LAYER}self_attn.",
    f"{BLOCK}attention.",
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
DENSE = swiglu(MLP, FF)
MOE = (
    same(MLP, FF, {".gate.weight": ".router.weight"})
    | swiglu(f"{MLP}.experts.{{e}}", f"{FF}.experts")
    | DENSE
)
DEEPSEEK = (
    STEM
    | LATENT
    | MOE
    | swiglu(f"{MLP}.shared_experts", f"{FF}.shared")
    | same(MLP, FF, {".gate.e_score_correction_bias": ".router.expert_bias"})
)
