# %% [markdown]
# # 00 · Where does a sparse model send your sentence?
#
# **You will be able to**
#
# - see which parts of a model read your own sentence;
# - write a router in three small steps;
# - say what "sparse" means.
#
# *Claims:* none. [Notebook 99](99_ledger.ipynb) lists the claims of the series. *Needs:* Python; no
# knowledge of neural networks.
# *Takes* about 35 minutes, 3 exercises. *Runs in* about 10 s.
#
# Run every grey cell from the top: click it and press Shift + Enter. The first one loads the
# package. That can take half a minute. `[*]` beside a cell means that it is working.

# %%
import math

import torch
from matplotlib import pyplot as plt

from minimoe import Transformer
from minimoe.exercises import check, expect_error, finding, hint, predict, solution
from minimoe.experiments.routed import view_of
from minimoe.measure.routes import trace
from minimoe.series import notebooks
from minimoe.show.figures import plot_used, style
from minimoe.show.sample import byte_labels
from minimoe.show.tables import Table
from minimoe.trained.models import named_model

style()

# %% [markdown]
# ## Where does your sentence go?
#
# A small trained language model comes with this package. Run the next cell (Shift + Enter). Then
# type a sentence of your own between the quotes, in any language. Run the cell again.

# %%
my_sentence = "Where does a sparse model send your sentence? 稀疏模型"
view_of(my_sentence)

# %% [markdown]
# An **expert** is a small network inside the model. A letter has the colour of the expert that
# counts most for it. A colour stands for one or more experts. Click a letter to see which expert it
# is.

# %% [markdown]
# Three more words:
#
# - A **layer** is one step of the model. The layers shown here have experts, each its own. Choose
#   another layer above the text: the colours change.
# - A **token** is one piece of text. For this model it is one **byte**.
# - A **router** chooses the experts of a token. You will write one.

# %% [markdown]
# ## How many tokens does one character need?
#
# A computer stores text as bytes: small whole numbers. Guess before you measure. Write `"a"`, `"b"`
# or `"c"` in place of `...`, then run the cell. A wrong guess is no problem.

# %%
word = "月亮"  # the moon, in Chinese
guess_1 = ...  # how many tokens has this word?
predict("00.1", guess_1, a="fewer than characters", b="as many as characters", c="more")

# %%
word_bytes = list(word.encode(errors="replace"))
n, m = len(word_bytes), len(word)
predict("00.1", measured={"a": n < m, "b": n == m, "c": n > m})
print(f"{m} characters, {n} bytes: {word_bytes}")

# %% [markdown]
# **Look.** Each number is one token. Each of these characters needs 3 bytes. An English letter
# needs one byte. Try `word = "moon"`.
#
# The next cell states a result. It prints HOLDS. If your word refutes the result, it prints DOES
# NOT HOLD.

# %%
finding("A text never has fewer tokens than characters.", n >= m, tokens=n, characters=m)

# %% [markdown]
# ## What is a logit?
#
# Inside the model a token is a list of numbers, its **vector**. The router has a list of equal
# length for each expert. It multiplies the two lists number by number and adds the products. The
# sum is the expert's **logit**. A large logit means: send the token here.
#
# Here is a toy with 4 experts:

# %%
token = [1.0, 2.0, -1.0]
router = [[0.5, 0.0, 0.5], [1.0, 1.0, 1.0], [0.0, 0.5, 0.0], [-1.0, 0.0, 1.0]]
k = 2  # experts for one token

# %%
logits = [sum(a * b for a, b in zip(token, row)) for row in router]
Table(["expert", "logit"], list(enumerate(logits)))

# %% [markdown]
# ## How do logits become scores?
#
# Logits can be negative, and their sum can be any number. **Softmax** turns them into **scores**.
# Scores are positive and sum to 1. First compute $e^x$ of each logit. Then divide each result by
# the sum of all results:
#
# $$s_i = \frac{e^{x_i}}{e^{x_1} + e^{x_2} + \dots + e^{x_E}}$$
#
# ($E$ is the number of experts.)

# %% tags=["exercise"]
# 00.2

# %%
scores = softmax(logits)
Table(["expert", "logit", "score"], list(zip(range(len(router)), logits, scores)))

# %%
right = min(scores) > 0 and abs(sum(scores) - 1) < 1e-9
finding("The scores are positive and sum to 1.", right, experts=len(scores))

# %% [markdown]
# ## What happens if all logits grow by the same amount?

# %%
guess_3 = ...  # we add 10 to every logit. What happens to the scores?
predict("00.3", guess_3, a="all grow", b="the best grows, the others shrink", c="nothing")

# %%
moved = softmax([x + 10 for x in logits])
same = max(abs(new - old) for new, old in zip(moved, scores)) < 1e-9
more = all(new > old for new, old in zip(moved, scores))
predict("00.3", measured={"a": more and not same, "b": not more and not same, "c": same})
Table(["expert", "score before", "score after"], list(zip(range(len(router)), scores, moved)))

# %% [markdown]
# **Look.** The two columns of scores are equal. Each $e^x$ becomes $e^{10}$ times as large, and so
# does the sum. Only the differences between logits matter.
#
# This is useful, because a computer cannot hold a very large $e^x$. Real code first subtracts the
# largest logit. Here is what happens without this step:

# %%
expect_error(math.exp, 1000)

# %%
finding("Softmax sees only differences of logits.", same, added=10)

# %% [markdown]
# ## Which experts does the token get?
#
# The router now keeps the `k` experts with the best scores.

# %% tags=["exercise"]
# 00.4

# %% [markdown]
# Each chosen expert computes something from the token. Its **combine weight** says how much its
# result counts. The combine weights are the chosen scores, scaled so that they sum to 1.

# %% tags=["exercise"]
# 00.5

# %%
chosen = best(scores, k)
weight_of = dict(zip(chosen, weights(scores, chosen)))
Table(
    ["expert", "logit", "score", "weight"],
    [(e, logits[e], scores[e], weight_of.get(e)) for e in range(len(router))],
)

# %% [markdown]
# That is a complete router. The token's result is the weighted sum of what its `k` experts compute.
# Notebook 02 computes that sum. The other experts compute nothing for this token.
#
# ## Does a trained router work like this one?
#
# The model of the first cell reads your sentence again. This time we keep all its logits.

# %%
model, longest = named_model("text_moe_loss")
text_bytes = my_sentence.encode(errors="replace")[:longest]
seen = trace(model, torch.tensor([list(text_bytes)]))
n_layers, n_tokens, E = seen.logits.shape
K = seen.expert_ids.shape[-1]
print(f"{n_layers} layers, {n_tokens} tokens, {E} experts in each layer, {K} for each token")

# %% [markdown]
# The scores of a token sum to 1. How much of this 1 do the K best scores **hold**, that is, what is
# their sum? We take the average over your tokens, one number for each layer. Then we do the same
# with an untrained model of the same size, which has learned nothing.

# %%
guess_6 = ...  # the trained model: in which layer do the K best scores hold least?
predict("00.6", guess_6, a="the first", b="one between", c="the last", d="all alike, within 0.1")


# %%
def held(logits):
    """The sum of the K best scores, on average over the tokens: one number for each layer."""
    layers = [[softmax(row) for row in layer] for layer in logits.tolist()]
    return [sum(s[e] for s in layer for e in best(s, K)) / len(layer) for layer in layers]


# %%
untrained = Transformer(model.config, seed=0).double()
random = held(trace(untrained, torch.tensor([list(text_bytes)])).logits)
trained = held(seen.logits)
alike, last = max(trained) - min(trained) <= 0.1, n_layers - 1
least = None if alike else trained.index(min(trained))
between = least in range(1, last)
predict("00.6", measured={"a": least == 0, "b": between, "c": least == last, "d": alike})
Table(["layer", "trained", "untrained"], list(zip(range(n_layers), trained, random)))

# %% [markdown]
# **Look.** In the first layer the two best hold less than a third, in the last two layers about two
# thirds. In an untrained model of this size they hold between a sixth and a fifth in each layer.
# Two of 16 equal scores would hold an eighth. The combine weights do not show any of this: they
# always sum to 1.

# %%
more = min(t - u for t, u in zip(trained, random))
finding("In each layer, the K best hold more than in an untrained router.", more > 0,
        smallest_difference=more)

# %% [markdown]
# Now we test the three functions `softmax`, `best` and `weights`. Do they decide as the model does,
# for every token in every layer? (The package's answer stands in for a function of yours that is
# not right yet.)

# %%
rows = seen.logits.flatten(0, 1).tolist()  # one list of E logits for each token and layer
all_scores = [softmax(row) for row in rows]
all_chosen = [best(row, K) for row in all_scores]
all_weights = [weights(s, ids) for s, ids in zip(all_scores, all_chosen)]

# %%
their_ids, their_weights = (part.flatten(0, 1).tolist() for part in (seen.expert_ids, seen.weights))
agree = sum(mine == theirs for mine, theirs in zip(all_chosen, their_ids))
furthest = max(abs(a - b) for x, y in zip(all_weights, their_weights) for a, b in zip(x, y))
whole = agree == len(rows) and furthest < 1e-9

# %%
finding("The three functions decide as the model does.", whole, agree=agree, of=len(rows))

# %% [markdown]
# ## What does "sparse" mean?
#
# A **dense** layer has no router: every token uses all of it. In a **sparse** layer each token uses
# `K` of the `E` experts. The figure shows both, for the first tokens of your sentence.

# %%
first = seen.expert_ids[0, :6].tolist()
labels = [f"sparse: {label}" for label in byte_labels(text_bytes.decode(errors="replace"))]
figure, ax = plt.subplots(figsize=(8.5, 3.4))
plot_used(ax, [("dense: any token", range(E)), *zip(labels, first)], E)

# %% [markdown]
# **Look.** Each row of boxes is one token. In the dense row all boxes are filled. In each sparse
# row only two boxes are filled, and not always the same two. The empty boxes are experts that stay
# in memory. Nothing is computed with them.

# %%
few = all(len(set(ids)) == K for ids in their_ids)
finding("In each layer, each token uses exactly K of the E experts.", few, K=K, E=E)

# %% [markdown]
# And the whole sentence? Each token has its own choice.

# %%
together = [len(set(ids.flatten().tolist())) for ids in seen.expert_ids]
finding("In each layer, the tokens together use more than K experts.", min(together) > K,
        fewest=min(together), most=max(together), of=E)

# %% [markdown]
# ## What do more experts cost?
#
# A **parameter** is one number that the model learned. An expert has $3 \cdot D \cdot F$
# parameters. $D$ is the length of a token's vector, and $F$ is the expert's width. The router has
# $E \cdot D$ parameters. A token uses the router and `K` experts. We double the experts and keep
# `K`.

# %%
guess_7 = ...  # twice as many experts: how many parameters does one token use now?
predict("00.7", guess_7, a="twice as many", b="slightly more", c="as many as before")

# %%
D, F = model.config.d_model, model.config.moe.d_expert
sizes = [E, 2 * E, 4 * E]
stored = [n * D + n * 3 * D * F for n in sizes]
used = [n * D + K * 3 * D * F for n in sizes]
growth = used[1] / used[0]
predict("00.7", measured={"a": growth > 1.5, "b": 1 < growth <= 1.5, "c": growth <= 1})
Table(["experts", "parameters stored", "parameters used"], list(zip(sizes, stored, used)))

# %% [markdown]
# **Look.** From row to row, the stored parameters double. The parameters that one token uses hardly
# grow: only the router grows. This is the promise of a sparse model. Does it also save *time*?
# Notebook 04 measures this. Does the model get *better*? Notebook 09 will measure that: it is
# planned.

# %%
there = sum(p.numel() for p in model.moe_layers()[0].parameters())
finding("The formula gives the parameters of the trained layer.", stored[0] == there, stored=there)
finding("With twice the experts, a token uses fewer than twice the parameters.", growth < 2,
        times=growth)

# %% [markdown]
# ## How does this series work?
#
# You have seen all of these:
#
# - `predict` keeps your guess and compares it with the measurement.
# - **Look** describes the result in words.
# - `finding` states a result with your numbers.
# - `check` tests your function. It names the first case that fails.
#
# Here is a wrong softmax. It returns the logits unchanged:

# %%
_ = check("00.2", lambda logits: logits)

# %% [markdown]
# A wrong answer does not stop the notebook. The cells below use the package's answer until yours is
# right.
#
# `hint` gives one hint. Run it again for the next one. `solution` shows an answer.

# %%
hint("00.2")

# %%
# solution("00.2")  # remove the first # to see an answer

# %% [markdown]
# `minimoe lab` gives you your own copy of the notebooks. `minimoe progress` shows what you have
# done in it.
#
# ## Which notebook comes next?
#
# Take the notebooks in order, or choose a question. The column *needs* names the notebooks to read
# first. *min* is your time for reading and writing, in minutes. *s* is the computing time in
# seconds.

# %%
built = [b for b in notebooks() if b.state == "built"]
Table(
    ["no.", "question", "min", "s", "exercises", "needs"],
    [(b.number, b.question, b.minutes, b.seconds, b.exercises, " ".join(b.needs)) for b in built],
)

# %% [markdown]
# These notebooks are planned and not written yet:

# %%
planned = [b for b in notebooks() if b.state == "planned"]
Table(["no.", "question"], [(b.number, b.question) for b in planned])

# %% [markdown]
# The questions come from five popular articles about DeepSeek. DeepSeek's models are sparse.
# [Notebook 99](99_ledger.ipynb) lists every claim in the articles that can be checked.

# %%
known = {b.number for b in notebooks()}
finding(
    "Every notebook needs only notebooks that exist.",
    all(known.issuperset(b.needs) for b in built),
    built=len(built),
    planned=len(planned),
)

# %% [markdown]
# ## Play
#
# Compare your sentence with another one, or with its translation. Which letters keep their colour?
# The same letter may get another expert in another word.

# %%
other_sentence = "Where does the moon go at noon? 月亮"
view_of(other_sentence)

# %% [markdown]
# Then go back to the toy. Change `token`, a row of `router`, or `k`. What must a row look like, so
# that its expert is chosen?
#
# ## Takeaway
#
# - For one token, a router gives each expert a score and keeps the K best. Their combine weights
#   sum to 1.
# - The router chooses again for each token and in each layer.
# - Sparse means: many parameters are stored, and each token uses few of them.
#
# **Verdict on the claims.** None here: this notebook judges no claim.
#
# **Source.** Shazeer and others, arXiv 1701.06538, section 2 (a sparse layer of experts). Mixtral,
# arXiv 2401.04088, section 2.1 (the best K, then softmax over them: the same numbers).
#
# **Next.** [01 · What does a dense transformer pay for each token?](01_dense_cost.ipynb)
