"""GPT-2, and GPT-3 with its parts."""

from typing import Any

from minimoe.config import AttentionConfig, ModelConfig
from minimoe.zoo.family import BuiltFamily
from minimoe.zoo.fields import MOST_LAYERS, Fields
from minimoe.zoo.rows import BLOCK, FF, Row, same


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
    return ModelConfig(
        n_layers=f.integer("n_layer", high=MOST_LAYERS),
        attention=attention,
        d_ff=f.integer("n_inner", absent=4 * d_model),
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
    f.must_be("scale_attn_by_inverse_layer_idx", False)
    f.must_be("reorder_and_upcast_attn", False)


def write(config: ModelConfig) -> dict[str, Any]:
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
_ROWS = (
    same("transformer.", "", {"wte.weight": "embedding", "wpe.weight": "positions"})
    | same("transformer.ln_f.", "norm.", {"weight": "weight", "bias": "bias"})
    | same("", "", {"lm_head.weight": "head"})
    | same(f"{_H}ln_1.", f"{BLOCK}attention_norm.", {"weight": "weight", "bias": "bias"})
    | same(f"{_H}ln_2.", f"{BLOCK}ff_norm.", {"weight": "weight", "bias": "bias"})
    | same(f"{_H}attn.", f"{BLOCK}attention.", {"c_proj.bias": "o_bias"})
    | same(f"{_H}mlp.", f"{FF}.", {"c_fc.bias": "up_bias", "c_proj.bias": "down_bias"})
    | {
        f"{_H}attn.c_attn.weight": Row(tuple((f"{BLOCK}attention.{x}", "turned") for x in "qkv")),
        f"{_H}attn.c_attn.bias": Row(tuple((f"{BLOCK}attention.{x}_bias", "whole") for x in "qkv")),
        f"{_H}attn.c_proj.weight": Row(((f"{BLOCK}attention.o", "turned"),)),
        f"{_H}mlp.c_fc.weight": Row(((f"{FF}.up", "turned"),)),
        f"{_H}mlp.c_proj.weight": Row(((f"{FF}.down", "turned"),)),
    }
)
FAMILY = BuiltFamily(
    "gpt2", ("GPT2LMHeadModel",), read, write, _ROWS, optional_prefix="transformer."
)
