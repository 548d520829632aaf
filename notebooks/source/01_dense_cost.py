# %% [markdown]
# # 01 · What does a dense transformer pay for each token?
#
# **You will be able to**
#
# - count the parameters and the computing of a transformer on paper;
# - check both counts against a running model;
# - say where the rule of thumb for training is wrong.
#
# *Claims:* none; this notebook prepares `moe-sparse` and `moe-monolith`. *Needs:* notebook 00;
# matrix products.
# *Takes* about 50 minutes, 4 exercises. *Runs in* about 10 s.

# %%
from dataclasses import replace

import torch
from matplotlib import pyplot as plt

from minimoe import AttentionConfig, ModelConfig, Transformer
from minimoe.exercises import check, expect_error, finding, hint, predict, solution
from minimoe.formulas.flops import count_flops
from minimoe.formulas.parameters import count_parameters
from minimoe.show.figures import plot_curves, plot_stacked, style
from minimoe.show.sample import byte_labels
from minimoe.show.tables import Table

style()

# %% [markdown]
# ## The settings of this notebook
#
# All cells below use these settings. Their words are explained later. Run the notebook once as it is. Later, change a number. Then
# choose *Run All Cells* in the menu *Run*.

# %%
D, n_layers = 64, 3  # width of the residual stream, blocks
H, G, d = 4, 2, 16  # query heads, heads of keys and values, width of a head
F = 134  # width inside the feed-forward layer
L, seed = 128, 0  # tokens in a text, seed of the weights
sentence = "No, 中"

# %% [markdown]
# ## What is a dense transformer made of?
#
# A **token** is one [byte](98_glossary.ipynb#byte) here, so V = 256 tokens are possible. A
# **parameter**, or **weight**, is one number that training sets. Most are in a **matrix**, a table
# of numbers. A matrix of shape [m, n] turns n numbers into m numbers. Each result is a sum of n
# products.

# %% [markdown]
# In a **dense** transformer every token passes through all [layers](98_glossary.ipynb#layer):
#
# 1. The **embedding**, a matrix [V, D], has one row for each token.
# 2. This row starts a vector, the **residual stream**. Each layer adds its result to it.
# 3. A **block** has two layers: **attention** and **feed-forward**.
# 4. The **output head**, a matrix [V, D], gives each possible next token a **score**.

# %%
V = 256
heads = AttentionConfig(d_model=D, n_heads=H, n_kv_heads=G, d_head=d)
config = ModelConfig(n_layers=n_layers, attention=heads, d_ff=F, vocab_size=V, max_length=2**20)
model = Transformer(config, seed=seed).double().requires_grad_(False)
block = model.blocks[0]

# %% [markdown]
# In attention a token reads itself and the tokens before it. Its **query** is compared with the
# **key** of each of them. Each **value** is multiplied by the result, and the products are added.
# This happens in H **attention heads**, each d numbers wide. Matrix `o` turns their outputs back
# into D numbers.

# %% [markdown]
# We use **grouped heads**: H heads of queries, but only G heads of keys and values. So H / G query
# heads share the same keys and values.

# %% [markdown]
# The **feed-forward layer** computes each token alone. Ours is a **SwiGLU** of three matrices.
# *Gate* and *up* each turn D numbers into F. The gate's result goes through the function silu,
# $z / (1 + e^{-z})$. Then it is multiplied by the result of *up*. *Down* turns F numbers back into
# D. By hand:

# %%
x = torch.randn(D, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
gate, up = block.ff.gate_up.chunk(2)  # the package stores both as one tensor
z = gate @ x
by_hand = block.ff.down @ (z / (1 + (-z).exp()) * (up @ x))
same = torch.allclose(by_hand, block.ff(x))

# %%
finding("SwiGLU by hand gives the output of the package.", same, numbers=len(by_hand))

# %% [markdown]
# The table shows all tensors of the first block. `gate_up` holds gate and up, one below the other.
# A **norm** has D parameters. It rescales what a layer reads. One more norm stands before the
# output head.

# %%
Table(["tensor", "shape", "parameters"], [
    (name, str(list(p.shape)), p.numel()) for name, p in block.named_parameters()
])

# %% tags=["exercise"]
# 01.1

# %% [markdown]
# With your function we count the whole model on paper. The package has its own formula. We can also
# count the numbers in the model's tensors. All three counts must agree.

# %%
on_paper = n_layers * block_parameters(D, H, G, d, F) + V * D + D + V * D
count = count_parameters(config)
n_tensors = sum(p.numel() for p in model.parameters())
Table(["counted", "parameters"], [
    ("on paper", f"{on_paper:,}"), ("by formula", f"{count.total:,}"), ("tensors", f"{n_tensors:,}")
])

# %%
finding("Three counts give one number.", on_paper == count.total == n_tensors, number=on_paper)

# %% [markdown]
# The same function counts a real dense model, DeepSeek LLM 67B. DeepSeek-V2 was compared with this
# model. The next cell holds the sizes of the 67B model.

# %%
heads_67 = AttentionConfig(d_model=8192, n_heads=64, n_kv_heads=8, d_head=128)
real = ModelConfig(n_layers=95, attention=heads_67, d_ff=22016, vocab_size=102400)
n_67 = 95 * block_parameters(8192, 64, 8, 128, 22016) + 2 * 102400 * 8192 + 8192
print(f"{n_67:,} parameters, {n_67 // count.total:,} times ours")

# %%
published = 67.4  # billions
finding("The count rounds to the published one.", round(n_67 / 1e9, 1) == published,
        published=published, counted=n_67 / 1e9)

# %%
guess_2 = ...  # which share of the real model's parameters is in its feed-forward layers?
predict("01.2", guess_2, a="less than a third", b="one to two thirds", c="more than two thirds")

# %%
shares = {}
for name, c in {"ours": count, "DeepSeek LLM 67B": count_parameters(real)}.items():
    parts = {"feed-forward": c.dense, "attention": c.attention, "embedding": c.embedding}
    parts |= {"output head": c.head, "norms": c.norms}
    shares[name] = {part: 100 * n / c.total for part, n in parts.items()}
plot_stacked(plt.subplots(figsize=(8, 2.8))[1], shares, "% of all parameters")
most = shares["DeepSeek LLM 67B"]["feed-forward"] / 100
predict("01.2", measured={"a": most < 1 / 3, "b": 1 / 3 <= most <= 2 / 3, "c": most > 2 / 3})

# %% [markdown]
# **Look.** There are two bars; each is 100 % of a model. The feed-forward layers hold the largest
# part: about half of ours and three quarters of the real model. Attention comes next. Embedding and
# output head are small in the real model, and the norms cannot be seen. Later notebooks split the
# feed-forward layers.

# %%
largest = [max(parts, key=parts.get) for parts in shares.values()]
finding("In both models the feed-forward layers hold the most.", set(largest) == {"feed-forward"},
        ours=shares["ours"]["feed-forward"] / 100, real=most)

# %% [markdown]
# ## Which weights does one token read?
#
# The model reads the sentence byte by byte. We watch every operation and mark each weight that it
# reads. The sentence starts with a letter that is common in English. It ends with a Chinese
# character of three bytes. These bytes are rare in English.

# %%
guess_3 = ...  # compare the last byte (rare) with the first one (common)
predict("01.3", guess_3, a="the last reads more weights", b="the last reads fewer", c="as many")

# %%
from minimoe.measure.parameters import recorded, touched_parameters

sentence = sentence or " "  # an empty sentence becomes one space
read = touched_parameters(model, torch.tensor(list(sentence.encode()))).tolist()
predict("01.3", measured={
    "a": read[-1] > read[0], "b": read[-1] < read[0], "c": read[-1] == read[0]
})
Table(["byte", "weights read", "% of all"], [
    (byte, f"{n:,}", 100 * n / count.total) for byte, n in zip(byte_labels(sentence), read)
])

# %% [markdown]
# **Look.** Each byte reads the same number of weights, 88.92 % of all. The rest are the rows of the
# embedding that belong to other bytes. A token reads one row and does not read the other V − 1.
# Apart from these rows, every token of a dense model reads every weight.

# %%
all_but_rows = count.total - (V - 1) * D
finding("Each token reads all but the embedding rows of the others.", set(read) == {all_but_rows},
        read=all_but_rows, of=count.total)

# %% [markdown]
# Can we trust this meter? We test it with a product that uses only two rows of a matrix.

# %%
with recorded(model) as meter:
    block.attention.q[:2] @ x

# %%
finding("The meter sees that weights are left out.", meter.n_touched == 2 * D,
        read=meter.n_touched, in_the_matrix=block.attention.q.numel())

# %% [markdown]
# ## How much computing does one token cost?
#
# A **FLOP** is one floating-point operation: a multiplication or an addition. A weight in a matrix
# takes part in one multiplication and one addition. So it costs 2 FLOPs.
#
# In a **forward pass** the model reads a text. We count the FLOPs of all its matrix products, for a
# text of L tokens.

# %%
guess_4 = ...  # how many FLOPs does one token cost for each parameter of the model?
predict("01.4", guess_4, a="fewer than 1.5", b="from 1.5 to 2", c="more than 2")

# %%
from minimoe.measure.flops import measured_flops

tokens = (torch.arange(L) % V).view(1, L)
forward = measured_flops(model, tokens)
each = forward / L / count.total
predict("01.4", measured={"a": each < 1.5, "b": 1.5 <= each <= 2, "c": each > 2})
print(f"{forward // L:,} FLOPs for one token of {L}, {each:.2f} for each parameter")

# %% [markdown]
# **Look.** One token costs 2.44 FLOPs for each parameter, although the embedding is only looked up.
# So the model also computes something that needs no weights. This is attention: it multiplies the
# vectors of tokens with each other.

# %% [markdown]
# Norms and look-ups are not matrix products, so they are not counted. All other parameters are in
# matrices that multiply.

# %%
n_multiplied = count.total - count.embedding - count.norms
weights = 2 * n_multiplied
print(f"{n_multiplied:,} parameters multiply; that is {weights:,} of {forward // L:,} FLOPs")

# %% [markdown]
# Attention has two steps in each head of each layer:
#
# - **Scores:** one sum of d products for each of L keys.
# - **Weighted sum:** each of L values, with d numbers, is multiplied by a weight and added.
#
# So a pair of tokens costs 2d + 2d FLOPs. All L · L pairs can be counted, or only those that a token
# sees, L · (L + 1) / 2. Both conventions are in use; we count all pairs. With the visible ones
# only, attention is about halved.

# %% tags=["exercise"]
# 01.5

# %%
one = token_flops(n_multiplied, n_layers, H, d, L)
attention = one - weights
print(f"{one:,} = {weights:,} for weights + {attention:,} for attention")

# %%
finding("The count and the measured FLOPs agree.", one * L == forward, FLOPs=f"{forward:,}")

# %% [markdown]
# ## What does a long text cost?
#
# In a long text, attention compares each token with more tokens. At some length, attention costs as
# much as all weights do. The real model has far more parameters than ours.

# %%
guess_6 = ...  # against ours, this length in the real model is ...
predict("01.6", guess_6, a="shorter", b="up to 10 times as long", c="over 10 times as long")

# %%
short, short_67 = count_flops(config, 1), count_flops(real, 1)
ratio = short_67.weights / short_67.attention / (short.weights / short.attention)
predict("01.6", measured={"a": ratio < 1, "b": 1 <= ratio <= 10, "c": ratio > 10})

# %%
curves, lengths = {}, [2**k for k in range(6, 18)]
for name, c in {"ours": config, "DeepSeek LLM 67B": real}.items():
    flops = [count_flops(c, n) for n in lengths]
    curves[name] = (lengths, [100 * f.attention / f.forward for f in flops])
plot_curves(plt.subplots()[1], curves, "tokens in the text", "attention, % of FLOPs", log_x=True)

# %% [markdown]
# **Look.** Two curves rise with the length, on a logarithmic axis. The curve of our model passes
# one half early and ends near 100 %. The curve of the real model has the same shape, but it lies
# far to the right. The matrices of a layer grow with the square of the width. Attention grows only
# with the width.

# %% tags=["exercise"]
# 01.7

# %%
multiplied_67 = short_67.weights // 2
ours_at = equal_length(n_multiplied, n_layers, H, d)
real_at = equal_length(multiplied_67, 95, 64, 128)
print(f"equal at {ours_at:,.0f} tokens (ours) and {real_at:,.0f} (the real model)")

# %%
finding("The real model needs a text more than 10 times as long.", real_at > 10 * ours_at,
        times=real_at / ours_at)

# %% [markdown]
# The real model was trained with texts of 4,096 tokens. How large is the share of attention at this
# length?

# %%
at = count_flops(real, 4096)
part = at.attention / at.forward
finding("At 4,096 tokens attention is less than a tenth of the real model's cost.", part < 0.1,
        part=part)

# %% [markdown]
# ## What does training cost?
#
# In training, a forward pass gives the **loss**, one number that says how wrong the model is. Then a
# **backward pass** gives each weight its **gradient**: how the loss changes with this weight.

# %%
guess_8 = ...  # forward and backward together cost about as much as ... forward passes
predict("01.8", guess_8, a="2", b="3", c="4")

# %%
training = measured_flops(model.requires_grad_(True), tokens, backward=True)
passes = training / forward
predict("01.8", measured={"a": passes < 2.5, "b": 2.5 <= passes < 3.5, "c": passes >= 3.5})
print(f"forward {forward:,}, forward and backward {training:,}: {passes:.2f} times")

# %% [markdown]
# **Look.** Training costs a little more than 3 forward passes. For each weight matrix, the backward
# pass does two products. One gives the gradient of the weights, the other the gradient of the
# input. So 2 FLOPs for a weight become 6.

# %% [markdown]
# Do weights and attention both cost 3 times as much? In a text of 2L tokens, a token costs the same
# for weights. It costs twice as much for attention. So a second measurement separates the two.

# %% [markdown]
# A **kernel** is a small program for one operation. Torch has several for attention. Its *flash*
# kernel saves memory: it does not store the scores for the backward pass. The kernel *MATH* stores
# them. Torch chooses one; here it is flash. (For very narrow heads, d = 2, it is MATH.) We measure
# with the chosen kernel, then with MATH.

# %%
from torch.nn.attention import SDPBackend, sdpa_kernel


def times_forward():
    """Training FLOPs over forward FLOPs: of the weights, and of attention."""
    once, twice = (measured_flops(model, tokens.repeat(1, n), backward=True) / (n * L)
                   for n in (1, 2))
    of_attention = (twice - once) / attention
    return (once - of_attention * attention) / weights, of_attention


# %%
chosen = times_forward()
with sdpa_kernel(SDPBackend.MATH):
    stored = times_forward()
Table(["kernel", "training, times the weights", "training, times the attention"],
      [("chosen by torch", *chosen), ("MATH", *stored)])

# %% [markdown]
# **Look.** The table has two rows, one for each kernel. Weights cost 3 times their forward pass in
# both. Attention costs 3 times with MATH and 3.5 times with flash. The forward pass does two
# products, the backward pass four. With flash the backward pass does a fifth: it computes the
# scores again.

# %%
finding("Training costs 3 times the weights of a forward pass, with both kernels.",
        max(abs(chosen[0] - 3), abs(stored[0] - 3)) < 1e-9, chosen=chosen[0], MATH=stored[0])
finding("The kernel that torch chooses costs 3.5 times the attention.",
        abs(chosen[1] - 3.5) < 1e-9, chosen=chosen[1])
finding("A kernel that stores the scores costs 3 times the attention.",
        abs(stored[1] - 3) < 1e-9, MATH=stored[1])

# %% [markdown]
# This gives a rule of thumb: training costs 6 FLOPs for each parameter and each token. It is
# written $6ND$, with N parameters and D tokens. (Here D is not the width.) If N is all parameters,
# the rule also counts the embedding, which is only looked up. It leaves out attention. How wrong is
# the rule?

# %% [markdown]
# For attention, the PaLM paper adds $12LHQT$ to $6N$. (Its L counts blocks, Q is the width of a head
# and T the tokens.) Does this agree with one of the kernels?

# %%
pairs = n_layers * H * d * L  # L H Q T in the paper
with_math, with_chosen = (times * attention / pairs for times in (stored[1], chosen[1]))
finding("For attention, MATH costs what the PaLM paper counts.", abs(with_math - 12) < 1e-9,
        paper=12, MATH=with_math, chosen=with_chosen)

# %% [markdown]
# In the exercise we count what flash does: 3 times the weights and 3.5 times the attention.

# %% tags=["exercise"]
# 01.9

# %%
mine = full_over_6n(count.total, n_multiplied, n_layers, H, d, L)
finding("The ratio agrees with the measured training FLOPs.",
        abs(mine - training / L / (6 * count.total)) < 1e-9, full_over_rule=mine)

# %% [markdown]
# The last column of the next table counts visible pairs only. A token of a text of n tokens sees
# (n + 1) / 2 tokens on average.

# %%
def ratio_67(n):
    return full_over_6n(n_67, multiplied_67, 95, 64, 128, n)


Table(["tokens in the text", "ours", "DeepSeek LLM 67B", "DeepSeek LLM 67B, visible pairs"], [
    (n, round(full_over_6n(count.total, n_multiplied, n_layers, H, d, n), 2),
     round(ratio_67(n), 2), round(ratio_67((n + 1) / 2), 2))
    for n in (8, 128, 1024, 4096, 32768)
])

# %% [markdown]
# **Look.** At its training length, 4,096 tokens, the real model costs 1.10 times the rule. With
# visible pairs only, it costs 1.04 times the rule. At 32,768 tokens the two counts are 1.87 and
# 1.43. Our small model costs 4 times the rule at 1,024 tokens. A value below 1 means that the rule
# says too much. It counts the embedding, which costs nothing, and attention costs less than that.

# %%
every, visible = ratio_67(4096), ratio_67(4097 / 2)
finding("At 4,096 tokens the real model costs more than the rule, by less than 15 %.",
        1 < visible < every < 1.15, all_pairs=every, visible_pairs=visible)

# %% [markdown]
# *Reading* a text needs only the forward pass, about $2ND$. If you confuse the two rules, your
# result is wrong by a factor of 3.

# %% [markdown]
# ## What does a larger model cost?
#
# A larger model has more parameters. We add parameters in two ways: a wider feed-forward layer, or
# more blocks.

# %%
guess_10 = ...  # what does each added parameter add to the cost of one token?
predict("01.10", guess_10, a="less than 2 FLOPs in one of the ways", b="2 FLOPs in both ways",
        c="2 FLOPs or more, and more than 2 in one of the ways")

# %%
times = (1, 2, 4, 8, 16)
ways = {"wider": [replace(config, d_ff=F * t) for t in times],
        "more blocks": [replace(config, n_layers=n_layers * t) for t in times]}
size = {way: [count_parameters(c).total for c in cs] for way, cs in ways.items()}
cost = {way: [count_flops(c, L).forward_per_token for c in cs] for way, cs in ways.items()}

# %%
added = {way: (cost[way][-1] - one) / (size[way][-1] - count.total) for way in ways}
low, high = min(added.values()), max(added.values())
predict("01.10", measured={"a": low < 2, "b": low == high == 2, "c": low >= 2 and high > 2})
curves = {way: ([n / 1e6 for n in size[way]], [f / 1e6 for f in cost[way]]) for way in ways}
plot_curves(plt.subplots()[1], curves, "parameters, millions", "FLOPs per token, millions")

# %% [markdown]
# **Look.** There are two straight lines. Each added parameter of a wider layer costs every token 2
# FLOPs. The line for more blocks is steeper, because each block adds its own attention. A model
# with many parameters and a low cost would lie far below both lines.

# %%
wider, deeper = added.values()
finding("A parameter of a wider layer costs exactly 2 FLOPs.", wider == 2, FLOPs=wider)

# %%
finding("A parameter of more blocks costs more.", deeper > 2, FLOPs=deeper)

# %%
built = [measured_flops(Transformer(cs[1]), tokens) / L for cs in ways.values()]

# %%
finding("The built models cost what the lines say.", built == [cs[1] for cs in cost.values()],
        wider=f"{built[0]:,.0f}", more_blocks=f"{built[1]:,.0f}")

# %% [markdown]
# ## Are FLOPs seconds?
#
# The next cell measures the time of three runs. They are our model, a model with 16 times wider
# feed-forward layers, and one large matrix product. They take turns, nine times each. Your numbers
# will differ. If time followed FLOPs alone, the last column would be the same in all rows.

# %% tags=["timing", "nbval-ignore-output"]
from minimoe.measure.timing import time_interleaved

small, wide, square = Transformer(config), Transformer(ways["wider"][-1]), torch.ones(1024, 1024)
work = {"ours": forward, "16 times wider": cost["wider"][-1] * L, "one product": 2 * 1024**3}
with torch.inference_mode():
    took = time_interleaved({"ours": lambda: small(tokens), "16 times wider": lambda: wide(tokens),
                             "one product": lambda: square @ square})
Table(["run", "GFLOPs", "milliseconds", "GFLOPs per second"], [
    (run, n / 1e9, 1e3 * took[run].median, n / 1e9 / took[run].median) for run, n in work.items()
])

# %% tags=["timing", "nbval-ignore-output"]
rate = {run: n / took[run].median for run, n in work.items()}
finding("A FLOP of our small model takes longer than one of the large product.",
        rate["ours"] < rate["one product"], times=rate["one product"] / rate["ours"])

# %% [markdown]
# ## What can go wrong?
#
# The H query heads must share the G heads of keys and values evenly. The package refuses anything
# else:

# %%
expect_error(replace, heads, n_kv_heads=H - 1)

# %% [markdown]
# ## Play
#
# Type a sentence of your own, in any language. The table shows what it costs our model to read it
# once, and to train on it once. A Chinese character is three bytes, so it is three tokens.

# %%
my_sentence = "What does this cost? 多少钱？"

n_bytes = len((my_sentence or " ").encode())
pays = count_flops(config, n_bytes)
Table(["tokens", "FLOPs to read", "FLOPs to train", "attention, % of reading"], [
    (n_bytes, f"{pays.forward:,}", f"{pays.training:,}", 100 * pays.attention / pays.forward)
])

# %% [markdown]
# Then go back to the settings. Try `G = 1` or `G = 4`, `L = 1024`, or twice the blocks. Which lines
# still say HOLDS? DOES NOT HOLD is no error: with your numbers the sentence is false. With `d = 2`,
# for example, torch chooses MATH. Then training costs 3 times the attention, not 3.5 times.
#
# ## Takeaway
#
# - For every token, a dense model reads all its weights, except the embedding rows of other tokens.
#   A comma and a Chinese byte read the same number.
# - A weight in a matrix costs a token 2 FLOPs to read and 6 to train. The cost of attention is
#   added to this and grows with the text. The rule $6ND$ leaves it out.
# - Wider feed-forward layers or more blocks cost every token 2 FLOPs or more for each added
#   parameter. A model can avoid this only if it skips weights.
#
# **Verdict on the claim.** None: no article makes a claim about dense models that this notebook
# could test. The notebook shows what "all parameters are used" means for a dense model. One token
# that reads fewer weights than another would have refuted this. Does it save time to skip weights?
# That is the question of notebook 04.
#
# **Source.** Kaplan and others, arXiv 2001.08361, section 2.1 ($6N$, where N leaves out the
# embeddings). Their Table 1 counts half as many FLOPs for attention as we do. Chowdhery and others
# (PaLM), arXiv 2204.02311, as quoted in `estimate_mfu` of nanoGPT ($6N + 12LHQT$, all pairs).
# Insights into DeepSeek-V3, arXiv 2505.09343, Table 4 (both conventions). DeepSeek LLM, arXiv
# 2401.02954, Table 2 (blocks, width, heads, 4,096 tokens) and section 2.1 (vocabulary). Its
# feed-forward width is in the published `config.json`, which we read in a fine-tuned copy
# (LoneStriker/deepseek-llm-67b-Spicy-3.1-1). DeepSeekMoE, arXiv 2401.06066, Table 6 (67.4 billion).
# Ainslie and others, arXiv 2305.13245, section 2.2 (grouped heads). Shazeer, arXiv 2002.05202,
# section 2 (SwiGLU). Dao and others, arXiv 2205.14135, section 3.1 (scores computed again).
#
# **Next.** [02 · What does an MoE layer do to one token?](02_moe_layer.ipynb)
