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
# All weights are **random** here, except in the last section. The notebook shows how a layer works.
# It does not show what experts learn: that is notebook 07.

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

# %% tags=["exercise"]
# 02.2

# %%
all_logits = x @ router.T
ids, w = route(all_logits, K)
same = torch.equal(ids, routing.expert_ids) and torch.allclose(w, routing.weights)
finding("route chooses and weighs as the package does.", same, tokens=len(ids))

# %% [markdown]
# ## Does one sentence use one expert?
#
# Article A0 says: for a given *task*, only specific parts of the network are active. Our sentence
# is one task. If the layer chose experts for the task, all bytes would go to the same K experts.
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
# So the router chooses for each token. Each layer chooses again: it has its own router matrix and
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
tasks = ["Count the cats" + ending, "Paint a castle" + ending]

# %%
guess_4 = ...  # both texts end with the same bytes. How many of these keep all their experts?
predict("02.4", guess_4, a="none", b="some", c="all")

# %%
def experts_of_ending(text):
    _, routings = model(torch.tensor(list(text.encode()))[None])
    return routings[-1].expert_ids[-len(ending):].sort().values


one, other = (experts_of_ending(task) for task in tasks)
kept, n = int((one == other).all(-1).sum()), len(ending)
predict("02.4", measured={"a": kept == 0, "b": 0 < kept < n, "c": kept == n})
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
# slow way computes one token after another:

# %%
experts = [lambda rows, e=e: layer.experts.one(rows, e) for e in range(E)]


def slow_layer(x, expert_ids, weights, experts):
    """One token at a time: T * K calls of an expert."""
    pairs = [zip(row, w) for row, w in zip(expert_ids.tolist(), weights)]
    return torch.stack([sum(w * experts[e](token) for e, w in p) for token, p in zip(x, pairs)])


slow = slow_layer(x, routing.expert_ids, routing.weights, experts)
finding("Token by token gives the layer's output.", torch.allclose(slow, y), tokens=len(x))

# %% [markdown]
# The fast way computes one expert after another. **Dispatch** copies each token once for each of
# its assignments and sorts the copies by expert. Then each expert computes its rows in one call.
# **Combine** multiplies the results by their weights and adds them up for each token.

# %% tags=["exercise"]
# 02.5

# %%
mine = moe_layer(x, routing.expert_ids, routing.weights, experts)
finding("Expert by expert gives the same output.", torch.allclose(mine, y), calls=used)

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
guess_6 = ...  # with this factor there is more room than assignments. Is anything dropped?
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
finding("keep decides as the package does.", same, kept=int(decided.kept.sum()))

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
# Here is a strict test of "[sparse](98_glossary.ipynb#sparse)". We take the experts that the first
# byte did not choose. We set all their weights to **NaN**, a value that spoils every sum it enters.

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
# not choose are not read. Most other bytes are spoiled: each of them needs a broken expert.
#
# The router is different. Every token reads all of it, because every expert needs a score.

# %%
finding("A token does not read the experts that it did not choose.", same, broken=len(idle))

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
view_of(my_sentence)

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
# **Verdict on the claims.** `moe-sparse`: *shown here, with a condition*. It would be refuted if an
# expert that was not chosen changed an output. None did. The condition: the choice is made for each
# token, not for a task. One sentence used every expert. `moe-monolith`: *shown here, with a
# condition*. Only the [routed experts](98_glossary.ipynb#routed-expert) can be left out. The router
# served every token, and so does attention. Notebook 03 counts how large each share is.
#
# **Source.** Shazeer and others, arXiv 1701.06538, section 2 (the layer). GShard, arXiv 2006.16668,
# section 2.2, and Switch Transformers, arXiv 2101.03961, section 2.2 (capacity). Mixtral, arXiv
# 2401.04088, section 2.1 (the best K, then softmax: the same weights).
#
# **Next.** [03 · How many parameters does a token really touch?](03_active_parameters.ipynb)
