"""Configuration of attention, of rotary positions, and of one Mixture-of-Experts layer."""

from dataclasses import dataclass
from typing import Literal, get_args

from minimoe.config import checks
from minimoe.errors import InputError

RopeScaling = Literal["none", "linear", "llama3", "yarn"]
QKNorm = Literal["none", "head", "all_heads"]
LatentWay = Literal["auto", "naive", "absorbed"]
ScoreFunction = Literal["softmax", "sigmoid"]
Activation = Literal["swiglu", "clamped_swiglu"]


@dataclass(frozen=True, kw_only=True)
class RopeConfig:
    """Rotary positions (arXiv 2104.09864), and their scaling past the trained length.

    Args:
        base: base of the frequencies (theta).
        interleaved: pairs are (2i, 2i + 1), as in DeepSeek; otherwise (i, i + d / 2).
        scaling: "none"; "linear" divides every position by factor (arXiv 2306.15595); "llama3"
            divides the slow frequencies by factor; "yarn" divides each frequency by a blend of 1
            and factor (arXiv 2309.00071).
        factor: new length divided by trained length, at least 1.
        original_length: positions the model was trained with; needed by "llama3" and "yarn".
        low_freq_factor, high_freq_factor: for "llama3", where the blend begins and ends.
        beta_fast, beta_slow: for "yarn", the ends of the blend, in turns over original_length.
        truncate: for "yarn", round the ends of the blend to whole pairs.
        attention_factor: for "yarn", the factor of cosine and sine; None = from mscale.
        mscale, mscale_all_dim: for "yarn" in DeepSeek's models. With m(s) = 1 + 0.1 s ln(factor),
            cosine and sine are multiplied by m(mscale) / m(mscale_all_dim). The scores of latent
            attention are multiplied by m(mscale_all_dim)^2. None = factors m(1) and 1.
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
        checks.check_choice("scaling", self.scaling, get_args(RopeScaling))
        checks.check_each(self, checks.check_flag, "interleaved truncate")
        checks.check_each(self, checks.check_positive, "base low_freq_factor high_freq_factor")
        checks.check_each(self, checks.check_positive, "beta_fast beta_slow")
        if self.base <= 1:
            raise InputError(
                f"base must be above 1, so that later pairs turn slower, got {self.base}"
            )
        checks.check_number("factor", self.factor, 1.0)
        checks.check_each(self, checks.check_number, "attention_factor mscale mscale_all_dim", 0.0)
        if self.original_length is not None:
            checks.check_integer("original_length", self.original_length, 1)
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
        d_head: width of one head; with rotary positions an even number, because they turn pairs.
        rope: rotary positions; None = without (the model then learns an embedding of positions).
        qk_norm: RMSNorm of queries and keys before the rotation: "head" normalizes each head (as in
            Qwen3), "all_heads" all heads together (as in OLMoE).
        qkv_bias: the projections to queries, keys and values have biases.
        o_bias: the projection back to the residual stream has a bias.
        sliding_window: positions a query sees, its own included; None = all positions before it.
        sinks: every head has one more logit in its softmax, which is learned and has no value (as
            in gpt-oss).
        clip_qkv: clamp queries, keys and values to [-clip_qkv, clip_qkv] before the rotation.
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
        checks.check_each(self, checks.check_integer, "d_model n_heads d_head", 1)
        checks.check_integer("n_kv_heads", self.n_kv_heads, 1, self.n_heads, "n_heads=")
        checks.check_multiple("n_heads", self.n_heads, "n_kv_heads", self.n_kv_heads)
        if self.rope is not None and self.d_head % 2:
            raise InputError(f"d_head must be a multiple of 2, for rotary pairs, got {self.d_head}")
        checks.check_choice("qk_norm", self.qk_norm, get_args(QKNorm))
        checks.check_each(self, checks.check_flag, "qkv_bias o_bias sinks")
        checks.check_each(self, checks.check_integer, "sliding_window", 1)
        checks.check_each(self, checks.check_positive, "clip_qkv")


@dataclass(frozen=True, kw_only=True)
class LatentAttentionConfig:
    """Multi-head latent attention, MLA (arXiv 2405.04434, section 2.1).

    Each token has one latent vector, from which the keys and values of all heads are computed. The
    cache holds only this latent and one rotary key, which all heads share.

    Args:
        d_model: width of the residual stream (D).
        n_heads: heads (H).
        kv_rank: width of the latent that keys and values are computed from.
        q_rank: width of the latent that queries are computed from; None = directly from x.
        d_nope: width of the part of a head's query and key without position.
        d_rope: width of the rotary part of a head's query, and of the shared rotary key; even.
        d_value: width of a head's value.
        rope: rotary positions of the rotary part.
        bias: the projections to the two latents and back to the residual stream have biases.
        norm_eps: epsilon of the RMSNorm of the two latents.
        way: "naive" computes keys and values from every cached latent. "absorbed" multiplies the
            query by the key matrix and attends over the latents. "auto" is absorbed once the cache
            holds earlier positions, and naive before.
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
        checks.check_each(
            self, checks.check_integer, "d_model n_heads kv_rank d_nope d_rope d_value", 1
        )
        checks.check_each(self, checks.check_integer, "q_rank", 1)
        if self.d_rope % 2:
            raise InputError(f"d_rope must be a multiple of 2, for rotary pairs, got {self.d_rope}")
        checks.check_flag("bias", self.bias)
        checks.check_positive("norm_eps", self.norm_eps)
        checks.check_choice("way", self.way, get_args(LatentWay))


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
        normalize_weights: divide the K chosen scores by their sum. With top_k = 1 the weight would
            always be 1 and the router would get no gradient, so this pair is refused.
        route_scale: constant factor on the combine weights.
        use_expert_bias: keep a bias per expert that is added to the scores for the choice only
            (auxiliary-loss-free balancing, arXiv 2408.15664).
        n_expert_groups: groups of experts for group-limited routing (arXiv 2405.04434); 1 = none.
        n_limited_groups: groups that a token may choose experts from, 1 to n_expert_groups.
        n_group_scores: the rank of a group is the sum of this many best scores: 1 in DeepSeek-V2,
            2 in DeepSeek-V3 (arXiv 2412.19437).
        router_bias: the router adds a learned bias to its logits, as in gpt-oss.
        router_noise: standard deviation of the Gaussian noise that training adds to the logits for
            the choice only. This is simpler than noisy top-k gating (arXiv 1701.06538): there the
            scale is learned for each token and expert, and the noise also changes the weights.
        activation: of an expert: "swiglu" (arXiv 2002.05202), or gpt-oss's "clamped_swiglu".
        activation_alpha, activation_limit: slope and clamp of "clamped_swiglu".
        biased_experts: the routed experts have biases after both products, as in gpt-oss.
        allow_constant_weight: accept top_k = 1 with normalize_weights. Use it to load a published
            model, not to train one.
        capacity_factor: an expert keeps at most ceil(capacity_factor * T * K / E) assignments of a
            batch of T tokens; None = dropless.
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

    def __post_init__(self) -> None:
        checks.check_each(self, checks.check_integer, "d_model d_expert n_routed_experts", 1)
        checks.check_integer("top_k", self.top_k, 1, self.n_routed_experts, "n_routed_experts=")
        checks.check_integer("n_shared_experts", self.n_shared_experts, 0)
        checks.check_choice("score_function", self.score_function, get_args(ScoreFunction))
        checks.check_choice("activation", self.activation, get_args(Activation))
        checks.check_each(
            self, checks.check_positive, "route_scale activation_alpha activation_limit"
        )
        checks.check_number("router_noise", self.router_noise, 0.0)
        checks.check_each(self, checks.check_flag, "normalize_weights use_expert_bias gate_shared")
        checks.check_each(
            self, checks.check_flag, "router_bias biased_experts allow_constant_weight"
        )
        checks.check_each(self, checks.check_positive, "capacity_factor")
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
        checks.check_each(self, checks.check_integer, "d_shared", 1)
        if self.n_shared_experts == 0 and (self.d_shared is not None or self.gate_shared):
            raise InputError(
                f"d_shared={self.d_shared} and gate_shared={self.gate_shared} need "
                "n_shared_experts of at least 1, got 0"
            )

    @property
    def best_are_chosen(self) -> bool:
        """Whether the K best softmax scores are always chosen, so that their sum is above 0."""
        limited = self.n_limited_groups < self.n_expert_groups
        moved = self.use_expert_bias or self.router_noise > 0 or limited
        return self.score_function == "softmax" and not moved

    @property
    def plain_experts(self) -> bool:
        """Whether the routed experts are SwiGLU without biases."""
        return self.activation == "swiglu" and not self.biased_experts

    def _check_groups(self) -> None:
        checks.check_integer("n_expert_groups", self.n_expert_groups, 1)
        checks.check_multiple(
            "n_routed_experts", self.n_routed_experts, "n_expert_groups", self.n_expert_groups
        )
        checks.check_integer(
            "n_limited_groups", self.n_limited_groups, 1, self.n_expert_groups, "n_expert_groups="
        )
        group_size = self.n_routed_experts // self.n_expert_groups
        checks.check_integer(
            "n_group_scores", self.n_group_scores, 1, group_size, "experts per group="
        )
        reachable = group_size * self.n_limited_groups
        if self.top_k > reachable:
            raise InputError(
                f"top_k={self.top_k} exceeds the {reachable} experts that "
                f"n_limited_groups={self.n_limited_groups} of n_expert_groups="
                f"{self.n_expert_groups} groups hold; raise n_limited_groups or lower top_k"
            )
