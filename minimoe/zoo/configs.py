"""Which model does a config.json of the Hugging Face hub describe, and how is ours written as one?

The hub's names on the left of every line here, ours on the right; what the fields mean was read in
transformers 5.23, and every family's counts and logits are tested against it.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from minimoe.config import (
    AttentionConfig,
    InputError,
    LatentAttentionConfig,
    ModelConfig,
    MoEConfig,
    RopeConfig,
)

ARCHITECTURES = {
    "llama": "LlamaForCausalLM",
    "qwen2": "Qwen2ForCausalLM",
    "qwen3": "Qwen3ForCausalLM",
    "mixtral": "MixtralForCausalLM",
    "qwen2_moe": "Qwen2MoeForCausalLM",
    "qwen3_moe": "Qwen3MoeForCausalLM",
    "olmoe": "OlmoeForCausalLM",
    "deepseek_v2": "DeepseekV2ForCausalLM",
    "deepseek_v3": "DeepseekV3ForCausalLM",
    "gpt_oss": "GptOssForCausalLM",
    "gpt2": "GPT2LMHeadModel",
}
FAMILIES = tuple(ARCHITECTURES)
ALIASES = {"kimi_k2": "deepseek_v3"}  # Kimi K2 has DeepSeek-V3's code under a name of its own

# The only fields that a published config.json may leave out (or set to null), and what that means.
# None: num_key_value_heads = as many as query heads; head_dim = hidden_size / heads; n_inner = 4 *
# n_embd; layer_types = the family's own rule; n_shared_experts = none; clip_qkv = nothing is cut;
# original_max_position_embeddings = max_position_embeddings.
_WINDOW = {"use_sliding_window": False, "sliding_window": None, "layer_types": None}
_DEEPSEEK = {"num_key_value_heads": None, "n_shared_experts": None, "moe_layer_freq": 1}
MAY_BE_ABSENT: dict[str, dict[str, Any]] = {
    "every family": {"tie_word_embeddings": False, "layer_types": None},
    "llama": {
        "num_key_value_heads": None,
        "head_dim": None,
        "rope_theta": 10_000.0,
        "attention_bias": False,
        "mlp_bias": False,
    },
    "qwen2": {**_WINDOW, "head_dim": None},
    "qwen3": _WINDOW,
    "mixtral": {"head_dim": None, "sliding_window": None},
    "qwen2_moe": {**_WINDOW, "head_dim": None, "mlp_only_layers": (), "qkv_bias": True},
    "qwen3_moe": {**_WINDOW, "head_dim": None, "mlp_only_layers": ()},
    "olmoe": {"num_key_value_heads": None, "head_dim": None, "clip_qkv": None},
    "deepseek_v2": {**_DEEPSEEK, "scoring_func": "softmax", "mlp_bias": False},
    "deepseek_v3": {
        **_DEEPSEEK,
        "scoring_func": "sigmoid",
        "topk_method": "noaux_tc",
        "rope_interleave": True,
    },
    "gpt_oss": {"swiglu_alpha": 1.702, "swiglu_limit": 7.0},
    "gpt2": {
        "n_inner": None,
        "tie_word_embeddings": True,
        "scale_attn_weights": True,
        "scale_attn_by_inverse_layer_idx": False,
        "reorder_and_upcast_attn": False,
        "add_cross_attention": False,
    },
}

# Where a family keeps the number of its experts, and the width of one. Files written by newer
# versions of transformers may name the number as another family does.
N_EXPERTS = ("num_local_experts", "num_experts", "n_routed_experts")
EXPERT_FIELDS = {
    "mixtral": ("num_local_experts", "intermediate_size"),
    "qwen2_moe": ("num_experts", "moe_intermediate_size"),
    "qwen3_moe": ("num_experts", "moe_intermediate_size"),
    "olmoe": ("num_experts", "intermediate_size"),
    "deepseek_v2": ("n_routed_experts", "moe_intermediate_size"),
    "deepseek_v3": ("n_routed_experts", "moe_intermediate_size"),
    "gpt_oss": ("num_local_experts", "intermediate_size"),
}
DEEPSEEK = ("deepseek_v2", "deepseek_v3")
ALWAYS_NORMALIZED = ("mixtral", "gpt_oss")
WITH_ATTENTION_BIAS = ("llama", "qwen3", "qwen3_moe", "olmoe", "gpt_oss")
QK_NORMS = {"qwen3": "head", "qwen3_moe": "head", "olmoe": "all_heads"}
ROPE_SCALINGS = {"default": "none", "linear": "linear", "llama3": "llama3", "yarn": "yarn"}
LAYER_TYPES = ("full_attention", "sliding_attention")


def model_config_from_hub(data: Mapping[str, Any]) -> ModelConfig:
    """Read the model that a hub config.json describes.

    Where transformers and a family's authors differ we follow transformers, with two exceptions,
    which no published model meets: a deepseek_v2 with norm_topk_prob normalises its weights and
    then leaves out routed_scaling_factor (transformers never normalises), and moe_layer_freq is
    heeded (transformers takes it for 1). Multi-token-prediction layers
    (num_nextn_predict_layers) are not part of the model, and quantization_config is not read: the
    model is counted as if its weights were whole.

    Args:
        data: config.json, parsed; of one of FAMILIES, or Kimi K2's.

    Returns:
        The configuration; K = 1 with normalised weights is allowed, as the model is given. For
        Mixtral 8x7B's file it has n_layers 32, moe.n_routed_experts 8 and moe.top_k 2.

    Raises:
        InputError: an unknown model_type, a field that is missing, of the wrong type, unsupported,
            or contradicting another one.
    """
    family = _family(data)
    fields = _Fields(family, data)
    try:
        return _gpt2(fields) if family == "gpt2" else _model(fields)
    except InputError as error:
        raise InputError(f"config.json of a {family} model: {error}") from error


def read_hub_config(path: str | Path) -> dict[str, Any]:
    """Read a config.json, or the one in a directory.

    Raises:
        InputError: it is not there, not JSON, or not a JSON object.
    """
    path = Path(path)
    path = path / "config.json" if path.is_dir() else path
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(
            f"cannot read {path}: {error.strerror}; give a config.json or its directory"
        ) from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is not JSON: {error}") from error
    if not isinstance(data, dict):
        raise InputError(f"{path} must hold a JSON object, got {type(data).__name__}")
    return data


@dataclass(frozen=True)
class _Fields:
    """A config.json whose fields are asked for by name and type."""

    family: str
    data: Mapping[str, Any]

    def get(self, name: str) -> Any:
        """The field, or what its absence means; an error if it has no such meaning."""
        value = self.data.get(name)
        if value is not None:
            return value
        for table in (MAY_BE_ABSENT[self.family], MAY_BE_ABSENT["every family"]):
            if name in table:
                return table[name]
        raise InputError(f"{name} is missing; add it to the file")

    def integer(self, name: str, low: int = 1) -> int:
        value = self.get(name)
        if not isinstance(value, int) or isinstance(value, bool) or value < low:
            raise InputError(f"{name} must be an integer of at least {low}, got {value!r}")
        return value

    def number(self, name: str) -> float:
        return _number(name, self.get(name))

    def flag(self, name: str) -> bool:
        value = self.get(name)
        if not isinstance(value, bool):
            raise InputError(f"{name} must be true or false, got {value!r}")
        return value

    def must_be(self, name: str, wanted: object) -> None:
        """Refuse another value: it would be another model than the one we compute."""
        if self.get(name) != wanted:
            raise InputError(
                f"{name} must be {json.dumps(wanted)} for {self.family}, "
                f"got {json.dumps(self.get(name), default=repr)}"
            )


def _number(name: str, value: object) -> float:
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        raise InputError(f"{name} must be a number, got {value!r}")
    return float(value)


def _family(data: Mapping[str, Any]) -> str:
    given = data.get("model_type")
    family = ALIASES.get(str(given), given)
    if family not in FAMILIES:
        known = ", ".join((*FAMILIES, *ALIASES))
        raise InputError(f"model_type must be one of {known}, got {given!r}")
    return str(family)


def _model(f: _Fields) -> ModelConfig:
    f.must_be("hidden_act", "silu")
    n_layers = f.integer("num_hidden_layers")
    window, sliding_layers = _windows(f, n_layers)
    moe = _moe(f) if f.family in EXPERT_FIELDS else None
    dense_ff = f.family not in ("mixtral", "olmoe", "gpt_oss")
    return ModelConfig(
        n_layers=n_layers,
        attention=_latent_attention(f) if f.family in DEEPSEEK else _attention(f, window),
        d_ff=f.integer("intermediate_size") if dense_ff else None,
        ff_bias=f.family == "llama" and f.flag("mlp_bias"),
        moe=moe,
        dense_layers=() if moe is None else _dense_layers(f, n_layers),
        sliding_layers=sliding_layers,
        vocab_size=f.integer("vocab_size"),
        max_length=f.integer("max_position_embeddings"),
        tie_embeddings=f.flag("tie_word_embeddings"),
        norm_eps=f.number("rms_norm_eps"),
    )


def _gpt2(f: _Fields) -> ModelConfig:
    f.must_be("activation_function", "gelu_new")
    f.must_be("scale_attn_weights", True)
    for name in ("scale_attn_by_inverse_layer_idx", "reorder_and_upcast_attn",
                 "add_cross_attention"):  # fmt: skip
        f.must_be(name, False)
    d_model, n_heads = f.integer("n_embd"), f.integer("n_head")
    attention = AttentionConfig(
        d_model=d_model,
        n_heads=n_heads,
        n_kv_heads=n_heads,
        d_head=_part("n_embd", d_model, "n_head", n_heads),
        rope=None,
        qkv_bias=True,
        o_bias=True,
    )
    return ModelConfig(
        n_layers=f.integer("n_layer"),
        attention=attention,
        d_ff=4 * d_model if f.get("n_inner") is None else f.integer("n_inner"),
        ff="gelu",
        ff_bias=True,
        vocab_size=f.integer("vocab_size"),
        max_length=f.integer("n_positions"),
        learned_positions=True,
        tie_embeddings=f.flag("tie_word_embeddings"),
        norm="layer",
        norm_eps=f.number("layer_norm_epsilon"),
    )


def _part(whole_name: str, whole: int, parts_name: str, parts: int) -> int:
    if whole % parts:
        raise InputError(f"{whole_name} must be a multiple of {parts_name}={parts}, got {whole}")
    return whole // parts


def _attention(f: _Fields, window: int | None) -> AttentionConfig:
    d_model, n_heads = f.integer("hidden_size"), f.integer("num_attention_heads")
    n_kv_heads = n_heads
    if f.get("num_key_value_heads") is not None:
        n_kv_heads = f.integer("num_key_value_heads")
        _part("num_attention_heads", n_heads, "num_key_value_heads", n_kv_heads)
    if f.get("head_dim") is not None:
        d_head = f.integer("head_dim")
    else:
        d_head = _part("hidden_size", d_model, "num_attention_heads", n_heads)
    if f.family == "olmoe" and d_head * n_heads != d_model:
        raise InputError(
            f"hidden_size must be head_dim * num_attention_heads={d_head * n_heads}, got {d_model}"
        )
    bias = f.family in WITH_ATTENTION_BIAS and f.flag("attention_bias")
    qkv_bias = f.family == "qwen2" or (f.family == "qwen2_moe" and f.flag("qkv_bias"))
    clip = f.get("clip_qkv") if f.family == "olmoe" else None
    return AttentionConfig(
        d_model=d_model,
        n_heads=n_heads,
        n_kv_heads=n_kv_heads,
        d_head=d_head,
        rope=_rope(f),
        qk_norm=QK_NORMS.get(f.family, "none"),  # type: ignore[arg-type]
        qkv_bias=bias or qkv_bias,
        o_bias=bias,
        sliding_window=window,
        sinks=f.family == "gpt_oss",
        clip_qkv=None if clip is None else _number("clip_qkv", clip),
    )


def _latent_attention(f: _Fields) -> LatentAttentionConfig:
    n_heads = f.integer("num_attention_heads")
    if f.get("num_key_value_heads") is not None:  # every head has keys and values of its own
        f.must_be("num_key_value_heads", n_heads)
    if "q_lora_rank" not in f.data:
        raise InputError("q_lora_rank is missing; add it to the file, null for no query latent")
    return LatentAttentionConfig(
        d_model=f.integer("hidden_size"),
        n_heads=n_heads,
        kv_rank=f.integer("kv_lora_rank"),
        q_rank=None if f.data["q_lora_rank"] is None else f.integer("q_lora_rank"),
        d_nope=f.integer("qk_nope_head_dim"),
        d_rope=f.integer("qk_rope_head_dim"),
        d_value=f.integer("v_head_dim"),
        rope=_rope(f),
        bias=f.flag("attention_bias"),
        norm_eps=1e-6,  # the latents' norms have it whatever rms_norm_eps says
    )


def _moe(f: _Fields) -> MoEConfig:
    n_experts, width = EXPERT_FIELDS[f.family]
    top_k = f.integer("num_experts_per_tok")
    normalize = f.family in ALWAYS_NORMALIZED or f.flag("norm_topk_prob")
    moe = MoEConfig(
        d_model=f.integer("hidden_size"),
        d_expert=f.integer(width),
        n_routed_experts=f.integer(_given_name(f, n_experts, N_EXPERTS)),
        top_k=top_k,
        normalize_weights=normalize,
        allow_constant_weight=normalize and top_k == 1,
    )
    if f.family == "qwen2_moe":
        d_shared = f.integer("shared_expert_intermediate_size")
        return replace(moe, n_shared_experts=1, d_shared=d_shared, gate_shared=True)
    if f.family == "gpt_oss":
        return replace(
            moe,
            router_bias=True,
            biased_experts=True,
            activation="clamped_swiglu",
            activation_alpha=f.number("swiglu_alpha"),
            activation_limit=f.number("swiglu_limit"),
        )
    return _deepseek_moe(f, moe) if f.family in DEEPSEEK else moe


def _given_name(f: _Fields, usual: str, names: tuple[str, ...]) -> str:
    """Which of a field's names the file uses; the usual one if none."""
    given = [name for name in names if f.data.get(name) is not None]
    if any(f.data[name] != f.data[given[0]] for name in given):
        values = " and ".join(f"{name}={f.data[name]!r}" for name in given)
        raise InputError(f"{values} contradict each other; keep one of them")
    return given[0] if given else usual


def _deepseek_moe(f: _Fields, moe: MoEConfig) -> MoEConfig:
    n_shared = 0 if f.get("n_shared_experts") is None else f.integer("n_shared_experts", low=0)
    scale = f.number("routed_scaling_factor")
    if f.family == "deepseek_v3":
        f.must_be("scoring_func", "sigmoid")
        f.must_be("topk_method", "noaux_tc")
        moe = replace(
            moe,
            n_shared_experts=n_shared,
            score_function="sigmoid",
            route_scale=scale,
            use_expert_bias=True,
        )
        return _grouped(f, moe, n_group_scores=2)
    f.must_be("scoring_func", "softmax")
    f.must_be("mlp_bias", False)
    methods = ("greedy", "group_limited_greedy")
    if f.get("topk_method") not in methods:
        raise InputError(
            f"topk_method must be one of {', '.join(methods)}, got {f.get('topk_method')!r}"
        )
    normalize = moe.normalize_weights and moe.top_k > 1
    moe = replace(
        moe,
        n_shared_experts=n_shared,
        normalize_weights=normalize,
        allow_constant_weight=False,
        route_scale=1.0 if normalize else scale,
    )
    return moe if f.get("topk_method") == "greedy" else _grouped(f, moe, n_group_scores=1)


def _grouped(f: _Fields, moe: MoEConfig, n_group_scores: int) -> MoEConfig:
    n_groups = f.integer("n_group")
    if n_groups == 1:
        return moe
    return replace(
        moe,
        n_expert_groups=n_groups,
        n_limited_groups=f.integer("topk_group"),
        n_group_scores=n_group_scores,
    )


def _dense_layers(f: _Fields, n_layers: int) -> tuple[int, ...]:
    if f.family in DEEPSEEK:
        first, step = f.integer("first_k_dense_replace", low=0), f.integer("moe_layer_freq")
        if first > n_layers:
            raise InputError(
                f"first_k_dense_replace must lie in [0, num_hidden_layers={n_layers}], got {first}"
            )
        return tuple(layer for layer in range(n_layers) if layer < first or layer % step)
    if f.family in ("qwen2_moe", "qwen3_moe"):
        step, dense = f.integer("decoder_sparse_step"), f.get("mlp_only_layers")
        if not isinstance(dense, (list, tuple)) or not all(
            layer in range(n_layers) for layer in dense
        ):
            raise InputError(
                f"mlp_only_layers must hold layers in [0, num_hidden_layers - 1={n_layers - 1}], "
                f"got {dense}"
            )
        return tuple(layer for layer in range(n_layers) if layer in dense or (layer + 1) % step)
    return ()


def _windows(f: _Fields, n_layers: int) -> tuple[int | None, tuple[int, ...] | None]:
    """The sliding window, and the layers that keep to it; None = all of them."""
    given = _given_layers(f, n_layers)
    sliding = _sliding_layers(f, n_layers, given)
    if given is not None and given != sliding:
        raise InputError(
            f"layer_types has sliding_attention in layers {given}, and a {f.family} model with "
            f"these fields has it in {sliding}; change one of them"
        )
    if not sliding:
        return None, None
    return f.integer("sliding_window"), tuple(sliding) if len(sliding) < n_layers else None


def _sliding_layers(f: _Fields, n_layers: int, given: list[int] | None) -> list[int]:
    """The layers with a sliding window by the family's own rule, and by layer_types if it asks."""
    if f.family in ("llama", "olmoe", *DEEPSEEK):
        return []
    if f.family == "gpt_oss":
        return list(range(0, n_layers, 2)) if given is None else given
    if f.family != "mixtral" and not f.flag("use_sliding_window"):
        return []
    if f.family != "qwen2_moe" and f.get("sliding_window") is None:
        return []
    if f.family in ("mixtral", "qwen3_moe"):
        return list(range(n_layers))
    if given is not None:
        return given
    bound = f.integer("max_window_layers", low=0)
    if f.family == "qwen2_moe":  # every second layer below the bound; elsewhere all from it on
        return list(range(0, min(bound, n_layers), 2))
    return list(range(bound, n_layers))


def _given_layers(f: _Fields, n_layers: int) -> list[int] | None:
    """The layers that layer_types gives a sliding window; None if there is no layer_types."""
    types = f.get("layer_types")
    if types is None:
        return None
    if not isinstance(types, list) or len(types) != n_layers:
        n_types = len(types) if isinstance(types, list) else repr(types)
        raise InputError(
            f"layer_types must list num_hidden_layers={n_layers} layers, got {n_types}"
        )
    for name in types:
        if name not in LAYER_TYPES:
            raise InputError(f"layer_types must hold {' or '.join(LAYER_TYPES)}, got {name!r}")
    return [layer for layer, name in enumerate(types) if name == "sliding_attention"]


def _rope(f: _Fields) -> RopeConfig:
    """Rotary positions in the old spelling (rope_theta, rope_scaling) or the new one."""
    spellings = {
        name: f.data[name] for name in ("rope_parameters", "rope_scaling") if f.data.get(name)
    }
    if f.family == "gpt_oss" and not spellings:  # transformers would stretch it 32 times unasked
        raise InputError('rope_scaling is missing; add it, {"rope_type": "default"} for none')
    for name, spelling in spellings.items():
        if not isinstance(spelling, dict) or any(isinstance(v, dict) for v in spelling.values()):
            raise InputError(f"{name} must be one object for all layers, got {spelling!r}")
    places = [f.data, *spellings.values()]
    base = _agreed("rope_theta", places)
    base = f.number("rope_theta") if base is None else _number("rope_theta", base)
    if _agreed("partial_rotary_factor", places) not in (None, 1):
        raise InputError("partial_rotary_factor must be 1: only whole heads are turned here")
    length = _agreed("original_max_position_embeddings", places)
    length = f.integer("max_position_embeddings") if length is None else length
    interleaved = f.family == "deepseek_v2" or (
        f.family == "deepseek_v3" and f.flag("rope_interleave")
    )
    plain = RopeConfig(base=base, interleaved=interleaved)
    ropes = [_scaled(f, plain, spelling, length) for spelling in spellings.values()] or [plain]
    if ropes[0] != ropes[-1]:
        raise InputError("rope_parameters and rope_scaling disagree; keep one of them")
    return ropes[0]


def _agreed(name: str, places: list[Mapping[str, Any]]) -> Any:
    """The value of a field that may stand in several places; None if it stands in none."""
    given = [place[name] for place in places if place.get(name) is not None]
    if any(value != given[0] for value in given):
        raise InputError(f"{name} is given as {given[0]!r} and {given[-1]!r}; keep one of them")
    return given[0] if given else None


def _scaled(f: _Fields, plain: RopeConfig, spelling: dict[str, Any], length: Any) -> RopeConfig:
    """`plain`, stretched as one spelling says; old files call the kind of stretching type."""
    kinds = [spelling[name] for name in ("rope_type", "type") if spelling.get(name) is not None]
    kind = kinds[0] if kinds else "default"
    if kind not in ROPE_SCALINGS or kind != (kinds or ["default"])[-1]:
        given = " and ".join(repr(name) for name in kinds)
        raise InputError(f"rope_type must be one of {', '.join(ROPE_SCALINGS)}, got {given}")
    if kind == "default":
        return plain
    if "factor" not in spelling:
        raise InputError(f"factor of rope_type {kind} is missing; add it to the file")
    if kind != "yarn" and (spelling.get("mscale") or spelling.get("mscale_all_dim")):
        raise InputError(f"mscale and mscale_all_dim need rope_type yarn, got {kind}")
    if spelling["factor"] is None and kind == "yarn":
        factor = f.integer("max_position_embeddings") / _number("original length", length)
    else:
        factor = _number("factor", spelling["factor"])
    if kind == "linear":
        return replace(plain, scaling="linear", factor=factor)
    stretched = replace(plain, factor=factor, original_length=length)
    if kind == "llama3":
        freq = _Fields(f.family, spelling)
        return replace(
            stretched,
            scaling="llama3",
            low_freq_factor=freq.number("low_freq_factor"),
            high_freq_factor=freq.number("high_freq_factor"),
        )
    return _yarn(stretched, spelling)


def _yarn(stretched: RopeConfig, spelling: dict[str, Any]) -> RopeConfig:
    """Zero means absent for the betas and mscales."""

    def optional(name: str) -> float | None:
        return None if spelling.get(name) is None else _number(name, spelling[name])

    return replace(
        stretched,
        scaling="yarn",
        beta_fast=optional("beta_fast") or 32.0,
        beta_slow=optional("beta_slow") or 1.0,
        truncate=spelling.get("truncate", True),
        attention_factor=optional("attention_factor"),
        mscale=optional("mscale") or None,
        mscale_all_dim=optional("mscale_all_dim") or None,
    )


def hub_config_from(config: ModelConfig) -> dict[str, Any]:
    """Write a model as a hub config.json, with all that transformers needs to build the same.

    The family is the one that has the model's parts; rotary positions are written in the old
    spelling, which every version reads. Tokens with a meaning (bos, eos, pad) are not known here.

    Returns:
        Fields of config.json; `model_config_from_hub` makes the same model of them. The preset
        "moe" is a mixtral with num_local_experts 16 and num_experts_per_tok 2.

    Raises:
        InputError: no family has this model; the message names a part that stands in the way.
    """
    family = _family_of(config)
    data: dict[str, Any] = {
        "architectures": [ARCHITECTURES[family]],
        "model_type": family,
        "vocab_size": config.vocab_size,
        "tie_word_embeddings": config.tie_embeddings,
        **dict.fromkeys(("bos_token_id", "eos_token_id", "pad_token_id")),
    }
    data |= _hub_gpt2(config) if family == "gpt2" else _hub_model(family, config)
    try:
        said = _meaning(model_config_from_hub(data))
    except InputError as error:
        raise InputError(f"no family of the hub has this model: {error}") from error
    wanted = _meaning(config)
    for name in wanted | said:
        if said.get(name) != wanted.get(name):
            raise InputError(
                f"{name}={wanted.get(name)!r} has no place in the config.json of a {family} model, "
                f"the closest family of the hub: it would mean {said.get(name)!r}"
            )
    return data


def _family_of(config: ModelConfig) -> str:
    """The family whose parts the model has; hub_config_from then checks that it has no others."""
    attention, moe = config.attention, config.moe
    if isinstance(attention, LatentAttentionConfig):
        return "deepseek_v3" if moe is None or moe.use_expert_bias else "deepseek_v2"
    if moe is None:
        if config.learned_positions or config.ff == "gelu":
            return "gpt2"
        if attention.qk_norm != "none":
            return "qwen3"
        return "qwen2" if attention.qkv_bias and not attention.o_bias else "llama"
    if moe.activation == "clamped_swiglu":
        return "gpt_oss"
    if attention.qk_norm != "none":
        return "qwen3_moe" if attention.qk_norm == "head" else "olmoe"
    return "qwen2_moe" if moe.gate_shared else "mixtral"


def _hub_gpt2(config: ModelConfig) -> dict[str, Any]:
    return {
        "activation_function": "gelu_new",
        "layer_norm_epsilon": config.norm_eps,
        "n_embd": config.d_model,
        "n_head": config.attention.n_heads,
        "n_inner": config.d_ff,
        "n_layer": config.n_layers,
        "n_positions": config.max_length,
    }


def _hub_model(family: str, config: ModelConfig) -> dict[str, Any]:
    attention = config.attention
    data: dict[str, Any] = {
        "hidden_act": "silu",
        "hidden_size": config.d_model,
        "max_position_embeddings": config.max_length,
        "num_attention_heads": attention.n_heads,
        "num_hidden_layers": config.n_layers,
        "rms_norm_eps": config.norm_eps,
    }
    unused = None if config.moe is None else config.moe.d_expert
    data["intermediate_size"] = config.d_ff or unused
    if family == "llama":
        data["mlp_bias"] = config.ff_bias
    if isinstance(attention, LatentAttentionConfig):
        data |= _hub_latent_attention(family, attention)
    else:
        data |= _hub_attention(family, attention) | _hub_windows(family, config)
    if attention.rope is not None:
        data |= _hub_rope(family, attention.rope)
    return data if config.moe is None else data | _hub_moe(family, config, config.moe)


def _hub_attention(family: str, attention: AttentionConfig) -> dict[str, Any]:
    data: dict[str, Any] = {
        "num_key_value_heads": attention.n_kv_heads,
        "head_dim": attention.d_head,
    }
    if family in WITH_ATTENTION_BIAS:
        data["attention_bias"] = attention.qkv_bias
    if family == "qwen2_moe":
        data["qkv_bias"] = attention.qkv_bias
    if family == "olmoe":
        data["clip_qkv"] = attention.clip_qkv
    return data


def _hub_latent_attention(family: str, attention: LatentAttentionConfig) -> dict[str, Any]:
    data: dict[str, Any] = {
        "attention_bias": attention.bias,
        "kv_lora_rank": attention.kv_rank,
        "num_key_value_heads": attention.n_heads,
        "q_lora_rank": attention.q_rank,
        "qk_nope_head_dim": attention.d_nope,
        "qk_rope_head_dim": attention.d_rope,
        "v_head_dim": attention.d_value,
    }
    if family == "deepseek_v3":
        data["rope_interleave"] = attention.rope.interleaved
    return data


def _hub_windows(family: str, config: ModelConfig) -> dict[str, Any]:
    slides = [config.window_of(layer) is not None for layer in range(config.n_layers)]
    window = config.sliding_window if any(slides) else None
    if family == "mixtral":
        return {"sliding_window": window}
    if family == "qwen3_moe":
        return {"sliding_window": window, "use_sliding_window": window is not None}
    types = {"layer_types": [LAYER_TYPES[slide] for slide in slides]}
    if family == "gpt_oss":  # its code wants a window even if no layer keeps to it
        return types | {"sliding_window": window or config.max_length}
    if family in ("qwen2", "qwen3", "qwen2_moe"):
        return types | {"sliding_window": window, "use_sliding_window": window is not None}
    return {}


def _hub_rope(family: str, rope: RopeConfig) -> dict[str, Any]:
    scaling: dict[str, Any] | None = {"rope_type": "linear", "factor": rope.factor}
    if rope.scaling == "none":
        scaling = {"rope_type": "default"} if family == "gpt_oss" else None
    elif rope.scaling == "llama3":
        scaling = {
            "rope_type": "llama3",
            "factor": rope.factor,
            "original_max_position_embeddings": rope.original_length,
            "low_freq_factor": rope.low_freq_factor,
            "high_freq_factor": rope.high_freq_factor,
        }
    elif rope.scaling == "yarn":
        scaling = {
            "rope_type": "yarn",
            "factor": rope.factor,
            "original_max_position_embeddings": rope.original_length,
            "beta_fast": rope.beta_fast,
            "beta_slow": rope.beta_slow,
            "truncate": rope.truncate,
        }
        for name in ("attention_factor", "mscale", "mscale_all_dim"):
            if getattr(rope, name) is not None:
                scaling[name] = getattr(rope, name)
    return {"rope_theta": rope.base, "rope_scaling": scaling}


def _hub_moe(family: str, config: ModelConfig, moe: MoEConfig) -> dict[str, Any]:
    n_experts, width = EXPERT_FIELDS[family]
    data: dict[str, Any] = {
        n_experts: moe.n_routed_experts,
        width: moe.d_expert,
        "num_experts_per_tok": moe.top_k,
    }
    if family not in ALWAYS_NORMALIZED:
        data["norm_topk_prob"] = moe.normalize_weights
    if family in ("qwen2_moe", "qwen3_moe"):
        data |= {"decoder_sparse_step": 1, "mlp_only_layers": list(config.dense_layers)}
    if family == "qwen2_moe":
        data["shared_expert_intermediate_size"] = moe.shared_width
    if family == "gpt_oss":
        data |= {"swiglu_alpha": moe.activation_alpha, "swiglu_limit": moe.activation_limit}
    if family in DEEPSEEK:
        data |= _hub_deepseek_moe(family, config, moe)
    return data


def _hub_deepseek_moe(family: str, config: ModelConfig, moe: MoEConfig) -> dict[str, Any]:
    first, step = _leading_dense(config)
    limited = moe.n_expert_groups > 1
    data: dict[str, Any] = {
        "first_k_dense_replace": first,
        "moe_layer_freq": step,
        "n_group": moe.n_expert_groups,
        "n_shared_experts": moe.shared_width // moe.d_expert,
        "routed_scaling_factor": moe.route_scale,
        "scoring_func": moe.score_function,
        "topk_group": moe.n_limited_groups,
        "topk_method": "noaux_tc",
    }
    if family == "deepseek_v2":
        data["topk_method"] = "group_limited_greedy" if limited else "greedy"
    return data


def _leading_dense(config: ModelConfig) -> tuple[int, int]:
    """first_k_dense_replace and moe_layer_freq that give the dense layers; (0, 1) if none do."""
    n_layers = config.n_layers
    for step in range(1, n_layers + 1):
        for first in range(n_layers + 1):
            dense = tuple(layer for layer in range(n_layers) if layer < first or layer % step)
            if dense == tuple(sorted(config.dense_layers)):
                return first, step
    return 0, 1


def _meaning(config: ModelConfig) -> dict[str, object]:
    """What of a configuration shapes the model or its logits, by name; equal for equal models."""
    fields = asdict(config)
    attention, moe = fields.pop("attention"), fields.pop("moe") or {}
    rope = attention.pop("rope") or {}
    windows = {"windows": [config.window_of(layer) for layer in range(config.n_layers)]}
    for name in ("sliding_window", "way"):
        attention.pop(name, None)
    del fields["sliding_layers"]
    fields["dense_layers"] = tuple(sorted(config.dense_layers))
    if config.moe is not None:
        moe["shared_width"] = config.moe.shared_width
        unused = ["allow_constant_weight", "n_shared_experts", "d_shared"]
        if config.moe.activation == "swiglu":
            unused += ["activation_alpha", "activation_limit"]
        if config.moe.n_expert_groups == 1:
            unused.append("n_group_scores")
        for name in unused:
            del moe[name]
    if config.n_moe_layers == config.n_layers:
        del fields["d_ff"]
    parts = {"attention.": attention, "attention.rope.": rope, "moe.": moe, "": fields | windows}
    return {at + name: value for at, part in parts.items() for name, value in part.items()}
