# %% [markdown]
# # 10 · How does the gain change with experts and compute?
#
# **You will be able to**
#
# - fit a scaling law by least squares and search its exponents;
# - test whether the form of a law fits its runs;
# - write a forecast with an interval, and judge it on a larger model.
#
# *Claims:* `future-efficiency`. *Needs:* notebooks 02, 03 and 09.
# *Takes* about 80 minutes, 3 exercises; a good place to stop is "Is the form of the law right?".
# *Runs in* about 25 s.
#
# No model is trained here. The results of all runs come with the package.

# %%
from itertools import pairwise
from math import inf
from statistics import fmean, median, stdev

import torch
from matplotlib import pyplot as plt

from minimoe.exercises import check, finding, hint, predict, solution
from minimoe.experiments.costs import stored_costs
from minimoe.show.figures import plot_curves, style
from minimoe.show.tables import Table

style()

# %%
from minimoe.experiments.runs import (
    error,
    gains,
    interval,
    made_up,
    multiplier,
    other_forms,
    redrawn,
    stored_runs,
    straight_line,
)
from minimoe.measure.comparison import paired_by_seed
from minimoe.measure.law import FORMS, fit_law, lack_of_fit

# %% [markdown]
# ## The settings of this notebook
#
# All cells below use these settings. Run the notebook once as it is. Later, change a line. E changes
# one finding of the next section and the section on compute. The other cells have all E.

# %%
E = 16  # experts in a layer: 4, 8, 16, 32 or 64
form = "experts with tokens"  # the law of the forecasts; its rivals are named below
n_seeds = 5  # from 2 to 5
resamples, seed = 60, 0  # of the bootstrap

# %%
def nearest(wanted, offered):
    return min(offered, key=lambda number: abs(number - wanted))


E, n_seeds = nearest(E, (4, 8, 16, 32, 64)), nearest(n_seeds, (2, 3, 4, 5))
moe, form = f"moe-{E}", form if form in FORMS else "experts with tokens"

# %% [markdown]
# A **run** is a model with a number of training steps, done with several
# [seeds](98_glossary.ipynb#seed). A step reads 512 [tokens](98_glossary.ipynb#token), which are
# [bytes](98_glossary.ipynb#byte) here. Each model is [dense](98_glossary.ipynb#dense), or an
# [MoE](98_glossary.ipynb#MoE) whose tokens use K = 2 of E [experts](98_glossary.ipynb#expert).
# Some runs serve to fit a law. Four are held out.

# %%
from minimoe.experiments.sparse_pays import BASE, FITTED, LONGEST, PLAN, PREDICTED

parts = ("equal-active", "longer", "law", "predicted")
runs = stored_runs(PLAN, parts, range(n_seeds))

# %%
fitted = [run for run in runs.values() if BASE <= run.steps <= FITTED]
longer = [runs[name, LONGEST] for name in ("dense", "moe-16")]
wide = [runs[f"{name}, d_model 128", PREDICTED] for name in ("dense", "moe-16")]

# %%
def models_at(dense):
    """All models of the width and steps of a dense one."""
    return [r for r in runs.values() if (r.d_model, r.steps) == (dense.d_model, dense.steps)]


of_dense = [run for some in (fitted, longer, wide) for run in some
            if run.name.startswith("dense")]

# %%
Table(["d_model", "steps", "models", "seeds", "active parameters", "FLOPs", "use"], [
    (r.d_model, f"{r.steps:,}", len(models_at(r)), len(r.losses), f"{r.parameters:,}",
     f"{r.flops:.1e}", "to fit" if r in fitted else "held out") for r in of_dense])

# %% [markdown]
# **Look.** Where there are two models, one is dense and one has 16 experts. Where there are seven
# models, one is dense. The others have 2, 4, 8, 16, 32 and 64 experts. All models of one width have
# nearly the same [active parameters](98_glossary.ipynb#active-parameter), counted without
# [embeddings](98_glossary.ipynb#embedding). The table shows those of dense, and its
# [FLOPs](98_glossary.ipynb#FLOP) for the whole training.

# %% [markdown]
# ## What do twice the tokens buy, and what do more experts buy?
#
# Take a dense model after 1,024 steps. There are two ways to go on. It can read twice as many tokens. Or
# it becomes an MoE with many experts and reads as much as before. We judge by
# [bits per byte](98_glossary.ipynb#bits-per-byte), the mean over the seeds. The **gain** of an MoE is
# the loss of dense minus its own.

# %%
guess_1 = ...  # which loss is lower: dense after 2,048 steps, or 64 experts after 1,024 steps?
predict("10.1", guess_1, a="dense with twice the tokens", b="less than 0.02 apart",
        c="64 experts with the same tokens")

# %%
apart = runs["dense", 2048].loss() - runs["moe-64", 1024].loss()
predict("10.1", measured={"a": apart < -0.02, "b": abs(apart) <= 0.02, "c": apart > 0.02})
seen, family = (1024, 2048, 4096), ["dense", *(f"moe-{n}" for n in (2, 4, 8, 16, 32, 64))]

# %%
Table(["bits per byte", *(f"{at:,} steps" for at in seen)], [
    (name, *(round(runs[name, at].loss(), 3) if (name, at) in runs else None for at in seen))
    for name in family
])

# %% [markdown]
# **Look.** Along a row the tokens double at each step. Down a column the experts double, and the
# tokens stay the same. With 2 experts and K = 2 nothing is left out. Which number of experts is best after
# 1,024 steps?

# %%
tokens, experts = (runs["dense", 1024].loss() - runs[key].loss()
                   for key in (("dense", 2048), ("moe-64", 1024)))
finding("Twice the tokens lower the loss more than 64 experts do.", tokens > experts,
        by_tokens=tokens, by_experts=experts)

# %%
early, late = (gains(runs["dense", at], runs[moe, at]) for at in (1024, 2048))
grown = paired_by_seed(late, early)
finding("After twice the steps the gain is larger.", grown.low > 0, grown_by=grown.mean,
        low=grown.low, high=grown.high)

# %% [markdown]
# For a forecast we need a formula. The simplest is a **power law**: the loss is a factor times a
# power of the tokens. With logarithms on both axes it is a straight line. Its slope is the
# **exponent**.

# %% tags=["exercise"]
# 10.2

# %% [markdown]
# A power law has one slope. The next cell takes two slopes of the dense model: from 1,024 to 2,048
# steps, and from 2,048 to 4,096.

# %%
dense = [runs["dense", at] for at in seen]
first, last = (slope(one.tokens, one.loss(), two.tokens, two.loss()) for one, two in pairwise(dense))
finding("The later slope of dense is flatter: one power of the tokens is too simple.",
        abs(last) < abs(first), first=first, last=last)

# %% [markdown]
# ## How is a law fitted?
#
# A curve that flattens may approach a **floor**. A **scaling law** is a floor plus two terms. One
# falls with the **parameters**, one with the tokens. For dense models:
#
# $$L = \mathrm{floor} + \frac{a}{N^{\alpha}} + \frac{b}{D^{\beta}}$$
#
# N: active parameters, in units of 100,000. D: tokens, in millions.

# %% [markdown]
# Alpha and beta are exponents. If they are known, only three numbers are unknown: the floor, a and b.
# These are the **factors**: L is a sum of three columns, each times its factor. **Least squares** finds the factors with the smallest sum of squared errors. In the
# example, it finds the line y = 1 + 2 x through three points. The column of ones belongs to the
# constant.

# %%
x, y = torch.tensor([[1, 2, 4], [3, 5, 9]], dtype=torch.float64)
matrix = torch.stack([torch.ones_like(x), x], dim=1)
found = torch.linalg.lstsq(matrix, y).solution
Table(["code", "result"], [
    ("matrix", matrix.tolist()), ("the solution", found.numpy().round(9).tolist()),
    ("x**-0.5", (x**-0.5).numpy().round(3).tolist())])

# %% tags=["exercise"]
# 10.3

# %% [markdown]
# The exponents have no such formula. So we search: a grid of values, and all combinations.

# %%
plain = [run for run in fitted if run.name.startswith("dense")]
n, d, losses = torch.tensor([(run.parameters / 1e5, run.tokens / 1e6, run.loss())
                             for run in plain], dtype=torch.float64).T

# %%
def error_of(exponents):
    """In bits: root mean square of what the best law misses."""
    floor, a, b = factors(n, d, losses, exponents)
    law = floor + a * n ** -exponents[0] + b * d ** -exponents[1]
    return float((law - losses).square().mean().sqrt())

# %% tags=["exercise"]
# 10.4

# %%
grid = [0.05, 0.1, 0.2, 0.3, 0.4, 0.6, 0.8, 1.2]
by_grid = best_exponents(error_of, grid, grid)
fine = fit_law([run.point() for run in plain], "without experts")

# %%
fits = {"your grid": (*by_grid, *factors(n, d, losses, by_grid).tolist(), error_of(by_grid)),
        "fit_law": (*fine.exponents.values(), *fine.factors.values(), fine.residual)}
Table(["fit", "alpha", "beta", *fine.factors, "error"], [
    (what, *(round(v, 4) for v in numbers)) for what, numbers in fits.items()])

# %% [markdown]
# **Look.** `fit_law` of the package makes the grid finer around its best point. The last column is
# the error in bits per byte. Compare the two errors, and then the two floors.
# The floor is a number of the fit. It is not a property of the text: another form has another floor.

# %% [markdown]
# ## Is the form of the law right?
#
# S is the **sparsity**: the share of the experts that a token leaves out, 1 − K / E. It is 0 if
# dense. In the form above, experts do nothing. Two forms give them something to do:
#
# - **experts as parameters**: the term of N becomes $a\,(1-S)^{\gamma}/N^{\alpha}$;
# - **experts with tokens**: it becomes $(A - S\,C)/N^{\alpha}$. A and C grow with the tokens, up to an
#   end: $A = a - k/D^{\beta}$, $C = c - g/D^{\beta}$.

# %% [markdown]
# The seeds of one run differ by chance. **F** compares two sizes: how far the law misses the runs,
# and how far seeds differ. A large F means: chance does not explain the misses.
#
# How large can F be by chance? We make up 100 experiments in which the form is right. The loss of a
# run is what the law says, plus noise as large as between our seeds.

# %% [markdown]
# Runs of one seed read the same text. So a part of the noise is the same for all of them.
#
# **[Falsifier](98_glossary.ipynb#falsifier) of a form:** *its F is larger than in 95 of the 100
# made-up experiments.*

# %%
guess_5 = ...  # how many of the three forms survive?
predict("10.5", guess_5, a="none", b="one", c="more than one")

# %%
points = [run.point() for run in fitted]  # N, S, D, and the loss of each seed
laws = {name: fit_law(points, name) for name in FORMS}
F = {name: lack_of_fit(law, points) for name, law in laws.items()}
chance = {name: made_up(fitted, name, 100, seed) for name in FORMS}  # the F of each, sorted

# %%
survive = sum(F[name] <= chance[name][94] for name in laws)
predict("10.5", measured={"a": survive == 0, "b": survive == 1, "c": survive > 1})
Table(["form", "error in bits", "F", "median, if right", "95 % point, if right"], [
    (name, round(law.residual, 3), round(F[name], 2), round(median(chance[name]), 2),
     round(chance[name][94], 2)) for name, law in laws.items()])

# %% [markdown]
# **Look.** Compare F with the two columns after it. Then compare the errors: a form can be refuted
# and still miss little. About a dozen forms were tried on these runs, and the last one was chosen
# since it misses least. So only new runs can test it.

# %%
def said(law, run):
    """What a law says about a run."""
    return law.loss(run.parameters, run.sparsity, run.tokens)


def gain(loss_of):
    """Dense minus moe-16 at each budget."""
    return [loss_of(runs["dense", at]) - loss_of(runs["moe-16", at]) for at in seen]

# %%
lines = {"measured": gain(lambda run: run.loss())} | {
    name: gain(lambda run, law=law: said(law, run)) for name, law in laws.items()}
figure, ax = plt.subplots(figsize=(8, 3.6))
plot_curves(ax, {name: (seen, values) for name, values in lines.items()}, "steps",
            "gain in bits per byte", log_x=True)

# %% [markdown]
# **Look.** Each line is the gain of 16 experts, dense minus MoE, after 1,024, 2,048 and 4,096 steps.
# One line is measured. The other three are the forms. Compare their slopes. The [router](98_glossary.ipynb#router) makes the N
# of the MoE slightly larger, so even the form without experts has a small gain.

# %%
refuted = [name for name in laws if F[name] > chance[name][94]]
finding("All three forms are refuted.", len(refuted) == len(laws), refuted=len(refuted))
least = min(laws, key=lambda name: laws[name].residual)

# %%
finding("The law with tokens misses least.", least == "experts with tokens",
        bits=laws["experts with tokens"].residual,
        next_best=min(v.residual for k, v in laws.items() if k != "experts with tokens"))

# %% [markdown]
# A refuted law can still be useful, if it misses little. How certain is what it says? The
# **bootstrap** of notebook 09 draws the seeds again, with replacement, and fits a law each time. The
# middle 95 % of the results is the **interval**. With so few seeds it is too narrow (notebook 09).

# %% [markdown]
# ## Does the law foresee longer runs and a larger model?
#
# An **extrapolation** goes where no run of the fit has been. The fit left out two longer runs, and
# two wide models. The longer runs had been seen when the form was chosen. They are a check, not a
# test. The wide models were trained later. This forecast was stored in the project's history before:

# %%
from minimoe.experiments.sparse_pays import FORECAST, FORECAST_OF

Table([f"stored {FORECAST_OF}", "forecast", "low", "high"], [
    (what, *numbers) for what, numbers in FORECAST.items()])

# %% [markdown]
# **Falsifier of the forecast:** *a wide model, or their gain, lies outside of its stored interval.*
#
# Wide models had been trained for 1,024 steps, to choose their learning rates. Those runs are not in
# the fit. One seed and 1,024 steps chose the rates of d_model 32 and 128. The rates of 96 lie between
# their neighbours. A poor rate counts as an error of the forecast.

# %% [markdown]
# The stored interval holds the chance of the seeds only. It does not hold the choice of the form. The
# next table has the three forms, a **straight line**, and three more forms with logarithms. In the
# straight line, the logarithm of the loss is a constant plus slopes times ln N, ln D and S.

# %%
rules = {name: lambda run, law=law: said(law, run) for name, law in laws.items()}
rules["straight line"] = straight_line(fitted)
others = other_forms(fitted)

# %%
Table(["fitted today", "error", "dense, wide", "moe-16, wide", "gain"], [
    (name, *(round(v, 3) for v in (error(rule, fitted), one, other, one - other)))
    for name, rule in (rules | others).items() for one, other in [map(rule, wide)]])

# %% [markdown]
# **Look.** The last three forms miss the runs of the fit about as little as the law does. What do they
# say about the gain? Compare with the stored interval.

# %%
close = [rule(wide[0]) - rule(wide[1]) for rule in others.values()]
top = FORECAST["gain"][2]
finding("A form that fits about as well foresees a gain outside of the stored interval.",
        max(close) > top, largest=max(close), stored_high=top)

# %% [markdown]
# How far from the runs do the wide models lie? FLOPs join size and tokens.

# %%
before = [run for run in runs.values() if run not in wide]  # seen when the form was chosen

# %%
Table(["dense, wide", "times the largest of the fit", "times the largest seen before"], [
    (what, *(round(size(wide[0]) / max(size(r) for r in some), 2) for some in (fitted, before)))
    for what, size in {"FLOPs": lambda r: r.flops, "N": lambda r: r.parameters,
                       "tokens": lambda r: r.tokens}.items()])

# %%
guess_6 = ...  # how far is the law off, at worst, on the two longer runs and the two wide models?
predict("10.6", guess_6, a="less than 0.03 bits", b="from 0.03 to 0.1 bits", c="more than 0.1 bits")

# %%
draws = redrawn(fitted, max(2, resamples), seed)
again = [fit_law([run.point(drawn) for run in fitted], form) for drawn in draws]
held = {"dense, longer": longer[0], "moe-16, longer": longer[1],
        "dense, wide": wide[0], "moe-16, wide": wide[1]}

# %%
judged = {what: (run.loss(), rules[form](run), *interval(said(law, run) for law in again))
          for what, run in list(held.items())[:2]}
one, other = (run.loss() for run in wide)
judged |= {f"{what}, wide": (measured, *FORECAST[what])
           for what, measured in {"dense": one, "moe-16": other, "gain": one - other}.items()}

# %%
off = max(abs(run.loss() - rules[form](run)) for run in held.values())
predict("10.6", measured={"a": off < 0.03, "b": 0.03 <= off <= 0.1, "c": off > 0.1})
Table(["run", "measured", "forecast", "low", "high", "inside"], [
    (what, *(round(v, 3) for v in row), row[2] <= row[0] <= row[3]) for what, row in judged.items()])

# %% [markdown]
# **Look.** The forecasts of the longer runs are of today. Those of the wide models are the stored ones.
# The wide models have few seeds: the first table of this notebook says how many. The gain of one pair
# changes with the seed; the next cell says by how much. So one pair can refute a rule that is far
# off. It cannot choose between two that are near.

# %%
finding("Both wide models lie inside of their stored intervals.",
        all(judged[w][2] <= judged[w][0] <= judged[w][3] for w in ("dense, wide", "moe-16, wide")))
value, _, low, high = judged["gain, wide"]
finding("The measured gain lies inside of the stored interval.", low <= value <= high, gain=value,
        low=low, high=high)

# %%
pairs = [gains(run, other) for run in fitted if run.name.startswith("dense")
         for other in models_at(run) if other.name.startswith("moe-16")]
deviation = fmean(stdev(pair.values()) for pair in pairs)  # of the gain of one pair

# %%
simpler = [rule(wide[0]) - rule(wide[1]) for name, rule in rules.items() if name != "experts with tokens"]
finding("The gains of the simpler rules miss it by more than two deviations of one pair.",
        max(simpler) < value - 2 * deviation, largest=max(simpler), gain=value, deviation=deviation)

# %% [markdown]
# ## Does the gain grow with compute?
#
# Bits say little about money. The **compute multiplier** of notebook 09 asks: at what cost does
# dense reach the loss of the MoE, divided by the MoE's own cost? Dense is of the same width here, and
# trained longer. Cost may be FLOPs or seconds.

# %% [markdown]
# **Falsifier of the claim:** *for the same loss, the MoE needs as many FLOPs and as much energy as
# dense, or more.*
#
# We measure FLOPs and seconds, not energy. The longest dense run limits what can be seen.

# %%
guess_7 = ...  # from 1,024 to 4,096 steps, what does the multiplier by FLOPs do?
predict("10.7", guess_7, a="it falls", b="no clear change", c="it grows")

# %%
steps = stored_costs("sparse-pays")["steps"]
clock = {name: median(cost["seconds"]) for name, cost in steps.items()}  # of one step
dense = [runs["dense", at] for at in (512, *seen, LONGEST)]


def flops(run):
    return run.flops


tried = [runs[moe, at] for at in (*seen, LONGEST) if (moe, at) in runs]
visible = [run for run in tried if multiplier(run, dense, flops) < inf]

# %%
by_draw = [[multiplier(run, dense, flops, drawn) for drawn in draws] for run in visible]
by_flops = [(multiplier(run, dense, flops), *interval(of)) for run, of in zip(visible, by_draw)]
by_seconds = [multiplier(run, dense, lambda r: clock[r.name] * r.steps) for run in visible]
ratio = interval(last / first for first, last in zip(by_draw[0], by_draw[-1]))

# %%
def any_width(run):
    """Against the cheapest dense model of all stored widths."""
    rivals = [[runs[name, at] for at in seen if (name, at) in runs]
              for name in ("dense, d_model 32", "dense, d_model 96")]
    return min(multiplier(run, rival, flops) for rival in (dense, *rivals))

# %%
predict("10.7", measured={"a": ratio[1] < 1, "b": ratio[0] <= 1 <= ratio[1], "c": ratio[0] > 1})
Table([moe, "FLOPs", "low", "high", "FLOPs, any width", "seconds"], [
    (f"{run.steps:,} steps", *(round(v, 2) for v in (*three, any_width(run), by_clock)))
    for run, three, by_clock in zip(visible, by_flops, by_seconds)])

# %% [markdown]
# **Look.** A multiplier of 1 means no gain. The first three numbers are against dense of the same
# width, trained longer. "Any width" takes the cheapest dense model of d_model 32, 64 and 96. By seconds
# the multiplier is smaller, since a step of an MoE takes longer. The seconds are by the clock of one
# machine, measured apart. The intervals do not contain their error. Joules were not measured.

# %%
finding("At the last budget that can be seen, dense of the same width needs more FLOPs.",
        by_flops[-1][1] > 1, low=by_flops[-1][1])
finding("The multiplier grows with the tokens.", ratio[0] > 1, grows_by_a_factor_of=ratio[0])
finding("After 1,024 steps a narrower dense model needs fewer FLOPs than the MoE.",
        any_width(visible[0]) < 1, multiplier=any_width(visible[0]))

# %% [markdown]
# After 8,192 steps the MoE is better than the longest dense run. No multiplier can be given there.
#
# Compute also grows with the width of a model. The next table has the gain, in bits. Down a column,
# all widths have the same seeds, from 0 to 2. After 10,496 steps there are fewer.

# %%
def gain_at(width, at):
    """Dense minus moe-16 for each seed, or nothing if it was not trained."""
    pair = [runs.get((name + width, at)) for name in ("dense", "moe-16")]
    return {s: g for s, g in gains(*pair).items() if s < 3} if all(pair) else None


ends = {32: ", d_model 32", 64: "", 96: ", d_model 96", 128: ", d_model 128"}

# %%
budgets = (*seen, LONGEST, PREDICTED)
by_width = {w: [gain_at(end, at) for at in budgets] for w, end in ends.items()}
Table(["d_model", *(f"{at:,} steps" for at in budgets)], [
    (w, *(g and round(fmean(g.values()), 3) for g in row)) for w, row in by_width.items()])

# %% [markdown]
# **Look.** Along a row the tokens grow. Down a column the width grows. Does the gain rise in each row?
# Does it fall in each column?

# %%
narrow, middle, broad = (by_width[w][1] for w in (32, 64, 96))
shrinks, same = paired_by_seed(narrow, broad), paired_by_seed(middle, broad)

# %%
finding("After 2,048 steps the gain is larger at d_model 32 than at 96.", shrinks.low > 0,
        larger_by=shrinks.mean, low=shrinks.low, high=shrinks.high)
finding("Between 64 and 96 these seeds show no difference.", not same.settled, mean=same.mean,
        low=same.low, high=same.high)

# %% [markdown]
# What do others find, with models thousands of times as large? Compare the first two rows: one gap
# narrows, the other widens. The authors vary different things. FLOPs also leave out the communication
# between chips, as Du and others say.

# %%
Table(["published", "what it says about the gain"], [
    ("Artetxe and others, 2021", "at more modest budgets, 4 times less compute; narrows at scale"),
    ("Krajewski and others, 2024", "the gap widens with model size and training budget"),
    ("Du and others, 2024", "FLOPs favour MoE; by step time it is still better"),
])

# %% [markdown]
# ## Play
#
# Leave out some runs and fit the law again. How far did the forecast of the wide models move? Compare
# with its stored interval.

# %%
without_steps = (1024,)  # of 1024, 2048 and 4096
without_models = ()  # "dense", "moe-4", ...
without_widths = ()  # of 32, 64 and 96

# %%
left = [run for run in fitted if run.steps not in without_steps
        and run.name.partition(",")[0] not in without_models and run.d_model not in without_widths]
left = left if len(left) > 8 else fitted  # a law of 8 numbers needs 9 runs
fewer = fit_law([run.point() for run in left], form)

# %%
Table(["wide models", "runs", "dense", "moe-16", "gain"], [
    (what, len(some), *(round(v, 3) for v in (*values, values[0] - values[1])))
    for what, some, law in (("all runs", fitted, laws[form]), ("fewer runs", left, fewer))
    for values in [[said(law, run) for run in wide]]])

# %%
moved = max(abs(said(fewer, run) - said(laws[form], run)) for run in wide)
out = [run.name for run, what in zip(wide, ("dense", "moe-16"))
       if not FORECAST[what][1] <= said(fewer, run) <= FORECAST[what][2]]
finding("With fewer runs a forecast leaves its stored interval.", len(out) > 0, largest_move=moved)

# %% [markdown]
# **Look.** Which runs matter most for the forecast? The interval knows other seeds. It does not know
# other choices of runs.
#
# Then go back to the settings. Try `form = "experts as parameters"`, `E = 64` and `n_seeds = 2`. Which
# lines still say HOLDS?
#
# ## Takeaway
#
# - A law is fitted by least squares for its factors and by search for its exponents. Its form can be
#   tested. All three forms were refuted; the law with tokens missed least.
# - A forecast counts only if it was written before the measurement. Its interval knows other seeds. It
#   does not know other choices of runs or of the form. The form decides what a law says about scale.
# - The gain grew with the tokens. After 2,048 steps it was larger at d_model 32 than at 96. Between 64
#   and 96 our three seeds show no difference.
#
# **Verdict on the claim.** `future-efficiency`: *shown here, with a condition*. Falsifier: at equal
# loss, the newer designs need no fewer FLOPs and no fewer joules. Here the newer design is the MoE.
#
# - FLOPs: shown here, against dense of the same width, trained longer, from 2,048 steps on. After 1,024
#   steps a narrower dense model needed fewer.
# - Seconds, by the clock of one machine: the MoE needed more in short runs.
# - Energy: undecided here.
# - The future: one forecast, one larger model, few seeds. Losses and gain lay inside of what was stored.
#   Other forms fit as well. About larger models we know nothing.
#
# **Source.** Article A0, "Democratizing AI Innovation Globally". The form without experts is the third
# approach of Hoffmann and others, arXiv 2203.15556. The other forms are ours; "experts as parameters"
# follows an idea of Clark and others, arXiv 2202.01169. From the abstracts: Artetxe and others,
# arXiv 2112.10684; Krajewski and others, arXiv 2402.07871; Du and others, arXiv 2405.15052.
#
# **Next.** [11 · What makes a long context affordable?](11_kv_cache.ipynb)
