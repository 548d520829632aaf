# %% [markdown]
# # 01 · What does a dense transformer pay for each token?
#
# **Question.** A dense transformer sends every token through all of its layers. How many weights
# does that read, how many floating-point operations (FLOPs) does it cost, and what would have to
# change for a bigger model not to cost more?
#
# **You will be able to** count the parameters and FLOPs of a transformer on paper, check the count
# against what the machine really multiplies, and say when the rule "6 FLOPs per parameter and
# token" is wrong, and by how much.
#
# *Claims:* none of its own. It is the ground on which `moe-sparse` and `moe-monolith` are tested.
# *Needs:* nothing. *Runs in* about 20 s.

# %%
from dataclasses import replace
from functools import partial

import matplotlib.pyplot as plt
import torch
from torch.utils.benchmark import Timer
from torch.utils.flop_counter import FlopCounterMode

from minimoe.config import AttentionConfig, ModelConfig, dense
from minimoe.formulas.flops import count_flops
from minimoe.formulas.parameters import count_parameters
from minimoe.measure.flops import measured_flops
from minimoe.measure.parameters import recorded, touched_parameters
from minimoe.model.transformer import Transformer
from minimoe.show.figures import plot_curves, plot_stacked, style
from minimoe.show.tables import text_table

style()

# %% [markdown]
# ## A handful of matrices per block, and nothing else
#
# Our model reads bytes, so its vocabulary is $V=256$. Its stream has width $D=64$. It has 3
# blocks. In each, attention has $H=4$ query heads of width $d=16$ that share $G=2$ heads of keys
# and values, and the feed-forward layer is $F=134$ wide. Before any library counts it, here it is
# by hand; the two norms of a block are its only vectors. Then the package counts twice more: by
# formula from the configuration, and by adding up the tensors of the model once it is built. All
# three must agree to the last parameter.

# %%
V, D, H, G, d, F = 256, 64, 4, 2, 16, 134
attention_block = {"q": H * d * D, "k": G * d * D, "v": G * d * D, "o": D * H * d}
ff_block = {"gate": F * D, "up": F * D, "down": D * F}
block = attention_block | ff_block | {"norms": 2 * D}
by_hand = 3 * sum(block.values()) + V * D + V * D + D  # embedding, head, the last norm
print(text_table(["one block", "parameters"], [(name, f"{n:,}") for name, n in block.items()]))

# %%
config = dense()
model = Transformer(config, seed=0)
count = count_parameters(config)
assert by_hand == count.total == sum(p.numel() for p in model.parameters())
print(f"{sum(block.values()):,} in one block, {by_hand:,} in the model: three counts, one number")

# %% [markdown]
# The formula does not care about size, so we take along a real model: DeepSeek LLM 67B, the dense
# model that DeepSeek-V2 was compared with. Its published size is 67.4 billion.

# %%
heads = AttentionConfig(d_model=8192, n_heads=64, n_kv_heads=8, d_head=128)
giant = ModelConfig(n_layers=95, attention=heads, d_ff=22016, vocab_size=102400, max_length=4096)
big = count_parameters(giant)
assert round(big.total / 1e9, 1) == 67.4
print(f"{big.total:,} parameters")
models, shares = {"ours, 0.15 M": config, "DeepSeek LLM, 67 B": giant}, {}
for name, c in zip(models, (count, big)):
    places = {"feed-forward": c.dense, "attention": c.attention, "embedding": c.embedding}
    places |= {"head": c.head, "norms": c.norms}
    shares[name] = {place: 100 * n / c.total for place, n in places.items()}
plot_stacked(plt.subplots(figsize=(8, 2.8))[1], shares, "% of all parameters")

# %% [markdown]
# **Look.** Two bars, each 100 % of a model. In both, the feed-forward layers hold most of the
# parameters: just over half in ours, just over three quarters in the real one. Attention comes
# next. Embedding and head, a ninth each in ours, shrink to little; the norms can hardly be seen.
# Remember where the mass is: it is the part that later notebooks split into experts.

# %%
for name, parts in shares.items():
    assert max(parts, key=parts.get) == "feed-forward"
    print(name, "|", ", ".join(f"{place} {share:.1f} %" for place, share in parts.items()))

# %% [markdown]
# ## Every token reads every weight
#
# We let the model read a text byte by byte and watch the operands of every operation: which
# weights does the computation for *this* token really read? Nothing is taken from the
# configuration.
#
# **Predict.** The text holds plain letters, a comma, and a Chinese character (three bytes, rare in
# English). Of the 147,264 parameters, the rare bytes read (a) more than the comma, (b) fewer,
# (c) exactly as many. And how many: about 10 %, 50 % or 90 %? Write it down, then run.

# %%
text = "No, 中"
touched = touched_parameters(model, torch.tensor(list(text.encode())))
rows = [(str(bytes([b])), f"{n:,}") for b, n in zip(text.encode(), touched.tolist())]
print(text_table(["byte", "weights read"], rows))

# %% [markdown]
# **Look.** Exactly as many: (c), and 88.9 % of all. Each byte of the Chinese character reads what
# the comma reads. The weights left out are the rows of the input embedding that belong to other
# bytes: a look-up reads one row of $D$ numbers and leaves $V-1$ rows alone. In the real model those
# rows are only 1.2 % of all parameters. For a dense model, "active parameters" means all but them.
#
# A meter that always says "everything" would prove nothing. So the second cell below shows it a
# computation that does skip weights: a product with 3 of the 64 rows of one matrix.

# %%
assert (touched == count.total - (V - 1) * D).all()
print(f"{int(touched[0]):,} of {count.total:,}: {100 * int(touched[0]) / count.total:.1f} %")

# %%
with recorded(model) as meter:
    model.blocks[0].attention.q[:3] @ torch.ones(D)
assert meter.n_touched == 3 * D
print(f"{meter.n_touched} weights read: the meter can tell")

# %% [markdown]
# ## Each weight costs 2 FLOPs per token, and attention comes on top
#
# A weight in a matrix is multiplied with one number of the token, and the product is added to a
# sum: 2 FLOPs. Attention also multiplies tokens with tokens, without any weight.
#
# **Predict.** We run a text of 128 bytes through the model and count every matrix product that
# torch really does. For one token, is that (a) 0.15 million FLOPs, (b) 0.25 to 0.3 million, or
# (c) more?

# %%
L = 128
tokens = torch.arange(L).view(1, L)
measured = measured_flops(model, tokens)
print(f"{measured:,} FLOPs for {L} tokens, {measured // L:,} for one")

# %% [markdown]
# **Look.** It is (c). Twice the weights alone gives (b); the rest is attention. In each of the 3
# blocks every one of $L$ queries meets every one of $L$ keys in all heads: $2 L^2 H d$ FLOPs for
# the scores, and as many again for the weighted sum of the values. By hand, with norms and
# look-ups left out because they are no matrix products:

# %%
matrices = 3 * (sum(attention_block.values()) + sum(ff_block.values())) + V * D  # with the head
weights, attention = 2 * matrices * L, 3 * (2 * L * L * H * d) * 2
flops = count_flops(config, L)
assert (weights, attention) == (flops.weights, flops.attention)
assert weights + attention == flops.forward == measured
print(f"weights 2 x {matrices:,} = {weights // L:,}, attention {attention // L:,} for each token")

# %% [markdown]
# All pairs of positions are counted, as is usual, although a causal model hides almost half of
# them. And a trap: `torch` has a FLOP counter of its own, and on a CPU it does not know the kernel
# of attention. It reports 0 for it, without a warning. The package tells it what the kernel does.

# %%
with FlopCounterMode(display=False) as counter, torch.no_grad():
    model(tokens)
unaided = counter.get_total_flops()
assert unaided == flops.weights < measured
print(f"torch unaided: {unaided:,}; missing: {measured - unaided:,}, all of the attention")

# %% [markdown]
# ## In a long text, attention costs more than all the weights
#
# Per token the weights cost the same at any length; attention grows with every token before it.
#
# **Predict.** From which length on does attention cost *our* model more than all its weights:
# about 30, 300 or 3,000 tokens? Does the real model, over 400,000 times larger, get there
# (a) earlier, (b) at the same length, (c) much later?

# %%
lengths = [2**k for k in range(6, 18)]
curves = {}
for name, c in models.items():
    costs = [count_flops(c, n) for n in lengths]
    curves[name] = (lengths, [100 * cost.attention / cost.forward for cost in costs])
ax = plt.subplots()[1]
plot_curves(ax, curves, "length in tokens", "attention, % of forward FLOPs", log_x=True)

# %% [markdown]
# **Look.** Two rising curves over length, on a logarithmic axis. Ours starts below
# a fifth, passes one half at 340 tokens and ends near 100 %. That of the real model has the same
# shape far to the right: (c). At 4,096 tokens, the context it was trained with, attention is
# still a small part. The weights of a layer grow with the square of its width, attention only with
# the width.

# %%
crossing = matrices / (2 * 3 * H * d)  # from 2 * matrices * L == 3 * (4 * H * d * L * L)
before, after = count_flops(config, int(crossing)), count_flops(config, int(crossing) + 1)
assert before.attention < before.weights and after.attention > after.weights
one = count_flops(giant, 1)
print(f"as much as the weights: ours at {crossing:.0f}, 67 B at {one.weights / one.attention:,.0f}")
at = count_flops(giant, 4096)
print(f"its attention at {at.length:,} tokens: {100 * at.attention / at.forward:.1f} %")

# %% [markdown]
# ## Training costs three forward passes, and "6ND" leaves out attention
#
# **Predict.** A training step runs forward and then backward, to get a gradient for every weight.
# Measured in forward passes, forward and backward together cost about 2, 3 or 4?

# %%
training = measured_flops(model, tokens, backward=True)
print(f"forward {measured:,}, forward and backward {training:,}: {training / measured:.3f} times")

# %% [markdown]
# **Look.** Three, and a bit. For a weight matrix, backward does two products of the same size: one
# for the gradient of the weights, one for that of its input. So 2 FLOPs become 6. In attention,
# backward does 2.5 times the forward: four products, and the scores are computed a second time
# because they were not kept.

# %%
assert training == flops.training == 3 * weights + (1 + 2.5) * attention
print(f"{3 * weights:,} + {int(3.5 * attention):,} = {training:,}")

# %% [markdown]
# Hence the rule of thumb: training on $D$ tokens costs $6ND$ FLOPs ($D$ is a number of tokens here,
# not a width). With all parameters as $N$, as it is mostly used, it counts the input embedding,
# which is only looked up, and leaves out attention. How far off is it? The table divides the exact
# count for one token by $6N$. The lines under it compare $6ND$ with $2ND$ for the 2 trillion tokens
# that the real model was trained on.


# %%
def exact_over_6n(c: ModelConfig, length: int) -> str:
    return f"{count_flops(c, length).training_per_token / (6 * count_parameters(c).total):.2f}"


rows = [(n, exact_over_6n(config, n), exact_over_6n(giant, n)) for n in (8, 128, 1024, 4096, 32768)]
print(text_table(["tokens in a text", "ours", "67 B"], rows))
assert rows[2][1] == "4.00" and [row[2] for row in rows[3:]] == ["1.10", "1.87"]
for factor, doing in ((2, "read"), (6, "train on")):
    print(f"{factor}ND = {factor * big.total * 2e12:.2e} FLOPs to {doing} the tokens")

# %% [markdown]
# For the real model, at the 4,096 tokens it was trained with, the exact count is a tenth above the
# rule: 1.10. At 32,768 tokens it is 1.87 times the rule; for our small model it is 4 times the rule
# at 1,024 tokens already. Where the ratio is below 1, the look-up table outweighs attention. For
# the real model, mixing up the two rules is the larger error, by a factor of 3: $2ND$ is what it
# costs to *read* $D$ tokens, $6ND$ to *train* on them.

# %% [markdown]
# ## A wider dense model costs every token more
#
# Suppose the model should hold more, so we make its feed-forward layers wider and wider.
#
# **Predict.** Each added parameter adds, to the cost of each token, (a) less than 2 FLOPs, because
# the wide layer is used more efficiently, (b) exactly 2, (c) more than 2?

# %%
wider = [replace(config, d_ff=F * times) for times in (1, 2, 4, 8, 16)]
total = [count_parameters(c).total for c in wider]
cost = [count_flops(c, L).forward_per_token for c in wider]
millions = ([n / 1e6 for n in total], [f / 1e6 for f in cost])
ax = plt.subplots(figsize=(8, 3.4))[1]
plot_curves(ax, {"dense": millions}, "parameters, millions", "FLOPs per token, millions")

# %% [markdown]
# **Look.** A straight line: each parameter we add costs every token 2 more FLOPs, whether the token
# needs it or not. A model with many parameters *and* a low cost would be a point far below the line,
# and no width of a dense layer leads there.

# %%
for c, n, f in zip(wider, total, cost):
    assert f - cost[0] == 2 * (n - total[0])
    assert measured_flops(Transformer(c), tokens) == f * L
print(f"{total[-1] - total[0]:,} more parameters, {cost[-1] - cost[0]:,.0f} more FLOPs per token")

# %% [markdown]
# **What goes wrong.** A dense model can at least share: every 2 of our query heads use the same keys
# and values. Can we share differently and give 4 query heads 3 heads of keys and values? What cannot
# be built is refused, with both numbers.

# %% tags=["raises-exception"]
replace(config.attention, n_kv_heads=3)

# %% [markdown]
# FLOPs are not seconds. The next cell times our model, the same model with a layer 16 times wider,
# and one large matrix product, close to the best this machine can do. Your numbers will differ.
# Compare the last column: time follows FLOPs only as far as those rates agree.


# %% tags=["timing", "nbval-ignore-output"]
def seconds(run) -> float:
    return Timer("run()", globals={"run": run}).blocked_autorange(min_run_time=0.3).median


x, square = tokens.repeat(8, 1), torch.ones(1024, 1024)
with torch.inference_mode():
    times = [seconds(partial(Transformer(c), x)) for c in (wider[0], wider[-1])]
    times.append(seconds(partial(torch.mm, square, square)))
work = [8 * L * cost[0], 8 * L * cost[-1], 2 * 1024**3]
names = ("ours", "16 times wider", "one product")
rows = [(n, w / 1e9, 1e3 * t, w / t / 1e9) for n, w, t in zip(names, work, times)]
print(text_table(["run", "GFLOPs", "milliseconds", "GFLOPs per second"], rows))
assert times[1] > times[0]

# %% [markdown]
# ## Takeaway
#
# - A dense model reads all its weights for every token, comma or Chinese, except for the rows of
#   the input embedding that belong to other tokens.
# - Each weight in a matrix costs a token 2 FLOPs to read and 6 to train. Attention comes on top,
#   grows with the text, and is what $6ND$ leaves out.
# - Widen a dense model, and its cost rises with its parameters on one straight line. Only a model
#   that skips weights can leave it.
#
# **Verdict on the claim.** None: no article makes a claim about dense models that could be tested
# here. Settled: what "all parameters are used" means, to the parameter, and what it costs in FLOPs.
# Not settled: whether skipped weights save *time* (notebook 04) and what a model loses by skipping
# them (notebook 09).
#
# **Try.**
#
# 1. Tie the embeddings (`tie_embeddings=True`). What happens to the parameters, to the FLOPs, and
#    to the weights one token reads? Decide before you run it.
# 2. In the table above, $6N$ is too much at 8 tokens and too little at 128. At which length is it
#    right, by accident?
# 3. `minimoe.config.moe()` is a Mixture of Experts. Does it lie on the line of the last figure?
#
# <details><summary>Answers</summary>
#
# 1\. The table is stored once instead of twice, and multiplied as before: fewer parameters, the
# same FLOPs. The head reads all of it, so now a token reads every parameter there is.
#
# ```python
# tied = replace(config, tie_embeddings=True)
# assert count_parameters(tied).total == count.total - V * D
# assert count_flops(tied, L).forward == flops.forward
# assert touched_parameters(Transformer(tied), tokens[0, :2]).tolist() == [130880, 130880]
# assert count_parameters(tied).total == 130880
# ```
#
# 2\. Where 3.5 times attention costs as much as 6 FLOPs for each parameter in no matrix (embedding
# and norms): between 37 and 38 tokens.
#
# ```python
# right = 6 * (count.total - matrices) / (3.5 * 3 * 4 * H * d)
# assert 37 < right < 38
# assert count_flops(config, 37).training_per_token < 6 * count.total
# assert count_flops(config, 38).training_per_token > 6 * count.total
# ```
#
# 3\. Far below it: it has 4.5 times the parameters of our dense model and costs slightly less. A
# dense model of that size would cost 3.9 times as much.
#
# ```python
# from minimoe.config import moe
#
# sparse, sparse_cost = count_parameters(moe()).total, count_flops(moe(), L).forward_per_token
# assert round(sparse / count.total, 1) == 4.5 and sparse_cost < cost[0]
# on_the_line = cost[0] + 2 * (sparse - total[0])
# assert round(on_the_line / sparse_cost, 1) == 3.9
# ```
#
# </details>
#
# **Source.** $6ND$ and the cost of attention: Kaplan et al., arXiv 2001.08361, section 2.1, where
# $N$ leaves out the embeddings. DeepSeek LLM 67B: arXiv 2401.02954 and its published configuration.
# Attention that computes its scores twice: Dao et al., arXiv 2205.14135.
#
# **Next.** [02 · What does an MoE layer do to one token?](02_moe_layer.ipynb)
