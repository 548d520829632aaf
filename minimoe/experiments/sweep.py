"""Train several configurations over several seeds, in turn."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from minimoe.config import InputError, ModelConfig, TrainConfig
from minimoe.data.batches import Batch
from minimoe.data.text import Corpus
from minimoe.measure.bits import bits_per_byte
from minimoe.measure.routes import model_load
from minimoe.model.routing import Routing, RoutingRule
from minimoe.model.transformer import Transformer
from minimoe.training.loop import Losses, Run, StepRecord, next_batch, start, train


@dataclass(frozen=True)
class Trial:
    """One configuration of a sweep; the sweep sets its seed.

    `rule` and `losses` replace the routing rule and the losses of the routers.
    """

    model: ModelConfig
    training: TrainConfig
    rule: RoutingRule | None = None
    losses: Losses | None = None


@dataclass
class Outcome:
    """The result of one trial with one seed.

    Attributes:
        model: after the last step.
        history: the record of each step; its cross-entropy excludes the auxiliary losses.
        loads: each expert's share of the assignments, for each step and MoE layer; the shares of
            the experts sum to 1.
        n_dropped: dropped assignments in the whole training.
        n_assignments: all assignments in the whole training.
        bits_per_byte: of the validation text, by domain and for "all"; empty without batches.
        judged_load: load of each MoE layer over the whole validation text, without noise; empty
            without batches.
    """

    model: Transformer
    history: list[StepRecord]
    loads: Float[Tensor, "steps layers E"]
    n_dropped: int
    n_assignments: int
    bits_per_byte: dict[str, float]
    judged_load: Float[Tensor, "_ _"]  # layers, E


def sweep(
    trials: Mapping[str, Trial],
    corpus: Corpus,
    batches: Sequence[Batch] = (),
    *,
    seeds: Sequence[int] = (0, 1, 2),
    next_batch: Callable[[Run, Corpus], Batch] = next_batch,
) -> dict[str, list[Outcome]]:
    """Train every trial with every seed, one step of each in turn, and evaluate each at the end.

    A slow moment of the machine then affects all runs, so their seconds can be compared. A seed
    determines weights and batches: trials with the same seed read the same text.

    Args:
        trials: by name; all with the same number of steps.
        corpus, batches: to train on, and to evaluate on.
        next_batch: makes the next batch of a run.

    Returns:
        The outcomes of each trial, in the order of the seeds.

    Raises:
        InputError: there is no trial or no seed, or the trials differ in their number of steps.
    """
    lengths = {trial.training.steps for trial in trials.values()}
    if len(lengths) != 1 or not seeds:
        raise InputError(
            f"a sweep needs trials of one length and at least 1 seed, got steps={sorted(lengths)} "
            f"and {len(seeds)} seeds"
        )
    runs = {
        (name, seed): start(
            each.model, replace(each.training, seed=seed), seed, rule=each.rule, losses=each.losses
        )
        for name, each in trials.items()
        for seed in seeds
    }
    seen: dict[int, list[tuple[Tensor, int, int]]] = {id(run): [] for run in runs.values()}

    def watch(run: Run, routings: tuple[Routing, ...]) -> None:
        loads = [routing.load for routing in routings]
        n_dropped = sum(routing.n_dropped for routing in routings)
        n_assignments = sum(routing.expert_ids.numel() for routing in routings)
        load = torch.stack(loads) if loads else torch.empty(0, 0, dtype=torch.float64)
        seen[id(run)].append((load, n_dropped, n_assignments))

    train(list(runs.values()), corpus, hooks=[watch], next_batch=next_batch)
    outcomes: dict[str, list[Outcome]] = {name: [] for name in trials}
    for (name, _), run in runs.items():
        loads, n_dropped, n_assignments = zip(*seen[id(run)], strict=True)
        outcomes[name].append(
            Outcome(
                model=run.model,
                history=run.history,
                loads=torch.stack(loads),
                n_dropped=sum(n_dropped),
                n_assignments=sum(n_assignments),
                bits_per_byte=bits_per_byte(run.model, batches, corpus.domains) if batches else {},
                judged_load=model_load(run.model, batches),
            )
        )
    return outcomes
