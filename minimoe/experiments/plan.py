"""An experiment as data: configurations, seeds, and the budgets at which each is judged."""

import functools
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any

from minimoe.config import ModelConfig, TrainConfig
from minimoe.data.languages import markov_language, mixture_floor_bits, mixture_text
from minimoe.data.packaged import real_text, small_text
from minimoe.data.text import Text
from minimoe.experiments.wrong_routers import dead_router, frozen_router
from minimoe.formulas.flops import count_flops
from minimoe.model.routing import RoutingRule

# 16 languages of 64 symbols, each symbol with 8 possible successors. A segment holds one language.
SYMBOLS, SUCCESSORS, SEGMENT = 64, 8, 128
LANGUAGES = tuple(
    markov_language(n_symbols=SYMBOLS, n_successors=SUCCESSORS, seed=seed) for seed in range(16)
)


@functools.cache
def languages_text() -> Text:
    """8 MB of segments in sixteen synthetic languages, and 131,072 bytes to validate on."""
    return mixture_text(
        LANGUAGES, segment_length=SEGMENT, n_train_segments=65_536, n_validation_segments=1025,
        seed=0,
    )  # fmt: skip


def languages_floor() -> float:
    """Bits a token of a reader who knows the language of each segment."""
    return mixture_floor_bits(LANGUAGES, SEGMENT)


TEXTS: Mapping[str, Callable[[], Text]] = {
    "real": real_text, "small": small_text, "languages": languages_text,
}  # fmt: skip
RULES: Mapping[str, RoutingRule | None] = {
    "learned": None, "dead": dead_router, "frozen": frozen_router,
}  # fmt: skip


def _chosen(config: Any) -> dict[str, Any]:
    """The fields of a config that differ from their defaults: a new field changes no digest."""
    values = {field: getattr(config, field.name) for field in fields(config)}
    return {
        field.name: _chosen(value) if is_dataclass(value) else value
        for field, value in values.items()
        if value != field.default
    }


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One configuration, trained once for each seed and judged at each of its budgets.

    A budget is a run of its own, whose learning rate falls to its end. The runs of one seed share
    the steps before that (arXiv 2405.18392), so the runner computes these once.

    Attributes:
        name: of the configuration; entries of one name differ only in seeds and budgets.
        model: what is trained.
        training: of the largest budget; its decay_share is set.
        budgets: steps of the runs, rising; the last is training.steps.
        seeds: of weights and batches.
        rule: how the routers choose, a key of RULES.
        text: what is read, a key of TEXTS.
        probe_shared: judge also without the shared experts, with and without a routed one instead.
    """

    name: str
    model: ModelConfig
    training: TrainConfig
    budgets: tuple[int, ...]
    seeds: tuple[int, ...]
    rule: str = "learned"
    text: str = "real"
    probe_shared: bool = False

    @property
    def digest(self) -> str:
        """8 digits that change when the configuration changes; seeds and budgets do not count."""
        training = replace(self.training, steps=10**9, warmup_share=0.0)
        described = {
            "model": _chosen(self.model), "training": _chosen(training), "rule": self.rule,
            "warmup": self.training.warmup_steps, "text": self.text,
        }  # fmt: skip
        return hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()[:8]

    @property
    def cost(self) -> float:
        """Training FLOPs of one seed, shared steps once: what the time left is estimated from."""
        length, batch = self.training.length, self.training.batch_size
        tails = sum(budget - self.run_of(budget, 0).decay_begins for budget in self.budgets[:-1])
        tokens = (self.budgets[-1] + tails) * length * batch
        return count_flops(self.model, length).training_per_token * tokens

    def run_of(self, budget: int, seed: int) -> TrainConfig:
        """The training of one row: of its own length, with the warm-up of the longest."""
        share = self.training.warmup_steps / budget
        return replace(self.training, steps=budget, warmup_share=share, seed=seed)

    def row_keys(self) -> Iterator[tuple[str, int, int]]:
        """The rows that the entry makes: (name, seed, steps)."""
        return ((self.name, seed, steps) for seed in self.seeds for steps in self.budgets)


@dataclass(frozen=True)
class Plan:
    """The entries of an experiment, by what each part of it asks; `what` is a line for a list."""

    name: str
    what: str
    parts: Mapping[str, tuple[Entry, ...]]

    @property
    def entries(self) -> tuple[Entry, ...]:
        """All entries, each once, in the order in which they are trained."""
        return tuple(dict.fromkeys(entry for part in self.parts.values() for entry in part))
