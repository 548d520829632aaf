"""Granularity: many small experts or a few big ones, in models equal in everything else."""

from minimoe.experiments.granularity.layers import (
    combinations,
    finer,
    split_experts,
    without_best,
    without_shared,
)
from minimoe.experiments.granularity.results import (
    TRAINING,
    by_trial,
    comparisons,
    grid,
    name_of,
    record,
    trials,
)
