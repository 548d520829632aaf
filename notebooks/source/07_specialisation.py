# %% [markdown]
# # 07 · Does an expert own a question, a language, or a comma?
#
# **Question.** It is said that a Mixture of Experts (MoE) has specialists, and that different
# experts handle different questions. What does the choice of a trained router really go by?
#
# **You will be able to** measure what an expert goes by, with a control and an interval; tell a
# specialist in a topic from a specialist in a character; take an expert away and see who misses it.
#
# *Claims:* `moe-questions` (different parts handle different questions), `bilingual` (trained on
# English and Chinese, strong in both), `moe-sparse` (only the parts that a task needs are active)
# and `open-inspect` (open weights can be inspected). *Needs:* notebook 02. *Runs in* about 20 s.
#
# Nothing is trained here. The models come with the package: 4 MoE layers, 16 experts in each, 2 of
# them chosen for each token, and a token is a byte. They read PyTorch's documentation (English),
# its source (Python), and the sentences of a user interface in English and Chinese. They are small:
# what they do is a fact about them, and published results on large models stand beside it.

# %%
import torch
from matplotlib import pyplot as plt

from minimoe.data import decode, encode, small_text, validation_batches
from minimoe.measure import routes
from minimoe.measure.bits import bits_per_byte
from minimoe.measure.specialisation import specialisation
from minimoe.show.figures import plot_curves, plot_shares, plot_specialisation, style
from minimoe.show.tables import text_table
from minimoe.trained.models import load_trained, routing_history

style()
torch.set_num_threads(1)  # for small models a second thread costs more than it saves

# %% [markdown]
# ## A trace holds every choice
#
# `trace` reads a text and notes for each token and layer the logits, scores, chosen experts,
# weights, and the margin: how far the last chosen expert was ahead of the first not chosen. The
# text is validation text, in windows of 128 bytes. We leave out the first byte of a window, since
# it has no byte before it.

# %%
model = load_trained("text_moe_loss")
held_out = small_text().validation
(batch,) = validation_batches(held_out, batch_size=99, length=128, max_bytes=60 * 128)
trace = routes.trace(model, batch.inputs)
W, L = batch.inputs.shape
tokens, before = batch.inputs[:, 1:].flatten(), batch.inputs[:, :-1].flatten()
domain = batch.domain_ids[:, :-1].flatten()  # ids are those of the targets, one place later
window = torch.arange(W).repeat_interleave(L - 1)
position = torch.arange(1, L).repeat(W)
print(f"{W} windows, {len(tokens)} bytes:", dict(zip(held_out.domains, domain.bincount().tolist())))


# %%
def chosen(trace):
    """The chosen experts of each layer, without the first byte of each window."""
    return [ids.view(W, -1, 2)[:, 1:].flatten(0, 1) for ids in trace.expert_ids]


ids = chosen(trace)
assert trace.kept.all() and trace.margin.min() > 1e-9  # no choice hangs on rounding
print(f"margin below 0.01: {100 * (trace.margin < 0.01).double().mean():.0f} % of the choices")

# %% [markdown]
# ## A number needs a control
#
# How well do expert and label know each other? We take their mutual information, in bits, and
# divide by the smaller of the two entropies, the most it could be: normalised mutual information
# (NMI), 1 if one of them tells the other, 0 if they are independent.
#
# Every finite text shows some agreement by chance. So each NMI here has a **control**: the labels of
# each window are exchanged for those of another window, begun at a random place. Frequencies and
# runs stay; only the tie to these bytes is cut. The **interval** draws whole windows with
# replacement, since bytes of one text are not independent. First two routers whose rule we know.

# %%
even = torch.rand(len(tokens), 16, generator=torch.Generator().manual_seed(0)).topk(2).indices
planted = {"draws its experts": even, "takes byte mod 16": tokens[:, None] % 16}
for name, rule in planted.items():
    got = specialisation(rule, tokens, window)
    print(f"a router that {name}: NMI {got.nmi:.3f}, control at most {got.control_high:.3f}")
    assert got.is_outside == (name == "takes byte mod 16")

# %% [markdown]
# The random router does not score 0, but its control scores the same: that is chance. The planted
# rule is found in full. Only what stands above its control counts.
#
# ## The byte comes first
#
# Now the trained router, with four labels: the byte itself, the byte before it, the domain
# (English, Chinese or Python), and the position in the window.
#
# **Predict.** Which label tells most about the expert? And does the order change from the first
# layer to the last? Write it down, then run.

# %%
labels = {"byte": tokens, "byte before": before, "domain": domain, "position": position}
found = {
    name: [specialisation(layer, label, window) for layer in ids] for name, label in labels.items()
}
figure, ax = plt.subplots(figsize=(8, 4.2))
plot_specialisation(ax, found)

# %% [markdown]
# **Look.** Four groups, one for each layer; in each group four points with their intervals, and
# grey bars for the largest of 99 shuffles. The circles (byte) stand far above the rest in the first
# layer and come down with depth. The squares (byte before) and triangles (domain) are lower, and
# the domain rises with depth. The diamonds (position) stand at the top of their grey bar: chance.
#
# So byte and domain are both to be compared with their own grey bars. The printed table gives them,
# and then, of the first layer, the three experts whose five most frequent bytes make up the largest
# share of all they take.

# %%
rows = [
    (name, *(f"{s.nmi:.2f} [{s.low:.2f}, {s.high:.2f}] / {s.control_high:.2f}" for s in layers))
    for name, layers in found.items()
]
print("NMI [interval] / most of its control, from the first layer to the last")
print(text_table(["label", "1", "2", "3", "4"], rows))

# %%
for name in ("byte", "byte before", "domain"):
    assert all(s.is_outside for s in found[name])
assert all(b.low > d.high for b, d in zip(found["byte"], found["domain"]))
assert found["byte"][0].nmi > found["byte"][-1].nmi
assert found["domain"][-1].nmi > found["domain"][0].nmi
print("outside the control in every layer: byte, byte before, domain")
print(
    "position outside its control in", sum(s.is_outside for s in found["position"]), "layers of 4"
)


# %%
def diet(expert, layer=0):
    """The share of an expert's five most frequent bytes, and these bytes."""
    counts = tokens[(ids[layer] == expert).any(1)].bincount(minlength=256)
    top = counts.topk(5)
    text = "  ".join(repr(chr(b)) if b < 128 else f"{b:02X}" for b in top.indices.tolist())
    return float(top.values.sum() / counts.sum().clamp_min(1)), text


used = [e for e in range(16) if (ids[0] == e).any()]
for share, text in sorted((diet(e) for e in used), reverse=True)[:3]:
    print(f"{100 * share:3.0f} % of its bytes: {text}")
assert max(diet(e)[0] for e in used) > 0.5

# %% [markdown]
# Byte and domain are both outside their controls, but the byte tells more in every layer: the
# intervals do not touch. And a Chinese byte is not an English byte: part of what the domain tells is the byte again.
#
# More than half of what the narrowest expert takes is five bytes: white space, punctuation, or a
# few letters (two hexadecimal digits stand for a part of a Chinese character). An expert owns
# a handful of bytes rather than a question. Published: Mixtral's authors found no clear pattern by
# topic, but syntax and runs: in a middle layer neighbouring tokens have the same first choice about
# twice as often as chance would have it. DeepSeek-V3's report shows more contrast
# between domains for a selection bias than for a loss (arXiv 2412.19437).
#
# ## A language has its own experts
#
# Which experts do the three domains use in the last layer?
#
# **Predict.** Is there an expert that Chinese uses much more than English does? And do English and
# Python, which share their characters, share their experts?

# %%
counts = [ids[-1][domain == d].flatten().bincount(minlength=16) for d in range(3)]
use = torch.stack([each.double() / each.sum() for each in counts])
figure, ax = plt.subplots(figsize=(11, 2.6))
plot_shares(ax, use, held_out.domains, "", "share of assignments")

# %% [markdown]
# **Look.** A table as colours, one row for each domain, one column for each expert of the last
# layer; a row sums to 1, and an even use would be 1/16 everywhere. The Chinese row has a few bright
# cells where the other two are dark, and the rows of English and Python resemble each other.

# %%
overlap = {f"{held_out.domains[a]} and {held_out.domains[b]}": float(torch.minimum(use[a], use[b]).sum())
           for a, b in ((0, 1), (1, 2), (0, 2))}  # fmt: skip
for pair, both in overlap.items():
    print(f"{pair}: {100 * both:.0f} % of the assignments are shared")
favourite = int((use[1] - use[0]).argmax())
print(f"the expert that prefers Chinese most: {100 * use[1, favourite]:.0f} % of Chinese assignments, "
      f"{100 * use[0, favourite]:.0f} % of English ones")  # fmt: skip
assert (
    overlap["english and python"] > overlap["english and chinese"]
    and use[1, favourite] > 2 * use[0, favourite]
)

# %% [markdown]
# Is it the language, or only its bytes? Take the windows with both languages and no Python: one
# user interface, the same subject. Measure the language, then what it adds if the byte is *given*:
# information within the occurrences of one byte, such as the space, that both languages use.
#
# Then one sentence and its translation, and beside them a second English sentence that means
# something else.

# %%
sentences = ((domain == 1).view(W, -1).any(1) & (domain != 2).view(W, -1).all(1))[window]
part = [domain[sentences], window[sentences]]
language = {
    "language": [specialisation(layer[sentences], *part) for layer in ids],
    "language, byte given": [
        specialisation(layer[sentences], *part, given=tokens[sentences]) for layer in ids
    ],
}
for name, layers in language.items():
    said = [
        f"{s.nmi:.2f} ({'outside' if s.is_outside else 'inside'} its {s.control_high:.2f})"
        for s in layers
    ]
    print(f"{name}: {', '.join(said)}")
assert language["language"][-1].is_outside

# %%
english = "The file could not be saved because the folder does not exist.\n"
chinese = "无法保存文件，因为该文件夹不存在。\n"
unlike = "Close all tabs to the right of the one that is open now.\n"


def used_by(text):
    """Share of each expert in each layer, for one sentence."""
    ids = routes.trace(model, encode(text).long()[None]).expert_ids
    return torch.stack([layer.flatten().bincount(minlength=16) / layer.numel() for layer in ids])


same_meaning = torch.minimum(used_by(english), used_by(chinese)).sum(1)
same_language = torch.minimum(used_by(english), used_by(unlike)).sum(1)
print("shared with its translation, by layer:     ", [f"{s:.2f}" for s in same_meaning])
print("shared with another English sentence:      ", [f"{s:.2f}" for s in same_language])
assert (same_language > same_meaning).all()

# %% [markdown]
# When the byte is given, what is left of the language is the part that cannot be read off the
# characters; whether it is outside its control stands beside each number.
#
# In every layer a sentence shares more experts with another sentence of its language than with its
# own translation. This router does not go by meaning.
#
# ## A question has no experts of its own
#
# Now the claim itself: 18 questions, six on each of three topics, all in English. A question is the
# unit: the control gives whole questions the topic of another question.
#
# **Predict.** Is the topic outside its control in all layers, in some, or in none?

# %%
questions = {
    "cooking": "How long should I boil an egg?|Why does bread dough rise?|Can I freeze cooked rice?|"
    "What is a good sauce for pasta?|How do I keep basil fresh?|Which oil is best for frying?",
    "physics": "Why does light bend in glass?|What holds an atom together?|How fast is sound in air?|"
    "Can heat flow without air?|What is the mass of an electron?|Why do magnets have two poles?",
    "history": "Who built the first railway?|When did the Roman empire end?|Which king signed it?|"
    "Why was the wall in Berlin built?|What did people eat in 1500?|How long did the Ming rule?",
}
asked = [question for topic in questions.values() for question in topic.split("|")]
answers = [routes.trace(model, encode(question).long()[None]).expert_ids for question in asked]
number = torch.arange(18).repeat_interleave(torch.tensor([ids.shape[1] for ids in answers]))
letters, by_layer = encode("".join(asked)).long(), torch.cat(answers, 1)
topic = number // 6

# %%
topics = {
    "topic": [specialisation(r, topic, number) for r in by_layer],
    "topic, byte given": [specialisation(r, topic, number, given=letters) for r in by_layer],
}
figure, ax = plt.subplots(figsize=(8, 3.8))
plot_specialisation(ax, topics)

# %% [markdown]
# **Look.** Each layer has two points: the topic (circles), and what the topic adds if the byte is
# known (squares). Grey bars are the most that shuffled topics reached. A point that stands inside
# its bar says no more than chance would. (In the printed pairs the control is the mean of its shuffles. The second value is larger only because so few bytes were
# read: see how its bar grows with it.)

# %%
for name, layers in topics.items():
    numbers = ", ".join(f"{s.nmi:.3f} against {s.control:.3f}" for s in layers)
    print(f"{name}: outside in {sum(s.is_outside for s in layers)} layers of 4 ({numbers})")
gap = {name: [s.excess for s in each] for name, each in (found | topics).items()}
assert max(gap["topic"]) < 0.1 < min(gap["byte"])
print(f"excess: topic {max(gap['topic']):.3f} at most, byte {min(gap['byte']):.2f} at least")

# %% [markdown]
# Whatever a topic adds here is small beside what the byte tells. The questions are few and short
# and the model is small and knows nothing of cooking; so this says that such a router need not
# sort questions, not that no router ever does.
#
# **What goes wrong without whole questions.** Treat each byte as independent and shuffle bytes: the
# same numbers, but the control is too easy, because neighbouring bytes belong to one question.

# %%
by_byte = [specialisation(layer, domain, torch.arange(len(domain))) for layer in ids]
for fair, easy in zip(found["domain"], by_byte):
    assert easy.nmi == fair.nmi and easy.control_high < fair.control_high
    print(
        f"domain, NMI {fair.nmi:.3f}: control {fair.control_high:.4f} by windows, {easy.control_high:.4f} by bytes"
    )

# %% [markdown]
# ## Taking one expert away
#
# A correlation is not a need. `without_expert` keeps a router from choosing one expert: the next
# best takes its place, nothing else changes, nothing is retrained. What does each domain lose?
#
# **Predict.** Does the expert that matters most for Chinese matter for English as well?

# %%
(few,) = validation_batches(held_out, batch_size=9, length=128, max_bytes=9 * 128)
cost = routes.removal_cost(model, [few], held_out.domains, layer=3)
table = torch.stack([cost[name] for name in held_out.domains])
figure, ax = plt.subplots(figsize=(11, 2.6))
plot_shares(ax, table, held_out.domains, "", "bits per byte more")

# %% [markdown]
# **Look.** The same form as before: rows are domains, columns the experts of the last layer, and a
# number is what the loss gains in bits per byte when that expert is missing. Most cells are near 0.
# The brightest cells of the Chinese row are dark in the other rows.

# %%
worst, who = table.max(1)
for name, value, expert in zip(held_out.domains, worst, who):
    each = ", ".join(f"{n} {v:+z.2f}" for n, v in zip(held_out.domains, table[:, expert]))
    print(f"without the expert that {name} misses most, bits per byte: {each}")
    assert value > 0
assert table[1, who[1]] > 2 * table[0, who[1]].abs()

# %% [markdown]
# An expert can be one language's own, in the strict sense that another language hardly misses it.
#
# ## The choice is settled early
#
# **Saturation** is the share of the final choices that a model made at an earlier step already. The
# choices on nine windows of validation text were stored during training.
#
# **Predict.** After a tenth of the training: are fewer than a third of the final choices made,
# about half, or nearly all?

# %%
history = routing_history("text_moe_loss")
steps, final = sorted(history), history[max(history)]
settled = torch.stack([routes.saturation(history[step], final) for step in steps])
curves = {f"layer {k + 1}": (steps, settled[:, k]) for k in range(4)}
figure, ax = plt.subplots(figsize=(8, 4))
plot_curves(ax, curves, "step (logarithmic)", "share of final choices", log_x=True)

# %% [markdown]
# **Look.** Four rising lines from the first stored step to the last, where all are 1 by definition.
# The first layer starts highest: it sees little but the byte. All start above chance and most of
# the way is done long before the end.

# %%
chance = routes.chance_saturation(history[steps[0]], final, 16).max()
tenth = min(steps, key=lambda step: abs(step - steps[-1] / 10))
early = settled[steps.index(tenth)]
print(f"chance {chance:.2f} at most; a tenth of the way {early.min():.2f} to {early.max():.2f}")
assert (early > 2 * chance).all() and (settled[-1] == 1).all() and settled[0].argmax() == 0

# %% [markdown]
# OLMoE's authors report more than half of the final choices after a hundredth of the training, at a
# very different size (numbers under Source). And does the way of balancing
# matter? The same recipe three times: without balancing, with a loss, with a selection bias.

# %%
rows = []
for name in ("text_moe_unbalanced", "text_moe_loss", "text_moe_bias"):
    variant = load_trained(name)
    layers = chosen(routes.trace(variant, batch.inputs))
    loads = [layer.flatten().bincount(minlength=16) / layer.numel() for layer in layers]
    nmi = [specialisation(layers[-1], label, window) for label in (tokens, domain)]
    worst_load = max(routes.max_violation(load.double()) for load in loads)
    assert all(s.is_outside for s in nmi)
    rows.append(
        (name, f"{worst_load:.1f}", *(f"{s.nmi:.2f} [{s.low:.2f}, {s.high:.2f}]" for s in nmi))
    )
print(text_table(["model", "MaxVio, worst layer", "byte, last layer", "domain, last layer"], rows))

# %% [markdown]
# MaxVio is the largest load over the mean load, minus 1. In all three, byte and domain are outside
# their controls: specialisation needs no particular way of balancing. One model of each kind was
# trained, so differences between the rows are not yet a result; notebook 05 repeats with seeds.
#
# ## Two languages, one model
#
# A Chinese character is three bytes, and says more than an English letter. So neither a loss per
# byte nor one per character compares the languages fairly; parallel sentences would. Both numbers:

# %%
bits = bits_per_byte(model, [batch], held_out.domains)
for d, name in enumerate(held_out.domains):
    text = held_out.tokens[held_out.domain_ids == d]
    per_character = len(text) / len(decode(text))
    print(f"{name}: {per_character:.2f} bytes per character, {bits[name]:.2f} bits per byte, "
          f"{bits[name] * per_character:.1f} bits per character")  # fmt: skip
n_chinese = small_text().train.bytes_per_domain
print(f"Chinese share of the training text: {100 * n_chinese[1] / n_chinese.sum():.1f} %")
assert all(bits[name] < 8 for name in held_out.domains)

# %% [markdown]
# ## Takeaway
#
# - What a router goes by can be measured, but only against a control that keeps whole texts whole.
# - In these models the expert goes by the byte first, the byte before and the language next, and
#   the position not at all. A sentence and its translation use different experts.
# - An expert can be all but one language's own: taken away, one language pays and others do not.
#
# **Verdict on the claims.** `moe-questions`: *undecided here*. Experts do differ, and a byte told a
# great deal about them. But the test of topics had no positive control: it might miss a difference
# that is there. Published analyses disagree. Mixtral found no experts by topic; OLMoE and
# DeepSeek-V3 found clear differences between domains. `bilingual`: *true elsewhere, not shown at this size*. One small model reads
# both languages and gives them different experts; how well the large ones do in both is for
# their published tests to say. `moe-sparse`: *misleading*. True as worded: experts that were
# not chosen change nothing (02). False as understood: what is active is chosen for each byte, mostly
# by what the byte is, and not for a task. `open-inspect`: *shown here, with a
# condition*. With the weights we could trace every choice and take experts away; without the
# training text or an experiment they would not have told us why.
#
# **Try.**
#
# 1. Does knowing the byte before add anything once the byte itself is known?
# 2. Which pair of experts of the first layer is chosen together most often? Use `coactivation`.
# 3. Take two experts away at once. Nest `without_expert`.
#
# <details><summary>Answers</summary>
#
# 1. Yes: the router reads a vector into which attention wrote what came before.
#
# ```python
# both = specialisation(ids[-1], before, window, given=tokens)
# assert both.is_outside
# ```
#
# 2. A row of the matrix sums to K - 1, here 1.
#
# ```python
# together = routes.coactivation(ids[0], 16)
# print(divmod(int(together.argmax()), 16), float(together.max()))
# ```
#
# 3. The second mask keeps what the first one did.
#
# ```python
# with routes.without_expert(model, 3, 0), routes.without_expert(model, 3, 1):
#     left = routes.trace(model, few.inputs).expert_ids[3].unique()
# assert not {0, 1} & set(left.tolist())
# ```
#
# </details>
#
# **Source.** Mixtral, arXiv 2401.04088, section 5 (same first choice at layer 15: 27 to 28 %, chance
# 12.5 %); OLMoE, arXiv 2409.02060 (domains: section 5.3; saturation: about 60 % of
# the final top-8 choices of 64 experts after 1 % of pre-training; co-activation); DeepSeek-V3, arXiv 2412.19437, section 4.5.3; MaxVio: arXiv 2408.15664.
#
# **Next.** [08 · Which routing bugs still train?](08_routing_bugs.ipynb)
