# %% [markdown]
# # 06 · Many small experts or a few big ones?
#
# **Question.** DeepSeekMoE cuts every expert into small ones, sends each token to as many more, and
# makes some of them shared by all tokens. With the same parameters and the same FLOPs: does it help?
#
# **You will be able to** cut an expert without changing what it computes, count the sets of experts
# a token can meet, say what stays equal and what does not, compare trained models seed by seed, and
# see through a common "proof" that a shared expert is needed.
#
# *Claim:* `moe-novel` (the architecture is innovative, unique or novel): finer and shared experts
# are DeepSeek's own variant. *Needs:* notebooks 02 and 03. *Runs in* about 40 s.

# %%
from dataclasses import replace
from math import comb
from statistics import mean

import torch
from matplotlib import pyplot as plt

from minimoe import ModelConfig, MoE, MoEConfig
from minimoe.experiments import granularity
from minimoe.experiments.granularity import by_trial, combinations, comparisons, finer, name_of
from minimoe.formulas.parameters import count_parameters
from minimoe.model.feed_forward import swiglu
from minimoe.show.figures import plot_differences, plot_shares_log, style
from minimoe.show.tables import text_table
from minimoe.zoo.published import hub_shapes, published_model, published_models

style()
torch.set_num_threads(1)  # for small models a second thread costs more than it saves

# %% [markdown]
# ## An expert can be cut without changing what it computes
#
# An expert is a SwiGLU network of width $F$. Each of its $F$ inner numbers is made on its own, and
# the last matrix only adds them up. So the sum can be cut anywhere: into $m$ slices of width $F/m$,
#
# $$W_d\,\big(\mathrm{silu}(W_g x) \odot W_u x\big) = \sum_{j=1}^{m} W_d^{(j)}
# \big(\mathrm{silu}(W_g^{(j)} x) \odot W_u^{(j)} x\big)$$
#
# with rows of $W_g$ and $W_u$, and columns of $W_d$, dealt out to the slices. The number of slices,
# $m$, is called the **granularity**.
#
# **Predict.** An expert of width 128 is cut into four experts of width 32, and their outputs are
# added. Is the result equal to rounding, roughly equal, or unrelated?

# %%
shape = {"d_model": 64, "d_expert": 128, "n_routed_experts": 8, "top_k": 2}
coarse = MoEConfig(**shape, normalize_weights=False, route_scale=8.0)
layer = MoE(coarse).double().requires_grad_(False)
x = torch.randn(200, 64, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
(gate, up), down = layer.experts.gate_up[0].chunk(2), layer.experts.down[0]
slices = [slice(start, start + 32) for start in range(0, 128, 32)]
added = sum(swiglu(x, torch.cat([gate[s], up[s]]), down[:, s]) for s in slices)
error = float((added - layer.experts.one(x, 0)).abs().max())
print(f"{len(slices)} slices, added, against the whole expert: equal to 14 digits? {error < 1e-14}")

# %% [markdown]
# **Look.** They are the same function, to rounding. The same holds for a whole layer, if the slices
# of an expert are chosen together and count as much as it did. So give them the same router row:
# they tie, and the best $mK$ are the slices of the best $K$. Each of them now has $1/m$ of the
# softmax score. A combine weight of *E times the score*, the rule in this notebook, makes up for
# that: it is 1 for every expert while the router is undecided, at every granularity.
#
# The package cuts a layer so. Whatever 2 of 8 can compute, 16 of 64 can compute too.

# %%
torch.nn.init.normal_(layer.router.weight, generator=torch.Generator().manual_seed(1))
y, routing = layer(x)
for m in (2, 4, 8):
    cut = granularity.split_experts(layer, m)
    sliced, fine = cut(x)
    assert (sliced - y).abs().max() < 1e-12 * y.abs().max()
    assert set(fine.expert_ids[0].tolist()) == {
        e * m + j for e in routing.expert_ids[0].tolist() for j in range(m)
    }
    print(
        f"{cut.config.top_k} of {cut.config.n_routed_experts}, width {cut.config.d_expert}: equal"
    )

# %% [markdown]
# ## What is won is choice
#
# The reverse is not true: once the slices need not go together, a token can meet sets of experts
# that the coarse layer cannot form. DeepSeekMoE counts them. For one layer it is
# $\binom{E}{K}$, and with $m$ slices $\binom{mE}{mK}$.
#
# **Predict.** 2 of 16 experts make 120 sets. Cut in four, it is 8 of 64: about 500 sets, about
# 50,000, or over a billion?

# %%
paper = replace(coarse, n_routed_experts=16)
sets = {m: combinations(finer(paper, m)) for m in (1, 2, 4, 8)}
shared = {m: combinations(finer(paper, m, 1)) for m in sets}
rows = [(f"{2 * m} of {16 * m}", f"{n:,}", f"{shared[m]:,}") for m, n in sets.items()]
print(text_table(["routed", "sets", "sets if one of the chosen is made shared"], rows))

# %% [markdown]
# **Look.** Over four billion, from the same weights. A shared expert takes away a choice: of 120
# sets 15 are left, of four billion about half a billion. So the two ideas of DeepSeekMoE pull in
# opposite directions on this count. And a count of sets is no measure of quality: a random choice
# would have just as many.
#
# How fine are real models?

# %%
assert sets[1] == comb(16, 2) == 120 and sets[4] == comb(64, 8) == 4_426_165_368
models = {m.id: hub_shapes(m.config).model.moe for m in published_models() if m.kind == "moe"}
rows = [
    (name, moe.n_routed_experts, moe.top_k, f"{moe.shared_width / moe.d_expert:.0f}", moe.d_expert,
     f"{moe.d_expert / moe.d_model:.2f}", f"{comb(moe.n_routed_experts, moe.top_k):.1e}")
    for name, moe in models.items()
]  # fmt: skip
print(text_table(["model", "E", "K", "shared", "F", "F / D", "sets in a layer"], rows))

# %%
groups = {"no shared expert": {}, "shared experts": {}}
for name, moe in models.items():
    kind = "shared experts" if moe.shared_width else "no shared expert"
    groups[kind][name] = (moe.n_routed_experts, moe.top_k)
ax = plt.subplots(figsize=(9, 5.2))[1]
plot_shares_log(ax, groups, "routed experts E", "chosen experts K", shares=(1 / 4, 1 / 16, 1 / 64))

# %% [markdown]
# **Look.** Each point is a published model: experts to choose from across, chosen ones upwards,
# both axes logarithmic; the slanted lines are equal shares $K/E$. Bottom left are few and big
# experts, with 2 of 8; top right are many and small ones. A step along a slanted line to the
# upper right is a cut of every expert, at equal share. Both kinds of marker stand all over the
# right half (where they meet, the square lies on top): models with and without a shared expert are about as fine. DeepSeek-V3 may only choose
# within 4 of its 8 groups, which leaves a sixth of its sets. Qwen3 left the shared expert out, and
# its successor Qwen3-Next took one back in.

# %%
v3 = models["deepseek-v3"]
in_groups = combinations(v3)  # 8 of 256, but only from 4 of 8 groups
assert not models["qwen3-235b-a22b"].shared_width and models["qwen3-next-80b-a3b"].shared_width
print(f"{len(groups['shared experts'])} of {len(models)} published models have shared experts")
print(f"DeepSeek-V3: {in_groups:.1e} sets, one in {comb(256, 8) / in_groups:.1f} of 8 of 256")

# %% [markdown]
# ## Equal to the parameter, but for the router
#
# Now models to train: 2 layers, 2 of 8 experts of width 128, cut into 1, 2, 4 and 8 parts. With a
# shared expert, one of the chosen is made shared, so there is one fewer to choose, and to choose from.
#
# **Predict.** From 1 part to 8 parts: do the parameters (all, active) change? Which part does?

# %%
shapes = granularity.trials()
counts = {name: count_parameters(config) for name, config in shapes.items()}
rows = [(n, c.total, c.touched, c.router, c.touched - c.router) for n, c in counts.items()]
print(text_table(["model", "all", "active", "router", "active less router"], rows))

# %% [markdown]
# **Look.** Less the router, every model has the same active parameters, the dense one of width 256
# included, and every sparse model has the same in all. The router has a row for each expert, so it
# grows with the granularity; here from 1,024 to 8,192 parameters, 5.5 % of what is active. That is
# the price of a small model: in DeepSeek-V3 it is a matter of a third of a percent. FLOPs follow
# the same rule, and so these models are equal except that finer ones get a bigger router.

# %%
from minimoe import Transformer
from minimoe.measure.parameters import touched_parameters

for name, config in shapes.items():  # what one token really reads, measured
    assert touched_parameters(Transformer(config), torch.tensor([72])) == counts[name].touched
assert len({c.total - c.router for name, c in counts.items() if name != "dense"}) == 1
assert len({c.touched - c.router for c in counts.values()}) == 1
print("measured and counted agree; less the router all are equal, the dense one in active ones")

# %%
from minimoe.formulas.flops import count_flops

work = {name: count_flops(config, 64).weights // 64 for name, config in shapes.items()}
assert len({flops - 2 * counts[name].router for name, flops in work.items()}) == 1
ends = [counts[name_of(m, 0)] for m in (1, 8)] + [
    count_parameters(hub_shapes(published_model("deepseek-v3").config).model)
]
print("router, of the active:", *(f"{c.router / c.touched:.1%}" for c in ends), "(DeepSeek-V3)")
print({name: f"{flops:,} FLOPs" for name, flops in work.items() if name.endswith("0 shared")})

# %% [markdown]
# ## Equal FLOPs are not equal time
#
# Finer experts mean more rows to move (each token is copied $mK$ times) and smaller matrices. A
# larger layer makes the products weigh more than the overhead: D = 256, 2 of 8 experts of width 512.

# %% tags=["timing", "nbval-ignore-output"]
from functools import partial

from minimoe.measure import timing
from minimoe.model.dispatch import plan_dispatch

wide, batch = replace(coarse, d_model=256, d_expert=512), torch.randn(2048, 256)
moes = {m: MoE(finer(wide, m)).requires_grad_(False) for m in (1, 2, 4, 8)}
times = timing.time_interleaved({m: partial(moe, batch) for m, moe in moes.items()}, rounds=7)
for m, t in times.items():
    rows, router = len(plan_dispatch(moes[m](batch)[1]).slots), 2 * 2048 * 256 * 8 * m / 1e6
    print(
        f"{m} parts: {rows:,} rows, router {router:.0f} MFLOPs, {1e3 * t.median:.1f} ms,", end=" "
    )
    print(f"{1 / t.ratio(times[1]).median:.2f} times 1 part (spread {t.spread:.0%})")
assert times[8].median > 0.8 * times[1].median

# %% [markdown]
# The experts' FLOPs are the same in all four rows. On the machine that built this page the finest
# layer took clearly longer; on yours, read the last column. Whatever finer experts win in quality
# has to pay for this first. Large models pay less: their slices are still large.
#
# ## Trained on real text: less than the seeds differ
#
# Each of these models was trained anew on real text (English, Chinese, Python), with the same text
# in the same order for the same seed. That takes many minutes, so the numbers come with the package;
# `python -m minimoe.experiments.granularity FILE` makes them again. They are float32: another machine will
# differ in late digits.
#
# **Predict.** Bits per byte of new text after training. Which wins by more than the seeds differ:
# finer experts, a shared expert, both, or neither?

# %%
bits, recipe = by_trial(granularity.record()), granularity.TRAINING
rows = [(name, *(f"{b:.3f}" for b in each), f"{mean(each):.3f}") for name, each in bits.items()]
print(text_table(["model", *(f"seed {i}" for i in range(len(bits["dense"]))), "mean"], rows))
print(f"bits per byte after {recipe.steps} steps of {recipe.batch_size * recipe.length} bytes")

# %%
found = comparisons(bits)
ax = plt.subplots(figsize=(8.5, 4.2))[1]
drawn = {label: (c.differences, (c.low, c.high)) for label, c in found.items()}
plot_differences(ax, drawn, "difference in bits per byte, same seed (left: it helps)")

# %% [markdown]
# **Look.** One row for each comparison. A ring is one seed, the thick tick their mean, the band its 95 %
# confidence interval; an open question has a question mark and another colour. Every band holds 0:
# at this size and length neither finer experts nor a shared one makes a difference that these seeds
# can tell from luck; the shared rows even lie on the losing side in the mean. The dense model with
# the same active parameters has the lowest mean of all: so early in training, nothing in this table
# has yet made use of its experts (notebook 09 asks when it does). A single seed could have "proved" any of it: look at how far apart
# the rings of one row lie.

# %%
for label, c in found.items():
    word = "settled" if c.settled else "open"
    print(f"{label:22} {c.mean:+.3f}, 95 % interval {c.low:+.3f} to {c.high:+.3f}: {word}")
seeds_differ = max(max(each) - min(each) for each in bits.values())
print(f"the same model with another seed: up to {seeds_differ:.3f}")
assert not any(c.settled or abs(c.mean) > seeds_differ / 3 for c in found.values())

# %% [markdown]
# ## Here and now: a text whose answer is known
#
# A second try, trained while you wait: one layer, a mixture of four made-up languages that share
# their 24 letters, so that only the context tells them apart. Their entropy is known exactly: no
# model can do better than the floor.

# %%
from minimoe.data.batches import validation_batches
from minimoe.data.languages import markov_language, mixture_floor_bits, mixture_text

languages = [markov_language(n_symbols=24, n_successors=3, seed=i) for i in range(4)]
sizes = {"segment_length": 512, "n_train_segments": 600, "n_validation_segments": 40}
text = mixture_text(languages, **sizes, seed=0)
judged = list(validation_batches(text.validation, batch_size=64, length=32, max_bytes=2**13))
print(f"floor: {mixture_floor_bits(languages, 512):.3f} bits a letter")

# %%
from minimoe import AttentionConfig, TrainConfig
from minimoe.experiments.sweep import Trial, sweep
from minimoe.measure.bits import bits_per_byte

attention = AttentionConfig(d_model=32, n_heads=2, n_kv_heads=2, d_head=16)
narrow = replace(coarse, d_model=32, d_expert=32)
model = ModelConfig(n_layers=1, attention=attention, moe=narrow, max_length=32)
steps = TrainConfig(steps=100, batch_size=8, length=32, learning_rate=1e-2, dtype="float64")
made = {name: Trial(config, steps) for name, config in granularity.grid(model).items()}
outcomes = sweep(made, text.train, judged, seeds=(0, 1, 2))
live = {name: [o.bits_per_byte["all"] for o in each] for name, each in outcomes.items()}
print("mean of three seeds:", {name: round(mean(each), 3) for name, each in live.items()})

# %%
seen = comparisons(live)
ax = plt.subplots(figsize=(8.5, 4.2))[1]
drawn = {label: (c.differences, (c.low, c.high)) for label, c in seen.items()}
plot_differences(ax, drawn, "difference in bits per letter, same seed (left: it helps)")

# %% [markdown]
# **Look.** The same figure on the made-up languages. The rings of the three upper rows all lie left of
# 0: finer was better for every seed, by a little less than a tenth of a bit. But two parts bring nearly
# all of it: eight bring no more that one could tell. Of the four lower rows, with a shared expert, three
# straddle 0 and one lies just to the right of it. With seven intervals of 95 % about one in three
# such figures has, by luck alone, a band clear of 0. So take the nine pairs for the finding, and
# not a single band that barely clears 0 or barely misses it.

# %%
for label, c in seen.items():
    print(f"{label:22} {c.mean:+.3f}, 95 % interval {c.low:+.2f} to {c.high:+.2f}")
finer_all = [d for m in (2, 4, 8) for d in seen[f"{m} parts − 1 part"].differences]
print(f"finer was better in {sum(d < 0 for d in finer_all)} of {len(finer_all)} pairs")
assert seen["2 parts − 1 part"].high < 0

# %% [markdown]
# ## What goes wrong: switching the shared expert off, and calling it proof
#
# A well-known table disables the shared expert of a *trained* model, lets one more routed expert
# work instead, and finds the loss much worse. So the shared expert is needed? The model was not
# trained to live without it. The control: switch off another part that every token uses as well, in
# a model that has no shared expert at all: each token's best routed expert.
#
# **Predict.** Real text, 1 part. Which costs most: to disable the shared expert; to disable each
# token's best routed expert where nothing is shared; to train without a shared expert?

# %%
disabled = by_trial(granularity.record(), "without_shared")
beheaded = by_trial(granularity.record(), "without_best")
table = []
for m in (1, 2, 4, 8):
    without, with_one = name_of(m, 0), name_of(m, 1)
    cost = mean(disabled[with_one]) - mean(bits[with_one])
    control = mean(beheaded[without]) - mean(bits[without])
    table.append((m, cost, control, mean(bits[without]) - mean(bits[with_one])))
headers = ["parts", "shared disabled", "best routed disabled", "trained without shared"]
print(
    text_table(headers, [(m, *(f"{bits_lost:+.3f}" for bits_lost in lost)) for m, *lost in table])
)

# %% [markdown]
# **Look.** Parts down, bits lost across. With 1 part, disabling the shared expert costs about two bits a
# byte, and it looks indispensable. But to disable the best *routed* expert, where nothing is shared,
# costs about as much, and with more parts it costs more than the shared one does. Nobody would
# conclude that a token must have a "best expert". The last column is the honest test: trained without
# a shared expert, the model does as well to within a twentieth of a bit, if anything better.

# %%
assert all(lost > 5 * abs(retrained) for _, lost, _, retrained in table[:2])
assert all(lost > 5 * abs(retrained) for _, _, lost, retrained in table)
o = outcomes["2 parts, 1 shared"][0]
for cut in (granularity.without_shared, granularity.without_best):
    worse = bits_per_byte(cut(o.model), judged, text.validation.domains)["all"]
    print(f"live, 2 parts, {cut.__name__}: {worse - o.bits_per_byte['all']:+.3f} bits a letter")

# %% [markdown]
# Is nothing true about the shared expert, then? Its idea is that it takes over what all experts
# would learn alike, so that the others can differ. That part can be measured: the **overlap** is
# the mean squared cosine between what two routed experts make of the same token, 1 for equal
# experts, $1/D$ for unrelated ones.

# %%
alike = by_trial(granularity.record(), "overlap")
print(f"unrelated: {1 / 64:.3f};", {name: round(mean(each), 3) for name, each in alike.items()})
overlap = comparisons(alike)
assert overlap["1 shared − 0, 1 part"].high < 0
for label, c in list(overlap.items())[3:]:
    print(f"{label:22} {c.mean:+.4f}, 95 % interval {c.low:+.4f} to {c.high:+.4f}")

# %% [markdown]
# With a shared expert the routed ones overlap less where experts are big, by half with 1 part;
# where they are small there is nothing left to win, since small experts overlap little by themselves.
# So the mechanism is there, in the direction that the paper says. The loss does not follow it here:
# less overlap is not yet a better model.
#
# ## What others concluded, at real size
#
# DeepSeekMoE trained 2 billion parameters on 100 billion tokens. With 1, 2 or 4 shared of 64 the
# loss hardly changes; the last row is the disabled one.

# %%
pile = {"1 shared": 1.808, "2 shared": 1.806, "4 shared": 1.811, "disabled, not retrained": 2.414}
print(text_table(["DeepSeekMoE 2B, loss on the Pile", "nats"], list(pile.items())))
assert (2.414 - 1.808) / (1.811 - 1.806) > 100
print(f"between the retrained: {1.811 - 1.806:.3f}; by disabling: {2.414 - 1.808:.3f}")

# %% [markdown]
# - **DeepSeekMoE** concludes that both finer and shared experts help, at equal parameters. Its rows
#   with 1 to 4 shared experts were trained each and differ little; its strongest number for sharing
#   is the one without retraining.
# - **OLMoE** tried again: finer experts help, with diminishing returns towards 64; a shared expert
#   came out slightly worse, and they left it out.
# - **Qwen3** left the shared experts of its forerunner out, and prints no experiment on it.
# - A study of 2026 with over two thousand training runs finds that the number and size of experts matter
#   most, and that shared experts change little.
#
# ## Takeaway
#
# - A cut expert is the same function: finer layers contain the coarse one, with the same parameters
#   and FLOPs but for the router, which grows.
# - On real text, 600 steps long, neither finer nor shared experts differ by more than the seeds do. On
#   made-up languages two parts beat one in every seed, more parts no further; sharing did not help.
# - To disable a part of a trained model shows that this model uses it, not that a model needs it.
#   Only training without it shows that.
#
# **Verdict on the claim.** `moe-novel`: *contradicted elsewhere*, for one part: a sparse layer of
# experts was published in 2017 (arXiv 1701.06538). Finer and shared experts were new in DeepSeekMoE
# (2024, arXiv 2401.06066). How much they give is not decided here: the arithmetic (equal size, more
# sets) is exact, but on real text the runs are short, and the spread over the seeds is too wide to
# exclude a gain like the published ones.
#
# **Try.**
#
# 1. Cut 2 of 8 into 3 parts: what does the package say, and why?
# 2. How many sets has 1 of 64 experts with 7 shared ones beside it? And 8 of 64?
# 3. Weights that are divided by their sum (Mixtral, Qwen3): each of the $mK$ slices then counts
#    $1/m$ of what it should. Which constant factor makes the cut layer equal again?
# 4. Disable the shared expert of the live models with 8 parts. Why does it cost less than with 1?
#
# <details><summary>Answers</summary>
#
# 1\. It refuses: a width of 128 is not a multiple of 3.
#
# ```python
# try:
#     finer(coarse, 3)
# except ValueError as error:
#     assert "parts must divide d_expert=128, got 3" in str(error)
# ```
#
# 2\. 64, and over four billion: every shared expert takes a choice away.
#
# ```python
# assert comb(64, 1) == 64 and comb(64, 8) == 4_426_165_368
# ```
#
# 3\. $m$: the weights of the slices sum to 1, and each should have its whole expert's weight.
#
# ```python
# normal = MoE(replace(coarse, normalize_weights=True, route_scale=1.0)).double()
# normal.load_state_dict(layer.state_dict())
# quarter = replace(finer(coarse, 4), normalize_weights=True, route_scale=4.0)
# fine_layer = MoE(quarter).double()
# fine_layer.load_state_dict(granularity.split_experts(layer, 4).state_dict())
# assert (fine_layer(x)[0] - normal(x)[0]).abs().max() < 1e-12
# ```
#
# 4\. It is an eighth as wide: one of sixteen experts that a token passes through, not one of two.
#
# ```python
# def cost(name):
#     cuts = [bits_per_byte(granularity.without_shared(o.model), judged, text.validation.domains) for o in outcomes[name]]
#     return mean(cut["all"] for cut in cuts) - mean(live[name])
#
# assert cost("1 part, 1 shared") > 5 * cost("8 parts, 1 shared") > 0
# ```
#
# </details>
#
# **Source.** DeepSeekMoE: arXiv 2401.06066, sections 3 and 4.4. OLMoE: arXiv 2409.02060, section
# 4.1. Qwen3: arXiv 2505.09388, section 2. The study of 2026: arXiv 2605.11689, abstract.
#
# **Next.** [07 · Does an expert own a question, a language, or a comma?](07_specialisation.ipynb)
