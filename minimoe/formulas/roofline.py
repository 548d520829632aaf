"""Seconds that a layer should take, by the roofline model."""

from dataclasses import dataclass
from typing import Literal

from minimoe.config import InputError, MoEConfig
from minimoe.formulas.memory import expected_experts, moe_elements, swiglu_elements

Bound = Literal["compute", "memory", "overhead"]


@dataclass(frozen=True)
class MachinePeak:
    """What this machine can do at best, measured on the spot with the threads it has now.

    Attributes:
        flops_per_second: of a large matrix product, 2 for each multiply-add.
        bytes_per_second: of a large copy, each byte read and written counted.
        seconds_per_operation: of the smallest tensor operation, nearly all of it overhead.
    """

    flops_per_second: float
    bytes_per_second: float
    seconds_per_operation: float


@dataclass(frozen=True)
class Work:
    """What there is to do.

    Attributes:
        flops: of matrix products, 2 for each multiply-add.
        n_bytes: read and written.
        n_operations: tensor operations that are started, views not counted.
    """

    flops: int | float
    n_bytes: int | float
    n_operations: int

    @property
    def intensity(self) -> float:
        """FLOPs per byte, the roofline's horizontal axis; 8 FLOPs on 4 bytes have 2."""
        return self.flops / self.n_bytes


@dataclass(frozen=True)
class Prediction:
    """Seconds that a machine at its peak would need, by what it would spend them on."""

    compute_seconds: float
    memory_seconds: float
    overhead_seconds: float

    @property
    def seconds(self) -> float:
        """The larger of compute and memory, which overlap, and the overhead: (1, 3, 2) takes 5."""
        return max(self.compute_seconds, self.memory_seconds) + self.overhead_seconds

    @property
    def bound(self) -> Bound:
        """What takes longest of the three; (1, 3, 2) is bound by memory."""
        longest = max(self.compute_seconds, self.memory_seconds, self.overhead_seconds)
        if longest == self.compute_seconds:
            return "compute"
        return "memory" if longest == self.memory_seconds else "overhead"

    def error(self, measured: float) -> float:
        """How far the prediction lies from the measured seconds, relative to them.

        Returns:
            Predicted / measured - 1: -0.5 if it really takes twice as long, 0 if it fits.

        Raises:
            InputError: measured is not above 0.
        """
        if not measured > 0:
            raise InputError(f"measured must be above 0 seconds, got {measured}")
        return self.seconds / measured - 1


def predicted_seconds(
    flops: int | float, n_bytes: int | float, n_operations: int, peak: MachinePeak
) -> Prediction:
    """Predict the time of some work by the roofline model, and the cost of starting it.

    Arithmetic and memory overlap, so the slower of both counts (Williams, Waterman and Patterson
    2009, doi 10.1145/1498765.1498785); starting an operation overlaps with neither, which the
    roofline does not have and small layers feel.

    Args:
        flops, n_bytes, n_operations: the work, each at least 0.
        peak: the machine.

    Returns:
        Seconds. 10 FLOPs, 6 bytes and 2 operations on a machine of 10 FLOPs and 2 bytes a second
        and half a second an operation: 1 of compute, 3 of memory and 1 of overhead, 4 together.

    Raises:
        InputError: an argument is below 0.
    """
    work = {"flops": flops, "n_bytes": n_bytes, "n_operations": n_operations}
    for name, value in work.items():
        if not value >= 0:
            raise InputError(f"{name} must be at least 0, got {value}")
    return Prediction(
        compute_seconds=flops / peak.flops_per_second,
        memory_seconds=n_bytes / peak.bytes_per_second,
        overhead_seconds=n_operations * peak.seconds_per_operation,
    )


def dense_work(
    d_model: int, d_ff: int, n_tokens: int, itemsize: int, *, backward: bool = False
) -> Work:
    """The work of a dense SwiGLU without biases.

    Weights are read once, and activations once by each operation (`swiglu_elements`). With
    backward there are three times the FLOPs, and the weights move three times: read again for the
    gradient of the input, and their own gradient is written.

    Args:
        d_model, d_ff: widths (D, F).
        n_tokens: tokens of the batch (T).
        itemsize: bytes of one number.
        backward: forward and backward.

    Returns:
        6 * T * D * F FLOPs in 4 operations; with backward 18 * T * D * F in 12. For D=64, F=32,
        T=16 and 4 bytes: 196,608 FLOPs on 49,152 bytes.

    Raises:
        InputError: a number is below 1.
    """
    _check(d_model=d_model, d_ff=d_ff, n_tokens=n_tokens, itemsize=itemsize)
    passes, weights = (3 if backward else 1), 3 * d_model * d_ff
    activations = n_tokens * swiglu_elements(d_model, d_ff, backward=backward)
    return Work(
        flops=passes * 2 * n_tokens * weights,
        n_bytes=itemsize * (passes * weights + activations),
        n_operations=4 * passes,
    )


def layer_work(
    config: MoEConfig, n_tokens: int, itemsize: int, *, backward: bool = False, n_cores: int = 1
) -> Work:
    """The work of one dropless MoE layer, whose experts each core computes on its own.

    That is what "auto" takes on a CPU; another `experts_way` moves more. Of the routed experts
    those are read that an even choice is expected to reach (`expected_experts`); activations as in
    `moe_elements`. With backward there are three times the FLOPs, and the gradient is written for
    the stacked weights of all experts. Operations are those of a router with softmax and normalized
    weights; another rule has a few more or less.

    Args:
        config: the layer's.
        n_tokens: tokens of the batch (T).
        itemsize: bytes of one number.
        backward: forward and backward.
        n_cores: that start the experts' operations at the same time.

    Returns:
        24 operations and 6 an expert, shared by the cores; with backward 43 and 22. Shared experts
        add 5 and 14, their gate 3 and 10. One token alone, without backward, has 11 + 2 * K. On two
        cores and 4 bytes, Mixtral's layer (D=4096, F=14336, E=8, K=2) does 704,708,608 FLOPs for
        one token in 15 operations and reads 1,409,417,216 bytes of weights: half a FLOP a byte, as
        every decoder of one token; for two tokens there are 48 operations.

    Raises:
        InputError: a number is below 1.
    """
    _check(n_tokens=n_tokens, itemsize=itemsize, n_cores=n_cores)
    d_model, d_expert, n_experts = config.d_model, config.d_expert, config.n_routed_experts
    shared = 3 * d_model * config.shared_width + config.gate_shared * d_model
    used_by_all = n_experts * d_model + shared
    multiplied = used_by_all + config.top_k * 3 * d_model * d_expert
    expert = 3 * d_model * d_expert + config.biased_experts * (2 * d_expert + d_model)
    reached = expected_experts(n_experts, config.top_k, n_tokens)
    has_shared = config.shared_width > 0
    if backward:
        passes, weights = 3, 3 * used_by_all + (2 * reached + n_experts) * expert
        n_operations = 43 + -(-22 * n_experts // n_cores)
        n_operations += 14 * has_shared + 10 * config.gate_shared
    else:
        passes, weights = 1, used_by_all + reached * expert
        several = 24 + -(-6 * n_experts // n_cores)
        n_operations = 11 + 2 * config.top_k if n_tokens == 1 else several
        n_operations += 5 * has_shared + 3 * config.gate_shared
    return Work(
        flops=passes * 2 * n_tokens * multiplied,
        n_bytes=itemsize * (weights + n_tokens * moe_elements(config, backward=backward)),
        n_operations=n_operations,
    )


def _check(**numbers: int) -> None:
    for name, value in numbers.items():
        if value < 1:
            raise InputError(f"{name} must be at least 1, got {value}")
