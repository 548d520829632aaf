"""What becomes of several recipes, each over several seeds, trained in turn?"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from jaxtyping import Float
from torch import Tensor

from minimoe.config import InputError, ModelConfig, TrainConfig
from minimoe.data.batches import Batch
from minimoe.data.text import Corpus
from minimoe.model.routing import Routing
from minimoe.model.transformer import Transformer
from minimoe.training.loop import Run, StepRecord, bits_per_byte, next_batch, start, train_step


@dataclass(frozen=True)
class Trial:
    """One recipe: what is trained, and how. Its seed is that of the sweep."""

    model: ModelConfig
    training: TrainConfig


@dataclass
class Outcome:
    """What became of one trial with one seed.

    Attributes:
        model: as it stands after the last step.
        history: what each step reported; its cross-entropy is without the auxiliary losses.
        loads: of each step and MoE layer, the share of the batch's assignments that each expert
            was chosen for; they sum to 1 over experts.
        n_dropped: assignments dropped in the whole training; n_assignments: of so many.
        bits_per_byte: of the validation text, by domain and for "all"; empty without batches.
        judged_load: of each MoE layer over the whole validation text, routed as in evaluation
            (no noise); empty without batches.
    """

    model: Transformer
    history: list[StepRecord]
    loads: Float[Tensor, "steps layers E"]
    n_dropped: int
    n_assignments: int
    bits_per_byte: dict[str, float]
    judged_load: Float[Tensor, "_ _"]  # layers, E


@dataclass
class _Watched:
    run: Run
    loads: list[Tensor] = field(default_factory=list)
    n_dropped: int = 0
    n_assignments: int = 0

    def see(self, routings: tuple[Routing, ...]) -> None:
        if not routings:
            return
        counts = _counts(routings)
        self.loads.append(counts / counts.sum(-1, keepdim=True))
        self.n_dropped += sum(routing.n_dropped for routing in routings)
        self.n_assignments += sum(routing.expert_ids.numel() for routing in routings)


def sweep(
    trials: Mapping[str, Trial],
    corpus: Corpus,
    batches: Sequence[Batch] = (),
    *,
    seeds: Sequence[int] = (0, 1, 2),
    progress: Callable[[int, int], Iterable[int]] = range,
) -> dict[str, list[Outcome]]:
    """Train every trial with every seed, all of them one step in turn, and judge each at the end.

    In turn, so that a machine that slows down slows all of them, and their seconds compare. A seed
    gives weights and batches: trials of one seed read the same text.

    Args:
        trials: by name; all of as many steps.
        corpus: to train on.
        batches: to judge on.
        seeds: at least one.
        progress: gets 0 and the number of steps, returns an iterable over them.

    Returns:
        The outcomes of each trial, in the order of the seeds.

    Raises:
        InputError: nothing to train, or trials of different length.
    """
    lengths = {trial.training.steps for trial in trials.values()}
    if len(lengths) != 1 or not seeds:
        raise InputError(
            f"a sweep needs trials of one length and at least 1 seed, got steps={sorted(lengths)} "
            f"and {len(seeds)} seeds"
        )
    watched = {name: [_watch(trial, seed) for seed in seeds] for name, trial in trials.items()}
    for _ in progress(0, lengths.pop()):
        for each in watched.values():
            for one in each:
                one.see(train_step(one.run, next_batch(one.run, corpus))[1])
    return {
        name: [_outcome(one, corpus, batches) for one in each] for name, each in watched.items()
    }


def _watch(trial: Trial, seed: int) -> _Watched:
    return _Watched(start(trial.model, replace(trial.training, seed=seed), seed))


def _outcome(one: _Watched, corpus: Corpus, batches: Sequence[Batch]) -> Outcome:
    loads = torch.stack(one.loads) if one.loads else torch.empty(0, 0, 0, dtype=torch.float64)
    model, dropped = one.run.model, (one.n_dropped, one.n_assignments)
    bits = bits_per_byte(model, batches, corpus.domains) if batches else {}
    return Outcome(model, one.run.history, loads, *dropped, bits, _judged_load(model, batches))


@torch.no_grad()
def _judged_load(model: Transformer, batches: Sequence[Batch]) -> Tensor:
    counts = [_counts(routings) for batch in batches if (routings := model(batch.inputs)[1])]
    if not counts:
        return torch.empty(0, 0, dtype=torch.float64)
    total = torch.stack(counts).sum(0)
    return total / total.sum(-1, keepdim=True)


def _counts(routings: tuple[Routing, ...]) -> Float[Tensor, "layers E"]:
    return torch.stack([routing.tokens_per_expert for routing in routings]).double()
