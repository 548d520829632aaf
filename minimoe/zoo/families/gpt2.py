"""GPT-2, and GPT-3 with its parts."""

from typing import Any

from minimoe.config import AttentionConfig, ModelConfig
from minimoe.zoo.family import BuiltFamily
from minimoe.zoo.fields import MOST_LAYERS, Fields
from minimoe.zoo.rows import BLOCK, FF, Row, same

_SWITCHES = ("scale_attn_by_inverse_layer_idx", "reorder_and_upcast_attn")


def read(f: Fields) -> ModelConfig:
    """Learned positions, layer norms, biases everywhere, and a feed-forward layer with GELU."""
    f.for_logits(lambda: _require_usual(f), None)
    f.must_be("add_cross_attention", False)
    d_model, n_heads = f.integer("n_embd"), f.integer("n_head")
    attention = AttentionConfig(
        d_model=d_model,
        n_heads=n_heads,
        n_kv_heads=n_heads,
        d_head=f.part("n_embd", "n_head"),
        rope=None,
        qkv_bias=True,
        o_bias=True,
    )
    d_ff = f.integer("n_inner") if f.has("n_inner") else f.assume("n_inner", 4 * d_model)
    return ModelConfig(
        n_layers=f.integer("n_layer", high=MOST_LAYERS),
        attention=attention,
        d_ff=d_ff,
        ff="gelu",
        ff_bias=True,
        vocab_size=f.integer("vocab_size"),
        max_length=f.integer("n_positions"),
        learned_positions=True,
        tie_embeddings=f.flag("tie_word_embeddings", absent=True),
        norm="layer",
        norm_eps=f.for_logits(lambda: f.number("layer_norm_epsilon"), 1e-5),
    )


def _require_usual(f: Fields) -> None:
    f.must_be("activation_function", "gelu_new", required=True)
    f.must_be("scale_attn_weights", True)
    for name in _SWITCHES:
        f.must_be(name, False)


def write(config: ModelConfig) -> dict[str, Any]:
    """The parts of `read`."""
    return {
        "activation_function": "gelu_new",
        "layer_norm_epsilon": config.norm_eps,
        "n_embd": config.d_model,
        "n_head": config.attention.n_heads,
        "n_inner": config.d_ff,
        "n_layer": config.n_layers,
        "n_positions": config.max_length,
    }


_H = "transformer.h.{l}."
_STEM = same(
    "transformer.",
    "",
    {
        "wte.weight": "embedding",
        "wpe.weight": "positions",
        "ln_f.weight": "norm.weight",
        "ln_f.bias": "norm.bias",
    },
) | same("", "", {"lm_head.weight": "head"})
_VECTORS = same(
    _H,
    BLOCK,
    {f"ln_1.{kind}": f"attention_norm.{kind}" for kind in ("weight", "bias")}
    | {f"ln_2.{kind}": f"ff_norm.{kind}" for kind in ("weight", "bias")}
    | {
        "attn.c_proj.bias": "attention.o_bias",
        "mlp.c_fc.bias": "ff.up_bias",
        "mlp.c_proj.bias": "ff.down_bias",
    },
)
_MATRICES = {
    f"{_H}attn.c_attn.weight": Row(tuple((f"{BLOCK}attention.{x}", "turned") for x in "qkv")),
    f"{_H}attn.c_attn.bias": Row(tuple((f"{BLOCK}attention.{x}_bias", "whole") for x in "qkv")),
    f"{_H}attn.c_proj.weight": Row(((f"{BLOCK}attention.o", "turned"),)),
    f"{_H}mlp.c_fc.weight": Row(((f"{FF}.up", "turned"),)),
    f"{_H}mlp.c_proj.weight": Row(((f"{FF}.down", "turned"),)),
}

FAMILY = BuiltFamily(
    model_type="gpt2",
    architectures=("GPT2LMHeadModel",),
    read=read,
    write=write,
    optional_prefix="transformer.",
    rows=_STEM | _VECTORS | _MATRICES,
)
