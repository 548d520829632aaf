"""Lines broken on purpose, and the tests that must notice.

python tests/mutants.py                 break every line in turn; one row each
python tests/mutants.py NAME ...        only these
python tests/mutants.py --all-tests NAME ...   list every fast test that notices

A mutant is one wrong line in a copy of the project. It is caught when one of its tests fails. A
line that moves or changes must be adapted in the table: `test_mutants.py` checks it.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
COPIED = ("minimoe", "notebooks", "tests", "pyproject.toml", "README.md")
SLOW = ("bench", "browser", "cli", "granularity", "notebooks", "sweep", "tour", "trained")


@dataclass(frozen=True)
class Mutant:
    """One line of `file` in which `right` becomes `wrong`; `tests` are arguments of pytest."""

    name: str
    file: str
    right: str
    wrong: str
    tests: str

    def break_(self, project: Path) -> None:
        """Break the line in a copy of the project; `right` must stand in its file exactly once."""
        path = project / self.file
        text = path.read_text(encoding="utf-8")
        found = text.count(self.right)
        if found != 1:
            sys.exit(f"{self.name}: {self.right!r} must stand once in {self.file}, found {found}")
        path.write_text(text.replace(self.right, self.wrong), encoding="utf-8")


def run(mutant: Mutant, all_tests: bool) -> list[str]:
    """Run the tests against a broken copy.

    Returns:
        The tests that fail: the first of the mutant's own, or each of the fast ones.
    """
    with tempfile.TemporaryDirectory(prefix="mutant-") as name:
        project = Path(name)
        for part in COPIED:
            source = PROJECT / part
            copy = shutil.copytree if source.is_dir() else shutil.copy
            copy(source, project / part)
        mutant.break_(project)
        skipped = [f"--ignore=tests/test_{slow}.py" for slow in SLOW]
        wanted = ["tests", *skipped] if all_tests else ["-x", *mutant.tests.split()]
        ended = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "--tb=no", "-p", "no:cacheprovider", *wanted],
            cwd=project,
            env={**os.environ, "PYTHONPATH": name, "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
        )
    if ended.returncode not in (0, 1):
        sys.exit(f"{mutant.name}: pytest could not run its tests\n{ended.stdout}{ended.stderr}")
    return re.findall(r"^(?:FAILED|ERROR) tests/(.+?)(?: - .*)?$", ended.stdout, re.M)


def main() -> int:
    """Run the chosen mutants; return 1 if one survives."""
    parser = argparse.ArgumentParser(description="Break lines on purpose, see which test notices.")
    parser.add_argument("names", nargs="*", help="mutants to run; default: all")
    parser.add_argument("--all-tests", action="store_true", help="run every fast test")
    options = parser.parse_args()
    known = {mutant.name: mutant for mutant in MUTANTS}
    if unknown := set(options.names) - set(known):
        parser.error(f"no mutant {', '.join(unknown)}; there are: {', '.join(known)}")
    survivors = 0
    for name in options.names or known:
        began = time.perf_counter()
        caught_by = run(known[name], options.all_tests)
        survivors += not caught_by
        seconds = time.perf_counter() - began
        print(f"{name:42} {seconds:4.0f} s  {' '.join(caught_by) or 'SURVIVED'}", flush=True)
    return int(survivors > 0)


MUTANTS = (
    # The model -----------------------------------------------------------------------------------
    Mutant(
        "selection bias in the weights",
        "minimoe/model/routing.py",
        "weights = scores.gather(-1, expert_ids)",
        "weights = selection_scores.gather(-1, expert_ids)",
        "tests/test_routing.py",
    ),
    Mutant(
        "noise in the scores",
        "minimoe/model/routing.py",
        "scores = score(logits, config)",
        "scores = score(logits if noise is None else logits + noise, config)",
        "tests/test_routing.py",
    ),
    Mutant(
        "weights not normalised",
        "minimoe/model/routing.py",
        "weights = weights / total",
        "weights = weights + 0 * total",
        "tests/test_routing.py",
    ),
    Mutant(
        "capacity rounded down",
        "minimoe/model/capacity.py",
        "return math.ceil(round(per_expert, 9))",
        "return math.floor(per_expert)",
        "tests/test_routing.py",
    ),
    Mutant(
        "capacity of 110.00000000000001",
        "minimoe/model/capacity.py",
        "return math.ceil(round(per_expert, 9))",
        "return math.ceil(per_expert)",
        "tests/test_routing.py",
    ),
    Mutant(
        "one assignment more than the capacity",
        "minimoe/model/capacity.py",
        ".view_as(expert_ids) < limit",
        ".view_as(expert_ids) <= limit",
        "tests/test_routing.py",
    ),
    Mutant(
        "masked groups score 0",
        "minimoe/model/selection.py",
        "allowed.unsqueeze(-1) == 0, -math.inf",
        "allowed.unsqueeze(-1) == 0, 0.0",
        "tests/test_routing.py",
    ),
    Mutant(
        "unstable ties of few tokens",
        "minimoe/fast/sort.py",
        "values.sort(dim=-1, descending=True, stable=True).indices[:, :k]",
        "(values.shape[1] - 1 - values.flip(-1).sort(dim=-1, descending=True).indices)[:, :k]",
        "tests/test_routing.py",
    ),
    Mutant(
        "unstable ties of many tokens",
        "minimoe/fast/sort.py",
        "if not (top.values[:, 1:] == top.values[:, :-1]).any():",
        "if True:",
        "tests/test_fast.py",
    ),
    Mutant(
        "outputs summed without weights",
        "minimoe/model/dispatch.py",
        "rows * weights.flatten()[plan.slots].unsqueeze(-1)",
        "rows * 1",
        "tests/test_experts.py",
    ),
    Mutant(
        "wrong tokens dispatched",
        "minimoe/model/dispatch.py",
        "x.index_select(0, plan.token_ids)",
        "x.index_select(0, plan.token_ids.flip(0))",
        "tests/test_experts.py",
    ),
    Mutant(
        "SwiGLU gates with the other half",
        "minimoe/model/feed_forward.py",
        "return nn.functional.silu(gate) * up",
        "return gate * nn.functional.silu(up)",
        "tests/test_experts.py",
    ),
    Mutant(
        "clamped gate without + 1",
        "minimoe/model/feed_forward.py",
        "return (up + 1) * gate",
        "return up * gate",
        "tests/test_experts.py",
    ),
    Mutant(
        "shared gate without sigmoid",
        "minimoe/model/moe.py",
        "torch.sigmoid(nn.functional.linear(x, self.shared_gate))",
        "nn.functional.linear(x, self.shared_gate)",
        "tests/test_experts.py",
    ),
    Mutant(
        "slope of silu by hand",
        "minimoe/fast/cores.py",
        "torch.addcmul(silu, silu, s, value=-1).add_(s)",
        "torch.addcmul(silu, silu, s, value=-1)",
        "tests/test_fast.py",
    ),
    Mutant(
        "norm divides by the sum of squares",
        "minimoe/fast/gradients.py",
        "norm.square_().div_(x.shape[-1])",
        "norm.square_()",
        "tests/test_fast.py",
    ),
    Mutant(
        "rotary phase starts at 0 with a cache",
        "minimoe/model/transformer.py",
        "torch.arange(n_read, n_read + tokens.shape[1]",
        "torch.arange(0, tokens.shape[1]",
        "tests/test_transformer.py",
    ),
    Mutant(
        "rotary phase turns backwards",
        "minimoe/model/rotary.py",
        "first * by.cos - second * by.sin, second * by.cos + first * by.sin",
        "first * by.cos + second * by.sin, second * by.cos - first * by.sin",
        "tests/test_attention.py",
    ),
    Mutant(
        "no causal mask",
        "minimoe/model/attention.py",
        "is_causal=causal",
        "is_causal=False",
        "tests/test_attention.py",
    ),
    Mutant(
        "cache mask starts at 0",
        "minimoe/model/attention.py",
        "own = n_seen - n_new",
        "own = 0",
        "tests/test_attention.py",
    ),
    Mutant(
        "window one position too wide",
        "minimoe/model/attention.py",
        "seen.triu(own - window + 1)",
        "seen.triu(own - window)",
        "tests/test_attention.py",
    ),
    Mutant(
        "no residual around attention",
        "minimoe/model/transformer.py",
        "x = x + self.attention(",
        "x = 0 * x + self.attention(",
        "tests/test_transformer.py",
    ),
    Mutant(
        "temperature multiplies",
        "minimoe/model/generation.py",
        "(logits / temperature)",
        "(logits * temperature)",
        "tests/test_transformer.py",
    ),
    # Training ------------------------------------------------------------------------------------
    Mutant(
        "P over the chosen experts",
        "minimoe/training/balance.py",
        "probabilities = scores / scores.sum",
        "scores = torch.zeros_like(scores).scatter(-1, expert_ids, scores.gather(-1, expert_ids))\n"
        "    probabilities = scores / scores.sum",
        "tests/test_balance.py",
    ),
    Mutant(
        "padding in the balance loss",
        "minimoe/training/balance.py",
        "routing = routing.of(mask)",
        "routing = routing.of(None)",
        "tests/test_balance.py",
    ),
    Mutant(
        "z loss not squared",
        "minimoe/training/balance.py",
        "logits.logsumexp(-1).square().mean()",
        "logits.logsumexp(-1).mean()",
        "tests/test_balance.py",
    ),
    Mutant(
        "selection bias moves the wrong way",
        "minimoe/training/balance.py",
        "counts.sum() - len(counts) * counts",
        "len(counts) * counts - counts.sum()",
        "tests/test_balance.py",
    ),
    Mutant(
        "gradients of two steps add up",
        "minimoe/training/loop.py",
        "run.optimizer.zero_grad(set_to_none=True)",
        "pass",
        "tests/test_training.py",
    ),
    Mutant(
        "learning rate rises after warm-up",
        "minimoe/training/loop.py",
        "left = (1 + math.cos(",
        "left = (1 - math.cos(",
        "tests/test_training.py",
    ),
    Mutant(
        "stacked biases decay",
        "minimoe/model/experts.py",
        "self.gate_up_bias = zeros(n_experts, 2 * d_expert)",
        "self.gate_up_bias = matrix(n_experts, 2 * d_expert)",
        "tests/test_training.py",
    ),
    Mutant(
        "reported loss holds the auxiliary losses",
        "minimoe/training/loop.py",
        "cross_entropy=language.item()",
        "cross_entropy=loss.item()",
        "tests/test_training.py",
    ),
    Mutant(
        "the same noise at every step",
        "minimoe/training/loop.py",
        'derived_seed(config.seed, run.step, "router noise")',
        'derived_seed(config.seed, 0, "router noise")',
        "tests/test_training.py",
    ),
    Mutant(
        "history lost on resuming",
        "minimoe/training/checkpoint.py",
        'run.history = state["history"]',
        "run.history = []",
        "tests/test_checkpoint.py",
    ),
    # Data ----------------------------------------------------------------------------------------
    Mutant(
        "validation documents in training",
        "minimoe/data/text.py",
        "enumerate(documents, start=1) if i % every",
        "enumerate(documents, start=1) if i",
        "tests/test_text.py",
    ),
    Mutant(
        "near-identical lines leak",
        "minimoe/data/text.py",
        "for line, key in keys if key not in trained",
        "for line, key in keys if line not in trained",
        "tests/test_text.py",
    ),
    Mutant(
        "one new line is always enough",
        "minimoe/data/text.py",
        "n_new >= new_share * len",
        "n_new >= 0 * len",
        "tests/test_text.py",
    ),
    Mutant(
        "lines without letters are all alike",
        "minimoe/data/text.py",
        "return [key or line.strip() for",
        "return [key for",
        "tests/test_text.py",
    ),
    Mutant(
        "bytes of another domain",
        "minimoe/data/text.py",
        "order = ids.argsort(stable=True)",
        "order = ids.argsort(descending=True)",
        "tests/test_text.py",
    ),
    Mutant(
        "vulgar entries",
        "minimoe/data/packaged.py",
        ' and "vulgar" not in key',
        "",
        "tests/test_text.py",
    ),
    Mutant(
        "tests of a folder on the other side",
        "minimoe/data/packaged.py",
        '.partition("/tests")',
        '.partition("/no tests")',
        "tests/test_text.py",
    ),
    Mutant(
        "stretches across two chunks are lost",
        "minimoe/measure/leakage.py",
        "start + CHUNK + window - 1",
        "start + CHUNK",
        "tests/test_leakage.py",
    ),
    Mutant(
        "a stretch is its second half",
        "minimoe/measure/leakage.py",
        "mixed = left * factor",
        "mixed = left * 0",
        "tests/test_leakage.py",
    ),
    Mutant(
        "articles without a topic have no domain",
        "minimoe/data/encyclopedia.py",
        '.replace("uncategorized", OTHER)',
        "",
        "tests/test_encyclopedia.py",
    ),
    Mutant(
        "another text is accepted",
        "minimoe/data/sources.py",
        "if digest != source.sha256:",
        "if not digest:",
        "tests/test_text.py",
    ),
    Mutant(
        "hidden files are read",
        "minimoe/data/folder.py",
        'any(part.startswith(".") for part in name)',
        "not name",
        "tests/test_folder.py",
    ),
    Mutant(
        "the same batch at every step",
        "minimoe/data/batches.py",
        "generator_of(seed, step)",
        "generator_of(seed, 0)",
        "tests/test_batches.py",
    ),
    Mutant(
        "targets are the inputs",
        "minimoe/data/batches.py",
        "positions[:, :-1], positions[:, 1:]",
        "positions[:, :-1], positions[:, :-1]",
        "tests/test_batches.py",
    ),
    Mutant(
        "domains of the inputs",
        "minimoe/data/batches.py",
        "corpus.domain_ids[targets]",
        "corpus.domain_ids[inputs]",
        "tests/test_batches.py",
    ),
    Mutant(
        "last window never drawn",
        "minimoe/data/batches.py",
        "len(corpus.tokens) - length - 1)",
        "len(corpus.tokens) - length - 2)",
        "tests/test_batches.py",
    ),
    Mutant(
        "last target is lost",
        "minimoe/data/batches.py",
        "n_windows = (len(corpus.tokens) - 1) // length",
        "n_windows = (len(corpus.tokens) - 2) // length",
        "tests/test_batches.py",
    ),
    Mutant(
        "first token costs the rate",
        "minimoe/data/languages.py",
        "return start + (length - 1) * self.entropy_bits",
        "return length * self.entropy_bits",
        "tests/test_languages.py",
    ),
    Mutant(
        "chain with several stationary laws",
        "minimoe/data/languages.py",
        "rank[rows, (rows + 1) % n_symbols] = 2.0",
        "rank[rows, rows] = 2.0",
        "tests/test_languages.py",
    ),
    Mutant(
        "seed parts run together",
        "minimoe/randomness.py",
        '" ".join(words)',
        '"".join(words)',
        "tests/test_randomness.py",
    ),
    # Measures ------------------------------------------------------------------------------------
    Mutant(
        "margin of the first choice",
        "minimoe/measure/routes.py",
        "gather(-1, expert_ids).amin(-1)",
        "gather(-1, expert_ids).amax(-1)",
        "tests/test_routes.py",
    ),
    Mutant(
        "coactivation divided by columns",
        "minimoe/measure/routes.py",
        "tokens.clamp_min(1).unsqueeze(1)",
        "tokens.clamp_min(1).unsqueeze(0)",
        "tests/test_routes.py",
    ),
    Mutant(
        "removed expert does not return",
        "minimoe/measure/routes.py",
        "router.expert_bias = before",
        "pass",
        "tests/test_routes.py",
    ),
    Mutant(
        "information over the larger entropy",
        "minimoe/measure/specialisation.py",
        "most = expert + label + given - _bits(p), min(expert, label)",
        "most = expert + label + given - _bits(p), max(expert, label)",
        "tests/test_specialisation.py",
    ),
    Mutant(
        "control keeps the windows",
        "minimoe/measure/specialisation.py",
        "torch.randperm(len(self.lengths), generator=generator)",
        "torch.arange(len(self.lengths))",
        "tests/test_specialisation.py",
    ),
    Mutant(
        "interval with the bootstrap's shift",
        "minimoe/measure/specialisation.py",
        "(nmi + ends - resamples.mean())",
        "(ends + 0 * nmi)",
        "tests/test_specialisation.py",
    ),
    Mutant(
        "all experts idle",
        "minimoe/formulas/parameters.py",
        "n_moe * (n_experts - top_k) * expert.weights",
        "n_moe * n_experts * expert.weights",
        "tests/test_parameters.py",
    ),
    Mutant(
        "backward costs as much as forward",
        "minimoe/formulas/flops.py",
        "return 3 * (self.weights + self.attention)",
        "return 2 * (self.weights + self.attention)",
        "tests/test_flops.py",
    ),
    Mutant(
        "cache of keys without values",
        "minimoe/formulas/memory.py",
        "config.n_layers * 2 * attention.n_kv_heads",
        "config.n_layers * attention.n_kv_heads",
        "tests/test_memory.py",
    ),
    Mutant(
        "energy counter that starts anew",
        "minimoe/measure/energy.py",
        "(after[zone] - before[zone]) % ranges[zone]",
        "(after[zone] - before[zone])",
        "tests/test_energy.py",
    ),
    # The zoo, files, pages, notebooks -------------------------------------------------------------
    Mutant(
        "stored matrices not transposed",
        "minimoe/zoo/tensors.py",
        "lambda tensor: tensor.mT,  # stored",
        "lambda tensor: tensor,  # stored",
        "tests/test_weights.py",
    ),
    Mutant(
        "gate and up exchanged",
        "minimoe/zoo/tensors.py",
        "lambda tensor: tensor.chunk(2)[0]",
        "lambda tensor: tensor.chunk(2)[1]",
        "tests/test_weights.py",
    ),
    Mutant(
        "file written in place",
        "minimoe/files.py",
        "os.replace(name, target)",
        "target.write_bytes(Path(name).read_bytes())",
        "tests/test_files.py",
    ),
    Mutant(
        "Chinese characters of width 1",
        "minimoe/show/tables.py",
        'unicodedata.east_asian_width(char) in "WF"',
        'unicodedata.east_asian_width(char) in ""',
        "tests/test_tables.py",
    ),
    Mutant(
        "page ranks by count where lift is asked",
        "minimoe/show/explorer.js",
        "b.lift - a.lift || byCount(a, b)",
        "byCount(a, b)",
        "tests/test_browser.py",
    ),
    Mutant(
        "notebooks built with any backend",
        "notebooks/build.py",
        "{**os.environ, **ENVIRONMENT}",
        "dict(os.environ)",
        "tests/test_notebooks.py -k two_builds",
    ),
    Mutant(
        "a student edition with exercises that is not run",
        "notebooks/conftest.py",
        "code(path) == code(checked)",
        "True",
        "tests/test_notebooks.py -k student_edition_is_run",
    ),
    Mutant(
        "a line more in a student edition that is not run",
        "notebooks/conftest.py",
        r'r"\A#.*\n", "",',
        r'r"\A#.*\n|\n.*", "",',
        "tests/test_notebooks.py -k one_line_more",
    ),
    # The fast path, transformed execution, and training -------------------------------------
    Mutant(
        "experts on cores with a neighbour's row",
        "minimoe/fast/cores.py",
        "tokens, h = token[start:end], hidden[start:end]",
        "tokens, h = token[start:end].flip(0), hidden[start:end]",
        "tests/test_fast.py",
    ),
    Mutant(
        "fast path under torch.func",
        "minimoe/fast/__init__.py",
        "torch._C._are_functorch_transforms_active()",
        "False",
        "tests/test_transforms.py",
    ),
    Mutant(
        "fast path under autocast",
        "minimoe/fast/__init__.py",
        'and not torch.is_autocast_enabled("cpu")',
        "and True",
        "tests/test_fast.py",
    ),
    Mutant(
        "fast path under torch.compile",
        "minimoe/fast/__init__.py",
        "not torch.compiler.is_compiling()",
        "True",
        "tests/test_fast.py",
    ),
    Mutant(
        "second derivative counts a path twice",
        "minimoe/fast/gradients.py",
        "[tensor.view_as(tensor) for tensor in inputs]",
        "list(inputs)",
        "tests/test_transforms.py",
    ),
    Mutant(
        "router in 16 bits under autocast",
        "minimoe/model/routing.py",
        "with torch.autocast(device, enabled=False):",
        "with torch.autocast(device):",
        "tests/test_transforms.py",
    ),
    Mutant(
        "noise from the state of a generator",
        "minimoe/randomness.py",
        "part.initial_seed()",
        "part.seed()",
        "tests/test_transforms.py",
    ),
    Mutant(
        "dropped rows computed",
        "minimoe/model/fixed_shapes.py",
        "own = (place < ends[expert]) &",
        "own = (place <= ends[expert]) &",
        "tests/test_transforms.py",
    ),
    Mutant(
        "padding in the selection bias",
        "minimoe/training/loop.py",
        "update_expert_bias_(layer.router, routing.of(mask), config.expert_bias_rate)",
        "update_expert_bias_(layer.router, routing, config.expert_bias_rate)",
        "tests/test_training.py",
    ),
    Mutant(
        "padding in the cross-entropy",
        "minimoe/training/loop.py",
        "(nats if batch.mask is None else nats[batch.mask]).mean()",
        "nats.mean()",
        "tests/test_training.py",
    ),
    Mutant(
        "Ctrl-C is forgotten",
        "minimoe/training/loop.py",
        "    if pressed:\n        raise KeyboardInterrupt",
        "    if pressed:\n        pass",
        "tests/test_training.py",
    ),
    Mutant(
        "frozen parameters thaw",
        "minimoe/training/checkpoint.py",
        '    for name in state["frozen"]:',
        "    for name in []:",
        "tests/test_checkpoint.py",
    ),
    Mutant(
        "names of a compiled model",
        "minimoe/training/checkpoint.py",
        'name.replace("_orig_mod.", "")',
        "name",
        "tests/test_checkpoint.py",
    ),
    # The tour ------------------------------------------------------------------------------------
    Mutant(
        "t of one seed more",
        "minimoe/measure/comparison.py",
        "half = _T_975[n - 2]",
        "half = _T_975[n - 1]",
        "tests/test_comparison.py",
    ),
    Mutant(
        "a winner although the interval holds 0",
        "minimoe/show/comparison.py",
        "if low <= 0 <= high:",
        "if low == high:",
        "tests/test_tour.py",
    ),
    Mutant(
        "every seed reads the same batches",
        "minimoe/experiments/tour/__init__.py",
        "length=LENGTH, seed=seed)",
        "length=LENGTH)",
        "tests/test_tour.py",
    ),
    Mutant(
        "compared where only some runs have arrived",
        "minimoe/experiments/tour/comparing.py",
        "spent = min(",
        "spent = max(",
        "tests/test_tour.py",
    ),
    Mutant(
        "a budget decays one step late",
        "minimoe/experiments/runner.py",
        "steps=config.decay_begins",
        "steps=config.decay_begins + 1",
        "tests/test_experiment.py",
    ),
    Mutant(
        "a budget goes on with the trunk itself",
        "minimoe/experiments/runner.py",
        "run = copy.deepcopy(trunk)",
        "run = trunk",
        "tests/test_experiment.py",
    ),
    Mutant(
        "a trunk behind its rows",
        "minimoe/experiments/runner.py",
        "steps for steps in entry.budgets if steps not in done",
        "steps for steps in entry.budgets",
        "tests/test_experiment.py",
    ),
    Mutant(
        "a half line stays in the file",
        "minimoe/experiments/rows.py",
        "file.truncate(whole)",
        "file.truncate()",
        "tests/test_experiment.py",
    ),
    Mutant(
        "designs start with outputs of their own size",
        "minimoe/experiments/matched_start.py",
        "ratio = target / float(y.std())",
        "ratio = 1.0",
        "tests/test_experiment.py",
    ),
    Mutant(
        "the shared expert starts unscaled",
        "minimoe/experiments/matched_start.py",
        "(layer.experts, layer.shared) if",
        "(layer.experts,) if",
        "tests/test_experiment.py",
    ),
    Mutant(
        "a dead router that chooses",
        "minimoe/experiments/wrong_routers.py",
        "route(logits * 0,",
        "route(logits,",
        "tests/test_experiment.py",
    ),
    Mutant(
        "a frozen router that learns",
        "minimoe/experiments/wrong_routers.py",
        "logits.detach()",
        "logits",
        "tests/test_experiment.py",
    ),
    Mutant(
        "no routed expert in place of the shared",
        "minimoe/experiments/without_shared.py",
        "top_k=moe.top_k + n_more",
        "top_k=moe.top_k",
        "tests/test_experiment.py",
    ),
    Mutant(
        "the rate never falls from its plateau",
        "minimoe/training/loop.py",
        "left = 1 - progress",
        "left = 1.0",
        "tests/test_training.py",
    ),
    Mutant(
        "the smallest visible effect is what is found in half of the cases",
        "minimoe/measure/comparison.py",
        "(_T_975[n - 2] + _T_800[n - 2])",
        "_T_975[n - 2]",
        "tests/test_comparison.py",
    ),
    Mutant(
        "costs interpolated on a straight line",
        "minimoe/measure/comparison.py",
        "logs = [log(float(cost)) for cost in costs]",
        "logs = [float(cost) for cost in costs]",
        "tests/test_comparison.py",
    ),
    Mutant(
        "a curved interpolation that is straight",
        "minimoe/measure/comparison.py",
        "key=lambda n: abs(at[n] - x))[:1]",
        "key=lambda n: abs(at[n] - x))[:0]",
        "tests/test_comparison.py",
    ),
    Mutant(
        "a lack of fit that forgets the numbers of the law",
        "minimoe/measure/law.py",
        "(missed / left) /",
        "(missed / len(points)) /",
        "tests/test_comparison.py",
    ),
    Mutant(
        "a law whose gain ignores the tokens",
        "minimoe/measure/law.py",
        '"g": s * size * tokens',
        '"g": s * size**2',
        "tests/test_comparison.py",
    ),
    Mutant(
        "a domain's bytes counted once a window",
        "minimoe/training/reading.py",
        "int(n) / int(size)",
        "int(n) / int(size) / config.length",
        "tests/test_training.py",
    ),
)

if __name__ == "__main__":
    sys.exit(main())
