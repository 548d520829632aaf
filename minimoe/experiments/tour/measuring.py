"""Measurements of the tour's trained models, and the passages that they route."""

from collections.abc import Mapping, Sequence

import torch

from minimoe.data.batches import Batch
from minimoe.data.text import Corpus
from minimoe.experiments.routed import routed_sample
from minimoe.experiments.tour.plan import LENGTH
from minimoe.experiments.tour.turns import Evaluation, Key
from minimoe.formulas.flops import count_flops
from minimoe.formulas.parameters import count_parameters
from minimoe.measure.flops import measured_flops
from minimoe.measure.parameters import touched_parameters
from minimoe.measure.routes import model_load
from minimoe.model.transformer import Transformer
from minimoe.show.comparison import Contender, SeedRun
from minimoe.show.sample import Sample
from minimoe.training.loop import Run

SAMPLE_BYTES = 500


def contender(
    name: str,
    runs: Mapping[Key, Run],
    found: Mapping[Key, Sequence[Evaluation]],
    judged: Sequence[Batch],
) -> Contender:
    """Measure all that the table says of one model; its counts are the same for every seed."""
    own = {seed: run for (of, seed), run in runs.items() if of == name}
    model, tokens = next(iter(own.values())).model, judged[0].inputs[:1]
    touched = touched_parameters(model, tokens[0, :32]).unique()
    if len(touched) != 1:
        raise AssertionError(f"tokens touched {touched.tolist()} parameters: not one number")
    return Contender(
        name=name,
        total_parameters=sum(p.numel() for p in model.parameters()),
        active_parameters=count_parameters(model.config).touched,
        touched_parameters=int(touched),
        flops_per_token=count_flops(model.config, LENGTH).forward // LENGTH,
        measured_flops_per_token=measured_flops(model, tokens) // LENGTH,
        runs=tuple(
            _seed_run(seed, run.model, found[name, seed], judged) for seed, run in own.items()
        ),
    )


def _seed_run(
    seed: int, model: Transformer, evaluations: Sequence[Evaluation], judged: Sequence[Batch]
) -> SeedRun:
    last = evaluations[-1]
    return SeedRun(
        seed=seed,
        bits_per_byte=last.bits_per_byte,
        seconds=last.point.seconds,
        tokens=int(last.point.tokens),
        load=model_load(model, judged).tolist(),
        curve=[evaluation.point for evaluation in evaluations],
    )


def samples(model: Transformer, corpus: Corpus) -> list[Sample]:
    """A passage of each domain, six at most, and what the model's routers decide for it."""
    passages = {domain: _passage(corpus, i) for i, domain in enumerate(corpus.domains[:6])}
    return [routed_sample(model, text, domain) for domain, text in passages.items() if text]


def _passage(corpus: Corpus, domain: int) -> bytes:
    """Whole lines from the middle of a domain's text, SAMPLE_BYTES long at most."""
    positions = torch.nonzero(corpus.domain_ids == domain).flatten()
    if not len(positions):
        return b""
    text = corpus.tokens.numpy().tobytes()
    middle = int(positions[len(positions) // 2])
    begin = text.rfind(b"\n", 0, middle) + 1
    passage = text[begin : begin + SAMPLE_BYTES]
    return passage.decode(errors="ignore").encode()  # without half a character at the end
