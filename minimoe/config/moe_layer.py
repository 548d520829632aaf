"""Configuration of one Mixture-of-Experts layer."""

from dataclasses import dataclass
from typing import Literal, get_args

from minimoe.config.checks import (
    check_choice,
    check_flag,
    check_integer,
    check_multiple,
    check_number,
    check_positive,
)
from minimoe.errors import InputError

ScoreFunction = Literal["softmax", "sigmoid"]
Activation = Literal["swiglu", "clamped_swiglu"]


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

    Raises:
        InputError: a value is out of its range or contradicts another one.
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
        for name in ("d_model", "d_expert", "n_routed_experts"):
            check_integer(name, getattr(self, name), 1)
        check_integer("top_k", self.top_k, 1, self.n_routed_experts, "n_routed_experts=")
        check_integer("n_shared_experts", self.n_shared_experts, 0)
        check_choice("score_function", self.score_function, get_args(ScoreFunction))
        check_choice("activation", self.activation, get_args(Activation))
        for name in ("route_scale", "activation_alpha", "activation_limit"):
            check_positive(name, getattr(self, name))
        check_number("router_noise", self.router_noise, 0.0)
        for name in ("normalize_weights", "use_expert_bias", "gate_shared", "router_bias",
                     "biased_experts", "allow_constant_weight"):  # fmt: skip
            check_flag(name, getattr(self, name))
        if self.capacity_factor is not None:
            check_positive("capacity_factor", self.capacity_factor)
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
            check_integer("d_shared", self.d_shared, 1)
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
        check_integer("n_expert_groups", self.n_expert_groups, 1)
        check_multiple(
            "n_routed_experts", self.n_routed_experts, "n_expert_groups", self.n_expert_groups
        )
        check_integer(
            "n_limited_groups", self.n_limited_groups, 1, self.n_expert_groups, "n_expert_groups="
        )
        group_size = self.n_routed_experts // self.n_expert_groups
        check_integer("n_group_scores", self.n_group_scores, 1, group_size, "experts per group=")
        reachable = group_size * self.n_limited_groups
        if self.top_k > reachable:
            raise InputError(
                f"top_k={self.top_k} exceeds the {reachable} experts that "
                f"n_limited_groups={self.n_limited_groups} of n_expert_groups="
                f"{self.n_expert_groups} groups hold; raise n_limited_groups or lower top_k"
            )
