"""What does an expert go by? Mutual information with a label, its control, and its interval."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from minimoe.config import InputError


@dataclass(frozen=True)
class Specialisation:
    """How much the chosen expert and a label say about each other, and how sure that is.

    Attributes:
        nmi: normalised mutual information of the sample, 0 to 1.
        low, high: the middle 95 % of what other texts of this kind would give.
        control: what labels give that have nothing to do with the experts, on average. Above 0,
            since a finite sample always shows some agreement: this is the bias of `nmi`.
        control_high: the most that any of the shuffled labels gave.
        bits: the mutual information itself, in bits an assignment.
    """

    nmi: float
    low: float
    high: float
    control: float
    control_high: float
    bits: float

    @property
    def is_outside(self) -> bool:
        """Whether the whole interval lies above all that shuffled labels gave."""
        return self.low > self.control_high

    @property
    def excess(self) -> float:
        """What is left of nmi when the mean of the control is taken off."""
        return self.nmi - self.control


def mutual_information(counts: Float[Tensor, "*Z E Y"]) -> float:
    """I(expert; label) in bits, from how often each pair occurred; given Z, if there is a Z.

    Returns:
        0 if they are independent; counts ((1, 0), (0, 1)) have 1 bit.
    """
    return _information(counts)[0]


def normalised_mutual_information(counts: Float[Tensor, "*Z E Y"]) -> float:
    """Mutual information over the smaller of the two entropies: the share of what could be known.

    1 if the expert tells the label or the label tells the expert, 0 if they are independent or if
    one of them never changes. The smaller entropy, since 16 experts can tell 3 languages in full,
    and 200 tokens can tell 16 experts in full, but not the other way round.

    Returns:
        No unit, in [0, 1]. Counts ((1, 0), (1, 0), (0, 2)) have 1; ((2, 1), (1, 2)) have 0.0817.
    """
    bits, most = _information(counts)
    return min(1.0, max(0.0, bits / most)) if most > 1e-12 else 0.0


def _information(counts: Float[Tensor, "*Z E Y"]) -> tuple[float, float]:
    """Mutual information and the smaller entropy, both in bits and given Z."""
    p = counts.double() / counts.sum()
    given = _bits(p.sum((-2, -1)))
    expert, label = _bits(p.sum(-1)) - given, _bits(p.sum(-2)) - given
    return expert + label + given - _bits(p), min(expert, label)


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
    """Normalised mutual information of expert and label, over all T * K assignments of a layer.

    Tokens of one text are not independent: neighbours share a language, a word, often an expert.
    So nothing here treats a single token as an observation; a group (a window, a sentence) is one.

    The control gives each group the labels of another group, in their order, begun at a random
    place and repeated if they are too few. Labels keep their frequencies and their runs; only what
    ties them to these tokens is lost. A label that is the same in a whole group is thus shuffled
    between groups, one that is the same in all groups (the position) within them. Shuffling single
    tokens would make an easier control: it breaks the runs, and a domain would look like a choice.

    The interval is a bootstrap over groups. A resample holds fewer different groups than the text,
    which raises its information once more; this shift is taken off, so that `nmi`, its interval
    and its control carry the same bias and can be compared.

    Args:
        expert_ids: the chosen experts.
        labels: at least 0, one for each token.
        groups: the group of each token; the tokens of a group stand together.
        given: if not None, what is known already, such as the token itself: the information that
            the label adds to it.
        n_shuffles: of the labels; the chance that no shuffle reaches a value that chance alone
            made is about 1 in n_shuffles + 1.
        n_resamples: of the bootstrap.
        seed: of both.

    Returns:
        The value with interval and control. Labels that repeat the expert have nmi 1.

    Raises:
        InputError: fewer than 2 groups, a group in two places, or a count below 1.
    """
    _check(labels, groups, n_shuffles, n_resamples)
    generator = torch.Generator().manual_seed(seed)
    lengths = torch.unique_consecutive(groups, return_counts=True)[1]
    table = _Table(expert_ids.long(), labels.long(), given, lengths)
    controls = torch.tensor(
        [table.nmi(table.shuffled(generator))[0] for _ in range(n_shuffles)], dtype=torch.float64
    )
    resamples = torch.tensor(
        [table.nmi(table.labels, table.drawn(generator))[0] for _ in range(n_resamples)],
        dtype=torch.float64,
    )
    nmi, bits = table.nmi(table.labels)
    ends = resamples.quantile(torch.tensor([0.025, 0.975], dtype=torch.float64))
    low, high = (nmi + ends - resamples.mean()).clamp(0, 1).tolist()
    return Specialisation(nmi, low, high, float(controls.mean()), float(controls.max()), bits)


class _Table:
    """Counts the pairs of expert and label, by whole numbers that name a pair."""

    def __init__(
        self,
        expert_ids: Int[Tensor, "T K"],
        labels: Int[Tensor, "T"],
        given: Int[Tensor, "T"] | None,
        lengths: Int[Tensor, "G"],
    ) -> None:
        experts = expert_ids.unique(return_inverse=True)[1]  # those that occur, without gaps
        self.labels = labels.unique(return_inverse=True)[1]
        known = torch.zeros_like(labels) if given is None else given.unique(return_inverse=True)[1]
        self.shape = [int(part.max()) + 1 for part in (known, experts, self.labels)]
        self.rows = (known.unsqueeze(1) * self.shape[1] + experts) * self.shape[2]
        self.top_k = expert_ids.shape[1]
        self.lengths = lengths
        self.starts = lengths.cumsum(0) - lengths
        self.group = torch.arange(len(lengths)).repeat_interleave(lengths)
        self.offset = torch.arange(len(labels)) - self.starts[self.group]

    def nmi(
        self, labels: Int[Tensor, "T"], weights: Float[Tensor, "G"] | None = None
    ) -> tuple[float, float]:
        """Normalised, and in bits; `weights` says how often each group counts."""
        each = None if weights is None else weights[self.group].repeat_interleave(self.top_k)
        cells = (self.rows + labels.unsqueeze(1)).flatten()
        counts = torch.bincount(cells, each, math.prod(self.shape)).view(self.shape).double()
        return normalised_mutual_information(counts), mutual_information(counts)

    def shuffled(self, generator: torch.Generator) -> Int[Tensor, "T"]:
        """Each group gets the labels of another, from a random place on, round and round."""
        other = torch.randperm(len(self.lengths), generator=generator)
        begin = torch.rand(len(other), generator=generator, dtype=torch.float64)
        length = self.lengths[other][self.group]
        first = (begin[self.group] * length).long()
        return self.labels[self.starts[other][self.group] + (self.offset + first) % length]

    def drawn(self, generator: torch.Generator) -> Float[Tensor, "G"]:
        """How often each group is drawn, in as many draws with replacement as there are groups."""
        n = len(self.lengths)
        draws = torch.randint(n, (n,), generator=generator)
        return torch.bincount(draws, minlength=n).double()


def _check(
    labels: Int[Tensor, "T"], groups: Int[Tensor, "T"], n_shuffles: int, n_resamples: int
) -> None:
    n_groups = len(groups.unique())
    if n_groups < 2:
        raise InputError(f"groups must hold at least 2 groups to shuffle labels, got {n_groups}")
    n_runs = len(torch.unique_consecutive(groups))
    if n_runs != n_groups:
        raise InputError(
            f"the tokens of a group must stand together, got {n_runs} runs of {n_groups} groups"
        )
    if min(n_shuffles, n_resamples) < 1:
        raise InputError(
            f"n_shuffles and n_resamples must be at least 1, got {n_shuffles} and {n_resamples}"
        )
