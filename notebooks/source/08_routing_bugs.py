# %% [markdown]
# # 08 · Which routing bugs still train?
#
# **Question.** A wrong line in the router rarely stops training. Ten models here have one wrong
# line each, and one model has none. How do you find out which is which, if all losses fall?
#
# **You will be able to** name ten routing bugs that others really had, say why the loss curve hides
# each, and write for each a test of a few lines that takes milliseconds and no training.
#
# *Claims:* none of its own. It bears on `open-inspect` (open weights let anyone inspect the model)
# and `training-tricks`: a trick counts only if the code does what its name says. *Needs:* notebook
# 02; notebook 05 helps. *Runs in* about 30 s.

# %%
import inspect
from dataclasses import replace

import torch
from matplotlib import pyplot as plt

from minimoe import AttentionConfig, ModelConfig, MoEConfig, TrainConfig, Transformer
from minimoe.data import encode, small_text
from minimoe.experiments import probes
from minimoe.experiments import routing_bugs as bugs
from minimoe.experiments.routing_bugs import LINE_UP, padded, suspect
from minimoe.experiments.sweep import Outcome, Trial, sweep
from minimoe.model.routing import route
from minimoe.show.figures import plot_curves, plot_stacked, style
from minimoe.show.tables import text_table

style()
torch.set_num_threads(1)  # for small models a second thread costs more than it saves

# %% [markdown]
# ## Eleven suspects, and every loss falls
#
# All are built from one config: 8 experts in 4 groups, each token sent to 2 experts from its best
# 2 groups, combine weights that sum to 1, a balance loss and a selection bias. They read real text
# of different lengths, filled up with padding, and the loss is that of the text alone. Suspects
# `A` to `K` differ in one line or one setting. Do not open `minimoe/experiments/routing_bugs.py` yet.

# %%
layer = MoEConfig(
    d_model=32, d_expert=32, n_routed_experts=8, top_k=2, use_expert_bias=True,
    n_expert_groups=4, n_limited_groups=2,
)  # fmt: skip
attention = AttentionConfig(d_model=32, n_heads=2, n_kv_heads=2, d_head=16)
recipe = TrainConfig(
    steps=100, batch_size=8, length=64, balance_weight=0.02, expert_bias_rate=0.002
)
lengths = (64, 56, 48, 40, 32, 24, 16, 8)  # of the texts in a batch
text = small_text()


# %%
def train(letter: str, config: MoEConfig = layer, seeds: tuple[int, ...] = (0,)) -> list[Outcome]:
    """The suspect, trained on padded text once for each seed."""
    it = suspect(letter, config)
    model = ModelConfig(n_layers=2, attention=attention, moe=it.config)
    trial = Trial(model, recipe, it.rule, it.losses)
    return sweep({letter: trial}, text.train, seeds=seeds, next_batch=padded(lengths))[letter]


def losses(outcome: Outcome) -> torch.Tensor:
    """Cross-entropy, the mean of each 20 steps."""
    return torch.tensor([r.cross_entropy for r in outcome.history]).view(-1, 20).mean(1)


# %% [markdown]
# **Predict.** Look at the eleven curves below. Which one is the model without a bug? And how many
# of the others can you call broken: one, five, or all ten? Write it down, then run.

# %%
trained = {letter: train(letter)[0] for letter in LINE_UP}
steps = range(20, 101, 20)
curves = {letter: (steps, losses(outcome)) for letter, outcome in trained.items()}
figure, axes = plt.subplots(1, 2, figsize=(11, 4.2), sharey=True)
plot_curves(
    axes[0], {name: curves[name] for name in "ABCDEF"}, "step", "cross-entropy (nats a byte)"
)
plot_curves(
    axes[1], {name: curves[name] for name in "GHIJK"}, "step", "cross-entropy (nats a byte)"
)

# %% [markdown]
# **Look.** Cross-entropy over steps, each point the mean of 20 steps; `A` to `F` left, `G` to `K`
# right. All start near 5 and end well below 4, and the lines lie on each other. One, `E`, stays a little
# above the rest. Nothing has exploded, no curve is flat.

# %%
final = {letter: float(losses(outcome)[-1]) for letter, outcome in trained.items()}
near = [letter for letter in LINE_UP if abs(final[letter] - final["H"]) < 0.1]
assert all(4 > final[letter] > 2.5 for letter in LINE_UP) and len(near) >= 9
print("all eleven learn; at most two end farther than 0.1 nats from H")

# %% [markdown]
# Is a tenth of a nat little? Another seed moves a model too. So train one of them, `H`, twice more.

# %%
again = [float(losses(outcome)[-1]) for outcome in train("H", seeds=(1, 2))]
assert max(again) - min(again) < 0.15 and max(abs(loss - final["H"]) for loss in again) < 0.15
print("three seeds of one model differ from each other by less than 0.15 nats")

# %% [markdown]
# Who would reject a suspect for less than that? We need other evidence. Each round below names a
# symptom, shows it, and lets you choose before the answer opens.
#
# ## Weights that lie
#
# The combine weight is the only way by which the loss reaches the router. Take two experts whose
# logits differ by a gap, six that lag behind, and a selection bias of 1 for every expert. Such a
# bias is the same for all, so it changes no choice. The weight of the best expert should rise with
# the gap, from a half to nearly 1.
#
# **Predict.** Four suspects are asked for that weight. How many of their curves are right: one,
# two, or three? And which part of training would notice?


# %%
def best_weight(letter: str, gaps: torch.Tensor) -> torch.Tensor:
    """Weight of the best expert, over the gap between the two best logits."""
    logits = torch.zeros(len(gaps), 8, dtype=torch.float64)
    logits[:, 0], logits[:, 1] = 1 + gaps, 1
    it = suspect(letter, layer)
    return it.rule(logits, it.config, torch.ones(8).double(), None).weights[:, 0]


gaps = torch.linspace(0.01, 4, 40).double()
figure, ax = plt.subplots(figsize=(7.5, 4))
weights = {letter: (gaps, best_weight(letter, gaps)) for letter in "CEHJ"}
plot_curves(ax, weights, "gap between the two best logits", "weight of the best expert")

# %% [markdown]
# **Look.** `H` rises from a half to nearly 1. `C` hardly rises and stays
# far below. `E` is 1 everywhere: a
# flat line. `J` starts below a quarter and stays below `H`: the rest of its score is lost.
#
# <details><summary>Who is it?</summary>
#
# `H` is right. `E` sends each token to one expert and divides the weight by itself: the router is
# dead, as no loss of the language reaches it. `C` adds the selection bias to the weights, so all
# weights look alike. `J` forgot to divide by the sum: its layer adds less than it should, and a
# model trained with one rule and run with the other is off by a factor. The curves hide it,
# because experts learn well enough under any fixed weights.
#
# </details>
#
# Each gets a test that needs no training: a fact about a right layer, checked on random numbers.


# %%
def caught(probe) -> str:
    """The suspects for which the probe fails, each an untrained layer or model."""
    return "".join(letter for letter in LINE_UP if not probe(suspect(letter, layer)))


# %%
for probe in probes.PROBES[:3]:
    print(inspect.getsource(probe), "-> fails for", caught(probe), "\n")

# %%
assert [caught(probe) for probe in probes.PROBES[:3]] == ["E", "BGJ", "CK"]
print(inspect.getsource(bugs.bias_in_weights))
print({name: bugs.SETTINGS[name] for name in ("constant_weight", "not_normalized")})

# %% [markdown]
# The comment in the function gives the right line. `B`, `G` and `K` fail too: their turn comes
# below. Does the dead router cost anything here? `E` has
# one expert per token, so compare it with a right model that has one too: the score itself as weight.

# %%
twin = replace(layer, top_k=1, normalize_weights=False)
twin_loss = float(losses(train("H", twin)[0])[-1])
assert abs(twin_loss - final["E"]) < 0.3
print("E and its right twin end less than 0.3 nats apart")

# %% [markdown]
# One short run with one seed cannot settle which is better, and need not: a router that no loss of
# the language reaches trains to nearly the same loss as one that learns. The balance loss still moves its router.
#
# ## Balance losses that do not balance
#
# The balance loss is E · Σ f · P, with f the share of assignments and P the mean score of an
# expert. Plant a bad state: expert 0 far too popular, expert 7 chosen by nobody, and padding that
# always goes to expert 5. The loss should push the logits of popular experts down and pull the
# others up, and not care for padding.
#
# **Predict.** Below is the pull on each expert's logit. Who pulls at the wrong place, who hardly at
# all, who too strongly?

# %%
noise = torch.randn(96, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
tilt = torch.tensor([2.5, 0, 0, 0, 0, 0, 0, -4.0]).double()
to_five = 6 * torch.eye(8).double()[5]
planted = torch.cat([noise[:32] + tilt, noise[32:] / 10 + to_five])  # 32 of text, 64 of padding
is_text = torch.arange(96) < 32
plain = replace(layer, use_expert_bias=False, n_expert_groups=1, n_limited_groups=1)


def pull(letter: str) -> torch.Tensor:
    """Minus the gradient of the balance loss, summed over the text, for each expert."""
    logits = planted.clone().requires_grad_(True)
    loss = suspect(letter, layer).losses.balance(route(logits, plain), is_text)
    return -torch.autograd.grad(loss, logits)[0][is_text].sum(0)


# %%
pulls = {letter: pull(letter) for letter in "HADFI"}
figure, ax = plt.subplots(figsize=(7.5, 4))
places = {letter: (range(8), p.round(decimals=4) + 0.0) for letter, p in pulls.items()}
plot_curves(ax, places, "expert", "pull on its logit")
zero = ax.axhline(0, color="#8c959f", linewidth=1)

# %% [markdown]
# **Look.** Above the grey line an expert is pulled up, below it is pushed down. `H` pushes expert 0
# down and pulls the others up. `I` has the same shape, twice as large. `A` has it too, but less
# than a fifth as large. `D` follows no such rule, and leaves expert 7 at zero, while `H` pulls it a
# little. `F` is nearly flat, and pushes down expert 5, which the text does not overuse.
#
# <details><summary>Who is it?</summary>
#
# `A` applies softmax twice, and the second one levels all scores. `D` takes P over the chosen
# experts only, so an expert that nobody chose cannot come back. `F` counts padding. `I` forgot to
# divide by K: its minimum looks like 2 and the factor in front means twice as much. The loss curve
# hides all four: the selection bias balances too, and the balance loss is a small term.
#
# </details>

# %%
strength = {letter: float(p.norm() / pulls["H"].norm()) for letter, p in pulls.items()}
assert abs(strength["I"] - 2) < 1e-9 and strength["A"] < 0.3
assert abs(pulls["D"][7]) < 1e-12 < pulls["H"][7] and pulls["F"][5] < 0 < pulls["H"][5]
print(f"pull of A {strength['A']:.2f} and of I {strength['I']:.2f} times that of H")


# %%
for probe in probes.PROBES[3:7]:
    print(inspect.getsource(probe), "-> fails for", caught(probe), "\n")

# %%
assert [caught(probe) for probe in probes.PROBES[3:7]] == ["I", "A", "D", "F"]
for wrong in (bugs.double_softmax, bugs.chosen_only, bugs.missing_k, bugs.padding_counted):
    print(inspect.getsource(wrong))

# %% [markdown]
# ## Choices that see too much
#
# Three suspects are left: `B`, `G`, `K`. Take each trained model and a sentence. Left: change its
# last byte, and see how far the logits of every byte move. A causal model cannot move before the
# change. Middle: put the sentence behind three others in one batch. Right: lower every selection
# bias by 1, the same for all, and count the tokens that keep their experts.
#
# **Predict.** Which of the three fails left, which in the middle, which right?

# %%
sentences = ["How far is the moon from here?", "Expert choice sees the future.",
             "A token waits for its experts.", "Which of these models is wrong"]  # fmt: skip
tokens = torch.stack([encode(sentence).long() for sentence in sentences])
changed_last = torch.cat([tokens[3:, :-1], torch.full((1, 1), 33)], 1)


def moved(model: Transformer, one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """How far the logits of each byte of the last sentence differ between two batches."""
    with torch.no_grad():
        pair = [model.double()(batch)[0][-1] for batch in (one, other)]
    return (pair[0] - pair[1]).abs().amax(-1).round(decimals=9)


# %%
def same_experts(letter: str) -> dict[str, int]:
    """Tokens that keep their experts when every selection bias is lowered by 1."""
    moe, x = trained[letter].model.double().moe_layers()[0], noise.repeat(1, 4)[:64]
    rule, logits, bias = (
        suspect(letter, layer).rule,
        x @ moe.router.weight.detach().T,
        moe.router.expert_bias,
    )
    low, now = (rule(logits, layer, b, None) for b in (bias - 1, bias))
    same = (low.expert_ids == now.expert_ids).all(-1).sum()
    return {"same experts": int(same), "other experts": len(x) - int(same)}


# %%
figure, axes = plt.subplots(1, 3, figsize=(13, 4), width_ratios=(1, 1, 0.8))
for ax, batch in zip(axes, (changed_last, tokens), strict=False):
    far = {s: moved(trained[s].model, tokens[3:], batch) for s in "HBGK"}
    plot_curves(ax, {s: (range(30), y) for s, y in far.items()}, "byte", "change of its logits")
plot_stacked(axes[2], {s: same_experts(s) for s in "HK"}, "tokens")

# %% [markdown]
# **Look.** Left, the last byte changed: `H`, `B` and `K` stay at zero until the last byte, `G`
# moves long before it. Middle, other sentences in the batch: `H` and `K` stay at zero, `B` and `G`
# move. Right: `H` keeps the experts of all tokens, `K` does not.
#
# <details><summary>Who is it?</summary>
#
# `G` lets experts pick tokens (expert choice), and whether a token is picked depends on all others,
# later ones too: the model reads the future. Its loads are perfect, which is why the idea is
# liked, and in an encoder it is fine. `B` has a capacity: who is dropped depends on the company,
# at evaluation as well. `K` gives masked groups the score 0 instead of minus infinity; with
# negative biases a masked group wins. In our training the biases stayed high enough, so the bug
# slept: `K` and `H` are the same model to the last bit.
#
# </details>

# %%
asleep = [[r.cross_entropy for r in trained[letter].history] for letter in "HK"]
assert asleep[0] == asleep[1]
print("K and H had the same loss at every step, to the last bit")


# %%
for probe in probes.PROBES[7:]:
    print(inspect.getsource(probe), "-> fails for", caught(probe), "\n")

# %%
assert [caught(probe) for probe in probes.PROBES[7:]] == ["G", "BG"]
assert same_experts("H")["other experts"] == 0 < same_experts("K")["other experts"]
print(inspect.getsource(bugs.zero_mask), inspect.getsource(bugs.expert_choice), sep="\n\n")

# %% [markdown]
# ## Nine probes, eleven suspects
#
# Now all probes on all suspects, untrained.
#
# **Predict.** Does every wrong model fail exactly one probe?

# %%
fails = [caught(probe) for probe in probes.PROBES]
rows = [(s, *("fails" if s in f else "" for f in fails), LINE_UP[s]) for s in LINE_UP]
for number, probe in enumerate(probes.PROBES, 1):
    print(number, probe.__name__)
print(text_table(["suspect", *map(str, range(1, 10)), "its bug"], rows))

# %% [markdown]
# **Look.** One row per suspect, one column per probe. Only the row of `H` is empty. Most rows have
# one entry. `B` and `G` fail more: a dropped token has weights that do not sum to 1, so the probe
# on equal experts sees it as well.

# %%
assert set(LINE_UP) - set("".join(fails)) == {"H"}
print("every wrong model fails a probe, and the right one fails none")

# %% [markdown]
# ## Takeaway
#
# - A falling loss proves little: ten wrong models learned, and nearly all of them ended as close to
#   the right one as another seed does. Experts adapt to almost any router.
# - A fact that must hold (equal experts are one expert, a common bias changes nothing, the future is
#   unseen) finds on an untrained model, in milliseconds, what training hides.
# - The worst bug is asleep: `K` trained to the same bits as the right model and waits for a
#   negative bias.
#
# **Verdict on the claims.** No claim of the articles is judged here. Two get a footnote: weights
# that are open can be inspected, but a bug of the code that trained them cannot be seen in a loss
# curve, and "a training trick" is one only if a test shows that the code performs it.
#
# **Try.**
#
# 1. Some codes report the loss with the balance loss mixed in. By how much would `I` then look
#    worse than `H`, although it is not?
# 2. Why does `B`, with its capacity, pass the probe on the future?
# 3. Is `one_at_perfect_balance` enough to find `A`?
#
# <details><summary>Answers</summary>
#
# 1. By the factor 0.02 times the difference of the two balance losses, about 0.02 nats: as much as
# many a real improvement.
#
# ```python
# mixed = [trained[s].history[-1].load_balancing_loss * recipe.balance_weight for s in "HI"]
# assert 0.01 < mixed[1] - mixed[0] < 0.04
# ```
#
# 2. Room is given in the order of the tokens, so a later byte of the same sequence takes nothing
# from an earlier one. In a batch the sentences before take it.
#
# ```python
# assert "B" not in caught(probes.future_is_unseen) and "B" in caught(probes.company_changes_nothing)
# ```
#
# 3. No. Levelled scores are perfect at perfect balance; the loss is wrong where it matters.
#
# ```python
# assert "A" not in caught(probes.one_at_perfect_balance) and "A" in caught(probes.eight_at_collapse)
# ```
#
# </details>
#
# **Source.** Switch Transformers, arXiv 2101.03961 (balance loss, capacity); Expert choice,
# arXiv 2202.09368; loss-free balancing, arXiv 2408.15664 (the bias is for the choice only);
# DeepSeek-V2, arXiv 2405.04434 (groups).
#
# **Next.** Notebook 09 · Does sparse learn more than dense, and at equal what? Until it is built, the
# [map](00_start.ipynb) shows what there is.
