# %% [markdown]
# # 09 · Does sparse learn more than dense, and at equal what?
#
# **You will be able to**
#
# - compare two models over several seeds, in pairs;
# - say how small a difference five seeds can see;
# - say what a lower loss is worth in tokens, FLOPs or seconds.
#
# *Claims:* `moe-quality`, `moe-training-cost`. *Needs:* notebooks 02, 03 and 04.
# *Takes* about 75 minutes, 3 exercises. *Runs in* about 25 s.
# A good place for a break is before "What would dense need for the same loss?".
#
# The models of this notebook are small. They were trained before, and their results come with the
# package. Two of them are trained again at the end, on your machine.

# %%
import random
from dataclasses import replace
from functools import partial
from statistics import mean, quantiles, stdev

from matplotlib import pyplot as plt

from minimoe.exercises import check, finding, hint, predict, solution
from minimoe.experiments.results import Results
from minimoe.measure.comparison import at_cost, cost_to_reach, coverage, multiplier, paired_by_seed
from minimoe.show.figures import mark_distance, plot_curves, plot_interval, plot_paired, style
from minimoe.show.tables import Table

style()


def panel(height):
    return plt.subplots(figsize=(8, height))[1]


# %% [markdown]
# ## The settings of this notebook
#
# The cells below use these settings. Run the notebook once as it is. The test, the tuning and the
# changed runs are fixed: no setting changes them.

# %%
E = 16  # experts in a layer: 2, 4, 8, 16, 32 or 64
steps = 2048  # of training: 512, 1024 or 2048
domain = "all"  # or one of "english", "chinese", "python", "formulas"
n_seeds = 5  # from 2 to 5
live = True  # train two models again at the end

# %%
def nearest(wanted, offered):
    """The offered number that lies nearest to a wanted one."""
    return min(offered, key=lambda number: abs(number - wanted))


stored, budgets, experts = Results("sparse-pays"), (512, 1024, 2048), (2, 4, 8, 16, 32, 64)
E, steps, n_seeds = nearest(E, experts), nearest(steps, budgets), nearest(n_seeds, (2, 3, 4, 5))
domain, moe = domain if domain in stored.domains else "all", f"moe-{E}"
chosen = {"domain": domain, "seeds": range(n_seeds)}
bits, names = partial(stored.bits, **chosen), ["dense", *(f"moe-{n}" for n in experts)]
of_moe, of_dense = bits(moe, steps), bits("dense", steps)
print(f"used: {moe} and dense, {steps:,} steps, seeds 0 to {n_seeds - 1}, text: {domain}")

# %% [markdown]
# ## What was trained, and what does a step cost?
#
# Every model has 3 [blocks](98_glossary.ipynb#block). `dense` has one
# [feed-forward layer](98_glossary.ipynb#feed-forward-layer) of width 128 in each block. `moe-16`
# has 16 [experts](98_glossary.ipynb#expert) of width 64 in its place. Each
# [token](98_glossary.ipynb#token), one [byte](98_glossary.ipynb#byte) here, uses 2 of them: 2 times
# 64. A step reads 512 bytes, so 2,048 steps read 1 MB.
#
# **[Falsifier](98_glossary.ipynb#falsifier)** of `moe-training-cost`: *a
# [sparse](98_glossary.ipynb#sparse) model needs more hours for the same number of tokens than the
# [dense](98_glossary.ipynb#dense) model that it replaces.* Which one is that?

# %%
large = [f"dense as large as moe-{n}" for n in (8, 16)]
Table(["model", "parameters", "active", "FLOPs a token", "seconds", "memory"],
      [(*stored.size(name), *(round(n, 2) for n in stored.relative_cost(name)[2:]))
       for name in [*names, *large]])

# %%
_, flops_ratio, slower, _ = stored.relative_cost(moe)
finding("Dense with as many ACTIVE parameters needs less time.", slower > 1, ratio=slower)
to_large = stored.relative_cost("moe-16", large[1])
finding("Dense with as many IN ALL needs more than moe-16.", to_large[2] < 1, ratio=to_large[2])

# %% [markdown]
# **Look.** "Seconds" and "memory" are for one step, with `dense` = 1. The
# [active parameters](98_glossary.ipynb#active-parameter) (without the
# [embedding](98_glossary.ipynb#embedding)) and [FLOPs](98_glossary.ipynb#FLOP) are nearly equal. Only
# the [router](98_glossary.ipynb#router) adds a little. All
# [parameters](98_glossary.ipynb#parameter) grow.
#
# ## Who learns more from the same text?
#
# Article A0 says: [MoE](98_glossary.ipynb#MoE) is more efficient without a sacrifice in performance.
# We measure **[bits per byte](98_glossary.ipynb#bits-per-byte)** of
# [validation text](98_glossary.ipynb#validation-text): lower is better.

# %%
guess_1 = ...  # bits per byte of the MoE minus those of dense, in the mean over the seeds?
predict("09.1", guess_1, a="lower by more than 0.02", b="less than 0.02 apart",
        c="higher by more than 0.02")

# %%
gap = mean(of_moe.values()) - mean(of_dense.values())
predict("09.1", measured={"a": gap < -0.02, "b": abs(gap) <= 0.02, "c": gap > 0.02})
Table(["mean, after steps:", *map(str, budgets)], [
    (name, *(round(mean(bits(name, n).values()), 3) for n in budgets)) for name in names])

# %% [markdown]
# **Look.** Read along a row: bits fall with more text. Read down a column: all models after the same
# text.
#
# A mean can mislead. Another [seed](98_glossary.ipynb#seed) gives other first
# [weights](98_glossary.ipynb#weight) and another order of the text. But the same seed gives both
# models the *same* text in the same order. So we compare seed with seed: a **pair**.

# %% tags=["exercise"]
# 09.2

# %%
pairs = differences(of_moe, of_dense)
spread = [stdev(side.values()) for side in (of_moe, of_dense, pairs)]
Table(["seed", moe, "dense", "difference"],
      [*((seed, of_moe[seed], of_dense[seed], pairs[seed]) for seed in pairs),
       ("standard deviation", *spread)])

# %%
finding("In the mean over these seeds, MoE needs fewer bits.", gap < 0, difference=gap)
unrelated = (spread[0] ** 2 + spread[1] ** 2) ** 0.5
finding("The pairs spread as much as unrelated ones would, or more.", spread[2] >= unrelated,
        paired=spread[2], if_unrelated=unrelated)

# %% [markdown]
# **Look.** The **standard deviation** is the typical distance of a seed from the mean. Pairing makes
# it smaller where both models rise and fall together. We planned to pair, so we do. It never changes
# the mean.
#
# ## How small a difference can five seeds show?
#
# How much would the mean change with other seeds? The **bootstrap** draws as many seeds as we have,
# **with replacement**: one may come twice. It takes their mean, many times. The middle 95 % of these
# means is the **interval**.

# %%
print(random.Random(0).choices([0, 1, 2, 3, 4], k=5))  # five seeds, drawn with replacement
cuts = quantiles(range(1, 80), n=40)  # the 39 cuts between 40 equal parts of 2.5 % each
print(len(cuts), cuts[0], cuts[-1])  # 95 % lie between the first cut and the last

# %% tags=["exercise"]
# 09.3

# %% [markdown]
# **Student's t** is a formula that makes the interval wider where seeds are few. Which interval is
# right? It should contain the true mean in 95 % of cases. We test both with 1,000 sets of made-up
# seeds, whose true mean is 0. (Student's t is exact for them: they follow a normal distribution.)

# %%
def student(one, other, n_draws):
    """The interval of Student's t. It draws nothing."""
    return paired_by_seed(one, other).interval


# %%
ways = {"bootstrap": bootstrap, "Student's t": student}
right = {name: coverage(partial(way, n_draws=100), n_seeds) for name, way in ways.items()}
Table(["our interval", "low", "high", "contains 0, of 1,000"],
      [(name, *way(of_moe, of_dense, 4000), right[name]) for name, way in ways.items()])

# %% [markdown]
# So from here on we use Student's t. Its **smallest visible effect** is the true difference that
# such a design would find in 4 of 5 cases.
#
# Now every number of experts. `moe-2` is a control, a case without the cause: its tokens use both
# experts, so nothing is chosen. If it gained as much, the gain would not come from the choice.

# %%
gaps = {n: paired_by_seed(bits(f"moe-{n}", steps), of_dense) for n in experts}
control = paired_by_seed(bits("moe-16", steps), bits("moe-2", steps))
rows = {f"E={n} minus dense": r for n, r in gaps.items()} | {"E=16 minus E=2": control}
plot_paired(panel(3), rows, "bits per byte (below 0: better)")

# %% [markdown]
# **Look.** Each dot is one seed, a line is the mean, a bar is the interval. Orange and a question
# mark mean: the interval contains 0. All rows but the last share the same five runs of `dense`. So
# they do not confirm each other.

# %%
finding("Student's t contains the true mean more often than the bootstrap.",
        right["Student's t"] > right["bootstrap"])
below = [n for n in (8, 16, 32, 64) if gaps[n].high < 0]
finding("With 8 experts or more, every interval lies below 0.", len(below) == 4,
        below_for_E=str(below))
finding("The control does not visibly differ from dense.", not gaps[2].settled,
        **gaps[2].numbers_with_power)
finding("16 experts are visibly better than the control.", control.high < 0, **control.numbers)

# %% [markdown]
# ## Does a test on new seeds agree?
#
# So far we **explored**: six models, several lengths and kinds of text. Among so many comparisons,
# one looks large by chance. So one **test** was written down before its seeds ran: `moe-16` minus
# `dense`, 2,048 steps, all text, seeds 5 to 9.
#
# **Falsifier** of `moe-quality`: *at equal active parameters and tokens, the sparse model is visibly
# worse.* "It learns more" is refuted too if the interval contains 0.

# %%
guess_4 = ...  # the test: where does the interval of moe-16 minus dense lie?
predict("09.4", guess_4, a="below 0", b="it contains 0", c="above 0")

# %%
ours = partial(stored.paired, "moe-16", "dense")  # on all text
test, early, latest = ours(2048, seeds=range(5, 10)), ours(512, seeds=range(10)), ours(8192)
predict("09.4", measured={"a": test.high < 0, "b": not test.settled, "c": test.low > 0})
plot_paired(panel(3.2), {
    "the test: 2,048 steps, seeds 5 to 9": test,
    "512 steps (0.25 MB), seeds 0 to 9": early,
    "1,024 steps (0.5 MB), seeds 0 to 9": ours(1024, seeds=range(10)),
    "4,096 steps (2 MB), seeds 0 to 4": ours(4096),
    "8,192 steps (4 MB), seeds 0 to 4": latest,
}, "bits per byte, moe-16 minus dense (below 0: MoE is better)")

# %% [markdown]
# **Look.** The first row is the test. The rows below it are exploring: they follow the training from
# 0.25 MB to 4 MB of text.

# %%
finding("In the test MoE needs fewer bits: the interval lies below 0.", test.high < 0,
        **test.numbers)
finding("MoE is not visibly worse: the interval does not lie above 0.", test.low <= 0)
finding("After 512 steps ten seeds do not settle who is better.", not early.settled,
        **early.numbers_with_power)
grown = paired_by_seed(*(dict(enumerate(r.differences))
                         for r in (ours(2048, seeds=range(10)), early)))
finding("From 512 to 2,048 steps the difference moves towards MoE.", grown.high < 0,
        **grown.numbers)
more = paired_by_seed(*(dict(enumerate(r.differences)) for r in (latest, ours(2048))))
finding("From 2,048 to 8,192 steps it moves on.", more.high < 0, **more.numbers)

# %% [markdown]
# ## Does the gain depend on how we trained?
#
# The **learning rate** says how far a step moves the weights. A **window** is 128 bytes of text, and
# a step reads 4 of them. A comparison is unfair if only one side was **tuned**: trained with several
# values, to keep the best. So all tried the same rates, on seeds that no comparison uses.

# %%
rates, sides = (0.002, 0.0028, 0.004, 0.008), ("dense", "moe-16")
tried = [(windows, n, name) for windows, n in ((4, 2048), (4, 1024), (2, 2048), (8, 512))
         for name in sides] + [(4, 1024, large[1])]
tuned = {key: [stored.tuned(key[2], rate, *key[:2]) for rate in rates] for key in tried}
Table(["windows", "steps", "model", *(f"rate {rate:g}" for rate in rates)],
      [(*key, *(bit and round(bit, 3) for bit in found)) for key, found in tuned.items()])

# %% [markdown]
# **Look.** The comparisons use 4 windows and the rate 0.004. The table has one or two seeds, so
# small differences in it mean nothing. The other MoE models were not tuned. With 2 windows, both
# sides were trained again with five seeds, at the best rate of the table.
#
# In `moe-16` the [combine weights](98_glossary.ipynb#combine-weight) of a token sum to 1. In a
# variant they sum to K = 2: an ordinary choice. Its rate was tuned for `moe-16`.

# %%
best = {key: min(bit for bit in found if bit) for key, found in tuned.items()}
lost = max(found[2] - best[key] for key, found in tuned.items() if key[0] == 4)
finding("With 4 windows, no tried rate is better than 0.004 by 0.01.", lost < 0.01, at_most=lost)
halved = stored.paired("moe-16, batch 2", "dense, batch 2", 4096)
finding("With 2 windows MoE needs fewer bits too, after 1 MB.", halved.high < 0, **halved.numbers)
variant, lame = "moe-16, weights sum to K", "moe-16, dead router"
kept, changed = (stored.paired(variant, rival, 2048) for rival in ("dense", "moe-16"))
finding("With weights that sum to K, MoE needs fewer bits than dense, just visibly.", kept.high < 0,
        **kept.numbers)
finding("In the mean this gain is smaller; five seeds do not settle it.",
        changed.mean > 0 and not changed.settled, **changed.numbers_with_power)

# %% [markdown]
# Why could it matter? With weights that sum to 1, the experts start with larger numbers. A step moves
# a large number about as far as a small one: in proportion, less. This is a guess.
#
# And on another text? Sixteen made-up languages have a known **floor**: no reader can need fewer
# bits. The **excess** is what a model needs above it.

# %%
from minimoe.experiments.plan import languages_floor

floor, made_up = languages_floor(), [f"{name}, languages" for name in sides]
Table(["excess, bits per byte", "1,024 steps", "2,048 steps"], [
    (name, *(round(mean(stored.bits(name, n).values()) - floor, 2) for n in (1024, 2048)))
    for name in made_up
])

# %%
apart = stored.paired(*reversed(made_up), 2048)
finding("On made-up languages the excess of the MoE is smaller.", apart.high < 0, **apart.numbers)

# %% [markdown]
# ## Would we notice a broken run?
#
# We broke some runs. Two have a quarter of the rate. A **dead** router sends every token to the same
# 2 experts. A **frozen** one keeps its random first weights. **Falsifier** of the experiment: *a
# quarter of the rate, or a dead router, is not visibly worse.*

# %%
guess_5 = ...  # bits per byte with a frozen router, minus those with one that learns?
predict("09.5", guess_5, a="below 0: frozen is better", b="it contains 0",
        c="above 0: frozen is worse")

# %%
dead, alike = (stored.paired(lame, rival, 2048) for rival in ("moe-16", "dense"))
at_1024 = partial(stored.paired, steps=1024)
frozen, random_choice = (at_1024(f"{variant}, frozen router", n) for n in (variant, "dense"))
slow = {f"{n}: quarter minus full rate": at_1024(f"{n}, rate / 4", n) for n in sides}
untuned = at_1024("moe-16, rate / 4", "dense, rate / 4")
predict("09.5", measured={"a": frozen.high < 0, "b": not frozen.settled, "c": frozen.low > 0})
plot_paired(panel(3.6), {
    **slow, "quarter rate: moe-16 minus dense": untuned, "frozen minus learning router": frozen,
    "frozen router minus dense": random_choice, "2,048 steps: dead minus learning": dead,
    "2,048 steps: dead minus dense": alike,
}, "bits per byte (above 0: the first is worse)")

# %% [markdown]
# **Look.** The upper five rows are after 1,024 steps; frozen routers have weights that sum to K. The
# dead router keeps the large experts and has no choice: no gain is visible. So their size alone does
# not explain the gain. In the third row both sides have a wrong rate: there MoE already seems
# better.

# %%
low = min(r.low for r in slow.values())
finding("A quarter of the rate is visibly worse, on both sides.", low > 0, lowest_end=low)
finding("A dead router is visibly worse than one that learns.", dead.low > 0, **dead.numbers)
finding("It does not differ visibly from dense.", not alike.settled, **alike.numbers_with_power)
finding("A frozen router is visibly worse than one that learns.", frozen.low > 0, **frozen.numbers)
finding("A frozen router is visibly worse than dense.", random_choice.low > 0,
        **random_choice.numbers)
finding("With an untuned rate the answer after 1,024 steps would be another.",
        untuned.settled and not ours(1024).settled)

# %% [markdown]
# ## What would dense need for the same loss?
#
# How much is such a difference worth? Ask: *at what cost does dense reach the loss of the MoE?* That
# cost, divided by the cost of the MoE, is the **compute multiplier**. Above 1, dense needs more.
# From here on all is exploring, with the seeds 0 to 4.

# %%
guess_6 = ...  # how many times the tokens of the MoE does dense need for the same loss?
predict("09.6", guess_6, a="less than 1", b="1 to 1.5", c="more than 1.5, up to 3", d="more than 3")

# %% tags=["exercise"]
# 09.7

# %%
dense_steps, curves = stored.curve("dense", **chosen)
moe_steps, moe_curves = stored.curve(moe, **chosen)
needed = multiplier(dense_steps, curves, of_moe, steps, reach=cost_of)[0]
predict("09.6", measured={"a": needed < 1, "b": 1 <= needed <= 1.5, "c": 1.5 < needed <= 3,
                          "d": needed > 3})
ax = panel(3.4)
plot_curves(ax, {
    name: (ends[-5:], [mean(row) for row in zip(*side.values())][-5:])
    for name, ends, side in (("dense", dense_steps, curves), (moe, moe_steps, moe_curves))
}, "steps of training, 512 bytes each", "bits per byte", log_x=True)
mark_distance(ax, mean(of_moe.values()), steps, steps * needed, f"times {needed:.2f}")

# %% [markdown]
# **Look.** The axis of steps is logarithmic. The arrow is the multiplier.
#
# How does it change with the length of training? Your function joins two points with a straight
# line. A control, "curved", joins three with a parabola. "Seeds beyond" counts the seeds for which no
# run of dense reaches the loss. They count as the longest run, so the multiplier is then *at least*
# this.

# %%
ends = [n for n in moe_steps if 512 <= n < dense_steps[-1]]
times = {n: multiplier(dense_steps, curves, bits(moe, n), n, reach=cost_of) for n in ends}
tokens, bent = [t[0] for t in times.values()], partial(cost_to_reach, curved=True)
curved = {n: multiplier(dense_steps, curves, bits(moe, n), n, reach=bent)[0] for n in ends}
Table(["steps", "times the tokens", "low", "high", "curved", "times the FLOPs", "seeds beyond"],
      [(n, round(t[0], 2), *(None if t[3] else round(x, 2) for x in t[1:3]), round(curved[n], 2),
        round(t[0] / flops_ratio, 2), t[3]) for n, t in times.items()])

# %%
finding("Dense needs more tokens: the interval lies above 1.", times[steps][1] > 1)
finding("The multiplier grows with training.", tokens == sorted(tokens))
errors = [abs(curved[n] - times[n][0]) for n in ends]
finding("The curved control agrees within a tenth.", max(errors) < 0.1)

# %% [markdown]
# ## Who learns more in the same time?
#
# In the time of one MoE step, dense can do more than one step. You know two numbers now: how many
# times the tokens dense needs, and how many times as long a step of the MoE takes. Who is ahead
# after the same time? The second number depends on the machine. So the figure shows many.

# %%
guess_8 = ...  # at equal seconds: where does the interval of MoE minus dense lie?
predict("09.8", guess_8, a="below 0: MoE is better", b="it contains 0", c="above 0: dense is better")

# %%
def in_time(ratio, n=steps, curved=False):
    """MoE after n steps, minus dense after ratio times as many (at most its longest run)."""
    at = min(n * ratio, dense_steps[-1])
    return at_cost(dense_steps, curves, bits(moe, n), at, curved=curved)


same_time = in_time(slower)
predict("09.8", measured={"a": same_time.high < 0, "b": not same_time.settled,
                          "c": same_time.low > 0})
ratios = [1 + k * (max(2, slower) - 1) / 20 for k in range(21)]
bands = [(r.low, r.mean, r.high) for r in map(in_time, ratios)]
plot_interval(panel(3.2), ratios, tuple(zip(*bands)), {"measured": slower},
              "seconds of a step, MoE over dense", "bits per byte, MoE minus dense")

# %% [markdown]
# **Look.** The line is the mean, the band is the interval. Below 0 the MoE is better. At a ratio of
# 1, equal seconds are equal tokens. The band does not include the error of the step times. The last
# section prints the ratio of your machine: find it on this axis.
#
# The next figure shows the multipliers for every length of training.

# %%
ax = panel(3.2)
plot_curves(ax, {
    "times the tokens": (ends, tokens), "times the seconds": (ends, [t / slower for t in tokens]),
    "equal cost": (ends, [1] * len(ends)),
}, "steps of training of the MoE", "dense over MoE, for equal loss", log_x=True)

# %% [markdown]
# **Look.** Above the line of equal cost, dense needs more. With `moe-16` the last point is a lower
# bound: two of five seeds are beyond. By seconds the line crosses 1 later than by tokens.

# %%
by_time = {n: in_time(slower, n) for n in ends}
finding("At equal seconds dense is better: the interval lies above 0.", same_time.low > 0,
        **same_time.numbers)
smooth = in_time(slower, curved=True)
finding("So it is with the curved control.", smooth.low > 0, **smooth.numbers)
finding("After the longest training that allows it, these seeds do not settle it.",
        not by_time[ends[-1]].settled, steps=ends[-1], **by_time[ends[-1]].numbers_with_power)
longest = at_cost(moe_steps, moe_curves, bits("dense", dense_steps[-1]),
                  min(dense_steps[-1] / slower, moe_steps[-1]))
finding("In the time of dense's longest run, the MoE is better, just visibly.",
        longest.low > 0 and dense_steps[-1] / slower <= moe_steps[-1],
        dense_minus_MoE=round(longest.mean, 3), low=round(longest.low, 3))
finding("Dense is ahead at every ratio of step times from 1.5 on.",
        min(low for ratio, (low, _, _) in zip(ratios, bands) if ratio >= 1.5) > 0)

# %% [markdown]
# ## Equal what?
#
# What if memory is short, not time? Then the fair rival is a *larger* dense model: one that needs as
# much memory, or one with as many parameters. For the second one there are two comparisons: at
# equal tokens and at equal seconds.

# %%
against = partial(stored.at_equal, moe, steps=steps, **chosen)
axes = {f"active parameters, {what}": r for what, r in against("dense").items()}
family, twin = ["dense", *large], f"dense as large as {moe}"
sizes = [stored.memory(name) for name in family]
if sizes[0] <= stored.memory(moe) <= sizes[-1]:
    axes["memory, tokens"] = stored.at_equal_memory(moe, family, steps, **chosen)
if twin in large:
    axes |= {f"all parameters, {what}": r for what, r in against(twin).items() if what != "FLOPs"}
axes |= {f"active parameters, seconds, {n:,} steps": by_time[n] for n in ends if n > steps}
plot_paired(panel(3.6), axes, "bits per byte, MoE minus dense at equal ... (below 0: MoE is better)")

# %% [markdown]
# **Look.** Each row is one meaning of equal. Left of 0 the MoE is better, right of 0 dense is. The
# row with memory is rough: its rival is read off between three sizes. The large dense model is a
# weak rival at this length: in the same time, the small dense model learns more.

# %%
tie = stored.paired("moe-16", large[1], 2048)
finding("At equal parameters in all and equal tokens, no difference is visible.", not tie.settled,
        **tie.numbers_with_power)
finding("For it moe-16 used fewer FLOPs, seconds and less memory.", max(to_large[1:]) < 1,
        FLOPs=round(to_large[1], 2), seconds=round(to_large[2], 2),
        memory=round(to_large[3], 2))
small = stored.at_equal("dense", large[1], 4096)["seconds"]
finding("In the same time the small dense model beats the large one.", small.high < 0,
        steps_of_the_small=4096, **small.numbers)
finding("The answer depends on what is equal: the signs differ.",
        min(r.mean for r in axes.values()) < 0 < max(r.mean for r in axes.values()))

# %% [markdown]
# ## What do others report?
#
# Their models are thousands of times as large as ours. DeepSeek-V2's hours are for the same number
# of tokens. Its rival, DeepSeek 67B, has more active parameters. The two differ also in their
# [attention](98_glossary.ipynb#attention), data and total size. So MoE alone need not explain the gap.

# %%
hours = {"DeepSeek 67B": 300.6, "DeepSeek-V2": 172.8}  # thousand GPU hours for 10^12 tokens
saved = 1 - hours["DeepSeek-V2"] / hours["DeepSeek 67B"]
Table(["published", "equal", "by tokens or FLOPs", "by time"], [
    ("OLMoE, 1.3B of 6.9B", "quality", "about 3", "about 2"),
    ("Switch, from T5 models", "quality", None, "up to 7"),
    ("Artetxe and others", "quality", "about 4", None),
    ("nanochat, 8 experts", "seconds", None, "worse: 35 % of the peak, dense 46 %"),
    ("DeepSeek-V2, against 67B", "tokens", None, f"{100 * saved:.1f} % fewer hours"),
    (f"ours, {moe}, {steps:,} steps", "loss",
     *(round(times[steps][0] / ratio, 2) for ratio in (flops_ratio, slower))),
])

# %% [markdown]
# **Look.** OLMoE's gain by time is smaller than its gain by tokens. nanochat's loss was better for
# each step and worse for each second: it used a smaller part of the peak speed of its chips. Our gain
# is smaller, and it still grows at the end of our runs. Published work disagrees about size: Artetxe
# and others write that the gap narrows at scale, Krajewski and others that it widens.

# %% [markdown]
# ## Do the stored results hold on your machine?
#
# Train `dense` and `moe-16` again, for 128 steps with seed 0. Another processor rounds in another
# way, so digits may differ. But a result must lie near the stored seeds. This takes a few seconds on
# a fast machine, and up to two minutes on a busy one.

# %% tags=["timing", "nbval-ignore-output"]
from minimoe.experiments.runner import train_entry
from minimoe.experiments.sparse_pays import PLAN

print("training dense, then moe-16 ...")
plan = {entry.name: replace(entry, budgets=(128,), seeds=(0,)) for entry in PLAN.entries}
again = {name: train_entry(plan[name])[0] for name in sides if live}
known = {name: list(stored.bits(name, 128).values()) for name in again}
if live:
    print("your ratio:", round(again["moe-16"]["step_seconds"] / again["dense"]["step_seconds"], 2))
Table(["after 128 steps", "here", "stored mean", "deviation", "seconds"], [
    (name, *(round(x, 3) for x in (row["bits"]["all"], mean(known[name]), stdev(known[name]),
                                   row["step_seconds"]))) for name, row in again.items()])

# %%
near = [abs(row["bits"]["all"] - mean(known[name])) < 3 * stdev(known[name])
        for name, row in again.items()]
finding("Both live runs lie within three standard deviations of the stored means.", sum(near) == 2,
        live_runs=len(near))

# %% [markdown]
# ## Play
#
# Choose a model and a length. The figure shows its difference to dense in each kind of text. Then go
# back to the settings. Try `n_seeds = 2`, or `E = 64`, or `domain = "chinese"`. Which lines still
# say HOLDS?

# %%
my_model, my_steps = "moe-16", 2048
played = my_model if my_model in [*names, *large] else moe
length = nearest(my_steps, budgets)
plot_paired(panel(3), {
    kind: stored.paired(played, "dense", length, kind) for kind in stored.domains
}, f"bits per byte, {played} minus dense, {length:,} steps")

# %% [markdown]
# **Look.** Each row is one kind of text; `all` joins them. One model can gain in one kind of text
# and lose in another. These are looks without a stated test.
#
# ## Takeaway
#
# - Compare seed with seed, give an interval, and say which effect would have been visible.
# - Explore with some seeds, write one test down, and run it with others.
# - "Better" needs an "at equal what", and "after how much training". Tokens, FLOPs, seconds, memory
#   and parameters are five questions about the same two models.
#
# **Verdict on the claims.** `moe-quality`: *shown here, with a condition*. Refuted if, at equal
# active parameters and tokens, the MoE is visibly worse. In the test, 16 experts needed 0.1 bits per
# byte fewer. The condition: steps of 2 or 4 windows, after 1 MB of text. After 0.25 MB nothing was
# visible. Against dense with as many parameters in all, no difference was visible, with 0.27 of the
# FLOPs.
#
# `moe-training-cost`: *true elsewhere, not shown at this size*. Refuted if a sparse model needs more
# hours than the dense model that it replaces, for as many tokens. DeepSeek-V2 took 42.5 % fewer.
# Here a step takes 1.57 times as long as with equal active parameters, and 0.62 times as long as with
# equal parameters in all.
#
# For equal loss after 1 MB, dense needs 1.28 times the tokens and 0.82 times the seconds; after 2 MB
# at least 1.76 times the tokens. At equal seconds, on the machine of the stored costs, dense was
# better up to 1 MB of text. At 2 MB nothing was settled. In the time in which dense reads 4 MB, the
# MoE was better, just visibly.
#
# These models have three [layers](98_glossary.ipynb#layer) and read up to 4 MB. They show that "at
# equal what" decides the answer. They do not show how large the gain is in a model like DeepSeek-V3.
#
# **Source.** Article A0, "DeepSeek's Role in the Ecosystem"; article A2, "Understanding Large
# Language Models (LLMs)". OLMoE: arXiv 2409.02060, section 4.1.1 and figure 4. Switch Transformers:
# arXiv 2101.03961, abstract. Artetxe and others: arXiv 2112.10684, abstract. Krajewski and others:
# arXiv 2402.07871, abstract. DeepSeek-V2: arXiv 2405.04434, section 3.2.3. nanochat:
# karpathy/nanochat, dev/LOG.md, entry of 2026-02-19.
#
# **Next.** [10 · How does the gain change with experts and compute?](10_scaling.ipynb)
