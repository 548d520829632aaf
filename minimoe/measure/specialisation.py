"""Mutual information of expert and label, with a control and a confidence interval."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from minimoe.errors import InputError


@dataclass(frozen=True)
class Specialisation:
    """How strongly the chosen expert and a label are related, with its uncertainty.

    Attributes:
        nmi: normalised mutual information of the sample, in [0, 1].
        low, high: 95 % bootstrap interval of nmi over the groups of the text.
        control: mean nmi of shuffled labels. It is above 0, because a finite sample always shows
            some agreement: this is the bias of `nmi`.
        control_high: largest nmi of the shuffled labels.
    """

    nmi: float
    low: float
    high: float
    control: float
    control_high: float

    @property
    def is_outside(self) -> bool:
        """Whether the whole interval lies above `control_high`."""
        return self.low > self.control_high

    @property
    def excess(self) -> float:
        """nmi minus the mean of the control."""
        return self.nmi - self.control


def normalised_mutual_information(counts: Float[Tensor, "*Z E Y"]) -> float:
    """Compute I(expert; label), or I(expert; label | Z), divided by the smaller of both entropies.

    It is 1 if the expert determines the label or the label determines the expert. It is 0 if they
    are independent or if one of them never changes.

    Args:
        counts: of the pairs; of the triples if there is a Z.

    Returns:
        A number without unit, in [0, 1]. Counts ((1, 0), (1, 0), (0, 2)) have 1; counts
        ((2, 1), (1, 2)) have 0.0817.
    """
    p = counts.double() / counts.sum()
    given = _bits(p.sum((-2, -1)))
    expert, label = _bits(p.sum(-1)) - given, _bits(p.sum(-2)) - given
    bits, most = expert + label + given - _bits(p), min(expert, label)
    return min(1.0, max(0.0, bits / most)) if most > 1e-12 else 0.0


def _bits(p: Float[Tensor, "..."]) -> float:
    return float(torch.special.entr(p).sum()) / math.log(2)


def specialisation(
    expert_ids: Int[Tensor, "T K"],
    labels: Int[Tensor, "T"],
    groups: Int[Tensor, "T"],
    *,
    given: Int[Tensor, "T"] | None = None,
    n_shuffles: int = 99,
    n_resamples: int = 200,
    seed: int = 0,
) -> Specialisation:
    """Measure how strongly expert and label are related, over all T * K assignments of a layer.

    Tokens of one text are not independent: neighbours often share a language, a word, an expert.
    The unit of observation is therefore a group of tokens, such as a window or a sentence.

    Control: each group gets the labels of another group, in their order, from a random place on,
    repeated if there are too few. So labels keep their frequencies and their runs, and lose their
    relation to the tokens. Shuffling single tokens would break the runs, and a domain would look
    like a specialisation.

    Interval: a bootstrap over groups. A resample holds fewer different groups than the text, which
    raises its information. This shift is subtracted, so that `nmi`, its interval and its control
    have the same bias.

    Args:
        expert_ids: the chosen experts.
        labels: of the tokens, at least 0.
        groups: the group of each token; the tokens of a group are adjacent.
        given: None, or what is already known of each token, such as its byte. Then the result is
            the information that the label adds to it.
        n_shuffles: shuffles of the labels. A value made by chance exceeds all of them with
            probability 1 / (n_shuffles + 1).
        n_resamples: of the bootstrap.
        seed: of both.

    Returns:
        The value with interval and control. Labels that equal the expert have nmi 1.

    Raises:
        InputError: fewer than 2 groups, a group in two places, or a number below 1.
    """
    n_runs, n_groups = len(torch.unique_consecutive(groups)), len(groups.unique())
    if n_groups < 2:
        raise InputError(f"groups must hold at least 2 groups to shuffle labels, got {n_groups}")
    if n_runs != n_groups:
        raise InputError(
            f"the tokens of a group must be adjacent, got {n_runs} runs of {n_groups} groups"
        )
    if min(n_shuffles, n_resamples) < 1:
        raise InputError(
            f"n_shuffles and n_resamples must be at least 1, got {n_shuffles} and {n_resamples}"
        )
    generator = torch.Generator().manual_seed(seed)
    lengths = torch.unique_consecutive(groups, return_counts=True)[1]
    table = _Table(expert_ids.long(), labels.long(), given, lengths)
    controls = [table.nmi(table.shuffled(generator)) for _ in range(n_shuffles)]
    resampled = [table.nmi(table.labels, table.drawn(generator)) for _ in range(n_resamples)]
    nmi, resamples = table.nmi(table.labels), torch.tensor(resampled, dtype=torch.float64)
    ends = resamples.quantile(torch.tensor([0.025, 0.975], dtype=torch.float64))
    low, high = (nmi + ends - resamples.mean()).clamp(0, 1).tolist()
    control = float(torch.tensor(controls, dtype=torch.float64).mean())
    return Specialisation(nmi, low, high, control, max(controls))


class _Table:
    """Counts of (given, expert, label) triples, each triple numbered as one integer."""

    def __init__(
        self,
        expert_ids: Int[Tensor, "T K"],
        labels: Int[Tensor, "T"],
        given: Int[Tensor, "T"] | None,
        lengths: Int[Tensor, "G"],
    ) -> None:
        experts = expert_ids.unique(return_inverse=True)[1]  # only those that occur
        self.labels = labels.unique(return_inverse=True)[1]
        known = torch.zeros_like(labels) if given is None else given.unique(return_inverse=True)[1]
        self.shape = [int(part.max()) + 1 for part in (known, experts, self.labels)]
        self.rows = (known.unsqueeze(1) * self.shape[1] + experts) * self.shape[2]
        self.top_k = expert_ids.shape[1]
        self.lengths = lengths
        self.starts = lengths.cumsum(0) - lengths
        self.group = torch.arange(len(lengths)).repeat_interleave(lengths)
        self.offset = torch.arange(len(labels)) - self.starts[self.group]

    def nmi(self, labels: Int[Tensor, "T"], weights: Float[Tensor, "G"] | None = None) -> float:
        """Compute the normalised information; group g counts `weights[g]` times."""
        each = None if weights is None else weights[self.group].repeat_interleave(self.top_k)
        cells = (self.rows + labels.unsqueeze(1)).flatten()
        counts = torch.bincount(cells, each, math.prod(self.shape))
        return normalised_mutual_information(counts.view(self.shape).double())

    def shuffled(self, generator: torch.Generator) -> Int[Tensor, "T"]:
        """Give each group the labels of another, cyclically, from a random place on."""
        other = torch.randperm(len(self.lengths), generator=generator)
        begin = torch.rand(len(other), generator=generator, dtype=torch.float64)
        length = self.lengths[other][self.group]
        first = (begin[self.group] * length).long()
        return self.labels[self.starts[other][self.group] + (self.offset + first) % length]

    def drawn(self, generator: torch.Generator) -> Float[Tensor, "G"]:
        """Draw as many groups as there are, with replacement; count how often each is drawn."""
        n = len(self.lengths)
        draws = torch.randint(n, (n,), generator=generator)
        return torch.bincount(draws, minlength=n).double()
