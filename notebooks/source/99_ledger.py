# %% [markdown]
# # 99 · What do the articles claim, and what decides each claim?
#
# **You will be able to** find out who says what, what would refute it, and which notebook tests it.
#
# *Claims:* all of them. *Needs:* nothing. This is an appendix: look things up in it, or read it
# first.
# *Takes* about 20 minutes, 0 exercises. *Runs in* about 3 s.

# %%
from minimoe.exercises import finding, predict
from minimoe.series import PLANNED, VERDICTS, articles, claims, common, notebooks
from minimoe.series.cards import Cards, verdict
from minimoe.show.tables import Table

# %% [markdown]
# ## Who makes the claims?
#
# Five popular articles about DeepSeek. The project quotes none of their sentences. It gives each
# claim in its own words, with the article and the heading where it stands.

# %%
Table(["article", "title", "file"], [(a.id, a.title, a.file) for a in articles()])

# %% [markdown]
# ## What is a claim here?
#
# A sentence that a computer, an experiment or a published document can check. Claims about markets,
# diplomacy, privacy and people are left out.

# %%
guess_1 = ...  # how many of the claims in this ledger do all five articles make?
predict("99.1", guess_1, a="none", b="one", c="two or more")

# %%
shared = {
    n: [c.id for c in claims() if len(c.articles) == n] for n in range(len(articles()), 0, -1)
}
everywhere = len(shared[len(articles())])
predict("99.1", measured={"a": not everywhere, "b": everywhere == 1, "c": everywhere > 1})
Table(["articles", "claims", "such as"], [(n, len(i), " ".join(i[:3])) for n, i in shared.items()])

# %% [markdown]
# **Look.** One row of the ledger stands in all five articles: the one on open source. But this count
# depends on how we cut the sentences into rows. Cost is cut into several rows here. Put together,
# we found a second statement: on a par with the leaders, at a much lower cost. Three articles say
# it. A2 and A4 name the cost and praise the performance, but do not say *on a par*.

# %%
Table(
    ["statement", "article", "says it", "heading", "in our words"],
    [(c.claim, s.article, not s.nearby, s.heading, s.words) for c in common() for s in c.said],
)

# %%
finding("Exactly one row of the ledger stands in all five articles.", everywhere == 1,
        rows=everywhere, of=len(claims()))

# %% [markdown]
# ## Do they all speak of experts?

# %%
guess_2 = ...  # how many of the five articles never name Mixture of Experts?
predict("99.2", guess_2, a="none", b="one", c="two or more")

# %%
without = [a.id for a in articles() if not a.names_experts]
n = len(without)
predict("99.2", measured={"a": n == 0, "b": n == 1, "c": n > 1})
Table(
    ["article", "names Mixture of Experts", "names reinforcement learning"],
    [(a.id, a.names_experts, a.names_reinforcement) for a in articles()],
)

# %% [markdown]
# **Look.** Two articles never name Mixture of Experts, the subject of this series. Only one names
# reinforcement learning. So each row of the ledger says which articles make its claim.

# %%
finding("Some articles never name Mixture of Experts.", n > 0, without=n)

# %% [markdown]
# ## Which rules does the ledger follow?
#
# 1. An article counts only if its own words say the claim. Words that say something close are
#    marked *is near it*.
# 2. A claim is tested as it was said. Where only a part is settled, the row says which.
# 3. Each claim has a **falsifier**: an outcome that would refute it. It is written down before the
#    measurement.
# 4. What a row teaches was measured in a notebook, or has a source.
# 5. A verdict is one of these:

# %%
Table(["verdict", "meaning"], list(VERDICTS.items()))

# %%
sound = all((c.verdict == PLANNED) == (c.learn == "") for c in claims())
finding("A row teaches something exactly if it has a verdict.", sound, claims=len(claims()))

# %% [markdown]
# ## What do the articles say about experts?
#
# The verdicts are folded: click on *verdict*. Read a notebook before its verdict, and you find out
# for yourself. `verdict("moe-sparse")` prints one.


# %%
def cards(topic):
    """The claims of one topic."""
    return Cards(c for c in claims() if c.topic == topic)


cards("experts")

# %% [markdown]
# ## … about cost?

# %%
cards("cost")

# %% [markdown]
# ## … about performance and hardware?

# %%
cards("performance and hardware")

# %% [markdown]
# ## … about long texts and languages?

# %%
cards("context and language")

# %% [markdown]
# ## … about reasoning?

# %%
cards("reasoning")

# %% [markdown]
# ## … about openness?

# %%
cards("openness")

# %% [markdown]
# ## … about training and the future?

# %%
cards("training and future")

# %% [markdown]
# ## What is decided so far?
#
# Many verdicts cover only a part of their claim. *Undecided here* decides nothing.

# %%
counts = {v: [bool(c.part) for c in claims() if c.verdict == v] for v in (*VERDICTS, PLANNED)}
Table(
    ["verdict", "claims", "of these, only a part is judged"],
    [(v, len(parts), sum(parts)) for v, parts in counts.items() if parts],
)

# %%
numbers = {b.number for b in notebooks()}
finding(
    "Each claim names the notebook that tests it, or will.",
    all(c.notebooks and numbers.issuperset(c.notebooks) for c in claims()),
    claims=len(claims()),
)

# %% [markdown]
# ## Play
#
# Choose an article and read what it claims. Then print a verdict.

# %%
article = "A4"
Cards(c for c in claims() if article in c.articles)

# %%
verdict("price-war")

# %% [markdown]
# ## Takeaway
#
# - All five articles say open source. Three say on a par at a much lower cost; two come near it.
# - A claim is worth testing if someone can say what would refute it.
# - How many claims "all articles make" depends on how the sentences are cut.
#
# **Verdict on the claims.** Each stands folded on its card above, and open in its notebook.
#
# **Source.** The articles of the first table. What a verdict rests on stands on its card.
#
# **Next.** [00 · Where does a sparse model send your sentence?](00_start.ipynb)
