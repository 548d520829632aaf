"""Which numbers is a model built from, and which of them are nonsense?"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, get_args

ScoreFunction = Literal["softmax", "sigmoid"]
ExpertsWay = Literal["auto", "loop", "segments", "grouped", "padded", "cores"]
Activation = Literal["swiglu", "clamped_swiglu"]
RopeScaling = Literal["none", "linear", "llama3", "yarn"]
QKNorm = Literal["none", "head", "all_heads"]
LatentWay = Literal["auto", "naive", "absorbed"]


class InputError(ValueError):
    """What the user gave cannot be used; the message is one line and says what to do."""


def _integer(name: str, value: object, low: int, high: int | None = None, limit: str = "") -> None:
    """Refuse `value` unless it is an integer in [low, high]; `limit` names where `high` is from."""
    top = float("inf") if high is None else high
    if isinstance(value, int) and not isinstance(value, bool) and low <= value <= top:
        return
    if high is None:
        raise InputError(f"{name} must be an integer of at least {low}, got {value!r}")
    raise InputError(f"{name} must lie in [{low}, {limit}{high}], got {value!r}")


def _number(name: str, value: object, low: float, high: float = float("inf")) -> None:
    """Refuse `value` unless it is a finite number in [low, high]."""
    fits = isinstance(value, (int, float)) and not isinstance(value, bool) and low <= value <= high
    if fits and value != float("inf"):
        return
    within = f"in [{low:g}, {high:g}]" if high < float("inf") else f"of at least {low:g}"
    raise InputError(f"{name} must be a finite number {within}, got {value!r}")


def _flag(name: str, value: object) -> None:
    if not isinstance(value, bool):
        raise InputError(f"{name} must be True or False, got {value!r}")


def _positive(name: str, value: object) -> None:
    """Refuse `value` unless it is a finite number above zero."""
    _number(name, value, 0.0)
    if value == 0:
        raise InputError(f"{name} must be above 0, got {value!r}")


def _choice(name: str, value: object, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise InputError(f"{name} must be one of {', '.join(choices)}, got {value!r}")


def _multiple(name: str, value: int, of: str, divisor: int) -> None:
    if value % divisor:
        raise InputError(f"{name} must be a multiple of {of}={divisor}, got {value}")


@dataclass(frozen=True, kw_only=True)
class MoEConfig:
    """One Mixture-of-Experts layer.

    Args:
        d_model: width of the residual stream (D).
        d_expert: width inside one expert (F).
        n_routed_experts: experts the router chooses from (E).
        top_k: experts that each token is sent to (K), 1 to E.
        n_shared_experts: experts that every token passes through (S), computed as one expert of
            width d_shared.
        d_shared: width of all shared experts together; None = n_shared_experts * d_expert.
        gate_shared: multiply the shared experts' output by sigmoid(w . x), as in Qwen1.5-MoE.
        score_function: from router logits to scores, over all E.
        normalize_weights: divide the K chosen scores by their sum. With top_k = 1 the weight is
            then always 1 and the router gets no gradient, so that pair is refused.
        route_scale: constant factor on the combine weights.
        use_expert_bias: keep a bias per expert that is added to the scores for the choice only
            (auxiliary-loss-free balancing, arXiv 2408.15664).
        n_expert_groups: groups of experts for group-limited routing (arXiv 2405.04434); 1 = none.
        n_limited_groups: groups a token may choose experts from, 1 to n_expert_groups.
        n_group_scores: a group is ranked by the sum of its n best scores: 1 in DeepSeek-V2, 2 in
            DeepSeek-V3 (arXiv 2412.19437).
        router_bias: the router adds a learned bias to its logits, as in gpt-oss.
        router_noise: standard deviation of the Gaussian noise that is added to the logits for the
            choice only, while training. Simplified from noisy top-k gating (arXiv 1701.06538),
            where the scale is learned for each token and expert and the noise enters the weights.
        activation: inside an expert, "swiglu" (arXiv 2002.05202) or gpt-oss's "clamped_swiglu".
        activation_alpha, activation_limit: slope and clamp of "clamped_swiglu".
        biased_experts: the routed experts add biases after both products, as in gpt-oss.
        allow_constant_weight: accept top_k = 1 with normalize_weights, whose weight is always 1;
            for loading a published model, not for training one.
        capacity_factor: None = dropless; otherwise an expert keeps at most
            ceil(capacity_factor * T * K / E) assignments of a batch of T tokens.
        experts_way: how the experts are computed; "auto" chooses by dtype, device and sizes.

    Raises:
        InputError: a number is out of its range or contradicts another one.
    """

    d_model: int
    d_expert: int
    n_routed_experts: int
    top_k: int
    n_shared_experts: int = 0
    d_shared: int | None = None
    gate_shared: bool = False
    score_function: ScoreFunction = "softmax"
    normalize_weights: bool = True
    route_scale: float = 1.0
    use_expert_bias: bool = False
    n_expert_groups: int = 1
    n_limited_groups: int = 1
    n_group_scores: int = 1
    router_bias: bool = False
    router_noise: float = 0.0
    activation: Activation = "swiglu"
    activation_alpha: float = 1.702
    activation_limit: float = 7.0
    biased_experts: bool = False
    allow_constant_weight: bool = False
    capacity_factor: float | None = None
    experts_way: ExpertsWay = "auto"

    def __post_init__(self) -> None:
        for name in ("d_model", "d_expert", "n_routed_experts"):
            _integer(name, getattr(self, name), 1)
        _integer("top_k", self.top_k, 1, self.n_routed_experts, "n_routed_experts=")
        _integer("n_shared_experts", self.n_shared_experts, 0)
        _choice("score_function", self.score_function, get_args(ScoreFunction))
        _choice("experts_way", self.experts_way, get_args(ExpertsWay))
        _choice("activation", self.activation, get_args(Activation))
        for name in ("route_scale", "activation_alpha", "activation_limit"):
            _positive(name, getattr(self, name))
        _number("router_noise", self.router_noise, 0.0)
        for name in ("normalize_weights", "use_expert_bias", "gate_shared", "router_bias",
                     "biased_experts", "allow_constant_weight"):  # fmt: skip
            _flag(name, getattr(self, name))
        if self.capacity_factor is not None:
            _positive("capacity_factor", self.capacity_factor)
        if self.experts_way == "cores" and not self.plain_experts:
            raise InputError(
                'experts_way="cores" computes activation="swiglu" without biases, got '
                f'"{self.activation}" and biased_experts={self.biased_experts}; name "grouped", '
                '"segments", "padded" or "loop" instead'
            )
        constant = self.top_k == 1 and self.normalize_weights and self.n_routed_experts > 1
        if constant and not self.allow_constant_weight:
            raise InputError(
                "top_k=1 with normalize_weights=True gives every weight the value 1, so the router "
                "learns nothing; set normalize_weights=False or top_k >= 2"
            )
        self._check_shared()
        self._check_groups()

    @property
    def shared_width(self) -> int:
        """Width of all shared experts together; 0 without one."""
        return self.n_shared_experts * self.d_expert if self.d_shared is None else self.d_shared

    def _check_shared(self) -> None:
        if self.d_shared is not None:
            _integer("d_shared", self.d_shared, 1)
        if self.n_shared_experts == 0 and (self.d_shared is not None or self.gate_shared):
            raise InputError(
                f"d_shared={self.d_shared} and gate_shared={self.gate_shared} need "
                "n_shared_experts of at least 1, got 0"
            )

    @property
    def plain_experts(self) -> bool:
        """Whether the routed experts are SwiGLU without biases."""
        return self.activation == "swiglu" and not self.biased_experts

    def _check_groups(self) -> None:
        _integer("n_expert_groups", self.n_expert_groups, 1)
        _multiple(
            "n_routed_experts", self.n_routed_experts, "n_expert_groups", self.n_expert_groups
        )
        _integer(
            "n_limited_groups", self.n_limited_groups, 1, self.n_expert_groups, "n_expert_groups="
        )
        group_size = self.n_routed_experts // self.n_expert_groups
        _integer("n_group_scores", self.n_group_scores, 1, group_size, "experts per group=")
        reachable = group_size * self.n_limited_groups
        if self.top_k > reachable:
            raise InputError(
                f"top_k={self.top_k} exceeds the {reachable} experts that "
                f"n_limited_groups={self.n_limited_groups} of n_expert_groups="
                f"{self.n_expert_groups} groups hold; raise n_limited_groups or lower top_k"
            )


@dataclass(frozen=True, kw_only=True)
class RopeConfig:
    """Rotary positions (arXiv 2104.09864), and how they are stretched past the trained length.

    Args:
        base: base of the frequencies (theta).
        interleaved: a pair is (2i, 2i + 1), as DeepSeek stores it; otherwise (i, i + d / 2).
        scaling: "none"; "linear" divides every position by factor (arXiv 2306.15595); "llama3"
            divides the slow frequencies by it; "yarn" blends by frequency (arXiv 2309.00071).
        factor: by how much the trained length is stretched, at least 1.
        original_length: positions the model was trained with; needed by "llama3" and "yarn".
        low_freq_factor, high_freq_factor: of "llama3", where the blend begins and ends.
        beta_fast, beta_slow: of "yarn", rotations over original_length where the blend ends.
        truncate: of "yarn", round the ends of the blend to whole pairs.
        attention_factor: of "yarn", what cosine and sine are multiplied by; None = from mscale.
        mscale, mscale_all_dim: of "yarn" as DeepSeek uses it: cosine and sine are multiplied by
            m(mscale) / m(mscale_all_dim) and latent attention's scores by m(mscale_all_dim)^2,
            with m(s) = 1 + 0.1 s ln(factor); None = cosine and sine by m(1), scores by 1.

    Raises:
        InputError: a number is out of its range or contradicts another one.
    """

    base: float = 10_000.0
    interleaved: bool = False
    scaling: RopeScaling = "none"
    factor: float = 1.0
    original_length: int | None = None
    low_freq_factor: float = 1.0
    high_freq_factor: float = 4.0
    beta_fast: float = 32.0
    beta_slow: float = 1.0
    truncate: bool = True
    attention_factor: float | None = None
    mscale: float | None = None
    mscale_all_dim: float | None = None

    def __post_init__(self) -> None:
        _choice("scaling", self.scaling, get_args(RopeScaling))
        for name in ("interleaved", "truncate"):
            _flag(name, getattr(self, name))
        for name in ("base", "low_freq_factor", "high_freq_factor", "beta_fast", "beta_slow"):
            _positive(name, getattr(self, name))
        if self.base <= 1:
            raise InputError(
                f"base must be above 1, so that later pairs turn slower, got {self.base}"
            )
        _number("factor", self.factor, 1.0)
        for name in ("attention_factor", "mscale", "mscale_all_dim"):
            if getattr(self, name) is not None:
                _number(name, getattr(self, name), 0.0)
        if self.original_length is not None:
            _integer("original_length", self.original_length, 1)
        elif self.scaling in ("llama3", "yarn"):
            raise InputError(f'scaling="{self.scaling}" needs original_length, got None')
        if self.low_freq_factor >= self.high_freq_factor:
            raise InputError(
                f"low_freq_factor must be below high_freq_factor={self.high_freq_factor}, "
                f"got {self.low_freq_factor}"
            )
        if self.beta_slow > self.beta_fast:  # Kimi K2 has both at 1
            raise InputError(
                f"beta_slow must be at most beta_fast={self.beta_fast}, got {self.beta_slow}"
            )


@dataclass(frozen=True, kw_only=True)
class AttentionConfig:
    """Grouped-query attention (arXiv 2305.13245).

    Args:
        d_model: width of the residual stream (D).
        n_heads: query heads (H).
        n_kv_heads: key and value heads; n_heads = multi-head, 1 = multi-query attention.
        d_head: width of one head, even if rotary positions turn its pairs.
        rope: rotary positions; None = none (the model then learns an embedding of positions).
        qk_norm: RMSNorm of queries and keys before the rotation, over each head ("head", as in
            Qwen3) or over all heads at once ("all_heads", as in OLMoE).
        qkv_bias, o_bias: the projections to queries, keys and values, and the one back, add a bias.
        sliding_window: a query sees this many positions, its own included; None = all before it.
        sinks: every head has a learned logit that takes part in the softmax and has no value, as
            in gpt-oss.
        clip_qkv: queries, keys and values are cut to [-clip_qkv, clip_qkv] before the rotation.

    Raises:
        InputError: a number is out of its range or contradicts another one.
    """

    d_model: int
    n_heads: int
    n_kv_heads: int
    d_head: int
    rope: RopeConfig | None = RopeConfig()
    qk_norm: QKNorm = "none"
    qkv_bias: bool = False
    o_bias: bool = False
    sliding_window: int | None = None
    sinks: bool = False
    clip_qkv: float | None = None

    def __post_init__(self) -> None:
        for name in ("d_model", "n_heads", "d_head"):
            _integer(name, getattr(self, name), 1)
        _integer("n_kv_heads", self.n_kv_heads, 1, self.n_heads, "n_heads=")
        _multiple("n_heads", self.n_heads, "n_kv_heads", self.n_kv_heads)
        if self.rope is not None and self.d_head % 2:
            raise InputError(f"d_head must be even, rotary positions turn pairs, got {self.d_head}")
        _choice("qk_norm", self.qk_norm, get_args(QKNorm))
        for name in ("qkv_bias", "o_bias", "sinks"):
            _flag(name, getattr(self, name))
        if self.sliding_window is not None:
            _integer("sliding_window", self.sliding_window, 1)
        if self.clip_qkv is not None:
            _positive("clip_qkv", self.clip_qkv)


@dataclass(frozen=True, kw_only=True)
class LatentAttentionConfig:
    """Multi-head latent attention, MLA (arXiv 2405.04434, section 2.1).

    Keys and values of all heads are computed from one latent vector a token; only it and one
    rotary key, shared by the heads, are cached.

    Args:
        d_model: width of the residual stream (D).
        n_heads: heads (H).
        kv_rank: width of the latent that keys and values are computed from.
        q_rank: width of the latent that queries are computed from; None = straight from x.
        d_nope: width of a head's query and key without position.
        d_rope: width of the rotary part of a head's query, and of the shared rotary key; even.
        d_value: width of a head's value.
        rope: rotary positions of the rotary part.
        bias: the projections to the two latents, and the one back, add a bias.
        norm_eps: epsilon of the RMSNorm of the two latents.
        way: "naive" expands every cached latent to keys and values; "absorbed" multiplies the
            query with the key matrix and attends over the latents themselves; "auto" does the
            latter where a cache has been read.

    Raises:
        InputError: a number is out of its range or contradicts another one.
    """

    d_model: int
    n_heads: int
    kv_rank: int
    d_nope: int
    d_rope: int
    d_value: int
    q_rank: int | None = None
    rope: RopeConfig = RopeConfig(interleaved=True)
    bias: bool = False
    norm_eps: float = 1e-6
    way: LatentWay = "auto"

    def __post_init__(self) -> None:
        for name in ("d_model", "n_heads", "kv_rank", "d_nope", "d_rope", "d_value"):
            _integer(name, getattr(self, name), 1)
        if self.q_rank is not None:
            _integer("q_rank", self.q_rank, 1)
        if self.d_rope % 2:
            raise InputError(f"d_rope must be even, rotary positions turn pairs, got {self.d_rope}")
        _flag("bias", self.bias)
        _positive("norm_eps", self.norm_eps)
        _choice("way", self.way, get_args(LatentWay))


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """A decoder-only transformer, dense or with Mixture-of-Experts layers.

    Args:
        n_layers: blocks.
        attention: the attention of every block; its d_model is the model's.
        d_ff: width inside a dense feed-forward layer; needed unless every layer is MoE.
        ff: what a dense feed-forward layer is: "swiglu", or "gelu" as in GPT-2.
        ff_bias: dense feed-forward layers add biases.
        moe: the MoE layer of every block that is not dense; None = a dense model.
        dense_layers: blocks (counted from 0) with a dense feed-forward layer, when moe is given.
        sliding_layers: blocks that keep to attention.sliding_window; None = all of them.
        vocab_size: tokens in the vocabulary (V); 256 for bytes.
        max_length: positions a sequence may have (L).
        learned_positions: an embedding of max_length positions is added to the tokens'.
        tie_embeddings: the output head uses the input embedding's weights.
        norm: "rms", or "layer" with mean and bias as in GPT-2.
        norm_eps: epsilon of every norm.

    Raises:
        InputError: a number is out of its range or contradicts another one.
    """

    n_layers: int
    attention: AttentionConfig | LatentAttentionConfig
    d_ff: int | None = None
    ff: Literal["swiglu", "gelu"] = "swiglu"
    ff_bias: bool = False
    moe: MoEConfig | None = None
    dense_layers: tuple[int, ...] = ()
    sliding_layers: tuple[int, ...] | None = None
    vocab_size: int = 256
    max_length: int = 1024
    learned_positions: bool = False
    tie_embeddings: bool = False
    norm: Literal["rms", "layer"] = "rms"
    norm_eps: float = 1e-6

    def __post_init__(self) -> None:
        for name in ("n_layers", "vocab_size", "max_length"):
            _integer(name, getattr(self, name), 1)
        _positive("norm_eps", self.norm_eps)
        _choice("ff", self.ff, ("swiglu", "gelu"))
        _choice("norm", self.norm, ("rms", "layer"))
        for name in ("tie_embeddings", "learned_positions", "ff_bias"):
            _flag(name, getattr(self, name))
        if self.moe is None and self.dense_layers:
            raise InputError(f"dense_layers={self.dense_layers} needs moe, got moe=None")
        self._check_layers("dense_layers", self.dense_layers)
        if self.sliding_layers is not None:
            self._check_layers("sliding_layers", self.sliding_layers)
            if self.sliding_window is None:
                raise InputError(
                    f"sliding_layers={self.sliding_layers} needs attention.sliding_window, got None"
                )
        if self.moe is not None and self.moe.d_model != self.d_model:
            raise InputError(
                f"moe.d_model must equal attention.d_model={self.d_model}, got {self.moe.d_model}"
            )
        if self.d_ff is not None:
            _integer("d_ff", self.d_ff, 1)
        elif self.n_moe_layers < self.n_layers:
            raise InputError(
                f"{self.n_layers - self.n_moe_layers} of {self.n_layers} layers are dense: "
                "give their width as d_ff, got None"
            )

    def _check_layers(self, name: str, layers: object) -> None:
        if not isinstance(layers, tuple) or len(set(layers)) != len(layers):
            raise InputError(f"{name} must be a tuple of different block numbers, got {layers!r}")
        for layer in layers:
            _integer(f"a block of {name}", layer, 0, self.n_layers - 1, "n_layers - 1=")

    @property
    def d_model(self) -> int:
        """Width of the residual stream (D)."""
        return self.attention.d_model

    @property
    def n_moe_layers(self) -> int:
        """Blocks whose feed-forward layer is a Mixture of Experts."""
        return 0 if self.moe is None else self.n_layers - len(self.dense_layers)

    @property
    def sliding_window(self) -> int | None:
        """Positions that a query sees in the layers with a sliding window; None = no such layer."""
        return getattr(self.attention, "sliding_window", None)

    def is_moe_layer(self, layer: int) -> bool:
        """Whether block `layer` (counted from 0) has a Mixture-of-Experts layer."""
        return self.moe is not None and layer not in self.dense_layers

    def window_of(self, layer: int) -> int | None:
        """Positions that a query of block `layer` sees, its own included; None = all before it."""
        slides = self.sliding_layers is None or layer in self.sliding_layers
        return self.sliding_window if slides else None


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """How a model is trained.

    Args:
        steps: optimizer steps of the whole run; the learning rate decays over them.
        batch_size: sequences in a batch (B).
        length: positions in a sequence (L).
        learning_rate: at the end of the warm-up.
        warmup_share: share of the steps over which the learning rate rises from 0, in [0, 1).
        final_lr_share: learning rate at the end, as a share of learning_rate (cosine decay).
        weight_decay: of AdamW, on matrices only.
        beta1, beta2: of AdamW.
        clip_norm: the gradient's norm is cut to this.
        balance_weight: factor of the load-balancing loss (mean over MoE layers); 0 = off.
        z_weight: factor of the router z-loss (mean over MoE layers); 0 = off.
        expert_bias_rate: step of the selection-bias update, for models with use_expert_bias.
        domain_weights: how often a window starts in each domain of the text, relative to the
            others; None = in every domain as often.
        seed: of the batches; the model's initial weights have a seed of their own.
        dtype: of weights and arithmetic.

    Raises:
        InputError: a number is out of its range.
    """

    steps: int
    batch_size: int = 16
    length: int = 128
    learning_rate: float = 4e-3
    warmup_share: float = 0.1
    final_lr_share: float = 0.1
    weight_decay: float = 0.1
    beta1: float = 0.9
    beta2: float = 0.95
    clip_norm: float = 1.0
    balance_weight: float = 0.03
    z_weight: float = 0.001
    expert_bias_rate: float = 0.001
    domain_weights: tuple[float, ...] | None = None
    seed: int = 0
    dtype: Literal["float32", "float64"] = "float32"

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size", "length"):
            _integer(name, getattr(self, name), 1)
        _integer("seed", self.seed, 0)
        _positive("learning_rate", self.learning_rate)
        _positive("clip_norm", self.clip_norm)
        for name in ("weight_decay", "balance_weight", "z_weight", "expert_bias_rate"):
            _number(name, getattr(self, name), 0.0)
        _number("final_lr_share", self.final_lr_share, 0.0, 1.0)
        for name in ("warmup_share", "beta1", "beta2"):
            _number(name, getattr(self, name), 0.0, 1.0)
            if getattr(self, name) == 1:
                raise InputError(f"{name} must be below 1, got {getattr(self, name)!r}")
        _choice("dtype", self.dtype, ("float32", "float64"))
        if self.domain_weights is not None:
            if not isinstance(self.domain_weights, tuple) or not self.domain_weights:
                raise InputError(
                    f"domain_weights must be a tuple of numbers, got {self.domain_weights!r}"
                )
            for weight in self.domain_weights:
                _number("a weight of domain_weights", weight, 0.0)


def model_config_from(data: dict[str, Any]) -> ModelConfig:
    """The ModelConfig that `dataclasses.asdict` turned into nested dictionaries.

    Raises:
        InputError: a field is missing, unknown or out of range.
    """
    try:
        attention = {**data["attention"]}
        if attention.get("rope") is not None:
            attention["rope"] = RopeConfig(**attention["rope"])
        kind = LatentAttentionConfig if "kv_rank" in attention else AttentionConfig
        fields = {**data, "attention": kind(**attention)}
        if data.get("moe") is not None:
            fields["moe"] = MoEConfig(**data["moe"])
        for name in ("dense_layers", "sliding_layers"):
            if isinstance(data.get(name), list):  # JSON has no tuples
                fields[name] = tuple(data[name])
        return ModelConfig(**fields)
    except (TypeError, KeyError, ValueError, AttributeError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"not the configuration of a model: {error}") from error


def train_config_from(data: dict[str, Any]) -> TrainConfig:
    """The TrainConfig that `dataclasses.asdict` turned into a dictionary.

    Raises:
        InputError: a field is missing, unknown or out of range.
    """
    try:
        if isinstance(data.get("domain_weights"), list):  # JSON has no tuples
            data = {**data, "domain_weights": tuple(data["domain_weights"])}
        return TrainConfig(**data)
    except (TypeError, AttributeError) as error:
        raise InputError(f"not the configuration of a training run: {error}") from error


def dense() -> ModelConfig:
    """A dense transformer of 0.15 M parameters, the counterpart of `moe`."""
    return ModelConfig(n_layers=3, attention=_attention(), d_ff=134)


def moe() -> ModelConfig:
    """16 experts, 2 a token: as many active parameters as `dense` to within 1 %."""
    layer = MoEConfig(d_model=64, d_expert=64, n_routed_experts=16, top_k=2)
    return ModelConfig(n_layers=3, attention=_attention(), moe=layer)


def switch() -> ModelConfig:
    """16 wide experts, one a token, with the score as its weight (arXiv 2101.03961, dropless)."""
    layer = MoEConfig(
        d_model=64, d_expert=128, n_routed_experts=16, top_k=1, normalize_weights=False
    )
    return ModelConfig(n_layers=3, attention=_attention(), moe=layer)


def fine_grained() -> ModelConfig:
    """DeepSeek-V3's rules in small: a shared expert, sigmoid scores, selection bias, groups.

    32 narrow experts in 4 groups, 3 experts from 2 groups a token, one leading dense layer
    (arXiv 2412.19437, section 2.1.2).
    """
    layer = MoEConfig(
        d_model=64,
        d_expert=32,
        n_routed_experts=32,
        top_k=3,
        n_shared_experts=1,
        score_function="sigmoid",
        use_expert_bias=True,
        n_expert_groups=4,
        n_limited_groups=2,
        n_group_scores=2,
    )
    return ModelConfig(n_layers=3, attention=_attention(), d_ff=128, moe=layer, dense_layers=(0,))


def _attention() -> AttentionConfig:
    return AttentionConfig(d_model=64, n_heads=4, n_kv_heads=2, d_head=16)


PRESETS: dict[str, Callable[[], ModelConfig]] = {
    "dense": dense,
    "moe": moe,
    "switch": switch,
    "fine_grained": fine_grained,
}


def preset(name: str) -> ModelConfig:
    """The preset of that name.

    Raises:
        InputError: there is no such preset; the message lists those there are.
    """
    _choice("preset", name, tuple(PRESETS))
    return PRESETS[name]()
