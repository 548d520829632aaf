# %% [markdown]
# # 00 · What do the articles claim, and where is it tested?
#
# **Question.** Five popular articles about DeepSeek praise its Mixture-of-Experts models. Which of
# their sentences can a computer check, and which notebook of this series does it?
#
# **You will be able to** read the ledger of claims, find the notebook that tests a claim, and work
# through a notebook so that it teaches you something.
#
# *Claims:* all of them, listed. *Needs:* nothing. *Runs in* a few seconds.

# %%
from textwrap import fill

from minimoe.series import VERDICTS, articles, claims, notebooks
from minimoe.show.tables import text_table

# %% [markdown]
# ## Predict, run, look
#
# Every notebook asks one question and goes round the same loop a few times. A cell headed
# **Predict.** asks you something and offers the answers: choose one and write it down *before* you
# run the next cell. A cell headed **Look.** says what came out. You learn most where the two
# differ. A cell with `assert` then makes the finding hard: if it were false, the notebook would
# stop.
#
# Here is one round, on the ledger itself.

# %% [markdown]
# **Predict.** All the articles praise the same company. Is there a claim that *all* of them make:
# none, one, or several? Write it down, then run.

# %%
shared = {n: [c.id for c in claims() if len(c.articles) == n] for n in range(1, 6)}
print(text_table(["articles", "claims they share"], [(n, len(ids)) for n, ids in shared.items()]))

# %% [markdown]
# **Look.** None. Half of the claims stand in one article only, and just one stands in four. The
# articles repeat one story, but not the same checkable sentences.

# %%
assert not shared[5] and 2 * len(shared[1]) == len(claims())
print(f"{len(shared[1])} of {len(claims())} claims stand in one article; in four: {shared[4]}")

# %% [markdown]
# ## The ledger: every claim that a computer can check
#
# Claims about markets, diplomacy, privacy and people are out of scope: no measurement here could
# settle them. For each of the others the ledger holds the claim in our words, the articles it
# stands in, and what its test teaches.

# %%
for claim in claims():
    print(f"{claim.id}  ({', '.join(claim.articles)})")
    print(fill(claim.claim, 88, initial_indent="    claims: ", subsequent_indent=" " * 12))
    print(fill(claim.learn, 88, initial_indent="    learn:  ", subsequent_indent=" " * 12))

# %% [markdown]
# The articles are named by these letters:

# %%
print(text_table(["article", "file"], [(a.id, a.file) for a in articles()]))

# %% [markdown]
# ## A verdict is one of a few words, and some are unflattering
#
# *Shown here* means that a notebook measures it on your machine. *With a condition* means that it
# holds in the sense the notebook states, and not in the sense most readers would take it.
# *Arithmetic checked*: the published numbers follow from each other. *True elsewhere*: published
# results say so, and a small model on a CPU cannot show it. *Misleading*: the sentence is right and
# what it suggests is not. A claim stays *planned* until a notebook has tested it.

# %%
for verdict in VERDICTS:
    print(f"{verdict:40} {', '.join(c.id for c in claims() if c.verdict == verdict) or '-'}")

# %% [markdown]
# ## Which notebook tests which claim
#
# **Predict.** Sparse layers are the centre of the story. Does each claim need one notebook, or do
# some need two or three?

# %%
tested = {
    book.number: [c.id for c in claims() if book.number in c.notebooks] for book in notebooks()
}
rows = [(b.number, b.question, b.state, ", ".join(tested[b.number])) for b in notebooks()]
print(text_table(["notebook", "question", "state", "claims"], rows))

# %% [markdown]
# **Look.** A notebook that is built stands beside this one in the folder; the others have a number
# and a working title. Several claims need more than one notebook, because one sentence mixes what
# has to be measured apart: parameters, time, quality. A few notebooks test no claim of their own:
# they build what the others stand on.

# %%
assert all(claim.notebooks for claim in claims())
several = [claim.id for claim in claims() if len(claim.notebooks) > 1]
states = [claim.state for claim in claims()]
print(f"{len(several)} claims need more than one notebook.")
for state in ("tested", "tested in part", "planned"):
    print(f"{state}: {states.count(state)} claims")

# %% [markdown]
# ## The stored outputs are checked, not decoration
#
# `make test` runs every notebook again with `nbval` and compares what each cell prints with what
# is stored, letter by letter. So what you read was true on another machine too. Digits that no
# machine repeats, such as times, stand only in cells that are marked for it, and there only the
# `assert` counts. Pictures are not compared: the sentence under **Look.** and the `assert` after it
# carry the finding.
#
# Change a number and run a cell again as often as you like; *Kernel, Restart Kernel and Run All
# Cells* brings back what is stored.

# %%
assert text_table(["n"], [[1]]) == text_table(["n"], [[1]])
print("the same text, on every machine")

# %% [markdown]
# ## The words, before you start
#
# One word per idea, in the code, the text and the figures:
#
# | word | meaning |
# |---|---|
# | token | one unit of text; here a byte |
# | expert | one small feed-forward network of a layer |
# | router | the matrix and the rule that choose experts for a token |
# | scores | the router's numbers for all experts, after softmax or sigmoid |
# | routed, shared expert | chosen for a token; used for every token |
# | `top_k` | how many experts one token is sent to |
# | assignment | one pair of a token and an expert |
# | dispatch, combine | copy tokens to their experts; sum the results back |
# | load | an expert's share of all assignments |
# | active parameters | those that one token passes through; always say by which convention |
# | dense | without experts to choose: every token passes through all parameters |

# %% [markdown]
# ## Takeaway
#
# - The articles make checkable claims and others; only the checkable ones are tested here.
# - The ledger is data: this notebook prints it, and a test demands that each claim has its
#   notebook.
# - Predict before you run, and compare.
#
# **Verdict on the claim.** None is given here: each stands in the notebook that tests the claim.
#
# **Try.** 1. List the claims that stand in article `A4`. 2. Which notebook tests the most claims?
#
# <details><summary>Answers</summary>
#
# ```python
# fourth = [claim.id for claim in claims() if "A4" in claim.articles]
# assert fourth == ["cost-27x", "fewer-chips", "training-tricks"]
#
# busiest = max(tested, key=lambda number: len(tested[number]))
# assert busiest == "15"
# ```
#
# </details>
#
# **Source.** The articles in the table above; primary sources stand at the end of each notebook.
#
# **Next.** [01 · What does a dense transformer pay for each token?](01_dense_cost.ipynb)
