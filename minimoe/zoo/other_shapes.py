"""Which weights do the architectures have that our model cannot express? Shapes, not programs.

Each of these models is a ModelConfig as far as ours can say it, and a list of the weights that it
cannot: each with its place, its shape and how many there are, as the released code and transformers
5.23 have them. That counts them to the parameter; it does not run them.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import prod
from typing import Any, Literal

from minimoe.config import (
    AttentionConfig,
    InputError,
    LatentAttentionConfig,
    ModelConfig,
    MoEConfig,
)
from minimoe.formulas.memory import cache_elements_per_token

Place = Literal["attention", "dense", "norms", "other"]
Config = Mapping[str, Any]


@dataclass(frozen=True)
class Weight:
    """Weights of one name and shape.

    Attributes:
        place: where they are counted.
        name: what they are.
        shape: of one of them.
        copies: how many there are.
        multiplied: a token's vector is multiplied by it (2 FLOPs for each of its elements);
            vectors never are, they are added or scale.
        active: a token of text uses it.
    """

    place: Place
    name: str
    shape: tuple[int, ...]
    copies: int = 1
    multiplied: bool = True
    active: bool = True

    @property
    def n_parameters(self) -> int:
        """Elements of all copies."""
        return prod(self.shape) * self.copies

    @property
    def flops_per_token(self) -> int:
        """FLOPs of a token's products with them."""
        used = self.multiplied and self.active and len(self.shape) > 1
        return 2 * self.n_parameters if used else 0


@dataclass(frozen=True)
class Shapes:
    """The weights of a model, and what its attention keeps and computes.

    Attributes:
        model: the model as far as a ModelConfig can say it.
        attention: the weights of its attention, where they are others than `model`'s.
        extra: weights that `model` lacks.
        cache_elements: elements that one more token of context adds to the cache; None if that is
            no fixed number.
        softmax_layers: layers with softmax attention over the whole context; its FLOPs are counted.
        not_counted: the attention whose own FLOPs are not counted; None if there is none.
    """

    model: ModelConfig
    attention: tuple[Weight, ...] | None = None
    extra: tuple[Weight, ...] = ()
    cache_elements: int | None = None
    softmax_layers: int = 0
    not_counted: str | None = None

    @property
    def weights(self) -> tuple[Weight, ...]:
        """All listed weights."""
        return (self.attention or ()) + self.extra


def plain_shapes(model: ModelConfig, extra: tuple[Weight, ...] = ()) -> Shapes:
    """The shapes of a model with our attention in every layer."""
    return Shapes(
        model=model,
        extra=extra,
        cache_elements=cache_elements_per_token(model),
        softmax_layers=model.n_layers,
    )


def other_shapes(config: Config) -> Shapes:
    """The shapes of a model beyond the families that we can build.

    Args:
        config: a parsed config.json; its model_type is one of OTHER_FAMILIES.

    Returns:
        Its shapes. DeepSeek-V3.2's indexer has 1536 * 8192 + 7168 * 128 + 7168 * 64 + 2 * 128 =
        13,959,424 parameters in each layer.

    Raises:
        InputError: an unknown model_type, or a field that is missing or out of range.
    """
    family = config.get("model_type")
    if family not in tuple(OTHER_FAMILIES):
        known = ", ".join(OTHER_FAMILIES)
        raise InputError(f"model_type must be one of {known}, got {family!r}")
    try:
        return OTHER_FAMILIES[str(family)](config)
    except InputError as error:
        raise InputError(f"config.json of a {family} model: {error}") from error


def _n(config: Config, name: str, low: int = 1) -> int:
    """A field that must be an integer."""
    value = config.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or value < low:
        raise InputError(f"{name} must be an integer of at least {low}, got {value!r}")
    return value


def _flag(config: Config, name: str) -> bool:
    """A field that may be absent, which means false."""
    value = config.get(name, False)
    if not isinstance(value, bool):
        raise InputError(f"{name} must be true or false, got {value!r}")
    return value


def _part(config: Config, name: str) -> dict[str, Any]:
    """A field that must be an object."""
    value = config.get(name)
    if not isinstance(value, dict):
        raise InputError(f"{name} must be a JSON object, got {value!r}")
    return value


def _layer_kinds(config: Config, name: str, kinds: tuple[Any, ...]) -> list[Any]:
    """A field that must say of every layer which of `kinds` it is."""
    n_layers, values = _n(config, "num_hidden_layers"), config.get(name)
    if not isinstance(values, list) or len(values) != n_layers:
        got = len(values) if isinstance(values, list) else repr(values)
        raise InputError(f"{name} must list num_hidden_layers={n_layers} layers, got {got}")
    for value in values:
        if value not in kinds:
            raise InputError(f"{name} must hold {' or '.join(map(str, kinds))}, got {value!r}")
    return values


def _grouped_query(config: Config, d_head: int | None = None, **more: Any) -> AttentionConfig:
    return AttentionConfig(
        d_model=_n(config, "hidden_size"),
        n_heads=_n(config, "num_attention_heads"),
        n_kv_heads=_n(config, "num_key_value_heads"),
        d_head=_n(config, "head_dim") if d_head is None else d_head,
        **more,
    )


def _d_head(config: Config) -> int:
    """Of families whose heads share the model's width."""
    d_model, n_heads = _n(config, "hidden_size"), _n(config, "num_attention_heads")
    if d_model % n_heads:
        raise InputError(f"num_attention_heads must divide hidden_size={d_model}, got {n_heads}")
    return d_model // n_heads


def _model(
    config: Config, attention: AttentionConfig | LatentAttentionConfig, **more: Any
) -> ModelConfig:
    return ModelConfig(
        n_layers=_n(config, "num_hidden_layers"),
        attention=attention,
        vocab_size=_n(config, "vocab_size"),
        max_length=_n(config, "max_position_embeddings"),
        tie_embeddings=_flag(config, "tie_word_embeddings"),
        **more,
    )


def _moe(
    config: Config, *, width: str, experts: str, top_k: str = "num_experts_per_tok", **more: Any
) -> MoEConfig:
    """The experts, by the names of the fields that hold their numbers."""
    return MoEConfig(
        d_model=_n(config, "hidden_size"),
        d_expert=_n(config, width),
        n_routed_experts=_n(config, experts),
        top_k=_n(config, top_k),
        allow_constant_weight=True,
        **more,
    )


def _deepseek_moe(config: Config) -> MoEConfig:
    return _moe(
        config,
        width="moe_intermediate_size",
        experts="n_routed_experts",
        n_shared_experts=_n(config, "n_shared_experts", 0),
    )


def _leading_dense(config: Config) -> dict[str, Any]:
    """The first layers are dense."""
    return {
        "d_ff": _n(config, "intermediate_size"),
        "dense_layers": tuple(range(_n(config, "first_k_dense_replace", 0))),
    }


def _deepseek(config: Config) -> Shapes:
    """DeepSeekMoE 16B (arXiv 2401.06066): multi-head attention, and V2's experts."""
    attention = _grouped_query(config, _d_head(config))
    moe, leading = _deepseek_moe(config), _leading_dense(config)
    return plain_shapes(_model(config, attention, moe=moe, **leading))


def _glm4_moe(config: Config) -> Shapes:
    """GLM-4.5: grouped queries with biases, norms of queries and keys, and DeepSeek-V3's experts.

    Only half of each head turns with the position, which our attention does not do.
    """
    attention = _grouped_query(
        config,
        qkv_bias=_flag(config, "attention_bias"),
        qk_norm="head" if _flag(config, "use_qk_norm") else "none",
    )
    moe, leading = _deepseek_moe(config), _leading_dense(config)
    return plain_shapes(_model(config, attention, moe=moe, **leading))


def _minimax_m2(config: Config) -> Shapes:
    """MiniMax-M2: queries and keys normed over all heads at once; half of each head turns."""
    attention = _grouped_query(config, qk_norm="all_heads")
    moe = _moe(config, width="intermediate_size", experts="num_local_experts")
    return plain_shapes(_model(config, attention, moe=moe))


def _grok(config: Config) -> Shapes:
    """Grok-1: attention and experts are normed on their way out, too."""
    moe = _moe(config, width="intermediate_size", experts="num_local_experts")
    model = _model(config, _grouped_query(config), moe=moe)
    after = Weight("norms", "after attention, after experts", (model.d_model,), 2 * model.n_layers)
    return plain_shapes(model, (after,))


def _arctic(config: Config) -> Shapes:
    """Snowflake Arctic: in every layer a dense feed-forward layer as wide as the model, and beside
    it the experts, with a norm of their own."""
    moe = _moe(config, width="intermediate_size", experts="num_local_experts")
    model = _model(config, _grouped_query(config, _d_head(config)), moe=moe)
    d_model, n_layers = model.d_model, model.n_layers
    extra = (
        Weight("dense", "gate, up and down of the dense layer", (d_model, d_model), 3 * n_layers),
        Weight("norms", "before the experts", (d_model,), n_layers),
    )
    return plain_shapes(model, extra)


def _deepseek_v32(config: Config) -> Shapes:
    """DeepSeek-V3.2: V3, and in every layer an indexer that chooses which positions to read."""
    attention = LatentAttentionConfig(
        d_model=_n(config, "hidden_size"),
        n_heads=_n(config, "num_attention_heads"),
        kv_rank=_n(config, "kv_lora_rank"),
        q_rank=_n(config, "q_lora_rank"),
        d_nope=_n(config, "qk_nope_head_dim"),
        d_rope=_n(config, "qk_rope_head_dim"),
        d_value=_n(config, "v_head_dim"),
    )
    model = _model(config, attention, moe=_deepseek_moe(config), **_leading_dense(config))
    n_heads, d_head = _n(config, "index_n_heads"), _n(config, "index_head_dim")
    q_rank, d_model, n = _n(config, "q_lora_rank"), model.d_model, model.n_layers
    indexer = (
        Weight("attention", "indexer's queries", (n_heads * d_head, q_rank), n),
        Weight("attention", "indexer's key, one for all heads", (d_head, d_model), n),
        Weight("attention", "weights of the indexer's heads", (n_heads, d_model), n),
        Weight("norms", "indexer's key: scale and bias", (d_head,), 2 * n),
    )
    return Shapes(
        model=model,
        extra=indexer,
        cache_elements=cache_elements_per_token(model) + n * d_head,
        not_counted="sparse attention over the positions that the indexer chooses",
    )


def _deepseek_v4(config: Config) -> Shapes:
    """DeepSeek-V4: one vector of all heads is key and value; layers compress it over 4 or 128
    positions; the output leaves in groups; hyper-connections mix hc_mult residual streams."""
    sliding, sparse, heavy = 0, 4, 128
    ratios = _layer_kinds(config, "compress_ratios", (sliding, sparse, heavy))
    n_sparse, n_heavy = ratios.count(sparse), ratios.count(heavy)
    model = _model(config, _grouped_query(config), moe=_deepseek_moe(config))
    d_model, n = model.d_model, model.n_layers
    n_heads, d_head = _n(config, "num_attention_heads"), _n(config, "head_dim")
    q_rank, o_rank = _n(config, "q_lora_rank"), _n(config, "o_lora_rank")
    o_groups, width = _n(config, "o_groups"), n_heads * d_head
    if width % o_groups:
        raise InputError(f"o_groups must divide heads * head_dim={width}, got {o_groups}")
    index_heads, d_index = _n(config, "index_n_heads"), _n(config, "index_head_dim")
    attention = (
        Weight("attention", "queries, down", (q_rank, d_model), n),
        Weight("attention", "queries, up", (width, q_rank), n),
        Weight("attention", "key and value", (d_head, d_model), n),
        Weight("attention", "output of a group, down", (o_rank, width // o_groups), n * o_groups),
        Weight("attention", "output, up", (d_model, o_groups * o_rank), n),
        Weight("attention", "sinks", (n_heads,), n),
        *_compressor("heavily compressed", d_model, d_head, d_head, heavy, n_heavy),
        *_compressor("compressed sparse", d_model, d_head, 2 * d_head, sparse, n_sparse),
        *_compressor("indexer", d_model, d_index, 2 * d_index, sparse, n_sparse),
        Weight("attention", "indexer's queries", (index_heads * d_index, q_rank), n_sparse),
        Weight("attention", "weights of the indexer's heads", (index_heads, d_model), n_sparse),
    )
    norms = (
        Weight("norms", "queries' latent", (q_rank,), n),
        Weight("norms", "key and value", (d_head,), n),
    )
    hyper = _hyper_connections(_n(config, "hc_mult"), d_model, n)
    return Shapes(
        model=model,
        attention=attention,
        extra=norms + hyper,
        not_counted="attention over a window and compressed positions",
    )


def _compressor(
    name: str, d_model: int, d_entry: int, width: int, ratio: int, n_layers: int
) -> tuple[Weight, ...]:
    """What makes one entry of `ratio` positions: values, gates, a bias for each position, a norm.

    `width` is twice d_entry where neighbouring groups of positions overlap.
    """
    return (
        Weight("attention", f"{name}: values", (width, d_model), n_layers),
        Weight("attention", f"{name}: gates", (width, d_model), n_layers),
        Weight(
            "attention", f"{name}: bias by position", (ratio, width), n_layers, multiplied=False
        ),
        Weight("norms", f"{name}: entries", (d_entry,), n_layers),
    )


def _hyper_connections(n_streams: int, d_model: int, n_layers: int) -> tuple[Weight, ...]:
    """Before attention and before the experts: weights to read n streams, to write to them, and to
    mix them (n * n); before the head only to read. Each has its bias, each kind one scale."""
    n_out, width = (2 + n_streams) * n_streams, n_streams * d_model
    return (
        Weight("other", "hyper-connections", (n_out, width), 2 * n_layers),
        Weight("other", "hyper-connections: bias", (n_out,), 2 * n_layers),
        Weight("other", "hyper-connections: scales", (3,), 2 * n_layers),
        Weight("other", "hyper-connections of the head", (n_streams, width)),
        Weight("other", "hyper-connections of the head: bias and scale", (n_streams + 1,)),
    )


def _qwen3_next(config: Config) -> Shapes:
    """Qwen3-Next: three of four layers Gated DeltaNet, every fourth softmax attention with a gate
    on its output; a gated shared expert."""
    moe = _moe(
        config,
        width="moe_intermediate_size",
        experts="num_experts",
        n_shared_experts=1,
        d_shared=_n(config, "shared_expert_intermediate_size"),
        gate_shared=True,
    )
    model = _model(config, _grouped_query(config), moe=moe)
    every, d_model = _n(config, "full_attention_interval"), model.d_model
    n_softmax = model.n_layers // every
    n_delta = model.n_layers - n_softmax
    heads = _n(config, "num_attention_heads") * _n(config, "head_dim")
    kv_heads = _n(config, "num_key_value_heads") * _n(config, "head_dim")
    n_values, d_value = _n(config, "linear_num_value_heads"), _n(config, "linear_value_head_dim")
    keys = _n(config, "linear_num_key_heads") * _n(config, "linear_key_head_dim")
    values, taps = n_values * d_value, _n(config, "linear_conv_kernel_dim")
    attention = (
        Weight("attention", "queries and output gates", (2 * heads, d_model), n_softmax),
        Weight("attention", "keys, values", (kv_heads, d_model), 2 * n_softmax),
        Weight("attention", "output", (d_model, heads), n_softmax),
        Weight("attention", "DeltaNet: queries, keys", (keys, d_model), 2 * n_delta),
        Weight("attention", "DeltaNet: values, output gates", (values, d_model), 2 * n_delta),
        Weight("attention", "DeltaNet: write strengths, decays", (n_values, d_model), 2 * n_delta),
        Weight("attention", "DeltaNet: convolution of each channel", (2 * keys + values, taps),
               n_delta),
        Weight("attention", "DeltaNet: decay's bias and rate", (n_values,), 2 * n_delta),
        Weight("attention", "DeltaNet: output", (d_model, values), n_delta),
    )  # fmt: skip
    norms = (
        Weight("norms", "queries, keys", (_n(config, "head_dim"),), 2 * n_softmax),
        Weight("norms", "DeltaNet: a head's output", (d_value,), n_delta),
    )
    return Shapes(
        model=model,
        attention=attention,
        extra=norms,
        cache_elements=2 * kv_heads * n_softmax,
        softmax_layers=n_softmax,
        not_counted=f"the {n_delta} Gated DeltaNet layers' recurrence",
    )


def _minimax(config: Config) -> Shapes:
    """MiniMax-Text-01 and M1: seven of eight layers lightning (linear) attention, with as many key
    and value heads as query heads, a norm and a gate on the output."""
    moe = _moe(config, width="intermediate_size", experts="num_local_experts")
    model = _model(config, _grouped_query(config), moe=moe)
    name, softmax, linear = "layer_types", "full_attention", "linear_attention"
    if "attn_type_list" in config:  # its authors' own spelling
        name, softmax, linear = "attn_type_list", 1, 0  # type: ignore[assignment]
    kinds = _layer_kinds(config, name, (softmax, linear))
    n_softmax, n_linear = kinds.count(softmax), kinds.count(linear)
    heads = _n(config, "num_attention_heads") * _n(config, "head_dim")
    kv_heads, d_model = _n(config, "num_key_value_heads") * _n(config, "head_dim"), model.d_model
    attention = (
        Weight("attention", "queries", (heads, d_model), n_softmax),
        Weight("attention", "keys, values", (kv_heads, d_model), 2 * n_softmax),
        Weight("attention", "output", (d_model, heads), n_softmax),
        Weight("attention", "lightning: queries, keys, values, gates", (heads, d_model),
               4 * n_linear),
        Weight("attention", "lightning: output", (d_model, heads), n_linear),
    )  # fmt: skip
    return Shapes(
        model=model,
        attention=attention,
        extra=(Weight("norms", "lightning: output", (heads,), n_linear),),
        cache_elements=2 * kv_heads * n_softmax,
        softmax_layers=n_softmax,
        not_counted=f"the {n_linear} lightning attention layers' recurrence",
    )


def _hunyuan(config: Config) -> Shapes:
    """Hunyuan-Large: keys and values are projected in every cla_share_factor-th layer and shared
    with the layers after it (arXiv 2405.12981); queries and keys are normed in each."""
    moe = _moe(
        config,
        width="intermediate_size",
        experts="num_experts",
        top_k="moe_topk",
        n_shared_experts=_n(config, "num_shared_expert", 0),
    )
    attention = _grouped_query(config, qk_norm="head" if _flag(config, "use_qk_norm") else "none")
    model = _model(config, attention, moe=moe)
    share = _n(config, "cla_share_factor") if _flag(config, "use_cla") else 1
    n_layers, d_model = model.n_layers, model.d_model
    n_projecting = -(-n_layers // share)
    heads = attention.n_heads * attention.d_head
    kv_heads = attention.n_kv_heads * attention.d_head
    return Shapes(
        model=model,
        attention=(
            Weight("attention", "queries", (heads, d_model), n_layers),
            Weight("attention", "keys, values", (kv_heads, d_model), 2 * n_projecting),
            Weight("attention", "output", (d_model, heads), n_layers),
        ),
        cache_elements=2 * kv_heads * n_projecting,
        softmax_layers=n_layers,
    )


def _llama4(config: Config) -> Shapes:
    """Llama 4: a text model with one routed and one shared expert in every
    interleave_moe_layer_step-th layer, and a vision tower that text does not pass through."""
    text = _part(config, "text_config")
    step, n_layers = _n(text, "interleave_moe_layer_step"), _n(text, "num_hidden_layers")
    moe = _moe(text, width="intermediate_size", experts="num_local_experts", n_shared_experts=1)
    model = _model(
        text,
        _grouped_query(text),
        moe=moe,
        d_ff=_n(text, "intermediate_size_mlp"),
        dense_layers=tuple(layer for layer in range(n_layers) if (layer + 1) % step),
    )
    return plain_shapes(model, _llama4_vision(_part(config, "vision_config"), model.d_model))


def _llama4_vision(config: Config, d_text: int) -> tuple[Weight, ...]:
    """The vision tower (layers with biases throughout), its adapter, and the way to the text."""
    d_model, d_ff = _n(config, "hidden_size"), _n(config, "intermediate_size")
    n_layers, patch = _n(config, "num_hidden_layers"), _n(config, "patch_size")
    n_patches = (_n(config, "image_size") // patch) ** 2
    d_in, d_out = _n(config, "projector_input_dim"), _n(config, "projector_output_dim")

    def weight(name: str, shape: tuple[int, ...], copies: int = 1) -> Weight:
        return Weight("other", f"vision: {name}", shape, copies, active=False)

    return (
        weight("patches", (d_model, patch * patch * _n(config, "num_channels"))),
        weight("class", (d_model,)),
        weight("positions of the patches and the class", (n_patches + 1, d_model)),
        weight("queries, keys, values, output", (d_model, d_model), 4 * n_layers),
        weight("queries, keys, values, output: bias", (d_model,), 4 * n_layers),
        weight("up", (d_ff, d_model), n_layers),
        weight("up: bias", (d_ff,), n_layers),
        weight("down", (d_model, d_ff), n_layers),
        weight("down: bias", (d_model,), n_layers),
        weight("two norms of a layer: scale and bias", (d_model,), 4 * n_layers),
        weight("norms before and after the layers: scale and bias", (d_model,), 4),
        weight("adapter, first", (d_in, d_ff)),
        weight("adapter, second", (d_out, d_out)),
        weight("to the text model", (d_text, _n(config, "vision_output_dim"))),
    )


OTHER_FAMILIES: dict[str, Callable[[Config], Shapes]] = {
    "deepseek": _deepseek,
    "deepseek_v32": _deepseek_v32,
    "deepseek_v4": _deepseek_v4,
    "qwen3_next": _qwen3_next,
    "glm4_moe": _glm4_moe,
    "minimax": _minimax,
    "minimax_m2": _minimax_m2,
    "grok-1": _grok,
    "llama4": _llama4,
    "hunyuan": _hunyuan,
    "arctic": _arctic,
}
