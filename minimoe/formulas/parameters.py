"""Parameters of a model, computed from its configuration."""

from dataclasses import dataclass, replace

from minimoe.config import AttentionConfig, LatentAttentionConfig, ModelConfig, MoEConfig


@dataclass(frozen=True)
class ParameterCount:
    """Parameters of a model by place.

    Attributes:
        embedding: the input embedding; if tied, it is also the output head.
        head: the output head; 0 if tied.
        positions: the learned embedding of positions; 0 with rotary positions.
        attention, router, routed_experts, shared_experts, dense: sums over all layers, biases and
            sinks included; the shared experts include their gate.
        norms: all norms, including those of queries, keys and latents.
        idle_experts: parameters of routed experts that one token does not use, (E - K) of E.
        embedding_row, position_row: what one token reads of an untied embedding and of the
            learned positions.
        vectors: biases and sinks among the active parameters; they are added, not multiplied.
    """

    embedding: int
    head: int
    positions: int
    attention: int
    router: int
    routed_experts: int
    shared_experts: int
    dense: int
    norms: int
    idle_experts: int
    embedding_row: int
    position_row: int
    vectors: int

    @property
    def total(self) -> int:
        """All parameters: the sum of `numel` over the parameters of the built model."""
        ff = self.router + self.routed_experts + self.shared_experts + self.dense
        return self.embedding + self.head + self.positions + self.attention + ff + self.norms

    @property
    def active_with_embeddings(self) -> int:
        """Active parameters of one token, with the whole input embedding and the head."""
        return self.total - self.idle_experts

    @property
    def active_without_input_embedding(self) -> int:
        """Active parameters with the head, without the input embedding; tied weights count."""
        return self.active_with_embeddings - (self.embedding if self.head else 0)

    @property
    def active_without_embeddings(self) -> int:
        """Active parameters of blocks, norms and learned positions only."""
        return self.active_with_embeddings - self.embedding - self.head

    @property
    def touched(self) -> int:
        """Distinct weights that one token reads; of an untied embedding, one row."""
        rows = self.embedding_row + self.position_row
        return self.active_without_input_embedding - self.positions + rows


@dataclass(frozen=True)
class _Part:
    """Parameters of one part of one layer."""

    matrices: int = 0
    vectors: int = 0
    norms: int = 0

    @property
    def weights(self) -> int:
        return self.matrices + self.vectors


def count_parameters(config: ModelConfig) -> ParameterCount:
    """Count a model's parameters by formula, without building it.

    Returns:
        Parameters by place. A layer of 8 experts with d_model=128, d_expert=256 and top_k=2 has
        8 * 3 * 128 * 256 = 786,432 routed parameters, 6/8 of them idle, and a router of 1,024.
        One layer of DeepSeek-V3's latent attention has 187,105,280 parameters.
    """
    d_model, moe = config.d_model, config.moe
    n_layers, n_moe = config.n_layers, config.n_moe_layers
    n_dense = n_layers - n_moe
    attention = _attention(config.attention)
    dense = _dense(config)
    router, expert, shared = (_Part(),) * 3 if moe is None else _moe_parts(moe)
    n_experts, top_k = (0, 0) if moe is None else (moe.n_routed_experts, moe.top_k)
    norm = d_model if config.norm == "rms" else 2 * d_model
    embedding = config.vocab_size * d_model
    vectors = attention.vectors * n_layers + dense.vectors * n_dense
    vectors += (router.vectors + shared.vectors + top_k * expert.vectors) * n_moe
    return ParameterCount(
        embedding=embedding,
        head=0 if config.tie_embeddings else embedding,
        positions=config.max_length * d_model if config.learned_positions else 0,
        attention=n_layers * attention.weights,
        router=n_moe * router.weights,
        routed_experts=n_moe * n_experts * expert.weights,
        shared_experts=n_moe * shared.weights,
        dense=n_dense * dense.weights,
        norms=n_layers * (2 * norm + attention.norms) + norm,
        idle_experts=n_moe * (n_experts - top_k) * expert.weights,
        embedding_row=0 if config.tie_embeddings else d_model,
        position_row=d_model if config.learned_positions else 0,
        vectors=vectors,
    )


def _attention(config: AttentionConfig | LatentAttentionConfig) -> _Part:
    """Queries and output are H * d_head wide, keys and values n_kv_heads * d_head."""
    if isinstance(config, LatentAttentionConfig):
        return _latent(config)
    width, kv_width = config.n_heads * config.d_head, config.n_kv_heads * config.d_head
    vectors = config.qkv_bias * (width + 2 * kv_width) + config.o_bias * config.d_model
    return _Part(
        matrices=2 * config.d_model * (width + kv_width),
        vectors=vectors + config.sinks * config.n_heads,
        norms={"none": 0, "head": 2 * config.d_head, "all_heads": width + kv_width}[config.qk_norm],
    )


def _latent(config: LatentAttentionConfig) -> _Part:
    """Projections down to the latents, up to all heads, and back to d_model."""
    q_width = config.n_heads * (config.d_nope + config.d_rope)
    kv_width = config.n_heads * (config.d_nope + config.d_value)
    kept, q_rank = config.kv_rank + config.d_rope, config.q_rank or 0
    queries = q_rank * (config.d_model + q_width) if q_rank else config.d_model * q_width
    keys_and_values = config.d_model * kept + config.kv_rank * kv_width
    return _Part(
        matrices=queries + keys_and_values + config.d_model * config.n_heads * config.d_value,
        vectors=config.bias * (q_rank + kept + config.d_model),
        norms=q_rank + config.kv_rank,
    )


def _gated(d_model: int, width: int, bias: bool = False) -> _Part:
    """Gate, up and down."""
    return _Part(3 * d_model * width, bias * (2 * width + d_model))


def _dense(config: ModelConfig) -> _Part:
    d_model, d_ff = config.d_model, config.d_ff or 0
    if config.ff == "swiglu":
        return _gated(d_model, d_ff, config.ff_bias)
    return _Part(2 * d_model * d_ff, config.ff_bias * (d_ff + d_model))


def _moe_parts(config: MoEConfig) -> tuple[_Part, _Part, _Part]:
    """The router, one routed expert, the shared experts with their gate."""
    n_experts, d_model = config.n_routed_experts, config.d_model
    shared = _gated(d_model, config.shared_width)
    return (
        _Part(n_experts * d_model, config.router_bias * n_experts),
        _gated(d_model, config.d_expert, config.biased_experts),
        replace(shared, matrices=shared.matrices + config.gate_shared * d_model),
    )
