"""The benchmark: an MoE layer beside a dense one, and beside transformers' layer.

records.py says what is timed and holds what was measured. layers.py and steps.py measure, run.py
runs it all, output.py shows the result.
"""

from minimoe.experiments.bench.output import as_json, report
from minimoe.experiments.bench.run import run_benchmark
