# %% [markdown]
# # 03 · How many parameters does a token really touch?
#
# **Question.** A model is said to have 671 billion parameters and to use 37 billion of them for a
# token. Which ones, how is that counted, and what does one more expert cost?
#
# **You will be able to** count a Mixture of Experts (MoE) by hand and from its configuration,
# measure what a token reads, say which convention stands behind a printed "active" figure, and open
# a checkpoint in the published format to check it yourself.
#
# *Claims:* `active-share` (only a small share of a huge model works on a token: 37B of 671B),
# `moe-monolith` (an MoE differs from a single, monolithic model), `open-inspect` (open weights let
# anyone inspect, understand and audit the model), and the first half of `moe-faster` (it computes
# faster). *Needs:* notebooks 01 and 02. *Runs in* about 20 s.
#
# B stands for a billion. Nothing is downloaded: for a count the shapes of a published model are
# enough. All weights here are random.

# %%
from dataclasses import replace

import torch
from matplotlib import pyplot as plt

from minimoe import AttentionConfig, LatentAttentionConfig, ModelConfig, MoEConfig, Transformer
from minimoe.data.text import encode
from minimoe.formulas.flops import count_flops
from minimoe.formulas.memory import cache_elements_per_token
from minimoe.formulas.parameters import count_parameters
from minimoe.measure.flops import measured_flops
from minimoe.measure.parameters import recorded, touched_parameters
from minimoe.model.cache import KVCache
from minimoe.show.figures import plot_curves, plot_shares_log, plot_stacked, style
from minimoe.show.tables import text_table
from minimoe.zoo import configs, published

style()

# %% [markdown]
# ## A token reads a few experts, and everything else
#
# A tiny model first, of the kind that DeepSeek builds: 3 blocks of width $D=64$, the first with a
# dense feed-forward layer of width 128, the other two with $E=32$ experts of width $F=32$. A token
# is sent to $K=3$ of them and to one **shared expert** that serves every token. An expert is three
# matrices, $3DF$ parameters; the other letters are those of notebook 01. By hand, then by formula,
# then by adding up the model's tensors:

# %%
V, D, H, G, d, F, E, K = 256, 64, 4, 2, 16, 32, 32, 3
expert, attention, head = 3 * D * F, 2 * H * d * D + 2 * G * d * D, V * D
used_by_all = 3 * attention + 3 * D * 128 + 2 * (E * D + expert) + 7 * D + head
everything = used_by_all + V * D + 2 * E * expert  # the input embedding, all routed experts
one_token = used_by_all + D + 2 * K * expert  # one row of the embedding, K routed experts
layer = MoEConfig(d_model=D, d_expert=F, n_routed_experts=E, top_k=K, n_shared_experts=1)
heads = AttentionConfig(d_model=D, n_heads=H, n_kv_heads=G, d_head=d)
config = ModelConfig(n_layers=3, attention=heads, d_ff=128, moe=layer, dense_layers=(0,))
model, count = Transformer(config, seed=0).double(), count_parameters(config)
assert everything == count.total == sum(p.numel() for p in model.parameters())
print(f"by hand, by formula and by adding up the tensors: {everything:,}")

# %% [markdown]
# **Predict.** A token is sent to 3 of 32 experts, which is 9.4 %. What share of *all* parameters
# does it read: (a) 9 %, (b) a quarter, (c) half? Write it down, then run: a meter watches the
# operands of every operation and takes nothing from the configuration.

# %%
text = "No, 中"
touched = touched_parameters(model, encode(text).long())
print(f"the {len(touched)} bytes of the text read", [f"{n:,}" for n in touched.unique().tolist()])

# %% [markdown]
# **Look.** One number for all bytes, and a quarter of the parameters: (b). A plain letter reads as
# many as a third of a Chinese character. $K$ is fixed, so a hard token gets no more experts than an
# easy one. The share is not $K/E$, because most of what a token reads was not chosen: attention,
# head, dense layer, shared experts and routers serve every token.

# %%
assert touched.unique().tolist() == [one_token] and one_token == count.touched
print(f"{one_token:,} of {everything:,}: {100 * one_token / everything:.1f} %")
print(f"experts: {K} of {E}, {100 * K / E:.1f} %")
unchosen = one_token - 2 * K * expert
print(f"not chosen by a router: {unchosen:,}, {100 * unchosen / one_token:.1f} % of what is read")

# %% [markdown]
# ## The real ones: from all of it down to 3 %
#
# The formula needs only shapes. `minimoe.zoo` holds those of 31 published models and counts each to
# the parameter. *Active* means here: everything but the routed experts that a token is not sent to.


# %%
def size(c):
    return c.count.total / 1e9, c.count.active_parameters["with_embeddings"] / 1e9


counts = {m.id: published.count_named(m.id) for m in published.published_models()}
dense = {name: size(c) for name, c in counts.items() if c.published.kind == "dense"}
moes = {name: size(c) for name, c in counts.items() if c.published.kind == "moe"}
ax, shares = plt.subplots(figsize=(9.5, 7.6))[1], (1, 0.1, 0.03)
groups = {"dense": dense, "Mixture of Experts": moes}
plot_shares_log(ax, groups, "all parameters, B", "active parameters, B", shares)

# %% [markdown]
# **Look.** Both axes are logarithmic: all parameters to the right, active ones upwards. The six
# dense models (round) lie on the dashed diagonal, where all is active. The 25 MoE models (square)
# lie below it: nearest to it Mixtral, with just above a quarter; those of more than 500 B lie
# between the dotted lines of 10 % and of 3 %. DeepSeek-V3, with its twin R1, is the 671B of the
# claim. From Mixtral to DeepSeek-V4-Flash, far to its right, the whole grows sixfold and the active
# part by 7 %.
#
# By the name, "Mixtral 8x7B" is often taken for 56B, 14B active. But only the experts are
# eightfold; attention, embeddings and routers exist once:

# %%
experts = 32 * 3 * 4096 * 14336  # one expert in each of 32 blocks
once = 32 * (2 * (4096 + 1024) * 4096 + 8 * 4096 + 2 * 4096) + (2 * 32000 + 1) * 4096
mixtral, flash = moes["mixtral-8x7b"], moes["deepseek-v4-flash"]
assert mixtral == ((8 * experts + once) / 1e9, (2 * experts + once) / 1e9)
print(f"by the name: {8 * 7}B, {2 * 7}B active")
print(f"8 x {experts:,} + {once:,} = {mixtral[0]:.2f} B, with 2 x {mixtral[1]:.2f} B")

# %%
assert len(moes) == 25 and all(c.equals_stored_count for c in counts.values())
active = {name: 100 * part / whole for name, (whole, part) in (dense | moes).items()}
assert all(active[n] == 100 for n in dense) and max(moes, key=active.get) == "mixtral-8x7b"
assert all(3 < active[n] < 10 for n, (whole, _) in moes.items() if whole > 500)
print(f"Mixtral: {active['mixtral-8x7b']:.1f} % active, the least: {min(active.values()):.1f} %")
print(f"V4-Flash over Mixtral: {flash[0] / mixtral[0]:.2f} and {flash[1] / mixtral[1]:.2f} times")

# %% [markdown]
# **What goes wrong.** A count is as good as its configuration. A library fills in what a file lacks
# with its own default, and that need not be the checkpoint's value. For OLMoE a well-known
# library's default width of an expert is 2048; the checkpoint has 1024. The default makes the model
# almost twice as large, and nothing fails. So the package guesses no such number:

# %%
olmoe = dict(counts["olmoe-1b-7b"].published.config)
for width in (1024, 2048):
    n = count_parameters(configs.model_config_from_hub(olmoe | {"intermediate_size": width})).total
    print(f"width {width}: {n:,} parameters (published: 6.9B)")
assert n / counts["olmoe-1b-7b"].count.total > 1.9

# %% tags=["raises-exception"]
del olmoe["intermediate_size"]
configs.model_config_from_hub(olmoe)

# %% [markdown]
# ## Nearly half of what a token uses in DeepSeek-V3 is not chosen
#
# DeepSeek-V3 has 61 blocks. The first 3 are dense; each of the others has 256 routed experts, of
# which 8 are chosen, and a shared one.
#
# **Predict.** Routed experts hold 97 % of all its parameters. What share do they have in the
# parameters that one token *uses*: (a) 97 %, (b) about half, (c) 3 %?

# %%
v3 = counts["deepseek-v3"].count
every = {place.replace("_", " "): n for place, n in v3.parameters_by_place.items() if n}
used = every | {"routed experts": every["routed experts"] * 8 // 256}
bars = {"all parameters": every, "used by a token": used}
bars = {b: {k: 100 * n / sum(p.values()) for k, n in p.items()} for b, p in bars.items()}
plot_stacked(plt.subplots(figsize=(9, 3.2))[1], bars, "% of the bar")

# %% [markdown]
# **Look.** Two bars, each 100 % of its own sum. Above, all parameters: one part, the routed
# experts, fills almost everything. Below, what one token uses: there the routed experts fill little
# more than half, (b). Attention takes almost a third, then come shared experts, embeddings and the
# three dense layers; routers are a sliver, norms cannot be seen. All parts but the routed
# experts are the *same* for every token: a dense model of 17.12 B inside the MoE, twice a whole
# Llama 3.1 8B. Only 20.43 B are picked, out of 653.91 B.

# %%
active, chosen = sum(used.values()), used["routed experts"]
assert v3.total == 671_026_404_352 and active == v3.active_parameters["with_embeddings"]
core, share = active - chosen, 100 * (active - chosen) / active
assert 2 < core / counts["llama-3.1-8b"].count.total < 2.2 and round(v3.total / 1e9) == 671
print(f"used {active / 1e9:.2f} of {v3.total / 1e9:.2f} B; {share:.1f} % of it by every token:")
print(f"{core / 1e9:.2f} B; chosen {chosen / 1e9:.2f} of {every['routed experts'] / 1e9:.2f} B")

# %% [markdown]
# ## "37B" is a rounding under a convention
#
# The input embedding is a table from which a token reads one row; the output head is as large and
# is read wholly. Do they count as active? There are three conventions: both, the head only,
# neither. Here are all MoE models whose authors print an active figure, with `=` where our count,
# in billions, rounds to it.


# %%
def fitting(c):
    """The conventions under which our count rounds to the figure that the authors print."""
    printed, counted = c.published.active, c.count.active_parameters
    return [way for way, n in counted.items() if 2 * abs(n - printed.value) <= printed.step]


rows, fits = [], {n: fitting(c) for n, c in counts.items() if n in moes and c.published.active}
for name in fits:
    cells = counts[name].count.active_parameters.items()
    cells = [f"{n / 1e9:.2f} {'=' if way in fits[name] else ' '}" for way, n in cells]
    rows.append((name, counts[name].published.active.printed, *cells))
print(text_table(["model", "printed", "both", "head only", "neither"], rows, align="llrrr"))

# %%
alone, printed = [list(fits.values()).count([w]) for w in v3.active_parameters], len(fits)
print(f"{printed} models, {sum(alone)} fit just one: both, head, neither {alone}")
print(next(note for note in counts["deepseek-v3"].published.notes if "36.7B" in note))
assert fits["deepseek-v3"] == ["without_input_embedding"] and round(active / 1e9) == 38
assert [min(len(ways), 2) for ways in fits.values()].count(2) == 7
assert count.touched == count.active_without_input_embedding + D  # what the meter saw

# %% [markdown]
# DeepSeek-V3's 37B fits only one: the head counts, the input embedding does not. With both it would
# print 38B. That convention is also what our meter sees, but for one row of the table. The note on
# V3's weights prints a fourth number, 36.7B, and says that it includes both embeddings. It fits
# none of the three: with both it is 37.55 B, and the nearest, 36.63 B, holds only one of them.
#
# Of the 24 figures, 15 fit just one convention, and these 15 use all three. Seven are too coarse to
# tell, and two fit none: Hunyuan-Large's 52B, and Qwen3-30B's 3.3B, which seems to be cut, not
# rounded. So two "active" figures compare only within one convention: gpt-oss has 5.71 B or 4.55 B,
# a quarter more or less.
#
# ## One more expert costs something else in every currency
#
# **Predict.** We give each MoE layer of the tiny model a 33rd expert; a token still gets 3. What
# rises: (a) all parameters, and nothing else; (b) also what a large batch reads, and the FLOPs by a
# whisker; (c) everything? And if instead each token gets a fourth of the 32?


# %%
def by_formula(c, n_bytes):
    """What a model of n_bytes a number costs, in six currencies."""
    n, flops, cache = count_parameters(c), count_flops(c, 64), cache_elements_per_token(c)
    read = n_bytes * n.touched, n_bytes * n.total  # the latter where every weight is needed
    return n.total, n.touched, int(flops.forward_per_token), *read, n_bytes * cache


changes = ({}, {"n_routed_experts": 33}, {"top_k": 4})
three = [replace(config, moe=replace(layer, **change)) for change in changes]
names = ["all parameters", "read by a token", "FLOPs per token", "bytes for one token"]
names += ["bytes for a large batch", "cache bytes per token"]
costs = [by_formula(c, 4) for c in three]
rows = [(n, f"{a:,}", f"{b - a:+,}", f"{c - a:+,}") for n, a, b, c in zip(names, *costs)]
print(text_table(["currency", "E=32, K=3", "E=33, K=3", "E=32, K=4"], rows))

# %% [markdown]
# **Look.** It is (b). An expert that is only there costs parameters, memory, and a row in each of
# two routers: 256 FLOPs. One token reads as many experts as before, yet a large batch may need the
# new one too (that row is a bound: every expert, every row of the embedding). An expert that is also
# *used* costs no parameter, but FLOPs and bytes for every token. Neither touches the cache of keys
# and values, which belongs to attention.
#
# Formulas can be wrong. So the three models are built, and watched at 512 tokens in 8 texts. Then
# the same two steps for DeepSeek-V3, at 16 bits a number; 257 experts cannot be grouped by eight, so
# its groups are left out, which changes no count.


# %%
def measured(c):
    """The same six, from the tensors and operations of a model that runs."""
    built, tokens = Transformer(c, seed=0), torch.arange(512).view(8, 64) % V
    with recorded(built) as batch:
        built(tokens)
    one, flops = int(touched_parameters(built, tokens[0, :1])), measured_flops(built, tokens)
    total, cache = sum(p.numel() for p in built.parameters()), KVCache(c, 1, 64, built.embedding)
    return total, one, flops // 512, 4 * one, 4 * batch.n_touched, cache.n_bytes // 64


assert [measured(c) for c in three] == costs
print("three models, six currencies: all 18 measured as the formulas say")

# %%
v3_config = configs.model_config_from_hub(counts["deepseek-v3"].published.config)
assert v3_config.n_layers == 61 and v3_config.n_moe_layers == 58
free = replace(v3_config.moe, n_expert_groups=1, n_limited_groups=1, n_group_scores=1)
steps = {"E=257": replace(free, n_routed_experts=257), "K=9": replace(free, top_k=9)}
costs = [by_formula(replace(v3_config, moe=m), 2) for m in (free, *steps.values())]
rows = [
    (n, f"{a:,}", *(f"{100 * (x - a) / a:+.4f} %" for x in b)) for n, a, *b in zip(names, *costs)
]
print(text_table(["currency", "E=256, K=8", *steps], rows))

# %% [markdown]
# A 257th expert in every MoE layer adds 0.3807 % of parameters and a thousandth of a per cent of
# FLOPs. That is the bargain behind all large MoE models: size is paid for in memory, not in
# computing.
#
# ## FLOPs follow the active share; what a batch reads does not
#
# An article says that an MoE computes faster. Of FLOPs in products with weights that is exact: 2
# for each active weight in a matrix, as in notebook 01. (The experts run one by one here; a way that
# pads them multiplies its padding too.) Compare with the same model when every token visits *all*
# experts:

# %%
for c in (config, replace(config, moe=replace(layer, top_k=E))):
    matrices = count_parameters(c).touched - D - 7 * D  # without the embedding's row and the norms
    attention_flops = count_flops(c, 64).attention // 64  # tokens with tokens, without weights
    flops = measured_flops(Transformer(c), torch.arange(64).view(1, 64)) // 64 - attention_flops
    assert flops == 2 * matrices
    print(
        f"K={c.moe.top_k}: {flops:,} FLOPs per token = 2 x {matrices:,}, attention {attention_flops:,}"
    )
dense_v3 = replace(v3_config, moe=replace(free, top_k=256))
fewer = count_flops(dense_v3, 1).weights / count_flops(v3_config, 1).weights
print(f"DeepSeek-V3: {fewer:.1f} times fewer than with all experts")

# %% [markdown]
# The products of tokens with tokens in attention stay as they were. And weights must also be
# *fetched* from memory, once for all tokens that are computed together.
#
# **Predict.** 32 of our tokens go through the model together. What share of the routed experts do
# they read: (a) 9 %, as each of them does, (b) half, (c) over 80 %?

# %%
drawn = torch.randint(V, (1, 512), generator=torch.Generator().manual_seed(0))
sizes, read = [2**k for k in range(10)], []
experts = torch.nn.ModuleList(moe_layer.experts for moe_layer in model.moe_layers())
for n in sizes:
    with recorded(experts) as meter:
        model(drawn[:, :n])
    read.append(100 * meter.n_touched / (2 * E * expert))
curves = {"measured": (sizes, read)}
curves["if all choices were even"] = (sizes, [100 * (1 - (1 - K / E) ** n) for n in sizes])
ax, label = plt.subplots(figsize=(8, 3.6))[1], "routed experts read, %"
plot_curves(ax, curves, "tokens computed together", label, log_x=True)
print(", ".join(f"{n}: {share:.1f} %" for n, share in zip(sizes, read)))
assert read[0] == 100 * K / E and 80 < read[5] < 95 and read[-1] == 100

# %% [markdown]
# **Look.** Two rising curves over a logarithmic axis, from 9.4 % for one token to all of it. It is
# (c). The dashed curve, $1-(1-K/E)^T$ for $T$ tokens, is what even and independent choices would
# read; the measured one rises a little later, for some experts are chosen more often than others.
# In a large batch an MoE fetches all its weights, like a dense model of its full size: the saving
# in FLOPs stays, the saving in bytes is gone.

# %% [markdown]
# ## Open weights can be opened
#
# At 16 bits a number, DeepSeek-V3 would fill the 1,342,052,808,704 bytes of the table above, but its
# *format* fits any size. We write a tiny model with its rules and its kind of attention
# (notebook 11) in that format into an empty folder.
#
# **Predict.** Someone hands you this folder. What can you learn without running the model: (a) the
# number of parameters, (b) also how many experts a token uses, (c) also *which* experts the word
# "moon" uses, (d) also what it was trained on?

# %%
from tempfile import TemporaryDirectory

from safetensors.torch import load_file

from minimoe.zoo.weights import load_pretrained, save_pretrained

latent = {"kv_rank": 32, "q_rank": 48, "d_nope": 16, "d_rope": 8, "d_value": 16}
latent = LatentAttentionConfig(d_model=D, n_heads=H, **latent)
rules = {"score_function": "sigmoid", "use_expert_bias": True, "route_scale": 2.5}
rules = replace(layer, n_expert_groups=4, n_limited_groups=2, n_group_scores=2, **rules)
folder = TemporaryDirectory()
save_pretrained(Transformer(replace(config, attention=latent, moe=rules), seed=0), folder.name)
tensors = load_file(f"{folder.name}/model.safetensors")
rows = [(n, tuple(t.shape)) for n, t in tensors.items() if ".layers." not in n or ".2." in n]
rows = [row for row in rows if ".experts." not in row[0] or ".experts.31." in row[0]]
print(f"{len(tensors)} tensors; here the last block's, of its routed experts only the last one's:")
print(text_table(["tensor", "shape"], rows, align="ll"))

# %% [markdown]
# **Look.** Names and shapes are a floor plan: 32 experts of three matrices, numbered from 0,
# `mlp.gate` for the router, a shared expert. They give (a). How many experts a token uses is in no
# shape. It stands in `config.json` in the same folder, so the answer is (b). Where a word goes must
# be computed, and (d) is in no file. (The selection biases keep the load balanced, notebook 05; no
# gradient changes them, and no convention counts them.)
#
# Below we count the folder, then load it and trace where each byte of a question goes. An audit
# does not believe a log: so we destroy every expert that the trace never names, and ask again.

# %%
stored = sum(t.numel() for t in tensors.values())
biases = sum(t.numel() for n, t in tensors.items() if n.endswith("e_score_correction_bias"))
counted = published.count_named(folder.name).count  # what `minimoe count FOLDER` prints
assert stored - biases == counted.total
print(f"in the file {stored:,} = {counted.total:,} by config.json + {biases} selection biases")
print(f"active, with both embeddings: {counted.active_parameters['with_embeddings']:,}")

# %%
opened = load_pretrained(folder.name, dtype="float64")
folder.cleanup()
question = "How far is the moon?"
logits, routings = opened(encode(question).long()[None])
for i, char in list(enumerate(question))[-5:]:
    print(f"{char!r}: experts", " and ".join(str(r.expert_ids[i].tolist()) for r in routings))

# %%
for moe_layer, r in zip(opened.moe_layers(), routings):
    idle = r.assigned_per_expert == 0
    moe_layer.experts.gate_up.data[idle] = moe_layer.experts.down.data[idle] = float("nan")
assert torch.equal(opened(encode(question).long()[None])[0], logits)
n_idle = sum(int((r.assigned_per_expert == 0).sum()) for r in routings)
print(f"{n_idle} of 64 experts destroyed, all logits the same to the last bit")

# %% [markdown]
# ## Takeaway
#
# - A token touches all of attention, head, routers and shared experts, and $K$ of $E$ routed
#   experts. In DeepSeek-V3 that is 37.55 B of 671.03 B with both embeddings, and 17.12 B of it are
#   the same for every token.
# - "Active" has three conventions in use, which can differ by a quarter. A name such as 8x7B is no
#   count at all.
# - One more expert costs memory and hardly a FLOP; one more *chosen* expert costs FLOPs and no
#   memory; neither costs cache. The bytes that one token saves, a large batch reads anyway.
#
# **Verdict on the claims.** `active-share`: *arithmetic checked*. 37B of 671B is right in the
# convention that fits, 36.63 B of 671.03 B, for one token; it does not hold for a batch.
# `moe-monolith`: *shown here, with a condition*. Only the routed experts make the difference:
# 45.6 % of what a token uses in DeepSeek-V3 serves every token, as in a monolithic model.
# `open-inspect`: *shown here, with a condition*. A small model in the published format was counted,
# traced and audited, each exactly. The files say where a token goes, not why, and nothing about
# what the model was trained on, nor whether a service runs these very files; understanding is more
# work (notebooks 07 and 11). `moe-faster`: *shown here, with a condition*, its first half. FLOPs
# follow the active share exactly, 18.3 times fewer in DeepSeek-V3's products with weights; what
# time makes of it is measured in [notebook 04](04_sparse_vs_dense_compute.ipynb).
#
# **Try.**
#
# 1. Count DeepSeek-V3's routed experts by hand, from four numbers: width of the model 7168, width
#    of an expert 2048, 256 experts in each of 58 layers.
# 2. The hub lists DeepSeek-V3 with 685B parameters. Its files also hold a module that predicts one
#    token further, with copies of both embeddings. Does that explain the difference?
# 3. Cut every routed expert of the tiny model in two, and choose 6 of 64. Which currencies change?
# 4. With even and independent choices, how many tokens together read nine tenths of DeepSeek-V3's
#    routed experts?
#
# <details><summary>Answers</summary>
#
# 1\. Three matrices for each expert: 97.4 % of the model.
#
# ```python
# assert 58 * 256 * 3 * 7168 * 2048 == v3.parameters_by_place["routed_experts"]
# assert round(100 * v3.parameters_by_place["routed_experts"] / v3.total, 1) == 97.4
# ```
#
# 2\. Yes: the module has 11.61 B of its own, and the sum is 684.5 B.
#
# ```python
# copies = 2 * 129280 * 7168
# assert round(v3.mtp_module / 1e9, 2) == 11.61
# assert round((v3.total + v3.mtp_module + copies) / 1e9, 1) == 684.5  # 685B, rounded
# ```
#
# 3\. Only the routers double: 4,096 more parameters, read by every token, and 2 FLOPs for each. Why
# one would do it: notebook 06.
#
# ```python
# halves = replace(layer, d_expert=16, n_routed_experts=64, top_k=6, d_shared=32)
# before, after = by_formula(config, 4), by_formula(replace(config, moe=halves), 4)
# assert [b - a for a, b in zip(before, after)] == [4096, 4096, 8192, 16384, 16384, 0]
# ```
#
# 4\. 73: from there on $(1-8/256)^T$ is below a tenth.
#
# ```python
# assert (1 - 8 / 256) ** 73 < 0.1 < (1 - 8 / 256) ** 72
# ```
#
# </details>
#
# **Source.** DeepSeek-V3: arXiv 2412.19437, section 4.2, and README_WEIGHTS.md in its repository.
# Mixtral: arXiv 2401.04088. OLMoE: arXiv 2409.02060. `minimoe count MODEL` names the source of
# every other configuration and figure.
#
# **Next.** [04 · Does skipping work save time?](04_sparse_vs_dense_compute.ipynb)
