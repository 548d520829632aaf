"""What the benchmark times: shapes of layers, models, numbers of rounds."""

from dataclasses import dataclass

from minimoe.config import AttentionConfig, ModelConfig, MoEConfig


@dataclass(frozen=True)
class Shape:
    """One MoE layer and a batch for it: E and K, D, F, and T tokens."""

    name: str
    n_experts: int
    top_k: int
    d_model: int
    d_expert: int
    n_tokens: int

    @property
    def config(self) -> MoEConfig:
        """The configuration of the layer."""
        return MoEConfig(
            d_model=self.d_model,
            d_expert=self.d_expert,
            n_routed_experts=self.n_experts,
            top_k=self.top_k,
        )

    @property
    def d_ff(self) -> int:
        """Width of the dense layer of equal active FLOPs: that of K experts together."""
        return self.top_k * self.d_expert

    @property
    def backward(self) -> bool:
        """Whether the backward pass is timed too; not for a single token, as in generation."""
        return self.n_tokens > 1


SHAPES = (
    Shape("S1", 8, 2, 128, 256, 2048),
    Shape("S2", 16, 2, 128, 256, 4096),
    Shape("S3", 64, 6, 128, 64, 4096),
    Shape("S4", 64, 8, 256, 128, 8192),
    Shape("S5", 8, 2, 512, 1024, 4096),
    Shape("D1", 8, 2, 128, 256, 1),
    Shape("D2", 64, 6, 256, 128, 1),
)
GROWTH = tuple(Shape("growth", n_experts, 2, 256, 256, 16384) for n_experts in (4, 16, 64, 256))


def _model_of(d_expert: int, n_experts: int, top_k: int) -> ModelConfig:
    layer = MoEConfig(d_model=128, d_expert=d_expert, n_routed_experts=n_experts, top_k=top_k)
    attention = AttentionConfig(d_model=128, n_heads=4, n_kv_heads=4, d_head=32)
    return ModelConfig(n_layers=4, attention=attention, moe=layer)


MODELS = {"coarse": _model_of(256, 8, 2), "fine": _model_of(64, 64, 6)}  # layers as in S1, in S3
BATCH = (8, 256)  # sequences and their length, for a training step of a model
PARTS = (*(shape.name for shape in SHAPES), *MODELS, "growth")
QUICK_PARTS = ("S1", "S3", "D1", "coarse", "growth")
ROUNDS, QUICK_ROUNDS = 9, 5
IMPLEMENTATIONS = ("eager", "grouped_mm")  # of the experts in transformers' Mixtral
MEMORY_STEPS = 3  # training steps over which the peak of memory is taken
