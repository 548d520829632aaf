# %% [markdown]
# # 02 · What does an MoE layer do to one token?
#
# **You will be able to**
#
# - compute a Mixture-of-Experts (MoE) layer by hand;
# - write its router, its dispatch and its capacity rule;
# - say what the router can see of a task.
#
# *Claims:* `moe-sparse`, `moe-monolith`. *Needs:* notebook 00; softmax and matrix products.
# *Takes* about 50 minutes, 3 exercises. *Runs in* about 8 s.
#
# The weights are **random** here, except where a trained model is named. The notebook shows how a
# layer works. It does not show what experts learn: that is notebook 07.

# %%
from dataclasses import replace

import torch
from matplotlib import pyplot as plt

from minimoe import MoE, MoEConfig
from minimoe.exercises import check, expect_error, finding, hint, predict, solution
from minimoe.show.figures import plot_scores, plot_stacked, style
from minimoe.show.sample import byte_labels
from minimoe.show.tables import Table

style()

# %% [markdown]
# ## The settings of this notebook
#
# All cells below use these settings. Run the notebook once as it is. Later, change a line. Then
# choose *Run All Cells* in the menu *Run*.

# %%
E, K, D, F = 8, 2, 64, 128  # experts, experts per token, width of a token, width of an expert
seed = 0
sentence = "How far is the moon?"
config = MoEConfig(d_model=D, d_expert=F, n_routed_experts=E, top_k=K,
                   allow_constant_weight=True)  # so that K = 1 can be tried

# %% [markdown]
# A **token** is one [byte](98_glossary.ipynb#byte) here. Each byte has a vector $x$ of D numbers.
# The vector is a row of a table, the **embedding**. It is scaled so that its mean square is 1. The
# next cell shows the [layer](98_glossary.ipynb#layer) with the shape of each tensor. It has a
# [router](98_glossary.ipynb#router) and E [experts](98_glossary.ipynb#expert).

# %%
sentence = sentence or " "  # an empty sentence becomes one space
tokens = torch.tensor(list(sentence.encode()))
table = torch.randn(256, D, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
x = torch.nn.functional.rms_norm(table[tokens], (D,))
layer = MoE(config, seed=seed).double().requires_grad_(False)
print("x", list(x.shape))
layer

# %% [markdown]
# ## How does one token pass through the layer?
#
# 1. The **router**, a matrix, turns $x$ into E numbers, the **logits**.
# 2. [Softmax](98_glossary.ipynb#softmax) turns the logits into **scores**: positive numbers that
#    sum to 1.
# 3. The K experts with the best scores are chosen. Their scores, divided by their sum, are the
#    **combine weights**.
# 4. The output is the weighted sum of what the K experts compute:
#
# $$y = \sum_{i \in \mathrm{best\ } K} w_i \cdot \mathrm{expert}_i(x), \qquad
# w_i = \frac{s_i}{\sum_{j \in \mathrm{best\ } K} s_j}$$

# %%
guess_1 = ...  # how much do the K best scores hold together? All scores sum to 1.
predict("02.1", guess_1, a="less than 0.4", b="from 0.4 to 0.8", c="more than 0.8")

# %%
first, router = x[0], layer.router.weight
logits = router @ first
scores = logits.exp() / logits.exp().sum()  # softmax
chosen = scores.argsort(descending=True)[:K].tolist()
weights = scores[chosen] / scores[chosen].sum()

# %%
weight_of = dict(zip(chosen, weights.tolist()))
best = float(scores[chosen].sum())
predict("02.1", measured={"a": best < 0.4, "b": 0.4 <= best <= 0.8, "c": best > 0.8})
Table(["expert", "logit", "score", "weight"], [
    (e, float(logits[e]), float(scores[e]), weight_of.get(e)) for e in range(E)
])

# %% [markdown]
# **Look.** The router is not trained, so its logits are small and all scores lie near 1/E. The two
# best scores sum to less than 0.4. Divided by their sum, they become two combine weights that sum
# to 1. The other experts get no combine weight.
#
# Now we compute the weighted sum, once by hand and once with the package.

# %%
by_hand = sum(w * layer.experts.one(first, e) for e, w in weight_of.items())
y, routing = layer(x)
error = float((y[0] - by_hand).abs().max())
finding("By hand and by package the output is the same.", error < 1e-12, error_below=1e-12)

# %% [markdown]
# Each expert is a small network, a [SwiGLU](98_glossary.ipynb#SwiGLU). Notebook 01 explains it.
# Here only one fact matters: each expert has its own [weights](98_glossary.ipynb#weight).
#
# The layer also returned `routing`. It holds everything that the router decided, for all tokens.

# %% [markdown]
# You will write the router for all tokens at once. For this you need a few operations on
# **tensors**, tables of numbers. The last dimension, `-1`, runs along a row.

# %%
m = torch.tensor([[1.0, 3.0], [2.0, 2.0]])
column = m.sum(-1, keepdim=True)  # keepdim: the sums stay a column
Table(["code", "result"], [
    ("m", m.tolist()),
    ("m.sum(-1)", m.sum(-1).tolist()),
    ("m.sum(-1, keepdim=True)", column.tolist()),
    ("m / m.sum(-1, keepdim=True)", (m / column).tolist()),
    ("m.topk(1, -1).indices", m.topk(1, -1).indices.tolist()),
    ("m[[1, 0]], the rows 1 and 0", m[[1, 0]].tolist()),
    ("torch.zeros_like(m)", torch.zeros_like(m).tolist()),
])

# %% tags=["exercise"]
# 02.2

# %%
all_logits = x @ router.T
ids, w = route(all_logits, K)
same = torch.equal(ids, routing.expert_ids) and torch.allclose(w, routing.weights)
finding("Softmax, the K best and a division give the layer's choice.", same, tokens=len(ids))

# %% [markdown]
# ## Does one sentence use one expert?
#
# Article A0 says: for a given *task*, only specific parts of the network are active. Our sentence
# is one task. If one choice of K experts served the whole task, all bytes would go to the same K.
# This can be tested.

# %%
guess_3 = ...  # how many of the E experts does this one sentence use?
predict("02.3", guess_3, a="K experts", b="about half of them", c="nearly all or all of them")

# %%
used = int((routing.assigned_per_expert > 0).sum())
many = used >= 0.75 * E
predict("02.3", measured={"a": used <= K and not many, "b": used > K and not many, "c": many})
figure, ax = plt.subplots(figsize=(8.5, 3.4))
plot_scores(ax, routing.scores, routing.expert_ids, byte_labels(sentence))

# %% [markdown]
# **Look.** Each column is a byte, and each row is an expert. A lighter field means a higher score.
# The two dots in a column mark the chosen experts. Every row has dots: one sentence uses all
# experts. Equal bytes have equal columns, for example the four spaces.

# %%
finding("One sentence goes to more than K experts.", used > K, used=used, E=E)

# %%
choice = {}
for byte, row in zip(tokens.tolist(), routing.expert_ids.tolist()):
    choice.setdefault(byte, set()).add(tuple(row))
finding("Equal bytes get equal experts.", all(len(c) == 1 for c in choice.values()))

# %% [markdown]
# The router of this layer is random. Does a trained router give one sentence a small group of
# experts? We count in two trained models of the package. They have 16 experts and K = 2 in each
# layer. One was trained for an even [load](98_glossary.ipynb#load), and the other was not
# (notebook 05).

# %%
from minimoe.trained.models import load_trained

counts = {}
for name in ("text_moe_loss", "text_moe_unbalanced"):
    _, routings = load_trained(name)(tokens[None, :256])  # they read at most 256 bytes
    counts[name] = [int((r.assigned_per_expert > 0).sum()) for r in routings]
layers = [f"layer {n + 1}" for n in range(len(counts[name]))]
Table(["experts used by the sentence", *layers], [(name, *row) for name, row in counts.items()])

# %% [markdown]
# **Look.** With even load the sentence uses 14 or 15 of the 16 experts in each layer. Without it,
# the sentence uses 5 to 9. That is fewer, but more than 2. So the bytes of one sentence do not
# share one choice of experts, in either model.

# %%
fewest = min(min(row) for row in counts.values())
finding("In trained models, too, one sentence uses more than 2 experts.", fewest > 2, fewest=fewest)
even = min(counts["text_moe_loss"])
finding("In the model with even load it uses most of the experts.", even > 8, fewest=even, of=16)

# %% [markdown]
# So the router chooses for each token, not for the sentence. Each layer chooses again: it has its own router matrix and
# its own experts. Expert 7 of one layer and expert 7 of another layer are two different networks.

# %% [markdown]
# ## Can the router see the task?
#
# In a whole model, **attention** comes before each [MoE](98_glossary.ipynb#MoE) layer. It mixes
# earlier tokens into the vector of a token. The earlier text can change the choice only through
# this vector. The next model has two layers of attention and two MoE layers.

# %%
from minimoe import AttentionConfig, ModelConfig, Transformer

heads = AttentionConfig(d_model=D, n_heads=4, n_kv_heads=2, d_head=16)
model = Transformer(ModelConfig(n_layers=2, attention=heads, moe=config), seed=seed).double()
ending = " on the moon?"
n = len(ending.encode())
tasks = ["Count the cats" + ending, "Paint a castle" + ending]

# %%
guess_4 = ...  # both texts end with the same bytes. How many of these keep all their experts?
predict("02.4", guess_4, a="none", b="some", c="all")

# %%
def experts_of_ending(text):
    _, routings = model(torch.tensor(list(text.encode()))[None])
    return routings[-1].expert_ids[len(text.encode()) - n:].sort().values


one, other = (experts_of_ending(task) for task in tasks)
kept = int((one == other).all(-1).sum())
predict("02.4", measured={"a": kept == 0, "b": 0 < kept < n, "c": 0 < kept == n})
print(f"{kept} of {n} bytes keep all {K} experts")

# %% [markdown]
# **Look.** Some bytes keep both experts, and some do not. The byte itself matters, and the text
# before it matters too. Both reach the router as numbers in one vector. The router is told nothing
# else about the task. How much the text matters depends on the weights, which are random here.

# %%
finding("The earlier text changes the experts of some bytes.", kept < n, kept=kept, of=n)

# %% [markdown]
# ## How does the layer compute many tokens quickly?
#
# An **assignment** is a pair: a token and one of its experts. T tokens have T · K assignments. The
# slow way computes one token after another. Our experts keep a list of their calls.

# %%
def slow_layer(x, expert_ids, weights, experts):
    """One token at a time: T * K calls of an expert."""
    pairs = [zip(row, w) for row, w in zip(expert_ids.tolist(), weights)]
    return torch.stack([sum(w * experts[e](token) for e, w in p) for token, p in zip(x, pairs)])


# %%
def listed(e):
    """Expert e of the layer. It writes each of its calls into a list."""

    def expert(rows):
        calls.append(e)
        return layer.experts.one(rows, e)

    return expert


calls = []
experts = [listed(e) for e in range(E)]

# %%
calls.clear()
slow = slow_layer(x, routing.expert_ids, routing.weights, experts)
close = torch.allclose(slow, y)
finding("Token by token gives the layer's output.", close, tokens=len(x), calls=len(calls))

# %% [markdown]
# The fast way computes one expert after another. **Dispatch** copies each token once for each of
# its assignments and sorts the copies by expert. Then each expert computes its rows in one call.
# **Combine** multiplies the results by their weights and adds them up for each token.

# %% tags=["exercise"]
# 02.5

# %%
calls.clear()
fast = moe_layer(x, routing.expert_ids, routing.weights, experts)
finding("Expert by expert gives the same output.", torch.allclose(fast, y), tokens=len(x))
once = sorted(calls) == routing.expert_ids.unique().tolist()
finding("Each expert with a token is called once, and no other.", once, calls=len(calls))

# %% [markdown]
# The package makes a plan for the sentence: the bytes that each expert receives.

# %%
from minimoe.model.dispatch import plan_dispatch

plan = plan_dispatch(routing)
labels = byte_labels(sentence)
segments = plan.token_ids.split(plan.kept_per_expert.tolist())
Table(["expert", "rows", "bytes"], [
    (e, len(rows), " ".join(labels[t] for t in rows)) for e, rows in enumerate(segments)
])

# %% [markdown]
# The rows sum to T · K. If every expert computed every token, there would be T · E rows. Some
# experts get more rows than others, and nothing here prevents that. Notebook 05 is about it.

# %% [markdown]
# ## What happens if an expert is full?
#
# Hardware works best with fixed sizes. GShard and the Switch Transformer gave each expert a
# **capacity**: at most $C = \lceil \mathrm{factor} \cdot T K / E \rceil$ assignments. An assignment
# beyond the capacity is **dropped**: it adds nothing to the output. A layer without this limit is
# **dropless**.

# %%
factor = 1.25
guess_6 = ...  # together the experts have more places than needed. Is anything dropped?
predict("02.6", guess_6, a="nothing", b="up to a quarter", c="more than a quarter")

# %%
limited = MoE(replace(config, capacity_factor=factor), seed=seed).double()
wanted, decided = routing.assigned_per_expert, limited(x)[1]
dropped = decided.n_dropped / (len(x) * K)
predict("02.6", measured={"a": dropped == 0, "b": 0 < dropped <= 0.25, "c": dropped > 0.25})
rows = {f"expert {e}": {"kept": k, "dropped": n - k}
        for e, (n, k) in enumerate(zip(wanted.tolist(), decided.kept_per_expert.tolist()))}
plot_stacked(plt.subplots(figsize=(8, 3.6))[1], rows, "assignments")

# %% [markdown]
# **Look.** Each bar is one expert. The plain part of a bar is kept, the hatched part is dropped.
# The two colours do not stand for experts here. Expert 4 has the most assignments, and two of them
# are dropped. The other experts still have free places.

# %%
places = E * int(-(-factor * len(x) * K // E))
finding("The experts have more places than there are assignments.", places >= len(x) * K,
        places=places, assignments=len(x) * K, dropped=decided.n_dropped)

# %% tags=["exercise"]
# 02.7

# %%
same = torch.equal(keep(routing.expert_ids, E, factor), decided.kept)
finding("Token by token, this rule keeps what the layer keeps.", same,
        kept=int(decided.kept.sum()))

# %% [markdown]
# Codes differ in the order. GShard gives all first choices a place before any second choice. Our
# layer goes token by token. The next table has less room, a factor of 0.5. It counts what each
# order keeps.

# %%
in_turn = routing.expert_ids.T.reshape(-1, 1)  # all first choices, then all second ones, ...
orders = {"token by token": keep(routing.expert_ids, E, 0.5),
          "choice by choice": keep(in_turn, E, 0.5).view(K, -1).T}
choices = [f"choice {n + 1}" for n in range(K)]
rows = [(name, int(kept.sum()), *kept.sum(0).tolist()) for name, kept in orders.items()]
Table(["order", "kept", *choices], rows)

# %% [markdown]
# **Look.** Both orders keep 24 assignments. GShard's order keeps more first choices: 15, not 11.
# These have the larger weights.

# %% [markdown]
# ## Can later text change an earlier token?
#
# A language model writes from left to right. So a token's output must not depend on later text. We
# append 16 bytes and compare the outputs of the old bytes, with and without a capacity.

# %%
guess_8 = ...  # whose earlier outputs change when text is appended?
predict("02.8", guess_8, a="neither", b="only with a capacity", c="both")

# %%
tight = MoE(replace(config, capacity_factor=0.5), seed=seed).double()
longer = torch.cat([x, table[torch.arange(16) + 97]])


def changed(layer):
    """How many of the old tokens get another output when text is appended."""
    before, after = layer(x)[0], layer(longer)[0][: len(x)]
    return int(((after - before).abs().amax(-1) > 1e-9).sum())


free, capped = changed(layer), changed(tight)
predict("02.8", measured={"a": free + capped == 0, "b": free == 0 < capped, "c": free > 0})
print(f"changed of {len(x)} outputs: dropless {free}, with capacity factor 0.5 {capped}")

# %% [markdown]
# **Look.** Without a limit nothing changes. With a capacity, appended text changes earlier outputs.
# C grows with T, and T counts all tokens, later ones too. So an earlier assignment that was dropped
# may now be kept. Reading the tokens in order does not prevent this.

# %%
finding("Without a limit, later text changes no earlier token.", free == 0, changed=free)
finding("With a capacity, later text changes earlier tokens.", capped > 0, changed=capped)

# %% [markdown]
# ## Which weights does a token need?
#
# Here are two tests of "[sparse](98_glossary.ipynb#sparse)". First: do the experts that the first
# byte did not choose change its output? We set all their weights to **NaN**, a value that spoils
# every sum it enters.

# %%
guess_9 = ...  # what is the output of the first byte now?
predict("02.9", guess_9, a="all NaN", b="partly NaN", c="the same as before, to the last bit")

# %%
broken = MoE(config, seed=seed).double().requires_grad_(False)
idle = [e for e in range(E) if e not in chosen]
broken.experts.gate_up[idle] = broken.experts.down[idle] = float("nan")
out = broken(x)[0]
same, bad = torch.equal(out[0], y[0]), out[0].isnan()
predict("02.9", measured={"a": bool(bad.all()), "b": bad.any() and not bad.all(), "c": same})
print("outputs spoiled:", int(out.isnan().any(-1).sum()), "of", len(x))

# %% [markdown]
# **Look.** The output of the first byte stays the same, to the last bit. So the experts that it did
# not choose do not change it. Most other bytes are spoiled: each of them needs a broken expert.

# %%
finding("An expert that was not chosen does not change the output.", same, broken=len(idle))

# %% [markdown]
# The output cannot tell whether the other experts are *read*. A layer could compute all experts and
# then use only K of them. So the second test uses a meter: it marks each weight that an operation
# reads. An expert has 3 · D · F weights. As a control, we also compute all experts.

# %%
from minimoe.measure.parameters import recorded


def weights_read(compute):
    with recorded(layer.experts) as meter:
        compute()
    return meter.n_touched


one_byte = weights_read(lambda: layer(x[:1]))
all_experts = weights_read(lambda: [layer.experts.one(x[:1], e) for e in range(E)])
Table(["computed for the first byte", "weights of experts read"],
      [("the layer", one_byte), ("all experts", all_experts)])

# %% [markdown]
# **Look.** The layer reads 49,152 of 196,608 weights: 2 experts of 8. The control reads all of
# them, so the meter would have seen it.
#
# The router is different. Every token reads all of it, because every expert needs a score.

# %%
finding("The layer reads K experts for one token, and no other.", one_byte == K * 3 * D * F,
        read=one_byte, K_experts=K * 3 * D * F)
finding("The meter sees it if all experts are read.", all_experts == E * 3 * D * F,
        read=all_experts, E_experts=E * 3 * D * F)

# %%
broken.router.weight[idle] = float("nan")
lost = int(broken(x)[0].isnan().any(-1).sum()) if idle else 0
finding("A broken router spoils every token.", lost == len(x) or not idle, spoiled=lost, of=len(x))

# %% [markdown]
# ## What can go wrong?
#
# A token cannot have more experts than there are. The package refuses this:

# %%
expect_error(replace, config, top_k=E + 1)

# %% [markdown]
# ## Play
#
# Type a sentence of your own, in any language. The model here is a *trained* one that comes with
# the package. Each colour stands for an expert. A Chinese character is three bytes, so it is three
# tokens. Choose another layer above the text: the colours change.

# %%
from minimoe.experiments.routed import view_of

my_sentence = "Sparse models route tokens. 稀疏模型"
view_of(my_sentence or " ")

# %% [markdown]
# Then go back to the settings. Try `E, K = 16, 4`, another [seed](98_glossary.ipynb#seed), or your
# sentence. Which lines still say HOLDS?
#
# ## Takeaway
#
# - An MoE layer scores all experts with one matrix, chooses K for each token, and adds their
#   weighted outputs. The weights of the other experts are not read.
# - The router chooses for one token in one layer. The task reaches it only through what attention
#   wrote into the token's vector.
# - Without a capacity, a token's output depends on no other token. With a capacity it depends on
#   other tokens, even on later ones.
#
# **Verdict on the claims.** `moe-sparse`: *misleading*. True as worded: an expert that was not
# chosen is not read and changes no output. NaN or the meter could have refuted this, and did not.
# False as most readers understand it. If one choice of K experts served the task, all bytes would
# go to the same K. They did not: one sentence used every expert here, and 14 or 15 of 16 in a
# trained model with even load. The choice is made for each token in each layer. Nothing looks at
# the task.
#
# `moe-monolith`: *shown here, with a condition*. It would be refuted if one token read all experts.
# The first byte read 2 of 8, and NaN in the other 6 did not change its output. The condition: only
# the [routed experts](98_glossary.ipynb#routed-expert) can be left out. The router served every
# token, and so does attention. Notebook 03 counts how large each share is.
#
# **Source.** Shazeer and others, arXiv 1701.06538, section 2 (the layer). GShard, arXiv 2006.16668,
# section 2.2 and algorithm 1 (capacity, order), and Switch Transformers, arXiv 2101.03961, section
# 2.2 (capacity). Mixtral, arXiv 2401.04088, section 2.1 (the best K, then softmax: the same
# weights).
#
# **Next.** [03 · How many parameters does a token really touch?](03_active_parameters.ipynb)
