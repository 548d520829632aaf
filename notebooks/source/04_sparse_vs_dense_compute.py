# %% [markdown]
# # 04 · Does skipping work save time?
#
# **Question.** A Mixture of Experts (MoE) skips most of its weights for each token. That saves
# floating-point operations (FLOPs), exactly. Does it also save seconds, and against what?
#
# **You will be able to** name three fair comparisons of sparse and dense and the answer of each,
# predict a layer's time from its FLOPs and bytes, find on *your* machine where sparse starts to
# win, and say where the lost time goes.
#
# *Claims:* `moe-faster` (so it computes faster and uses less energy), `hardware-fit` (it does very
# well on some hardware and less well on other) and `moe-training-cost` (MoE makes training cheaper).
# *Needs:* notebooks 02 and 03. *Runs in* about 30 s.
#
# Times differ from machine to machine and from run to run. The times printed here come from one
# thread of the machine that built this page; yours are the ones that count. The text states only
# what held wherever it was tried, and says so where it speaks of the page's own run.

# %%
from dataclasses import replace
from functools import partial
from itertools import pairwise

import numpy as np
import torch
from matplotlib import pyplot as plt
from torch.utils.flop_counter import FlopCounterMode

from minimoe import MoE, MoEConfig
from minimoe.formulas import energy, memory, roofline
from minimoe.measure import flops, parameters, timing
from minimoe.model.feed_forward import SwiGLU, silu_gate
from minimoe.model.parameters import initialize_
from minimoe.show.figures import plot_curves, plot_parts_of_peak, plot_predicted, style
from minimoe.show.tables import text_table

style()

# %% [markdown]
# ## Two kinds of fairness are exact
#
# One MoE layer: vectors of width $D=256$, $E=48$ experts, each $F=64$ wide inside, and $K=3$ of
# them for a token. What is the dense layer to compare it with? A dense layer of width $w$ has
# $3Dw$ weights, and a token passes all of them. The router has $ED$ weights, as many as a dense
# layer has in $E/3 = 16$ of its width. So there are two fair opponents:
#
# - **equal active**: $w = KF + E/3$, as many weights and FLOPs for each token;
# - **equal total**: $w = EF + E/3$, as many weights to store, and all of them used.

# %%
D, E, K, F = 256, 48, 3, 64
width = {"equal active": K * F + E // 3, "equal total": E * F + E // 3}
config = MoEConfig(d_model=D, d_expert=F, n_routed_experts=E, top_k=K)
torch.set_grad_enabled(False)  # all that follows is reading, unless it says otherwise


def dense(d_ff):
    layer = SwiGLU(D, d_ff)
    initialize_(layer, seed=0)
    return layer


layers = {"MoE": MoE(config)} | {name: dense(w) for name, w in width.items()}
stream = torch.randn(8192, D, generator=torch.Generator().manual_seed(0))  # random tokens


# %%
def flops_of(run):
    """FLOPs of the matrix products that really happen."""
    with FlopCounterMode(display=False, custom_mapping=flops.CUSTOM_FLOPS) as counter:
        run()
    return counter.get_total_flops()


def weights_read(layer, x):
    with parameters.recorded(layer) as meter:
        layer(x)
    return meter.n_touched


size = {name: sum(p.numel() for p in layer.parameters()) for name, layer in layers.items()}
read = {name: weights_read(layer, stream[:1]) for name, layer in layers.items()}
cost = {n: flops_of(partial(layer, stream[:1024])) // 1024 for n, layer in layers.items()}
rows = [(n, width.get(n), *(f"{c[n]:,}" for c in (size, read, cost))) for n in layers]
print(text_table(["layer", "width", "weights", "read by one token", "FLOPs per token"], rows))

# %%
assert size["MoE"] == size["equal total"] == 3 * D * 3088
assert read["MoE"] == read["equal active"] == 3 * D * 208
assert cost["MoE"] == cost["equal active"] == 6 * D * 208 and cost["equal total"] == 6 * D * 3088
print(f"FLOPs, equal total over MoE: {cost['equal total'] / cost['MoE']:.2f}, both counts exact")
gaps = layers["MoE"].router(stream[:256]).logits.sort().values[:, -K - 1 : -K + 1].diff()
assert gaps.min() > 1e-5  # no choice of experts hangs on rounding

# %% [markdown]
# The first half of the claim stands, with no rounding: for as many weights, an MoE does a fraction
# of the FLOPs, here one in 14.85; and it does exactly the FLOPs of the dense layer of equal active
# size. If time were FLOPs, this notebook would end here.
#
# ## In seconds, sparse wins one comparison and loses the other
#
# We time the three in turns, A B C A B C, so that a drift of the machine meets all of them, and
# compare within each round. Once forward only (*reading*), once forward and backward (*learning*).
#
# **Predict.** For 2,048 tokens: against *equal active*, is the MoE as fast, slower, or faster?
# Against *equal total*: faster by 14.85, by less, or not at all? Write it down, then run.


# %% tags=["timing", "nbval-ignore-output"]
def learn(layer, x):
    """Forward and backward: a gradient for every weight."""
    with torch.enable_grad():
        out = layer(x)
        y = out[0] if isinstance(out, tuple) else out  # an MoE also returns what it decided
        return torch.autograd.grad(y.sum(), list(layer.parameters()))


x = stream[:2048]
runs = {"reading": {n: partial(layer, x) for n, layer in layers.items()}}
runs["learning"] = {n: partial(learn, layer, x) for n, layer in layers.items()}
fair = {doing: timing.time_interleaved(r, rounds=5, warm_up=1) for doing, r in runs.items()}
rows = [(d, n, 1e3 * t.median, 100 * t.spread) for d, ts in fair.items() for n, t in ts.items()]
print(text_table(["doing", "layer", "median, ms", "spread, %"], rows))

# %% [markdown]
# **Look.** Six medians; the spread is the width of the middle half of the rounds. Compare within
# reading and within learning. Against equal total the MoE is several times as fast in both. Against
# equal active it should tie, by FLOPs; in the page's own run it was slower. So FLOPs say who *can*
# win, and time says by how much less. The next cell has the ratios, round by round.
#
# The third fair comparison is **equal seconds**: which dense layer takes as long as the MoE? The
# cell after it times several widths together with the MoE, and interpolates.

# %% tags=["timing", "nbval-ignore-output"]
for doing, t in fair.items():
    for other in width:
        ratio = t["MoE"].ratio(t[other])
        low, high = ratio.quartiles
        print(f"{doing}: {ratio.median:.2f} ({low:.2f} to {high:.2f}) times as fast as {other}")
assert all(t["MoE"].ratio(t["equal total"]).median > 1.5 for t in fair.values())

# %% tags=["timing", "nbval-ignore-output"]
widths = (64, 128, 208, 320, 512, 1024, 3088)
runs = {w: partial(dense(w), x) for w in widths} | {"MoE": partial(layers["MoE"], x)}
t = timing.time_interleaved(runs, rounds=5, warm_up=1)
same = np.interp(t["MoE"].median, [t[w].median for w in widths], widths)
print(f"as long as the MoE takes a dense layer about {same:.0f} wide: it does {same / 208:.1f}")
print(f"times the FLOPs and has 1/{3088 / same:.1f} of the weights")

# %% [markdown]
# Three fair comparisons, three answers. Equal FLOPs: nothing is saved, so all depends on who uses the
# machine better, and in the page's own run that was not the MoE. Equal weights: it wins clearly.
# Equal seconds: there it trades, more weights than the dense layer has for fewer FLOPs than the
# dense layer does. Which is better then depends on what the weights learn (notebook 09).
#
# Others saw the same. For each pair below, the FLOPs of the MoE as a share of the dense model's,
# beside its time. (In the first row, time is GPU hours and FLOPs are taken to follow active
# parameters.)

# %%
from minimoe.zoo.published import count_named

counts = [count_named(name).count for name in ("deepseek-v2", "deepseek-llm-67b")]
v2, b67 = (count.active_parameters["with_embeddings"] for count in counts)
pairs = {"DeepSeek-V2, training, against DeepSeek 67B": (v2 / b67, 172.8 / 300.6)}
pairs["OLMoE, training to the loss of a dense model"] = (1 / 3, 1 / 2)
pairs["DeepSeekMoE 16B, inference, against 7B"] = (74.4 / 183.5, 1 / 2.5)
pairs["nanochat d18, training, equal FLOPs"] = (1, 46 / 35)
rows = [(who, *(f"{100 * share:.0f} %" for share in both)) for who, both in pairs.items()]
print(text_table(["who", "FLOPs", "time"], rows))

# %% [markdown]
# Time falls less than FLOPs in three of the four. The third is said to be "nearly 2.5 times" as
# fast and has kept all it saved: one size on one GPU. The fourth is an honest loss: there the share
# of the machine's peak that was used fell from about 46 % to about 35 % with an MoE, which learned
# more in each step and less in each second, and was given up.
#
# ## A batch reads nearly all experts, for few tokens each
#
# Where does time go, if not into FLOPs? Weights must come from memory before they are multiplied.
# One token reads $K$ experts. More tokens reach more experts (notebook 03), but each of these
# serves only $TK/E$ tokens on average, for $T$ in the batch. What is really read, and how many FLOPs
# are done for each byte of it:

# %%
rows = []
for n in (1, 4, 16, 64, 256):
    reads = weights_read(layers["MoE"], stream[:n])
    uses = [n * cost["MoE"] / (4 * w) for w in (reads, read["equal active"])]
    rows.append((n, f"{reads:,}", *(f"{use:.1f}" for use in uses)))
print(text_table(["tokens", "MoE reads", "its FLOPs per byte", "dense, either width"], rows))

# %% [markdown]
# A number takes 4 bytes. A dense layer does half a FLOP for each byte of weights and each token: as
# the batch grows, so does its use of every byte. The MoE's use hardly grows at first, since new
# tokens bring new experts. In the end its experts need $E/K = 16$ times as many tokens for the same
# use.
#
# ## Sparse wins and loses by the batch
#
# The **roofline** model makes seconds of FLOPs and bytes. A machine has a peak of each per second;
# both work at once, so the slower counts. We add a fixed price for starting each operation, which
# small layers feel. The cell below does it by hand for a made-up machine, and by package; then we
# do it for yours.
#
# When a model writes, it computes one token at a time (*decoding*); when it reads a prompt, all
# tokens at once (*prefill*). So the number of tokens in a batch is not a detail.
#
# **Predict.** From 1 to 8,192 tokens: is the MoE faster than *equal total* (a) everywhere, (b) only
# in large batches, (c) at one token and in large batches, but less so or not at all between? And
# where does it lose most against *equal active*?

# %%
made_up = timing.MachinePeak(1e11, 1e10, 3e-6)  # FLOPs and bytes a second, seconds a start
work = roofline.dense_work(D, 3088, 1, itemsize=4)
by_hand = max(work.flops / 1e11, work.n_bytes / 1e10) + work.n_operations * 3e-6
package = roofline.predicted_seconds(work.flops, work.n_bytes, work.n_operations, made_up)
assert abs(by_hand - package.seconds) < 1e-12
print(f"equal total, one token: {1e6 * by_hand:.0f} µs, bound by {package.bound}")


# %% tags=["timing", "nbval-ignore-output"]
def predicted(work):
    needs = work.flops, work.n_bytes, work.n_operations
    return roofline.predicted_seconds(*needs, peak).seconds


def sweep(n):
    runs = {name: partial(layer, stream[:n]) for name, layer in layers.items()}
    return timing.time_interleaved(runs, rounds=3 if n > 256 else 9, warm_up=1)


sizes, peak = (1, 4, 16, 64, 256, 1024, 8192), timing.measure_peak()
seen = {n: sweep(n) for n in sizes}
cores = torch.get_num_threads()
said = {"MoE": [predicted(roofline.layer_work(config, n, 4, n_cores=cores)) for n in sizes]}
for name, w in width.items():
    said[name] = [predicted(roofline.dense_work(D, w, n, 4)) for n in sizes]

# %% tags=["timing", "nbval-ignore-output"]
curves, used = {}, {}
for name in layers:
    each = [seen[n][name].median for n in sizes]
    micro = [[1e6 * s / n for n, s in zip(sizes, series)] for series in (each, said[name])]
    curves[name] = (sizes, *micro)
    rates = [n * cost[name] / s for n, s in zip(sizes, each)]
    used[name] = (sizes, [100 * rate / peak.flops_per_second for rate in rates])
left, right = plt.subplots(1, 2, figsize=(12, 4.6))[1]
plot_predicted(left, curves, "tokens in the batch", "time per token, µs")
plot_curves(right, used, "tokens in the batch", "% of the peak of FLOPs", log_x=True)
assert curves["MoE"][1][0] > 2 * curves["MoE"][1][-1]  # a lone token costs more than one of many

# %% [markdown]
# **Look.** Left: time per token over tokens in the batch, both axes logarithmic; with markers what
# was measured, dotted what the roofline predicts. The curves fall: a lone token pays for weights and
# starts that a batch shares. The MoE's bulges up from a few to some dozens of tokens, where new
# tokens wake new experts and each is a little job of its own, and comes down near *equal active*,
# far below *equal total*. Dotted lines lie mostly below the measured ones: no layer is as good as a
# large product or a long copy. Right: the share of the machine's peak. The dense layers climb early
# (the wide one may slip again, where what it writes no longer fits in a cache), the MoE climbs later.

# %% tags=["timing", "nbval-ignore-output"]
for other in width:
    gain = {n: round(seen[n]["MoE"].ratio(seen[n][other]).median, 2) for n in sizes}
    between = [pair for pair in pairwise(sizes) if (gain[pair[0]] > 1) != (gain[pair[1]] > 1)]
    print(f"times as fast as {other}, by tokens: {gain}")
    print("   the winner changes between these tokens:", between or "never")
    assert gain[16] < 0.7 if other == "equal active" else gain[8192] > 1.5

# %% tags=["timing", "nbval-ignore-output"]
for name, (_, share) in used.items():
    one, many = (1e6 * seen[n][name].median / n for n in (1, 8192))
    print(f"{name}: decoding {one:.0f} µs a token, prefill {many:.1f};", end=" ")
    print("half its best from", next(n for n, s in zip(sizes, share) if s >= max(share) / 2))
    errors = [p / seen[n][name].median - 1 for n, p in zip(sizes, said[name])]
    print("   error of the prediction, %:", ", ".join(f"{100 * e:+.0f}" for e in errors))

# %% [markdown]
# The first list is your machine's map: above 1, sparse is faster. The losing regime is as real as
# the winning one. At 16 tokens the MoE is clearly slower than the dense layer that it ties with in
# FLOPs; at 8,192 it is far ahead of the one with as many weights. Decoding for one person and prefill
# are two different jobs to it.
#
# Machines differ, too. Of four simulated processors on which this was tried, one holds the library
# of matrix products to its oldest instructions, and there the MoE beat *equal active* as well in
# large batches: apparently its small products suit that library better. Where a prediction misses,
# look first for products too small to reach a peak: the roofline knows peaks, and not what it costs
# never to reach them.
#
# ## More experts cost memory first, and time later
#
# Now the number of experts $E$ grows from 4 to 256, each token still takes $K=3$ of the same
# size. All weights grow with $E$. FLOPs per token grow only by the router, which scores every
# expert.
#
# **Predict.** Sixty-four times as many experts. The time per token in a batch of 8,192 grows (a) not
# at all, (b) by less than a factor of 16, (c) 64 times? And in a batch of 512: by more, or by less?

# %% tags=["timing", "nbval-ignore-output"]
some, curves, growth = (4, 8, 16, 48, 128, 256), {}, {}
bigger = {e: replace(config, n_routed_experts=e) for e in some}
built = {e: MoE(c) for e, c in bigger.items()}
for n in (512, 8192):
    runs = {e: partial(layer, stream[:n]) for e, layer in built.items()}
    times = timing.time_interleaved(runs, rounds=4, warm_up=1)
    micro = [1e6 * times[e].median / n for e in some]
    works = [roofline.layer_work(c, n, 4, n_cores=cores) for c in bigger.values()]
    foretold = [1e6 * predicted(work) / n for work in works]
    curves[f"{n:,} tokens"] = (some, micro, foretold)
    growth[n] = times[256].median / times[4].median
ax = plt.subplots(figsize=(8, 4))[1]
plot_predicted(ax, curves, "experts in the layer, 3 for each token", "time per token, µs")

# %% [markdown]
# **Look.** Time per token over the number of experts, both axes logarithmic, dotted what is
# predicted. In the large batch the curve is nearly flat up to some dozens of experts and then rises
# by much less than the weights: (b). In the page's own run the batch of 512 rises earlier and
# further: 256 experts share 1,536 rows, 6 for each, and every expert has to be fetched and started
# for them. More experts want larger batches.

# %% tags=["timing", "nbval-ignore-output"]
per_token = [2 * (D * e + K * 3 * D * F) for e in some]
print(f"rows for each of 256 experts: {512 * K / 256:.0f} of {512 * K:,}")
print(f"256 experts, not 4: weights 64 times, FLOPs {per_token[-1] / per_token[0]:.2f} times,")
print("time", ", ".join(f"{times:.2f} times with {n:,} tokens" for n, times in growth.items()))
assert growth[8192] < 16

# %% [markdown]
# ## Three things eat the time: router, moving, small products
#
# Which cause costs how much? We switch them off, one after the other, and keep the experts' FLOPs
# the same to the last one:
#
# 1. *no router*: the choice is given, made beforehand;
# 2. *no moving* either: the rows lie sorted before the start, in segments made equal, and go into
#    one batched product of small matrices; nothing is gathered or summed back, no expert is started
#    by itself or has more to do than another;
# 3. *no small matrices* either: one dense layer of width $KF = 192$.
#
# **Predict.** At 4,096 tokens, which step wins back most time: 1, 2 or 3?

# %%
from minimoe import fast
from minimoe.model.dispatch import dispatch, plan_dispatch

x, moe, plain = stream[:4096], layers["MoE"], dense(K * F)
gate_up, down, routing = moe.experts.gate_up.mT, moe.experts.down.mT, moe.router(x)
rows = dispatch(x, plan_dispatch(routing)).view(E, 4096 * K // E, D)  # as if loads were even
no_router = partial(fast.mixture, x, moe.experts, routing)
steps = {"whole layer": partial(moe, x), "no router": no_router}
steps["nor moving"] = lambda: silu_gate(rows @ gate_up) @ down
steps["nor small matrices"] = partial(plain, x)
done = {name: flops_of(step) for name, step in steps.items()}
done["whole layer"] -= flops_of(partial(moe.router, x))
assert set(done.values()) == {6 * 4096 * K * D * F}
print(f"FLOPs without the router's, the same in all four: {done['no router']:,}")
print(f"width of the dense layer: {K * F}")

# %% tags=["timing", "nbval-ignore-output"]
t = timing.time_interleaved(steps, rounds=9)
best = 6 * 4096 * K * D * F / peak.flops_per_second
ax = plt.subplots(figsize=(8, 2.8))[1]
plot_parts_of_peak(ax, {name: best / t[name].median for name in steps}, "of the peak of FLOPs")

# %% [markdown]
# **Look.** Four bars, from the whole layer to the plain dense one: what share of the machine's peak
# the same FLOPs reach. Each step down takes one cause away; the step between two bars is what that
# cause costs, given that those above it are gone. The last bar does not reach the dashed line: even
# a dense layer is no large square product, and has an activation between its two. The cell below has
# the steps in milliseconds. A step can come out near zero, or below it: then it drowns in the noise of
# this run, or your machine even likes the smaller products better.

# %% tags=["timing", "nbval-ignore-output"]
took = [1e3 * t[name].median for name in steps] + [1e3 * best]
causes = "router", "moving, uneven work", "small matrices", "dense layer", "at the peak"
lost = [a - b for a, b in pairwise(took)] + [took[-1]]
rows = [(cause, ms, 100 * ms / took[0]) for cause, ms in zip(causes, lost)]
print(text_table(["what takes it", "ms", "% of the whole"], rows))
assert took[0] > took[-1] > 0

# %% [markdown]
# ## Energy can only be estimated here, and follows the batch too
#
# The claim also says "less energy". A power counter is seldom within reach, so this is an
# **estimate**: so many joules for each FLOP and each byte from memory. We take Horowitz's figures of
# 2014 for 16-bit numbers, 0.75 pJ a FLOP and 162.5 pJ a byte, and DeepSeek-V3's weights, read once
# for each batch; activations, cache, waiting and cooling are left out. The opponents are imagined:
# dense models with V3's active weights, and with all of its weights.
#
# **Predict.** For one token V3 reads 5.5 % of the bytes of *equal total*. As the batch grows, its
# estimate, as a share of that of *equal total*, (a) stays, (b) rises for good, (c) rises, then
# falls?

# %%
v3 = count_named("deepseek-v3").count
routed = v3.parameters_by_place["routed_experts"]
one_token = v3.active_parameters["without_input_embedding"]
every = one_token + routed - routed * 8 // 256  # all weights but the input embedding


def joules(n, used, read):
    """An estimate for each of n tokens, at 16 bits a number."""
    return energy.estimated_joules(2 * n * used, 2 * read, energy.horowitz(2)) / n


batches = [4**i for i in range(9)]
reads = [every - routed + routed * memory.expected_experts(256, 8, n) / 256 for n in batches]
sparse = [joules(n, one_token, r) for n, r in zip(batches, reads)]
small, large = ([joules(n, w, w) for n in batches] for w in (one_token, every))
share = [100 * s / d for s, d in zip(sparse, large)]
ax, label = plt.subplots(figsize=(8, 3.6))[1], "% of equal total's energy (estimate)"
plot_curves(ax, {"DeepSeek-V3": (batches, share)}, "tokens in the batch", label, log_x=True)

# %% [markdown]
# **Look.** One curve over the batch on a logarithmic axis, shaped like a hill: (c). It starts at
# 5.5 %, climbs to more than two thirds at 64 tokens, and comes down to where it began. On the
# left bytes rule and one token reads few experts; on the hill nearly all experts are read and do
# little; on the right FLOPs rule. Against *equal active* the MoE can only lose: it uses the same at
# one token and over 12 times as much on the hill, since the small dense model reads so little.

# %%
rows = zip(batches, sparse, small, large, share)
rows = [(f"{n:,}", *(f"{j:.3f}" for j in three), f"{s:.1f}") for n, *three, s in rows]
headers = ["tokens", "V3, J a token", "equal active", "equal total", "% of equal total"]
print(text_table(headers, rows))
assert share[0] < 6 and max(share) == share[3] > 66 and batches[3] == 64 and share[-1] < 6
assert sparse[0] == small[0] and sparse[3] > 12 * small[3]

# %% tags=["timing", "nbval-ignore-output"]
from minimoe.measure.energy import measured_joules

per = energy.horowitz(itemsize=2)
print(f"assumed: {1e12 * per.joules_per_flop} pJ a FLOP, {1e12 * per.joules_per_byte:.1f} a byte")
counted = measured_joules(lambda: [moe(x) for _ in range(9)])
print("this machine's power counter:", "cannot be read" if counted is None else f"{counted:.1f} J")
assert counted is None or counted >= 0

# %% [markdown]
# ## What goes wrong
#
# The usual benchmark runs one thing many times, then the other: A A A B B B. But machines heat up,
# throttle, and have other work. Let a made-up machine get slower with every run, and time the *same*
# work as A and as B. The truth is 1. In a row, A is sold as 1.60 times as fast as itself; in turns
# the drift nearly cancels, to 1.05. And one run alone has no spread, so nobody can tell a difference
# from noise: that is refused.


# %%
def work():
    machine["runs"] += 1
    machine["time"] += 1 + 0.1 * machine["runs"]  # each run a bit slower than the one before


machine = {"time": 0.0, "runs": 0}
how = {"rounds": 9, "warm_up": 0, "clock": lambda: machine["time"]}
in_turns = timing.time_interleaved({"A": work, "B": work}, **how)
machine.update(time=0.0, runs=0)
alone = (timing.time_interleaved({name: work}, **how) for name in "AB")
in_a_row = {name: t for each in alone for name, t in each.items()}
for name, t in {"A B A B": in_turns, "A A B B": in_a_row}.items():
    print(f"{name}: A is {t['A'].ratio(t['B']).median:.2f} times as fast as itself")

# %% tags=["raises-exception"]
timing.time_interleaved({"MoE": partial(moe, x)}, rounds=1)

# %% [markdown]
# ## Takeaway
#
# - FLOPs fall exactly with the active share. Time falls by less: it pays for the router, for moving
#   rows, for small matrices, and for weights that a small batch reads for few tokens.
# - Fair has three meanings. At equal active FLOPs nothing is saved, and mostly the MoE is slower; at
#   equal weights it wins clearly in a large batch; at equal seconds it trades FLOPs for weights.
# - The batch decides: an MoE needs $E/K$ times as many tokens as a dense layer for the same use of
#   each byte. Find the crossover on your own machine before you believe anyone's.
#
# **Verdict on the claims.** `moe-faster`: *shown here, with a condition*. It does 14.85 times fewer
# FLOPs than a dense layer of as many weights, exactly, and is much faster than that layer in a large
# batch. Against a dense layer of as many active weights no FLOP is saved, and mostly it was slower:
# at 16 tokens wherever this was run. Less energy is an estimate under stated assumptions, between
# 5.5 % and 69 % of *equal total* by the batch, and never less than *equal active*; other constants
# give other shares. `moe-training-cost`: *true elsewhere, not shown at this size*, for one part: in
# a published pair of models the sparse one took fewer GPU hours for as many tokens, and its FLOPs
# fell by more than its hours. What equal quality costs is for notebook 09. `hardware-fit`:
# *shown here, with a condition*. Who wins turns with the batch, the number of experts and the
# machine, and stands in one list for yours. But four simulated processors are one real one, and what
# memory, other chips and many of them do to it is left to notebook 17.
#
# **Try.**
#
# 1. DeepSeek-V3 sends a token to 8 of 256 experts. How large must a batch be for an expert to see
#    as many tokens as a dense layer sees in a batch of 64?
# 2. Two made-up machines differ only in memory: 10 and 100 GB a second. On which of them does
#    decoding one token gain more from being sparse, against *equal total*? Predict it with the
#    roofline, no price for starts.
# 3. Utilisation fell from 46 % to 35 % with an MoE of equal FLOPs. By how much must the MoE shorten
#    training, in tokens, to be even in seconds?
# 4. At which batch is V3's estimated energy closest to that of *equal total*?
#
# <details><summary>Answers</summary>
#
# 1\. 2,048: 32 times as large, $E/K$.
#
# ```python
# assert 64 * 256 / 8 == 2048
# ```
#
# 2\. On neither: one token is bound by memory on both, and the bytes are the same. What changes is
# the batch from which on FLOPs rule.
#
# ```python
# gains = []
# for n_bytes in (1e10, 1e11):
#     machine = timing.MachinePeak(1e11, n_bytes, 0)
#     works = roofline.layer_work(config, 1, 4), roofline.dense_work(D, 3088, 1, 4)
#     took = [roofline.predicted_seconds(w.flops, w.n_bytes, 0, machine) for w in works]
#     assert [p.bound for p in took] == ["memory", "memory"]
#     gains.append(took[1].seconds / took[0].seconds)
# assert abs(gains[0] - gains[1]) < 1e-9 and gains[0] > 10
# ```
#
# 3\. To 35 / 46 of them: 24 % fewer tokens.
#
# ```python
# assert round(100 * (1 - 35 / 46)) == 24
# ```
#
# 4\. At 74 tokens, 69 %; found by trying all up to 1,000.
#
# ```python
# def part(n):
#     reads = every - routed + routed * memory.expected_experts(256, 8, n) / 256
#     return joules(n, one_token, reads) / joules(n, every, every)
#
# assert max(range(1, 1001), key=part) == 74 and round(100 * part(74), 1) == 69.0
# ```
#
# </details>
#
# **Source.** Roofline: Williams, Waterman and Patterson 2009, doi 10.1145/1498765.1498785. Joules:
# M. Horowitz, ISSCC 2014. DeepSeek-V2's GPU hours: arXiv 2405.04434, section 3.2.3. DeepSeekMoE 16B:
# arXiv 2401.06066 (74.4T and 183.5T FLOPs for 4,096 tokens). OLMoE, about 3 and about 2 times:
# README of github.com/allenai/OLMoE. Utilisation from about 46 % to about 35 %: dev/LOG.md of
# github.com/karpathy/nanochat, 19 February 2026.
#
# **Next.** [05 · What keeps every expert busy?](05_load_balance.ipynb)
