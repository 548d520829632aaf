"""Which tiny models does the oracle compute, and how does it compute them exactly?

The oracle is the `transformers` library. It computes norms, softmax, routers and rotary angles in
float32 whatever the model's dtype, which would hide every difference below 1e-7: `exact_oracle`
makes it compute all of it in float64. Our own code never runs inside that block.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch

transformers = pytest.importorskip(
    "transformers", reason='transformers is not installed: pip install "minimoe[parity]"'
)
transformers.utils.logging.disable_progress_bar()
transformers.utils.logging.set_verbosity_error()


@contextmanager
def exact_oracle() -> Iterator[None]:
    """Within the block float32 means float64, for the oracle's casts and the tensors it creates.

    A module that is imported inside the block would keep that meaning: run the same thing once
    outside of it first.
    """
    default = torch.get_default_dtype()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch, "float32", torch.float64)
        patch.setattr(torch, "float", torch.float64)
        patch.setattr(torch.Tensor, "float", torch.Tensor.double)
        torch.set_default_dtype(torch.float64)
        try:
            yield
        finally:
            torch.set_default_dtype(default)


@dataclass(frozen=True)
class Case:
    """One tiny model: a family, what differs from that family's base, and the seed of
    its weights and text."""

    family: str
    name: str
    settings: dict[str, Any] = field(default_factory=dict)
    seed: int = 0

    @property
    def id(self) -> str:
        return f"{self.family}-{self.name}"

    def config(self) -> Any:
        """The oracle's configuration."""
        settings = {**TOKENS, **BASES[self.family], **self.settings}
        return transformers.AutoConfig.for_model(self.family, **settings)

    def tokens(self) -> torch.Tensor:
        generator = torch.Generator().manual_seed(self.seed + 100)
        return torch.randint(0, TOKENS["vocab_size"], (2, LENGTH), generator=generator)


LENGTH = 14  # of every text: longer than every window and trained length
TOKENS = dict(vocab_size=31, bos_token_id=None, eos_token_id=None, pad_token_id=None)
GQA = dict(num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=64)
MLA = dict(
    num_attention_heads=3,
    num_key_value_heads=3,
    kv_lora_rank=7,
    q_lora_rank=9,
    qk_nope_head_dim=5,
    qk_rope_head_dim=4,
    v_head_dim=6,
    max_position_embeddings=64,
)
BASES: dict[str, dict[str, Any]] = {
    "llama": dict(GQA, hidden_size=20, intermediate_size=27, num_hidden_layers=2, head_dim=6),
    "qwen2": dict(GQA, hidden_size=24, intermediate_size=17, num_hidden_layers=3),
    "qwen3": dict(GQA, hidden_size=14, intermediate_size=19, num_hidden_layers=3, head_dim=6),
    "mixtral": dict(
        GQA,
        hidden_size=16,
        intermediate_size=11,
        num_hidden_layers=2,
        num_local_experts=5,
        num_experts_per_tok=2,
    ),
    "qwen2_moe": dict(
        GQA,
        hidden_size=16,
        intermediate_size=23,
        moe_intermediate_size=7,
        shared_expert_intermediate_size=13,
        num_hidden_layers=3,
        num_experts=6,
        num_experts_per_tok=3,
    ),
    "qwen3_moe": dict(
        GQA,
        hidden_size=15,
        head_dim=6,
        intermediate_size=23,
        moe_intermediate_size=7,
        num_hidden_layers=3,
        num_experts=6,
        num_experts_per_tok=2,
    ),
    "olmoe": dict(
        GQA,
        hidden_size=24,
        intermediate_size=9,
        num_hidden_layers=2,
        num_experts=7,
        num_experts_per_tok=3,
    ),
    "deepseek_v2": dict(
        MLA,
        kv_lora_rank=8,  # the oracle's complex rotation wants the rotary key at an even place
        qk_nope_head_dim=6,
        hidden_size=15,
        intermediate_size=21,
        moe_intermediate_size=8,
        num_hidden_layers=3,
        n_routed_experts=6,
        num_experts_per_tok=3,
        first_k_dense_replace=1,
    ),
    "deepseek_v3": dict(
        MLA,
        hidden_size=17,
        intermediate_size=21,
        moe_intermediate_size=8,
        num_hidden_layers=3,
        n_routed_experts=8,
        num_experts_per_tok=3,
        first_k_dense_replace=1,
        n_group=4,
        topk_group=2,
        num_nextn_predict_layers=0,
    ),
    "gpt_oss": dict(
        GQA,
        hidden_size=18,
        head_dim=6,
        intermediate_size=10,
        num_hidden_layers=3,
        num_local_experts=5,
        num_experts_per_tok=2,
        sliding_window=5,
    ),
    "gpt2": dict(n_embd=20, n_layer=2, n_head=4, n_positions=32),
}

# Trained lengths shorter than the text, a small base and slow turns: the pairs of a narrow head lie
# in every part of the blend.
LINEAR = dict(rope_type="linear", rope_theta=50.0, factor=3.0)
LLAMA3 = dict(
    rope_type="llama3",
    rope_theta=50.0,
    factor=4.0,
    low_freq_factor=0.1,
    high_freq_factor=1.0,
    original_max_position_embeddings=8,
)
YARN = dict(
    rope_type="yarn",
    rope_theta=50.0,
    factor=4.0,
    beta_fast=1.0,
    beta_slow=0.1,
    original_max_position_embeddings=8,
)
DEEPSEEK_V2_YARN = dict(YARN, mscale=0.707, mscale_all_dim=0.707)
DEEPSEEK_V3_YARN = dict(YARN, mscale=1.0, mscale_all_dim=1.0)
LONE_YARN = dict(YARN, mscale=0.6)
UNEQUAL_YARN = dict(YARN, mscale=0.6, mscale_all_dim=1.3)
GROUPS = dict(topk_method="group_limited_greedy", n_group=3, topk_group=2)
ALTERNATING = ["full_attention", "sliding_attention", "full_attention"]

CASES = [
    Case("llama", "grouped heads"),
    Case("llama", "one key head, tied", dict(num_key_value_heads=1, tie_word_embeddings=True)),
    Case("llama", "every head its keys", dict(num_key_value_heads=4, rms_norm_eps=1e-3)),
    Case("llama", "attention bias", dict(attention_bias=True)),
    Case("llama", "bias in the feed-forward layer", dict(mlp_bias=True, rope_theta=500.0)),
    Case("llama", "linear scaling", dict(rope_parameters=LINEAR)),
    Case("llama", "llama3 scaling", dict(rope_parameters=LLAMA3, head_dim=12)),
    Case("llama", "yarn", dict(rope_parameters=YARN, head_dim=12)),
    Case(
        "llama",
        "yarn with a given factor",
        dict(rope_parameters=dict(YARN, attention_factor=0.8), head_dim=12),
    ),
    Case(
        "llama",
        "yarn whose blend passes the last pair",
        dict(
            rope_parameters=dict(
                YARN, original_max_position_embeddings=40_000, beta_fast=2000.0, beta_slow=1.0
            ),
            head_dim=12,
        ),
    ),
    Case(
        "llama",
        "yarn without a blend",
        dict(
            rope_parameters=dict(
                YARN, original_max_position_embeddings=4, beta_fast=32.0, beta_slow=1.0
            ),
            head_dim=12,
        ),
    ),
    Case("qwen2", "grouped heads"),
    Case("qwen2", "one key head, tied", dict(num_key_value_heads=1, tie_word_embeddings=True)),
    Case(
        "qwen2",
        "later layers slide",
        dict(use_sliding_window=True, sliding_window=5, max_window_layers=1),
    ),
    Case("qwen2", "a window not used", dict(sliding_window=5, rms_norm_eps=1e-3)),
    Case(
        "qwen2",
        "listed layers slide",
        dict(use_sliding_window=True, sliding_window=3, layer_types=ALTERNATING),
    ),
    Case("qwen2", "every head its keys", dict(head_dim=10, num_key_value_heads=4)),
    Case("qwen2", "yarn", dict(rope_parameters=YARN)),
    Case("qwen3", "grouped heads"),
    Case("qwen3", "one key head, tied", dict(num_key_value_heads=1, tie_word_embeddings=True)),
    Case(
        "qwen3",
        "attention bias",
        dict(attention_bias=True, head_dim=10, num_key_value_heads=4, rms_norm_eps=1e-3),
    ),
    Case(
        "qwen3",
        "later layers slide",
        dict(use_sliding_window=True, sliding_window=4, max_window_layers=2),
    ),
    Case(
        "qwen3",
        "listed layers slide",
        dict(use_sliding_window=True, sliding_window=1, layer_types=ALTERNATING),
    ),
    Case("qwen3", "yarn", dict(rope_parameters=YARN, head_dim=12)),
    Case("mixtral", "2 of 5 experts"),
    Case(
        "mixtral", "1 of 5 experts", dict(num_experts_per_tok=1, num_key_value_heads=4, head_dim=10)
    ),
    Case("mixtral", "every expert, tied", dict(num_experts_per_tok=5, tie_word_embeddings=True)),
    Case("mixtral", "one expert", dict(num_local_experts=1, num_experts_per_tok=1)),
    Case("mixtral", "window", dict(sliding_window=5, num_key_value_heads=1)),
    Case("mixtral", "linear scaling", dict(rope_parameters=LINEAR, rms_norm_eps=1e-3)),
    Case("qwen2_moe", "3 of 6 experts"),
    Case("qwen2_moe", "weights sum to 1", dict(norm_topk_prob=True, tie_word_embeddings=True)),
    Case("qwen2_moe", "1 of 6 experts", dict(num_experts_per_tok=1, num_key_value_heads=1)),
    Case("qwen2_moe", "every expert", dict(num_experts_per_tok=6, num_key_value_heads=4)),
    Case("qwen2_moe", "1 expert, weight 1", dict(num_experts_per_tok=1, norm_topk_prob=True)),
    Case("qwen2_moe", "listed layers are dense", dict(mlp_only_layers=[1], rms_norm_eps=1e-3)),
    Case("qwen2_moe", "every second layer is MoE", dict(decoder_sparse_step=2)),
    Case("qwen2_moe", "no bias", dict(qkv_bias=False, head_dim=10)),
    Case(
        "qwen2_moe",
        "even layers slide",
        dict(use_sliding_window=True, sliding_window=5, max_window_layers=3),
    ),
    Case(
        "qwen2_moe",
        "first layers slide",
        dict(use_sliding_window=True, sliding_window=4, max_window_layers=1),
    ),
    Case(
        "qwen2_moe",
        "listed layers slide",
        dict(use_sliding_window=True, sliding_window=4, layer_types=ALTERNATING),
    ),
    Case("qwen3_moe", "2 of 6 experts"),
    Case("qwen3_moe", "weights sum to 1", dict(norm_topk_prob=True, tie_word_embeddings=True)),
    Case("qwen3_moe", "1 of 6 experts", dict(num_experts_per_tok=1, num_key_value_heads=1)),
    Case("qwen3_moe", "every expert", dict(num_experts_per_tok=6, num_key_value_heads=4)),
    Case(
        "qwen3_moe", "listed layers are dense", dict(mlp_only_layers=[0, 2], decoder_sparse_step=1)
    ),
    Case("qwen3_moe", "every second layer is MoE", dict(decoder_sparse_step=2, rms_norm_eps=1e-3)),
    Case("qwen3_moe", "attention bias", dict(attention_bias=True, head_dim=8)),
    Case("qwen3_moe", "window", dict(use_sliding_window=True, sliding_window=5)),
    Case("qwen3_moe", "yarn", dict(rope_parameters=YARN, head_dim=12, norm_topk_prob=True)),
    Case("olmoe", "3 of 7 experts"),
    Case("olmoe", "weights sum to 1", dict(norm_topk_prob=True, tie_word_embeddings=True)),
    Case("olmoe", "1 of 7 experts", dict(num_experts_per_tok=1, num_key_value_heads=1)),
    Case(
        "olmoe",
        "every expert",
        dict(num_experts_per_tok=7, num_key_value_heads=4, rope_parameters=LINEAR),
    ),
    Case("olmoe", "queries, keys and values cut", dict(clip_qkv=0.7)),
    Case("olmoe", "attention bias", dict(attention_bias=True, clip_qkv=0.9, rms_norm_eps=1e-3)),
    Case("deepseek_v2", "3 of 6 experts"),
    Case("deepseek_v2", "queries straight from x", dict(q_lora_rank=None, n_shared_experts=1)),
    Case("deepseek_v2", "no shared expert", dict(n_shared_experts=0)),
    Case("deepseek_v2", "groups", dict(GROUPS, routed_scaling_factor=2.5)),
    Case("deepseek_v2", "groups named but not used", dict(GROUPS, topk_method="greedy")),
    Case(
        "deepseek_v2", "1 of 6 experts, tied", dict(num_experts_per_tok=1, tie_word_embeddings=True)
    ),
    Case("deepseek_v2", "every expert", dict(num_experts_per_tok=6, first_k_dense_replace=0)),
    Case("deepseek_v2", "attention bias", dict(attention_bias=True, rms_norm_eps=1e-3)),
    Case("deepseek_v2", "no MoE layer", dict(first_k_dense_replace=3)),
    Case("deepseek_v2", "yarn", dict(rope_parameters=DEEPSEEK_V2_YARN, qk_rope_head_dim=12)),
    Case(
        "deepseek_v2",
        "yarn with unequal mscales",
        dict(rope_parameters=UNEQUAL_YARN, qk_rope_head_dim=12, q_lora_rank=None),
    ),
    Case(
        "deepseek_v2", "yarn with one mscale", dict(rope_parameters=LONE_YARN, qk_rope_head_dim=12)
    ),
    Case("deepseek_v3", "3 of 8 experts in groups"),
    Case("deepseek_v3", "queries straight from x", dict(q_lora_rank=None, n_shared_experts=2)),
    Case("deepseek_v3", "no shared expert", dict(n_shared_experts=0)),
    Case("deepseek_v3", "one group", dict(n_group=1, topk_group=1, routed_scaling_factor=2.827)),
    Case("deepseek_v3", "all groups", dict(n_group=4, topk_group=4, tie_word_embeddings=True)),
    Case("deepseek_v3", "weights not normalized", dict(norm_topk_prob=False)),
    Case("deepseek_v3", "1 of 8 experts", dict(num_experts_per_tok=1, norm_topk_prob=False)),
    Case("deepseek_v3", "1 expert, weight 1", dict(num_experts_per_tok=1)),
    Case(
        "deepseek_v3",
        "every expert",
        dict(num_experts_per_tok=8, topk_group=4, first_k_dense_replace=0),
    ),
    Case("deepseek_v3", "attention bias", dict(attention_bias=True, rms_norm_eps=1e-3)),
    Case("deepseek_v3", "pairs of halves", dict(rope_interleave=False, first_k_dense_replace=2)),
    Case("deepseek_v3", "yarn", dict(rope_parameters=DEEPSEEK_V3_YARN, qk_rope_head_dim=12)),
    Case(
        "deepseek_v3",
        "yarn with unequal mscales",
        dict(rope_parameters=UNEQUAL_YARN, qk_rope_head_dim=12),
    ),
    Case("gpt_oss", "2 of 5 experts"),
    Case("gpt_oss", "1 of 5 experts", dict(num_experts_per_tok=1, num_key_value_heads=1)),
    Case("gpt_oss", "every expert, tied", dict(num_experts_per_tok=5, tie_word_embeddings=True)),
    Case("gpt_oss", "no bias in the attention", dict(attention_bias=False, num_key_value_heads=4)),
    Case("gpt_oss", "tight clamp", dict(swiglu_limit=0.6, swiglu_alpha=1.3)),
    Case(
        "gpt_oss",
        "listed layers slide",
        dict(layer_types=ALTERNATING, sliding_window=3, rms_norm_eps=1e-3),
    ),
    Case(
        "gpt_oss",
        "yarn of whole pairs",
        dict(rope_parameters=dict(YARN, truncate=True), head_dim=12),
    ),
    Case(
        "gpt_oss",
        "yarn of parts of pairs",
        dict(rope_parameters=dict(YARN, truncate=False), head_dim=12),
    ),
    Case(
        "gpt_oss", "plain rotary", dict(rope_parameters=dict(rope_type="default", rope_theta=90.0))
    ),
    Case("gpt2", "tied"),
    Case("gpt2", "odd inner width", dict(n_inner=33)),
    Case("gpt2", "own head", dict(tie_word_embeddings=False)),
    Case("gpt2", "one head", dict(n_head=1, n_layer=3, layer_norm_epsilon=1e-2)),
    Case("gpt2", "heads of odd width", dict(n_head=4, n_embd=12, n_inner=5)),
    Case("gpt2", "as long as its positions", dict(n_positions=14)),
]


def oracle(case: Case, dtype: torch.dtype = torch.float64) -> Any:
    """The oracle's model; to be exact it is built and run inside `exact_oracle`."""
    model = transformers.AutoModelForCausalLM.from_config(
        case.config(),
        dtype=dtype,
        attn_implementation="eager",
        experts_implementation="eager",
    )
    randomize_(model, case.seed)
    return model.eval()


def loaded_oracle(directory: Path) -> tuple[Any, dict[str, Any]]:
    """The oracle's float64 model from a directory, and the weights it missed or did not expect."""
    model, info = transformers.AutoModelForCausalLM.from_pretrained(
        directory,
        dtype=torch.float64,
        attn_implementation="eager",
        experts_implementation="eager",
        output_loading_info=True,
    )
    return model.eval(), info


def randomize_(model: torch.nn.Module, seed: int) -> None:
    """Give every weight a value of a size at which it matters, the biases and norms too."""
    generator = torch.Generator().manual_seed(seed)
    buffers = {k: v for k, v in model.named_buffers() if k.endswith("e_score_correction_bias")}
    for name, weight in [*model.named_parameters(), *buffers.items()]:
        noise = torch.randn(weight.shape, generator=generator, dtype=torch.float64)
        with torch.no_grad():
            weight.copy_(_value(name, noise))


def _value(name: str, noise: torch.Tensor) -> torch.Tensor:
    """Weights of the wanted size, from standard normal noise."""
    if name.endswith(
        ("norm.weight", "layernorm.weight", "ln_1.weight", "ln_2.weight", "ln_f.weight")
    ):
        return 1 + 0.2 * noise
    if name.endswith(("router.weight", "mlp.gate.weight")):
        return 2.5 * noise * noise.shape[-1] ** -0.5  # far from ties
    if name.endswith(("embed_tokens.weight", "wte.weight", "wpe.weight", "sinks")):
        return noise
    if noise.dim() == 1 or name.endswith("_bias"):
        return 0.3 * noise
    return noise * max(noise.shape[-1], 1) ** -0.5


@torch.no_grad()
def oracle_logits(model: Any, tokens: torch.Tensor) -> torch.Tensor:
    return model(input_ids=tokens, use_cache=False).logits


def oracle_says(model: Any, tokens: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """Logits, and what every expert of every MoE layer counts for each token, 0 if not chosen."""
    dense = []

    def keep(_module: Any, _args: Any, output: tuple[torch.Tensor, ...]) -> None:
        logits, weights, expert_ids = output
        dense.append(torch.zeros_like(logits).scatter(-1, expert_ids, weights))

    for module in model.modules():
        if type(module).__name__.lower().endswith("topkrouter"):
            module.register_forward_hook(keep)
    return oracle_logits(model, tokens), dense
