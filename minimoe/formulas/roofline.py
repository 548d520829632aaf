"""Time of a layer, predicted by the roofline model."""

from dataclasses import dataclass
from typing import Literal

from minimoe.config import InputError, MoEConfig
from minimoe.formulas.memory import expected_experts, moe_elements, swiglu_elements


@dataclass(frozen=True)
class MachinePeak:
    """The best rates of a machine (`minimoe.measure.timing.measure_peak` measures them).

    FLOPs are of a large matrix product (a multiply-add is two), bytes of a large copy (read and
    written), seconds of the smallest tensor operation, nearly all of it overhead.
    """

    flops_per_second: float
    bytes_per_second: float
    seconds_per_operation: float


@dataclass(frozen=True)
class Work:
    """FLOPs of matrix products, bytes read and written, tensor operations started (not views)."""

    flops: int | float
    n_bytes: int | float
    n_operations: int


@dataclass(frozen=True)
class Prediction:
    """Seconds that a machine at its peak spends on compute, on memory and on overhead."""

    compute_seconds: float
    memory_seconds: float
    overhead_seconds: float

    @property
    def seconds(self) -> float:
        """The larger of compute and memory, plus the overhead; (1, 3, 2) takes 5 s."""
        return max(self.compute_seconds, self.memory_seconds) + self.overhead_seconds

    @property
    def bound(self) -> Literal["compute", "memory", "overhead"]:
        """The largest of the three; (1, 3, 2) is bound by memory."""
        longest = max(self.compute_seconds, self.memory_seconds, self.overhead_seconds)
        if longest == self.compute_seconds:
            return "compute"
        return "memory" if longest == self.memory_seconds else "overhead"

    def error(self, measured: float) -> float:
        """Predicted / measured - 1: 0 if they agree, -0.5 if the run takes twice as long."""
        if not measured > 0:
            raise InputError(f"measured must be above 0 seconds, got {measured}")
        return self.seconds / measured - 1


def predicted_seconds(
    flops: int | float, n_bytes: int | float, n_operations: int, peak: MachinePeak
) -> Prediction:
    """Predict the time of some work by the roofline model, plus the cost of starting it.

    Arithmetic and memory traffic overlap, so the slower one decides (Williams, Waterman and
    Patterson 2009, doi 10.1145/1498765.1498785). Starting an operation overlaps with neither. The
    roofline model has no such term, but small layers need it.

    Returns:
        Seconds. Take a machine of 10 FLOPs a second, 2 bytes a second and 0.5 s an operation. On
        it, 10 FLOPs, 6 bytes and 2 operations take 1 s, 3 s and 1 s: 4 s together.
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
    """Compute the work of a dense SwiGLU without biases.

    Weights are read once, and each operation reads and writes its activations once
    (`swiglu_elements`). With backward, the FLOPs triple. The weights move three times: they are
    read again for the gradient of the input, and their own gradient is written.

    Args:
        d_model, d_ff, n_tokens: widths D and F, tokens T of the batch.
        itemsize: bytes of one number.
        backward: forward and backward.

    Returns:
        6 * T * D * F FLOPs in 4 operations; with backward 18 * T * D * F in 12. For D=64, F=32,
        T=16 and 4 bytes: 196,608 FLOPs and 49,152 bytes.
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
    """Compute the work of one dropless MoE layer on a CPU, its experts shared by the cores.

    The weights read are those of the experts that an even choice is expected to reach
    (`expected_experts`); activations are as in `moe_elements`. With backward, the FLOPs triple
    and the gradient of all experts' weights is written. The operations are those of a router with
    softmax and normalized weights; other rules take a few more or less.

    Args:
        n_tokens, itemsize, backward: as in `dense_work`.
        n_cores: cores that start the experts' operations at the same time.

    Returns:
        Operations: 23 and 6 an expert, shared by the cores; with backward 42 and 22. Shared
        experts add 5 (14 with backward), their gate adds 3 (10). A single token without backward
        takes 11 + 2 * K. Mixtral's layer (D=4096, F=14336, E=8, K=2) on two cores with 4 bytes
        does 704,708,608 FLOPs for one token in 15 operations. It reads 1,409,417,216 bytes of
        weights: half a FLOP a byte. Two tokens take 47 operations.
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
        n_operations = 42 + -(-22 * n_experts // n_cores)
        n_operations += 14 * has_shared + 10 * config.gate_shared
    else:
        passes, weights = 1, used_by_all + reached * expert
        several = 23 + -(-6 * n_experts // n_cores)
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
