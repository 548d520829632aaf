"""Which numbers is a model built from, and which of them are nonsense?"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, get_args

ScoreFunction = Literal["softmax", "sigmoid"]
ExpertsWay = Literal["auto", "loop", "segments", "grouped", "padded"]


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
            width S * d_expert.
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
    score_function: ScoreFunction = "softmax"
    normalize_weights: bool = True
    route_scale: float = 1.0
    use_expert_bias: bool = False
    n_expert_groups: int = 1
    n_limited_groups: int = 1
    n_group_scores: int = 1
    capacity_factor: float | None = None
    experts_way: ExpertsWay = "auto"

    def __post_init__(self) -> None:
        for name in ("d_model", "d_expert", "n_routed_experts"):
            _integer(name, getattr(self, name), 1)
        _integer("top_k", self.top_k, 1, self.n_routed_experts, "n_routed_experts=")
        _integer("n_shared_experts", self.n_shared_experts, 0)
        _choice("score_function", self.score_function, get_args(ScoreFunction))
        _choice("experts_way", self.experts_way, get_args(ExpertsWay))
        _positive("route_scale", self.route_scale)
        for name in ("normalize_weights", "use_expert_bias"):
            _flag(name, getattr(self, name))
        if self.capacity_factor is not None:
            _positive("capacity_factor", self.capacity_factor)
        if self.top_k == 1 and self.normalize_weights and self.n_routed_experts > 1:
            raise InputError(
                "top_k=1 with normalize_weights=True gives every weight the value 1, so the router "
                "learns nothing; set normalize_weights=False or top_k >= 2"
            )
        self._check_groups()

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
class AttentionConfig:
    """Grouped-query attention with rotary positions.

    Args:
        d_model: width of the residual stream (D).
        n_heads: query heads (H).
        n_kv_heads: key and value heads; n_heads = multi-head, 1 = multi-query attention.
        d_head: width of one head, even (rotary positions turn pairs).
        rope_base: base of the rotary frequencies.
        qk_norm: RMSNorm over each query and key head before the rotation.

    Raises:
        InputError: a number is out of its range or contradicts another one.
    """

    d_model: int
    n_heads: int
    n_kv_heads: int
    d_head: int
    rope_base: float = 10_000.0
    qk_norm: bool = False

    def __post_init__(self) -> None:
        for name in ("d_model", "n_heads", "d_head"):
            _integer(name, getattr(self, name), 1)
        _integer("n_kv_heads", self.n_kv_heads, 1, self.n_heads, "n_heads=")
        _multiple("n_heads", self.n_heads, "n_kv_heads", self.n_kv_heads)
        if self.d_head % 2:
            raise InputError(f"d_head must be even, rotary positions turn pairs, got {self.d_head}")
        _flag("qk_norm", self.qk_norm)
        _positive("rope_base", self.rope_base)


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """A decoder-only transformer, dense or with Mixture-of-Experts layers.

    Args:
        n_layers: blocks.
        attention: the attention of every block; its d_model is the model's.
        d_ff: width inside a dense feed-forward layer; needed unless every layer is MoE.
        moe: the MoE layer of every block after the leading dense ones; None = a dense model.
        n_dense_layers: leading blocks with a dense feed-forward layer, when moe is given.
        vocab_size: tokens in the vocabulary (V); 256 for bytes.
        max_length: positions a sequence may have (L).
        tie_embeddings: the output head uses the input embedding's weights.
        norm_eps: epsilon of every RMSNorm.

    Raises:
        InputError: a number is out of its range or contradicts another one.
    """

    n_layers: int
    attention: AttentionConfig
    d_ff: int | None = None
    moe: MoEConfig | None = None
    n_dense_layers: int = 0
    vocab_size: int = 256
    max_length: int = 1024
    tie_embeddings: bool = False
    norm_eps: float = 1e-6

    def __post_init__(self) -> None:
        for name in ("n_layers", "vocab_size", "max_length"):
            _integer(name, getattr(self, name), 1)
        _positive("norm_eps", self.norm_eps)
        _flag("tie_embeddings", self.tie_embeddings)
        if self.moe is None and self.n_dense_layers != 0:
            raise InputError(f"n_dense_layers={self.n_dense_layers} needs moe, got moe=None")
        _integer("n_dense_layers", self.n_dense_layers, 0, self.n_layers, "n_layers=")
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

    @property
    def d_model(self) -> int:
        """Width of the residual stream (D)."""
        return self.attention.d_model

    @property
    def n_moe_layers(self) -> int:
        """Blocks whose feed-forward layer is a Mixture of Experts."""
        return 0 if self.moe is None else self.n_layers - self.n_dense_layers

    def is_moe_layer(self, layer: int) -> bool:
        """Whether block `layer` (counted from 0) has a Mixture-of-Experts layer."""
        return self.moe is not None and layer >= self.n_dense_layers


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


def model_config_from(data: dict[str, Any]) -> ModelConfig:
    """The ModelConfig that `dataclasses.asdict` turned into nested dictionaries.

    Raises:
        InputError: a field is missing, unknown or out of range.
    """
    try:
        moe = None if data.get("moe") is None else MoEConfig(**data["moe"])
        attention = AttentionConfig(**data["attention"])
        return ModelConfig(**{**data, "attention": attention, "moe": moe})
    except (TypeError, KeyError, AttributeError) as error:
        raise InputError(f"not the configuration of a model: {error}") from error


def train_config_from(data: dict[str, Any]) -> TrainConfig:
    """The TrainConfig that `dataclasses.asdict` turned into a dictionary.

    Raises:
        InputError: a field is missing, unknown or out of range.
    """
    try:
        return TrainConfig(**data)
    except TypeError as error:
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
    return ModelConfig(n_layers=3, attention=_attention(), d_ff=128, moe=layer, n_dense_layers=1)


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
