# %% [markdown]
# # 02 · What does an MoE layer do to one token?
#
# **Question.** A Mixture-of-Experts (MoE) layer has many small networks and sends each token to a
# few of them. What exactly happens to one token, from its vector to the layer's output?
#
# **You will be able to** compute an MoE layer by hand, say what the router looks at and what it
# cannot see, explain what capacity drops, and measure which weights a token really used.
#
# *Claims:* `moe-sparse` (an MoE activates only the parts of the network that a task needs) and
# `moe-monolith` (it differs from a single, monolithic model). *Needs:* softmax and matrix products;
# notebook 01 helps. *Runs in* about 10 s.
#
# All weights here are **random**. The notebook shows how the layer works. It says nothing about
# what experts specialise in: only training could teach them that (notebook 07).

# %%
from copy import deepcopy
from dataclasses import replace

import torch
from matplotlib import pyplot as plt

from minimoe import AttentionConfig, ModelConfig, MoE, MoEConfig, Routing, Transformer, fast
from minimoe.data.text import encode
from minimoe.measure.parameters import recorded
from minimoe.model.capacity import capacity
from minimoe.model.dispatch import combine, dispatch, plan_dispatch
from minimoe.model.feed_forward import swiglu
from minimoe.show.figures import plot_scores, plot_stacked, style
from minimoe.show.tables import text_table

style()

# %% [markdown]
# ## One token, a matrix, two experts
#
# A token is a byte here, and its vector $x$ has D = 64 numbers. The **router** is one matrix: it
# turns $x$ into one number per expert, its **logits**. Softmax makes **scores** of them, over all
# E = 8 experts. The best K = 2 are chosen, their scores are divided by their sum, and the output is
#
# $$y = \sum_{i \in \mathrm{best\ } K} w_i \cdot \mathrm{expert}_i(x), \qquad
# w_i = \frac{s_i}{\sum_{j \in \mathrm{best\ } K} s_j}$$
#
# An expert is a small SwiGLU network, like the dense layer of notebook 01. We ask the untrained
# layer a question; each of its bytes gets its vector from an untrained model with a fixed seed.

# %%
config = MoEConfig(d_model=64, d_expert=128, n_routed_experts=8, top_k=2)
attention = AttentionConfig(d_model=64, n_heads=4, n_kv_heads=2, d_head=16)
model = Transformer(ModelConfig(n_layers=2, attention=attention, moe=config), seed=0).double()
question = "How far is the moon?"
x = torch.nn.functional.rms_norm(model.embedding[encode(question).long()], (64,)).detach()
layer = MoE(config, seed=0).double().requires_grad_(False)
print("x [T, D] =", tuple(x.shape), " router [E, D] =", tuple(layer.router.weight.shape))

# %% [markdown]
# **Predict.** The first token is `H`. Of all eight scores, which sum to 1, how much do the two
# best hold together: about 0.3, about 0.6, or more than 0.9? Write it down, then run.

# %%
token, experts = x[0], layer.experts
logits = layer.router.weight @ token
scores = logits.exp() / logits.exp().sum()  # softmax over all experts
chosen = scores.argsort(descending=True)[:2].tolist()
weights = scores[chosen] / scores[chosen].sum()  # renormalised: they sum to 1
by_hand = torch.zeros(64, dtype=torch.float64)
for weight, e in zip(weights, chosen, strict=True):
    by_hand += weight * swiglu(token, experts.gate_up[e], experts.down[e])
weight_of = {e: f"{weight:.3f}" for e, weight in zip(chosen, weights, strict=True)}
rows = [(e, f"{logits[e]:.3f}", f"{scores[e]:.3f}", weight_of.get(e)) for e in range(8)]
print(text_table(["expert", "logit", "score", "weight"], rows))
print(f"the two best scores together: {scores[chosen].sum():.3f}")

# %% [markdown]
# **Look.** An untrained router is undecided: every score lies near 1/8, and the two best hold less
# than a third together. Renormalised, they become two weights near one half that sum to 1. The
# other six experts get no weight, and the loop never calls them.
#
# Is this all that the package's layer does? It also returns what it decided, as `routing`.

# %%
y, routing = layer(x)
assert (y[0] - by_hand).abs().max() < 1e-12 * by_hand.abs().max()
assert routing.expert_ids[0].tolist() == chosen
print("by hand and by package: the same to 12 digits; routing holds", list(vars(routing)))

# %% [markdown]
# ## The choice is made for each token, not for the question
#
# The question is one task. If the layer picked the parts that *a task* needs, then its 20 bytes
# would go to the same few experts.
#
# **Predict.** How many of the 8 experts does this one question use: 2, about 4, or all 8?

# %%
figure, ax = plt.subplots(figsize=(8.5, 3.6))
plot_scores(ax, routing.scores, routing.expert_ids, list(question))

# %% [markdown]
# **Look.** One column per byte, one row per expert, lighter for a higher score; the two dots in a
# column are the chosen experts. Every row has dots: one question uses all experts. Equal bytes,
# such as the four spaces, have equal columns: the router sees only the byte's vector, not its
# neighbours.
#
# A choice belongs to one layer only. Another layer has another matrix and sends the same vector
# elsewhere; expert 7 of one layer has nothing in common with expert 7 of another.


# %%
def margin(routing: Routing) -> float:
    """The smallest gap between two of a token's three best scores, over all tokens."""
    return float(-routing.scores.detach().sort(descending=True).values[:, :3].diff().max())


_, elsewhere = MoE(config, seed=1).double()(x)  # another layer
ids, other_ids = routing.expert_ids.tolist(), elsewhere.expert_ids.tolist()
of_byte = dict(zip(question, ids, strict=True))
assert [of_byte[byte] for byte in question] == ids and (routing.assigned_per_expert > 0).all()
assert min(margin(routing), margin(elsewhere)) > 1e-6 and ids != other_ids
print("assignments per expert:", routing.assigned_per_expert.tolist())
print("a space goes to", of_byte[" "], "here and to", other_ids[question.index(" ")], "elsewhere")
print(f"smallest margin {margin(routing):.4f}, far above rounding: every machine chooses the same")

# %% [markdown]
# ## A task reaches the router only inside the vector
#
# In a whole model, attention stands before each MoE layer and mixes earlier tokens into the vector.
# Through it, and only through it, the text before a byte can change the byte's experts.
#
# **Predict.** "How far is the moon?" and "Paint a cat on the moon?" are two tasks that end in the
# same 10 bytes. How many of the 10 keep both their experts: none, fewer than half, more than half,
# or all?

# %%
one, other = (model(encode(t).long()[None])[1] for t in (question, "Paint a cat on the moon?"))
for i in range(2):
    a, b = (routings[i].expert_ids[-10:] for routings in (one, other))
    none, just_one, both = (a[:, :, None] == b[:, None]).sum((1, 2)).bincount(minlength=3).tolist()
    print(f"layer {i + 1}: {both} of 10 bytes keep both experts, {just_one} one, {none} none")
    assert none == 0 < both < 5 and min(margin(one[i]), margin(other[i])) > 1e-6

# %% [markdown]
# **Look.** Under another task fewer than half of the bytes keep both experts, yet each keeps at
# least one. The byte counts and so does the text before it, both as numbers in the token's own
# vector; no task is announced to the router. How strongly each counts is set here by the random
# weights (another seed gives other counts), later by training: we see the path, not its width.

# %% [markdown]
# ## Dispatch: sort by expert, compute, put back
#
# One pair of a token and an expert is an **assignment**. To compute 20 tokens quickly, the layer
# copies each token once per assignment and sorts the copies by expert (*dispatch*). Each expert
# then has one contiguous segment of rows. The results go back to their tokens, weighted and summed
# (*combine*).

# %%
plan = plan_dispatch(routing)
segments = (plan.slots // config.top_k).split(plan.kept_per_expert.tolist())
for e, segment in enumerate(segments):
    print(f"expert {e}: {len(segment)} rows  {''.join(question[t] for t in segment)!r}")
print(f"rows in all: {len(plan.slots)}; if every expert took every token: {8 * len(x)}")

# %% [markdown]
# The experts compute 40 rows, T · K, and not T · E = 160. Each byte stands in exactly two segments,
# and a segment keeps the order of the text. The segments differ in length: nothing here makes the
# experts equally busy. That is the subject of notebook 05.
#
# Each expert computes its own segment. On a CPU the package does the same sooner: each core of the
# processor takes some of the experts (`minimoe.fast`). The two differ in speed, not in the result.

# %%
T, K = routing.expert_ids.shape
assert plan.kept_per_expert.sum() == T * K == len(plan.slots)
back = combine(dispatch(x, plan), plan, routing.weights)
assert (back - x).abs().max() < 1e-12  # without experts between, the weights 1 in sum give x back
print(f"{T} tokens x {K} experts = {T * K} assignments; dispatch and combine alone change nothing")

# %%
with fast.plain():  # segment by segment, in plain PyTorch
    again, _ = MoE(config, seed=0).double()(x)
assert (again - y).abs().max() < 1e-12 * y.abs().max()
print("segment by segment, and by all cores at once: equal in float64")

# %% [markdown]
# ## Capacity: fixed room, dropped assignments
#
# Hardware likes fixed sizes. So GShard and the Switch Transformer gave each expert a **capacity**,
# room for $C = \lceil \mathrm{factor} \cdot T K / E \rceil$ assignments, and dropped what came
# later (codes differ in detail). The layer so far was **dropless**: it has no such limit.
#
# **Predict.** With factor 1.25 each expert has room for 7, and 56 places wait for 40 assignments.
# How many are dropped: none, two, or ten?

# %%
factors = {"factor 0.5": 0.5, "factor 1.25": 1.25, "dropless": None}
configs = {name: replace(config, capacity_factor=f) for name, f in factors.items()}
layers = {name: MoE(c, seed=0).double() for name, c in configs.items()}
figure, axes = plt.subplots(1, 3, figsize=(11, 4.2), sharey=True)
for ax, (name, moe) in zip(axes, layers.items(), strict=True):
    r = moe(x)[1]
    kept = plan_dispatch(r).kept_per_expert
    dropped = r.assigned_per_expert - kept
    bars = {f"expert {e}": {"kept": kept[e], "dropped": dropped[e]} for e in range(8)}
    plot_stacked(ax, bars, f"assignments, {name}")

# %% [markdown]
# **Look.** The same layer and the same tokens three times; plain bars are kept, hatched parts
# dropped (the two colours name no experts here). Left, factor 0.5: each expert has room for 3, and
# what wants more is cut. Middle, factor 1.25: only expert 4, which 9 assignments want, loses two,
# although the others have room to spare. Right, dropless: nothing is hatched.

# %%
for name, moe in layers.items():
    r = moe(x)[1]
    assert int(r.kept.sum()) + r.n_dropped == T * K
    print(f"{name}: room for {capacity(T, moe.config) or 'all'}, dropped {r.n_dropped} of {T * K}")
assert [moe(x)[1].n_dropped for moe in layers.values()] == [16, 2, 0]

# %% [markdown]
# Dropping has a price that is easy to miss: who is dropped depends on who else is there. So compute
# each byte alone, then all together, and compare.

# %%
for name in ("dropless", "factor 0.5"):
    together = layers[name](x)[0]
    alone = torch.cat([layers[name](row[None])[0] for row in x])
    changed = (alone - together).abs().amax(-1) > 1e-12 * alone.abs().max()
    zero = (together == 0).all(-1)
    print(f"{name}: {changed.sum()} of {T} bytes come out different, {zero.sum()} as zero")
    assert changed.any() == zero.any() == (name != "dropless")

# %% [markdown]
# Dropless, a token's output is its own business. With factor 0.5 it depends on the bytes that came
# before: where both experts of a byte are full, the layer adds exactly zero for it.
#
# ## What a token did not choose may be broken
#
# Which weights does one token read? Let us break the others: all weights of the six experts that
# the first byte, `H`, did not choose become NaN, a value that spoils every sum it enters.
#
# **Predict.** The output for `H` is then: all NaN, partly NaN, or unchanged to the last bit?

# %%
broken = deepcopy(layer)
idle = [e for e in range(8) if e not in chosen]
broken.experts.gate_up[idle] = broken.experts.down[idle] = float("nan")
unchanged, lost = torch.equal(broken(x[:1])[0], layer(x[:1])[0]), broken(x)[0].isnan().any(-1)
assert unchanged and torch.equal(lost, torch.arange(T) > 0)
print(f"experts {idle} broken: 'H' unchanged {unchanged}, bytes lost {int(lost.sum())} of {T}")

# %% [markdown]
# **Look.** Not one bit changes: the experts that `H` did not choose are not read, as if they did
# not exist. The other 19 bytes are lost, since each of them needs one of the broken experts.
#
# So is the model a set of parts that can be used one by one? Take a whole model of two layers, with
# a **shared expert** in each: an expert that every token passes through. We break one matrix at a
# time, in the last layer or the output head (a NaN further down would spread to later bytes through
# attention).

# %%
shared = replace(model.config, moe=replace(config, n_shared_experts=1))


def bytes_lost(name: str, row: int | slice = slice(None)) -> int:
    """How many bytes of the question get NaN outputs when these weights are NaN."""
    whole = Transformer(shared, seed=0).double().requires_grad_(False)
    whole.get_parameter(name)[row] = float("nan")
    return int(whole(encode(question).long()[None])[0].isnan().any(-1).sum())


for name in ("attention.o", "ff.router.weight", "ff.shared.down"):
    print(f"{name}: {bytes_lost('blocks.1.' + name)} of {T} bytes lost")
print(f"head: {bytes_lost('head')} of {T} bytes lost")

# %%
losses = [bytes_lost("blocks.1.ff.experts.down", e) for e in range(8)]
last = Transformer(shared, seed=0).double()(encode(question).long()[None])[1][-1]
assert losses == last.assigned_per_expert.tolist() and margin(last) > 1e-6
print("ff.experts.down, one expert at a time:", losses, "sum", sum(losses))

# %% [markdown]
# Attention, router, shared expert and head serve every byte. A routed expert serves those that
# chose it, so the eight losses sum to T · K. Counting the weights that one token reads in an MoE
# layer says the same without breaking anything; `recorded` watches what every operation reads.

# %%
mixed = MoE(shared.moe, seed=0).double()
parts = {"router": mixed.router, "routed experts": mixed.experts, "shared expert": mixed.shared}
rows = []
for name, part in parts.items():
    with recorded(part) as touch:
        mixed(x[:1])
    in_all = sum(p.numel() for p in part.parameters())
    rows.append((name, f"{touch.n_touched:,}", f"{in_all:,}"))
    assert touch.n_touched * 8 == in_all * (2 if part is mixed.experts else 8)
print(text_table(["part", "weights read for 'H'", "weights in all"], rows))

# %% [markdown]
# ## What goes wrong
#
# A token cannot be sent to more experts than there are:

# %% tags=["raises-exception"]
replace(config, top_k=9)

# %% [markdown]
# The second mistake is quieter, because nothing fails. With K = 1 a renormalised weight is
# $s / s = 1$, whatever the router says. So no gradient reaches the router through the output, and
# it never learns to choose: a **dead router**. The first norm below is zero exactly, not just small,
# so the package refuses that pair of settings.

# %%
router = layer.router.weight.clone().requires_grad_(True)
best = (router @ token).softmax(-1).max()
kinds = {"renormalised score": best / best, "score itself": best}
norms = [torch.autograd.grad(w, router, retain_graph=True)[0].norm() for w in kinds.values()]
for (name, weight), norm in zip(kinds.items(), norms, strict=True):
    print(f"weight = {name} = {weight.item():.3f}: norm of the router's gradient {norm:.3f}")
assert norms[0] == 0 and norms[1] > 1

# %% tags=["raises-exception"]
replace(config, top_k=1)

# %% [markdown]
# ## Takeaway
#
# - An MoE layer is a matrix that scores all experts, a choice of K, and a weighted sum of the
#   outputs of these K. The weights of the others are not read at all.
# - The choice is made for each token in each layer, from that token's vector. A task can act on it
#   only through what attention wrote into the vector.
# - Dropless, a token's output does not depend on its batch. With a capacity it does, and a dropped
#   assignment is silent: look at `routing.n_dropped`.
#
# **Verdict on the claims.** `moe-sparse`: *shown here, with a condition*. Only chosen experts
# compute, but for each token and layer, not for a task: one short question used every expert of the
# layer. What a trained router goes by is a question for notebook 07. `moe-monolith`: *shown here,
# with a condition*. It is true of the routed experts alone; attention, router, shared expert and
# head worked for every token. How large each share is: notebook 03.
#
# **Try.**
#
# 1. Some codes take the top K of the *logits* and apply softmax to these K only. Show that the
#    weights are the same as here. With which setting of `MoEConfig` would they differ?
# 2. What is the smallest capacity factor that drops nothing in this batch? Start from
#    `max_violation`: the load of the busiest expert over the mean load, minus 1.
# 3. Reverse the order of the bytes. Whose outputs are then just the old ones in reverse order: the
#    dropless layer's, or those with factor 1.25?
# 4. How many weights does `H` read in all if `top_k=4` and there are two shared experts? First by
#    formula, then measured.
#
# <details><summary>Answers</summary>
#
# 1. Both divide $e^{l_i}$ by its sum over the chosen experts; the sum over all experts cancels.
# With `normalize_weights=False` it does not cancel, and the weights differ.
#
# ```python
# best_logits = routing.logits.gather(1, routing.expert_ids)
# assert (best_logits.softmax(-1) - routing.weights).abs().max() < 1e-12
# _, raw = MoE(replace(config, normalize_weights=False), seed=0).double()(x)
# assert (best_logits.softmax(-1) - raw.weights).abs().max() > 0.1
# ```
#
# 2. The busiest expert has (1 + MaxVio) · T · K / E assignments, so the factor 1 + MaxVio = 1.8 is
# enough for such a load in a batch of any size. As C is rounded up, anything above 1.6 is enough
# for this batch: C is then 9.
#
# ```python
# from minimoe.measure.routes import expert_load, max_violation
#
# assert abs(1 + max_violation(expert_load(routing)) - 1.8) < 1e-12
# for factor, n_dropped in {1.6: 1, 1.61: 0, 1.8: 0}.items():
#     roomy = MoE(replace(config, capacity_factor=factor), seed=0).double()
#     assert roomy(x)[1].n_dropped == n_dropped
# ```
#
# 3. Dropless. With a capacity, the bytes that are now last are dropped instead.
#
# ```python
# for name in ("dropless", "factor 1.25"):
#     forward, backward = layers[name](x)[0], layers[name](x.flip(0))[0].flip(0)
#     assert ((forward - backward).abs().max() < 1e-12) == (name == "dropless")
# ```
#
# 4. The router, and six networks of three matrices: E · D + (4 + 2) · 3 · D · F = 147,968.
#
# ```python
# wide = MoE(replace(config, top_k=4, n_shared_experts=2), seed=0).double()
# with recorded(wide) as touch:
#     wide(x[:1])
# assert touch.n_touched == 8 * 64 + (4 + 2) * 3 * 64 * 128 == 147_968
# ```
#
# </details>
#
# **Source.** Noam Shazeer and others, arXiv 1701.06538 (the layer); GShard, arXiv 2006.16668, and
# Switch Transformers, arXiv 2101.03961 (capacity); Mixtral, arXiv 2401.04088 (top K, then softmax);
# DeepSeekMoE, arXiv 2401.06066 (shared experts).
#
# **Next.** [03 · How many parameters does a token really touch?](03_active_parameters.ipynb)
