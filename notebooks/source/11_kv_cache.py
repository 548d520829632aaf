# %% [markdown]
# # 11 · What makes a long context affordable?
#
# **Question.** To write its next token, a model attends to every token before it. What must it
# keep of them, how many bytes is that, and which tricks make it less?
#
# **You will be able to** write a KV cache by hand, compute the cache of any published model from
# its configuration, explain latent attention and its absorbed form, and say which part of
# "93.3 % less cache" is latent attention and which is not.
#
# *Claims:* `long-context` (the model has exceptionally long context windows) and `moe-novel` (the
# architecture is novel): latent attention is DeepSeek's own. *Needs:* notebooks 01 and 02.
# *Runs in* about 25 s.
#
# All weights here are **random**. Bytes, FLOPs and equal results do not depend on training. How
# well a model *uses* a long context does, and is not tested here.

# %%
from dataclasses import replace
from functools import partial

import torch
from matplotlib import pyplot as plt
from torch.nn.functional import rms_norm, scaled_dot_product_attention

from minimoe import AttentionConfig, LatentAttentionConfig, ModelConfig, Transformer
from minimoe.config import dense, moe
from minimoe.model.cache import KVCache
from minimoe.model.parameters import initialize_
from minimoe.model.rotary import rotate, rotation_of
from minimoe.model.transformer import make_attention
from minimoe.show.figures import plot_bars_log, plot_curves, plot_stacked, style
from minimoe.show.tables import text_table

style()
torch.set_num_threads(1)  # times of one thread, wherever this runs

# %% [markdown]
# ## What a token gives to later tokens never changes
#
# In a causal model a token never sees later ones. So the **key** and the **value** that attention
# makes of it stay as they are, however long the text grows; nobody asks for its **query** again. A
# **KV cache** keeps the keys and values, so that nothing is computed twice. First three helpers: an
# attention layer with random weights; vectors rotated by their position, as rotary position
# embedding does; and a model that gets a text token by token, with a cache. Then the cache by hand,
# for one head of width 16: two Python lists, `keys` and `values`.


# %%
def layer_of(kind):
    layer = make_attention(ModelConfig(n_layers=1, attention=kind, d_ff=8), 0).double()
    initialize_(layer.requires_grad_(False), seed=0)
    return layer


def turned(rows, position, kind):
    by = rotation_of(kind, torch.tensor([position]), rows.dtype)
    return rotate(rows[None, :, None], by, kind.rope.interleaved)[0, :, 0]


def written(model, text):
    cache = KVCache(model.config, 1, text.shape[1], like=model.embedding)
    return [model(token, cache) for token in text.split(1, dim=1)]


# %%
one_head = AttentionConfig(d_model=64, n_heads=1, n_kv_heads=1, d_head=16)
head, keys, values, outputs = layer_of(one_head), [], [], []
x = torch.randn(24, 64, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
for n, token in enumerate(x):
    q, k = turned(torch.stack([head.q @ token, head.k @ token]), n, one_head)
    keys.append(k)
    values.append(head.v @ token)
    weights = (torch.stack(keys) @ q / 16**0.5).softmax(0)
    outputs.append(head.o @ (weights @ torch.stack(values)))
at_once = head(x[None], rotation_of(one_head, torch.arange(24), x.dtype))[0]
assert (torch.stack(outputs) - at_once).abs().max() < 1e-12
print(f"token by token by hand, {len(keys)} keys kept = all at once by the package")

# %% [markdown]
# ## Without a cache, every new token pays for all the old ones again
#
# Our dense model from notebook 01 writes 128 tokens: once with a cache, once by reading the whole
# text again for each new token. We count every matrix product that really happens.
#
# **Predict.** Over all 128 tokens, the second way costs more FLOPs by a factor of about 2, 10, or
# more than 60? Write it down, then run.

# %%
from torch.utils.flop_counter import FlopCounterMode

from minimoe.formulas.flops import count_flops
from minimoe.measure.flops import CUSTOM_FLOPS, measured_flops


def flops_of(run):
    with FlopCounterMode(display=False, custom_mapping=CUSTOM_FLOPS) as counter, torch.no_grad():
        run()
    return counter.get_total_flops()


model, lengths = Transformer(dense(), seed=0), range(1, 129)
text = torch.randint(256, (1, 128), generator=torch.Generator().manual_seed(1))
again = [measured_flops(model, text[:, :n]) for n in lengths]
cache = KVCache(model.config, 1, 128, like=model.embedding)
kept = [flops_of(partial(model, token, cache)) for token in text.split(1, dim=1)]
ways = {"read all again": again, "with a cache": kept}
curves = {way: (lengths, [f / 1e6 for f in flops]) for way, flops in ways.items()}
plot_curves(plt.subplots()[1], curves, "tokens so far", "million FLOPs for the next one")

# %% [markdown]
# **Look.** Two curves over the number of tokens so far. With a cache the next token costs about the
# same at any time: at this scale the curve is flat. Without one the cost climbs, a little faster
# than in a straight line. The areas under the curves are the cost of the whole text of $N$ tokens.
# With a cache, the cost of the weights grows with $N$ and that of attention with $N^2$; without
# one, with $N^2$ and $N^3$.

# %%
one = count_flops(model.config, 1)
w, a = one.weights, one.attention  # of a token's weights; of one query that meets one key
assert kept == [w + a * n for n in lengths]
assert again == [w * n + a * n**2 for n in lengths]
print(f"{sum(again):,} against {sum(kept):,} FLOPs: {sum(again) / sum(kept):.1f} times")

# %% [markdown]
# (A little of that could be spared without a cache: only the last position needs the output head,
# and a kernel may skip what the causal mask hides. The powers of $N$ remain.) A cache does not make
# a long text cheap, though: token $n$ still reads $n$ keys and values. It trades FLOPs for memory,
# and then memory is the problem.
#
# ## Four kinds of attention leave four sizes of cache
#
# All four have 16 query heads of width 64 on a stream of width 1,024. They differ in what a token
# leaves behind in each layer. **Multi-head** attention (MHA): a key and a value for each head.
# **Grouped-query** (GQA): here 4 heads of keys and values, each shared by 4 query heads.
# **Multi-query** (MQA): a single one, shared by all. **Multi-head latent** (MLA, of DeepSeek-V2):
# one vector, the *latent*, here of width 256, from which the keys and values of all heads are
# computed, and one key of width 32 for the position.
#
# **Predict.** The cache of MLA is (a) as large as that of GQA, (b) between GQA and MQA, (c) smaller
# than that of MQA?


# %%
def kept_of(config):
    """Bytes of all tensors in a cache of 16-bit numbers that has room for one token."""
    cache = KVCache(config, 1, 1, like=torch.empty(0, dtype=torch.bfloat16))
    assert cache.n_bytes == sum(t.nbytes for t in vars(cache).values() if torch.is_tensor(t))
    return cache.n_bytes


same = {"d_model": 1024, "n_heads": 16}
latent = LatentAttentionConfig(**same, kv_rank=256, d_nope=64, d_rope=32, d_value=64)
groups = {"MHA": 16, "GQA": 4, "MQA": 1}
kinds = {n: AttentionConfig(**same, n_kv_heads=g, d_head=64) for n, g in groups.items()}
kinds["MLA"] = latent
models = {name: ModelConfig(n_layers=1, attention=kind, d_ff=8) for name, kind in kinds.items()}
left = {name: kept_of(config) for name, config in models.items()}
parts = {name: {"keys": n // 2, "values": n // 2} for name, n in left.items()}
parts["MLA"] = {"latent": 2 * 256, "rotary key": left["MLA"] - 2 * 256}
plot_stacked(plt.subplots(figsize=(8, 3))[1], parts, "bytes per token and layer, 16-bit numbers")

# %% [markdown]
# **Look.** Four bars: the bytes that one token leaves in one layer. MHA's is by far the longest,
# 4,096. GQA keeps a quarter of it, MQA a sixteenth. MLA's latent and rotary key lie between GQA and
# MQA, at 576: (b). GQA would need 2.25 groups to keep as much.
#
# A small cache must also be *enough*: in the next cell each model reads a text twice, at once and
# token by token through its cache, and must say the same.
#
# ## Less cache is less time where reading it is the bottleneck
#
# A new token needs all weights of the layer and all of its cache from memory. The first table says
# at which context the two are equally large; before it, the weights are the larger part. (That is
# for one text. In a batch the weights are read once for all texts and each cache for its own, so
# the caches take over sooner.) And it says how many multiply-adds are done with each number of the
# cache. In MHA it is a single one: a chip that multiplies faster than it reads waits for its
# memory. MQA does 16 and MLA 30, so there the arithmetic may be the limit instead.
#
# The second table puts the time of a new token's attention (heads that share keys in one product,
# so that the cache is read once) beside the time of merely *reading* the same bytes, a plain sum.
# 32-bit numbers, one thread; your times will differ.

# %%
for config in models.values():
    model = Transformer(config).double().requires_grad_(False)
    by_token = torch.cat([logits for logits, _ in written(model, text[:, :24])], dim=1)
    assert (by_token - model(text[:, :24])[0]).abs().max() < 1e-12
assert left == {"MHA": 4096, "GQA": 1024, "MQA": 256, "MLA": 576} and 2.25 * 256 == 576
print("through the cache, all four say the same as at once")

# %%
products = {"MHA": 16 * 128, "GQA": 16 * 128, "MQA": 16 * 128, "MLA": 16 * (288 + 256)}
rows = []
for name, kind in kinds.items():
    n, each = sum(p.numel() for p in layer_of(kind).parameters()), left[name] // 2
    rows.append((name, f"{n:,}", each, f"{n / each:,.0f}", f"{products[name] / each:.0f}"))
print(text_table(["", "weights", "cache per token", "equal at", "multiply-adds each"], rows))

# %% tags=["timing", "nbval-ignore-output"]
from statistics import quantiles
from timeit import repeat


def milliseconds(run):
    """The median of nine runs after a first one, and the spread of their middle half."""
    seconds = repeat("run()", globals={"run": run}, number=1, repeat=10)[1:]
    low, median, high = quantiles([1e3 * time for time in seconds], n=4)
    return median, high - low


rows, shapes = [], {"MHA": (2, 16, 64), "GQA": (2, 4, 64), "MQA": (2, 1, 64), "MLA": (1, 1, 288)}
for name, (n, groups, width) in shapes.items():
    for context in (1024, 4096, 16384):
        kv, q = torch.ones(n, 1, groups, context, width), torch.ones(1, groups, 16 // groups, width)
        attend = milliseconds(partial(scaled_dot_product_attention, q, kv[0], kv[-1]))
        rows.append((name, context, kv.nbytes / 1e6, milliseconds(kv.sum)[0], *attend))
print(text_table(["", "context", "MB", "ms to read", "ms attention", "spread"], rows))
assert rows[2][4] > rows[8][4] and rows[2][4] > 3 * rows[0][4]

# %% [markdown]
# Where attention takes about as long as reading, memory is the limit; where much longer,
# arithmetic. Two things hold by a wide margin: MHA's time grows with the context, and MQA needs less
# time than MHA, though not a sixteenth, as its bytes would have it. MLA reads a seventh of MHA's
# bytes but multiplies over four times as often, so on a plain CPU it gains less than its bytes
# promise, or nothing. The *room* that a small cache saves is the same on every machine.
#
# ## Latent attention by hand: down to a latent, up to all heads
#
# The latent is $c = \mathrm{norm}(W_{\mathrm{down}} x)$, and $W_{\mathrm{up}} c$ holds the keys and
# values of all heads. The position stands beside it, *decoupled*: a part of each query and one key
# for all heads are rotated, and their score is added. We follow the last of 24 tokens through a
# small layer: 4 heads, keys and values of width 16, a latent of 32, a rotary part of 8.

# %%
small = LatentAttentionConfig(d_model=64, n_heads=4, kv_rank=32, d_nope=16, d_rope=8, d_value=16)
layer = layer_of(small)
down, for_position = (x @ layer.kv_down.T).split([32, 8], dim=-1)
c = rms_norm(down, (32,), layer.kv_norm.weight, small.norm_eps)
rotary = torch.cat([turned(row[None], n, small) for n, row in enumerate(for_position)])
print(f"kept of a token: {32 + 8} numbers; full keys and values: {4 * (16 + 8) + 4 * 16}")

# %%
q, q_rotary = (layer.q @ x[-1]).view(4, 16 + 8).split([16, 8], dim=-1)
q_rotary = turned(q_rotary, 23, small)
up_k, up_v = layer.kv_up.view(4, 32, 32).split(16, dim=1)  # for each head [16, 32]
keys, values = (torch.einsum("hdr,nr->hnd", up, c) for up in (up_k, up_v))
weights = ((torch.einsum("hd,hnd->hn", q, keys) + q_rotary @ rotary.T) / 24**0.5).softmax(-1)
naive = layer.o @ torch.einsum("hn,hnd->hd", weights, values).flatten()

# %% [markdown]
# The catch: `keys` and `values` were computed for all 24 tokens to serve one new one, and for the
# next it is all of them again. This is the **naive** way, which pays in FLOPs what it saves in
# bytes. But $(W_k c) \cdot q = c \cdot (W_k^\top q)$, and on the right the matrix meets the one new
# query and not the many old latents. Likewise for the values: sum the latents first, then apply
# $W_v$ once. This is the **absorbed** way; all heads then attend over the same latents, much as in
# MQA. Both ways must give what the package gives.
#
# Why is the position kept out of the latent? If keys were turned by their positions, the rotation
# $R_n$ would stand between: $c_n \cdot (W_k^\top R_n^\top q)$, another absorbed query for every
# distance. Could one clever query still give all the scores? In the second cell least squares looks
# for the best, for 64 random latents of width 16.

# %%
q_latent = torch.einsum("hd,hdr->hr", q, up_k)  # the key matrix, absorbed by the query
weights = ((q_latent @ c.T + q_rotary @ rotary.T) / 24**0.5).softmax(-1)
absorbed = layer.o @ torch.einsum("hdr,hr->hd", up_v, weights @ c).flatten()
by_package = layer(x[None], rotation_of(small, torch.arange(24), x.dtype))[0, -1]
assert max((way - by_package).abs().max() for way in (naive, absorbed)) < 1e-10
print("naive = absorbed = by the package")

# %%
latents = torch.randn(64, 16, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
plain = latents @ up_k[0, :, :16].T
rotated = torch.cat([turned(k[None], n, one_head) for n, k in enumerate(plain)])
for name, scores in {"keys as they are": plain @ q[0], "keys turned": rotated @ q[0]}.items():
    best = torch.linalg.lstsq(latents, scores[:, None]).solution[:, 0]
    print(f"{name}: {(latents @ best - scores).norm() / scores.norm():.3f} of the scores missed")

# %% [markdown]
# With plain keys one absorbed query gives every score; with turned keys even the best one misses
# much. Hence the separate rotary key: it is kept as it is, and nothing has to be absorbed.
#
# **Predict.** Back to the layer of 16 heads with its latent of 256. At a context of 4,096, how many
# times the FLOPs of the absorbed way does the naive one need for a new token: about 2, 10, or 50?
# And which way is cheaper when a text is read all at once?


# %%
def layer_run(way, n_new, n_seen):
    """The layer, about to read n_new tokens, the last of n_seen."""
    config = replace(models["MLA"], attention=replace(latent, way=way))
    layer = layer_of(config.attention).float()
    cache = KVCache(config, 1, n_seen, like=layer.o)
    cache.n_read = n_seen - n_new
    by = rotation_of(latent, torch.arange(cache.n_read, n_seen), torch.float32)
    return partial(layer, torch.zeros(1, n_new, 1024), by, cache)


cases, ways = [(1, 256), (1, 1024), (1, 4096), (1024, 1024)], ("naive", "absorbed")
flops = {case: [flops_of(layer_run(way, *case)) // case[0] for way in ways] for case in cases}
rows = [(*case, f"{n:,}", f"{a:,}", f"{n / a:.2f}") for case, (n, a) in flops.items()]
print(text_table(["new tokens", "context", "naive", "absorbed", "naive / absorbed"], rows))

# %% [markdown]
# **Look.** FLOPs for each new token. Writing, the naive way costs more, and the factor grows with
# the context: at 4,096 it is above 50. Reading at once, the absorbed way loses: keys and values are
# computed once per token in any case, and vectors of width 288 and 256 cost more than those of
# width 96 and 64. So the package reads a prompt naively and writes absorbed (`way="auto"`). The
# cells below have the formula, and the time of a new token.

# %%
same = 2 * (1024 * 16 * 96 + 1024 * 288 + 1024 * 16 * 64)  # projections of the new token
up = 2 * 256 * 16 * (64 + 64)  # one latent to keys and values; or to absorb one query and one sum
for (new, seen), counted in flops.items():
    assert counted[0] == same + up * seen // new + 2 * 16 * (96 + 64) * seen
    assert counted[1] == same + up + 2 * 16 * (288 + 256) * seen
print(f"naive: {up:,} for each latent seen; pairs cost {32 * 160:,} naive, {32 * 544:,} absorbed")

# %% tags=["timing", "nbval-ignore-output"]
with torch.inference_mode():
    each = {n: [milliseconds(layer_run(way, 1, n)) for way in ways] for n in (256, 1024, 4096)}
rows = [(n, *naive_ms, *absorbed_ms) for n, (naive_ms, absorbed_ms) in each.items()]
print(text_table(["context", "ms naive", "spread", "ms absorbed", "spread"], rows))
assert rows[-1][1] > 3 * rows[-1][3]

# %% [markdown]
# **What goes wrong.** Two mistakes are common, and neither stops a program. *The rotary key is
# forgotten*: a formula that counts only the latent is short by 64 of 576 for DeepSeek-V3, and a
# cache that really leaves it out makes another model. *Full keys and values are cached*: the result
# is right and nothing is saved. With V3's 128 heads it would be 71 times the latent cache, and more
# than MHA.

# %%
blind = (q_latent @ c.T / 24**0.5).softmax(-1)
forgot = layer.o @ torch.einsum("hdr,hr->hd", up_v, blind @ c).flatten()
print(f"no rotary key: the output is off by {(forgot - naive).norm() / naive.norm():.0%}")
v3, full, mha = 512 + 64, 128 * (128 + 64 + 128), 2 * 128 * 128
assert full > mha and full // v3 == 71
print(f"V3, a layer: latent and rotary key {v3}, full keys and values {full:,}, MHA {mha:,}")

# %% [markdown]
# ## Writing says what reading said, also with experts
#
# In a Mixture of Experts (MoE) a rounding error can flip a choice: another expert, another output.
# So the equality of cache and full reading is often tested with dense layers only. Instead, we
# measure the **margin**: by how much a token's second-best router logit exceeds its third, where
# the best two experts are chosen. No choice flips while logits move by less than half of that.
#
# **Predict.** 3 MoE layers and latent attention, 128 tokens: 384 choices. How many flip between
# reading at once and writing through the cache, in float64, in float32, and in bfloat16 (8
# significant bits): none anywhere, some in bfloat16 only, or some in the last two?


# %%
def routes(calls):
    """All router logits [3, 128, 16] and the two experts chosen."""
    layers = zip(*[routings for _, routings in calls])
    logits = torch.stack([torch.cat([r.logits for r in layer]) for layer in layers])
    return logits, logits.topk(2).indices.sort(-1).values


amounts, flips, mixed = {}, {}, replace(moe(), attention=small)
for name in ("float64", "float32", "bfloat16"):
    model = Transformer(mixed).to(getattr(torch, name)).requires_grad_(False)
    (read, chosen), (one_by_one, others) = routes([model(text)]), routes(written(model, text))
    amounts[f"largest change, {name}"] = (read - one_by_one).abs().max()
    flips[name] = int((chosen != others).any(-1).sum())
    if name == "float64":
        margin = read.topk(3).values[..., 1:].diff().abs()
amounts |= {"margin, smallest": margin.min(), "margin, median": margin.median()}
plot_bars_log(plt.subplots(figsize=(8, 3.2))[1], amounts, "router logits")

# %% [markdown]
# **Look.** Five bars on a logarithmic axis; compare their ends. Reading against writing moves the
# router logits by rounding only. In float64 that is less than $10^{-12}$, in float32 still less
# than half of the smallest margin, so no choice can flip. In bfloat16 it is more than the smallest
# margin: some choices flip, and there a token goes through another expert. So the test is exact for
# an MoE too, in float64; and where two runs in low precision differ, the cache need not be wrong.

# %%
model = Transformer(mixed).double().requires_grad_(False)
by_token = torch.cat([logits for logits, _ in written(model, text)], dim=1)
assert max((by_token - model(text)[0]).abs().max(), amounts["largest change, float64"]) < 1e-12
assert 2 * amounts["largest change, float32"] < margin.min() < amounts["largest change, bfloat16"]
assert flips["float64"] == flips["float32"] == 0 < flips["bfloat16"]
print(f"{margin.numel()} choices, smallest margin {margin.min():.5f}; flips in bfloat16 only")

# %% [markdown]
# ## Of "93.3 % less cache", latent attention is a part
#
# DeepSeek-V2 needs 93.3 % less cache than the dense DeepSeek LLM 67B, and it is often said that
# this is latent attention's doing. Both configurations are published, so anyone can build the two
# caches and weigh them.
#
# **Predict.** If both store 16-bit numbers, how much less does V2 keep of a token: 93, 82 or 72 %?
# And if both also had the same number of layers?

# %%
from minimoe.zoo.configs import model_config_from_hub
from minimoe.zoo.published import count_named, published_model, published_models

pair = ("deepseek-llm-67b", "deepseek-v2")
old, v2 = (model_config_from_hub(published_model(name).config) for name in pair)
amounts = [kept_of(old), kept_of(replace(old, n_layers=60)), kept_of(v2), kept_of(v2) * 6 // 16]
names = "67B: 95 layers", "67B, if it had 60 layers", "V2: 60 layers, latent", "V2, 6-bit numbers"
bars = {name: {"keys": n / 2, "values": n / 2} for name, n in zip(names[:2], amounts)}
for name, n in zip(names[2:], amounts[2:]):
    bars[name] = {"latent": n * 8 / 9, "rotary key": n / 9}
plot_stacked(plt.subplots(figsize=(8, 3))[1], bars, "bytes per token, all layers")

# %% [markdown]
# **Look.** Four bars, from long to short: DeepSeek 67B; the same with as few layers as V2; V2 with
# 16-bit numbers; V2 with 6-bit numbers. Each step has another cause. Fewer layers take away more
# than a third. The next and largest step is latent attention. The last one is that V2 stores its
# numbers in 6 bits on average, which 67B could do as well. (8/9 of V2's bytes are the latent, 512
# of 576.)
#
# So 93.3 % is right as a sum, and wrong as the merit of latent attention: that is 82.2 % without
# the 6 bits, and 71.9 % layer by layer. Nor is the rival multi-head: 67B already shares its keys in
# 8 groups. Beside the multi-head model of the report's own comparison, which keeps 860.2 thousand
# numbers, V2 keeps 4 %. Each figure is true of its own rival.
#
# The second cell below draws all published models that the package knows and whose cache grows by a
# fixed amount with each token, and two more that are built from their sizes. For three of them the
# bytes were published, too.

# %%
first, fewer, latents, six = amounts
assert (first, latents) == (2 * 95 * 2 * 8 * 128, 2 * 60 * 576) == (2 * 194_560, 2 * 34_560)
less = [f"{100 - 100 * b / a:.1f} %" for a, b in ((fewer, latents), (first, latents), (first, six))]
print("less by layer {}, with fewer layers {}, with 6 bits too {}".format(*less))
print(f"{first / six:.1f} = {first / fewer:.2f} x {fewer / latents:.2f} x {latents / six:.2f}")
print(f"of 860.2 thousand numbers, multi-head: {100 * 34_560 / 860_200:.0f} %")

# %%
caches = {m.id: count_named(m.id).count.cache_bytes_per_token for m in published_models()}
for name, sizes in {"Qwen2.5-72B": (80, 8192, 64), "Llama-3.1-405B": (126, 16384, 128)}.items():
    eight = AttentionConfig(d_model=sizes[1], n_heads=sizes[2], n_kv_heads=8, d_head=128)
    caches[name] = kept_of(ModelConfig(n_layers=sizes[0], attention=eight, d_ff=8))
caches = dict(sorted(((n, b) for n, b in caches.items() if b), key=lambda item: -item[1]))
for name, n in {"deepseek-v3": 70_272, "Qwen2.5-72B": 327_680, "Llama-3.1-405B": 516_096}.items():
    assert caches[name] == n  # as published
    print(f"{name}: {n:,} bytes a token, {n * 131_072 / 1e9:.1f} GB for 131,072 tokens")
plot_bars_log(plt.subplots(figsize=(8, 8.5))[1], caches, "bytes per token, 16-bit numbers")

# %% [markdown]
# **Look.** One bar for each model, sorted, on a logarithmic axis. GPT-3 is on top with several
# million bytes for a token: multi-head attention in 96 layers. Most models share keys in groups and
# lie to the right of the 100 k line. DeepSeek-V3 (and R1, which has its shape), one of the largest
# by parameters, is among the shortest bars with 70,272 bytes; shorter are only V2, small GPT-2, and
# hybrids in which few layers keep anything that grows. gpt-oss is near, with narrow heads in few
# layers, and is drawn as if every layer kept everything. In fact every second layer of it sees only
# 128 positions, its own included (a **sliding window**), and may forget the rest: at length $L$ the
# layers keep $\sum_i \min(L, w_i)$ tokens, with $w_i$ the window of layer $i$, or no limit
# (exercise 3).
#
# Fewer bits are a way, too, and not free. A crude rule, for illustration: for each token and layer,
# round the 40 numbers of our small MoE's cache to $2^b$ levels between the least and the greatest.
# The weights are random; a trained model and a better rule will give other numbers.


# %%
def rounded(y, bits):
    low, high = y.aminmax(dim=-1, keepdim=True)
    step = (high - low) / (2**bits - 1)
    return low + ((y - low) / step).round() * step


for bits in (8, 6, 4):
    cache = KVCache(mixed, 1, 128, like=model.embedding)
    model(text[:, :127], cache)
    cache.kv[..., :127, :] = rounded(cache.kv[..., :127, :], bits)
    change = model(text[:, 127:], cache)[0][0, -1] - by_token[0, -1]
    print(
        f"{bits} bits: the next logits move by {100 * change.norm() / by_token[0, -1].norm():.2f} %"
    )

# %% [markdown]
# ## Takeaway
#
# - A cache trades FLOPs for memory: nothing is computed twice, and every token leaves bytes in
#   every layer. How many follows from the published configuration by one multiplication.
# - Sharing keys (GQA, MQA), a latent (MLA), a window and fewer bits all shrink it, and their
#   factors multiply. MLA must keep its rotary key, and wants the absorbed way for writing and the
#   naive way for reading.
# - "93.3 % less" compares two whole systems. Layer by layer and at equal bits, latent attention
#   saves 71.9 % against 8 groups.
#
# **Verdict on the claims.** `long-context`: *contradicted elsewhere*, for the length, which is what
# was claimed. V3's window is 128K tokens; that of Llama 3.1 is 131,072 (July 2024), and
# MiniMax-Text-01 has up to 4 million (January 2025). What the cache of that length takes follows to
# the byte: 9.2 GB in DeepSeek-V3, and 67.6 GB in a dense model of 405 billion parameters. What a
# trained model makes of a long context was not tested. `moe-novel`: *contradicted elsewhere*, for
# one part: a sparse layer of experts was published in 2017 (arXiv 1701.06538). Latent attention was
# new in DeepSeek-V2 (2024, arXiv 2405.04434).
#
# **Try.**
#
# 1. A server has 40 GB left for caches. How many texts of 32,768 tokens fit at once, with V3's
#    cache and with that of Llama-3.1-405B?
# 2. A long prompt can be read in pieces, through the cache. How large must a piece be for the naive
#    way to be cheaper, at a context of 4,096? Derive it from the formula, then count.
# 3. How much does the window save gpt-oss at 4,096 and at 131,072 tokens? Then check that nothing
#    is lost: in a model whose layers have a window of 8, spoil all that lies before it in the
#    cache.
# 4. MQA keeps one key and one value, absorbed MLA one latent. Why is that more than twice as much,
#    and what does it buy?
#
# <details><summary>Answers</summary>
#
# 1\. 17 texts and 2.
#
# ```python
# fits = [40e9 // (caches[name] * 32_768) for name in ("deepseek-v3", "Llama-3.1-405B")]
# assert fits == [17, 2]
# ```
#
# 2\. Naive pays `up` for each of the 4,096 latents, absorbed for each new token only, but it pays
# $32 \cdot (544 - 160)$ more for each pair. From 84 new tokens on, naive is cheaper.
#
# ```python
# equal = up * 4096 / (up + 32 * (544 - 160) * 4096)
# assert 83 < equal < 84
# for n_new, cheaper in {83: "absorbed", 84: "naive"}.items():
#     cost = {way: flops_of(layer_run(way, n_new, 4096)) for way in ways}
#     assert min(cost, key=cost.get) == cheaper
# ```
#
# 3\. Nearly half: 48.4 % and 50.0 %. And the next token's logits stay finite, as they would not
# without the window.
#
# ```python
# gpt = model_config_from_hub(published_model("gpt-oss-120b").config)
# for length, saved in {4096: "48.4 %", 131_072: "50.0 %"}.items():
#     kept = sum(min(length, gpt.window_of(i) or length) for i in range(gpt.n_layers))
#     assert f"{100 - 100 * kept / (gpt.n_layers * length):.1f} %" == saved
# for window in (8, None):
#     windowed = replace(dense(), attention=replace(dense().attention, sliding_window=window))
#     model = Transformer(windowed).requires_grad_(False)
#     cache = KVCache(windowed, 1, 32, like=model.embedding)
#     model(text[:, :31], cache)
#     cache.kv[..., : 32 - 8, :] = float("nan")
#     assert bool(model(text[:, 31:32], cache)[0].isfinite().all()) == (window == 8)
# ```
#
# 4\. The latent has 256 numbers and the rotary key 32; MQA's key and value have 64 each. For that,
# every head computes keys and values of its own from the latent, by its own part of
# $W_{\mathrm{up}}$, where MQA's heads all see the same.
#
# ```python
# assert latent.kv_rank + latent.d_rope == 2.25 * (64 + 64)
# ```
#
# </details>
#
# **Source.** MQA: Shazeer, arXiv 1911.02150. GQA: arXiv 2305.13245. MLA, 93.3 %, the 6 bits
# (section 3.2.3) and the comparison with multi-head attention (Table 9): DeepSeek-V2, arXiv
# 2405.04434. Bytes per token of three models: Table 1 of arXiv 2505.09343. Rotary positions: arXiv
# 2104.09864. Windows of attention: the published configuration of gpt-oss-120b. Length of context:
# README of github.com/deepseek-ai/DeepSeek-V3, section 3; configuration and model card of Llama 3.1;
# MiniMax-01, arXiv 2501.08313, abstract.
#
# **Next.** Notebook 12 · How few bits can a model train with? Until it is built, the
# [map](00_start.ipynb) shows what comes.
