"""Configuration of a whole transformer."""

from dataclasses import dataclass
from typing import Any, Literal

from minimoe.config import checks
from minimoe.config.layers import AttentionConfig, LatentAttentionConfig, MoEConfig, RopeConfig
from minimoe.errors import InputError


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """A decoder-only transformer, dense or with Mixture-of-Experts layers.

    Args:
        n_layers: blocks.
        attention: the attention of every block; its d_model is also the model's.
        d_ff: width inside a dense feed-forward layer; needed unless every layer is MoE.
        ff: kind of the dense feed-forward layers: "swiglu", or "gelu" as in GPT-2.
        ff_bias: dense feed-forward layers have biases.
        moe: the MoE layer of every block that is not dense; None = a dense model.
        dense_layers: blocks (counted from 0) with a dense feed-forward layer, when moe is given.
        sliding_layers: blocks that use attention.sliding_window; None = all blocks.
        vocab_size: tokens in the vocabulary (V); 256 for bytes.
        max_length: positions a sequence may have (L).
        learned_positions: add a learned embedding of each of max_length positions to the tokens.
        tie_embeddings: the output head shares the weights of the input embedding.
        norm: "rms", or "layer" with mean and bias as in GPT-2.
        norm_eps: epsilon of every norm.
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
        checks.check_each(self, checks.check_integer, "n_layers vocab_size max_length", 1)
        checks.check_positive("norm_eps", self.norm_eps)
        checks.check_choice("ff", self.ff, ("swiglu", "gelu"))
        checks.check_choice("norm", self.norm, ("rms", "layer"))
        checks.check_each(self, checks.check_flag, "tie_embeddings learned_positions ff_bias")
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
            checks.check_integer("d_ff", self.d_ff, 1)
        elif self.n_moe_layers < self.n_layers:
            raise InputError(
                f"{self.n_layers - self.n_moe_layers} of {self.n_layers} layers are dense: "
                "give their width as d_ff, got None"
            )

    def _check_layers(self, name: str, layers: object) -> None:
        if not isinstance(layers, tuple) or len(set(layers)) != len(layers):
            raise InputError(f"{name} must be a tuple of different block numbers, got {layers!r}")
        for layer in layers:
            checks.check_integer(f"a block of {name}", layer, 0, self.n_layers - 1, "n_layers - 1=")

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

    def window_of(self, layer: int) -> int | None:
        """Positions that a query of block `layer` sees, its own included; None = all before it."""
        slides = self.sliding_layers is None or layer in self.sliding_layers
        return self.sliding_window if slides else None


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
            moe = {**data["moe"]}
            moe.pop("experts_way", None)  # in files of earlier versions; it changed no number
            fields["moe"] = MoEConfig(**moe)
        for name in ("dense_layers", "sliding_layers"):
            if isinstance(data.get(name), list):  # JSON has no tuples
                fields[name] = tuple(data[name])
        return ModelConfig(**fields)
    except InputError:
        raise
    except (TypeError, KeyError, ValueError, AttributeError) as error:
        problem = f"{error} is missing" if isinstance(error, KeyError) else error
        raise InputError(f"not the configuration of a model: {problem}") from error
