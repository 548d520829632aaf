# %% [markdown]
# # 98 · What does each word mean?
#
# This page explains the words of the series in alphabetical order. The notebooks link to it. The
# next cell shows an [MoE](#MoE) layer in Python, with the shape of each [weight](#weight) matrix:

# %%
from minimoe import MoE, MoEConfig

MoE(MoEConfig(d_model=64, d_expert=128, n_routed_experts=8, top_k=2))

# %% [markdown]
# ## active parameter
#
# A parameter that takes part in the computation for one token. There is no single convention. Some
# counts include the embedding and the output head, some only the output head, and some neither. So
# a number of active parameters always needs its convention. Notebook 03 counts all three.

# %% [markdown]
# ## assignment
#
# A pair of a token and one expert that the router chose for it. T tokens with K experts each have T
# · K assignments.

# %% [markdown]
# ## attention
#
# The first of the two layers of a block. In it a token reads itself and the tokens before it. It
# compares the token's query with their keys, its own key among them, and adds up their values. The
# more similar query and key are, the more a value counts.

# %% [markdown]
# ## balance loss
#
# A number added to the training loss. It grows when a few experts get most of the tokens. Training
# reduces it and so spreads the tokens over the experts. Notebook 05 measures it.

# %% [markdown]
# ## bits per byte
#
# A measure of a language model. It is the number of bits that the model needs, on average, to
# encode the next byte of a text. Lower is better. It can compare models that split text into
# different tokens.

# %% [markdown]
# ## block
#
# Two layers of a transformer: attention, then a feed-forward layer. Each reads the residual stream
# and adds its result to it. In a sparse model an MoE layer takes the place of the feed-forward
# layer, in all blocks or in most.

# %% [markdown]
# ## byte
#
# Eight bits, which hold one of 256 numbers. A text is stored as a list of bytes. An English letter
# takes one byte, a common Chinese character three, most emoji four or more. The models of this
# series read bytes.

# %% [markdown]
# ## capacity
#
# The largest number of assignments that one expert accepts in a batch. It is the even share T · K /
# E times a factor, rounded up. Assignments beyond it are dropped.

# %% [markdown]
# ## checkpoint
#
# One or more files with the weights of a model at one moment of its training. A program can load
# the weights from them, or continue the training.

# %% [markdown]
# ## combine
#
# The last step of an MoE layer. It multiplies the outputs of a token's experts by the combine
# weights and adds them up.

# %% [markdown]
# ## combine weight
#
# The number by which an expert's output is multiplied. In this series it is the expert's score
# divided by the sum of the scores of the chosen experts. Some models do not divide.

# %% [markdown]
# ## config
#
# The numbers that fix the shape of a model: its width, its layers, its experts. The config tells
# how many weights there are, not their values.

# %% [markdown]
# ## dense
#
# A network is dense if every token uses all of its weights. The one exception is the embedding: a
# token reads only its own row. The opposite is sparse.

# %% [markdown]
# ## dispatch
#
# The first step after routing. It copies each token once for each of its assignments and sorts the
# copies by expert. Then each expert computes its rows in one call.

# %% [markdown]
# ## dropless
#
# A layer is dropless if it has no capacity. It drops no assignment. So it does not matter for a
# token how many other tokens chose the same expert.

# %% [markdown]
# ## embedding
#
# A table with one row of numbers for each possible token. The row of a token is its first vector.
# Looking up a row needs no multiplication.

# %% [markdown]
# ## expert
#
# One of several small networks inside an MoE layer. All have the same shape, and each has its own
# weights. A router chooses a few of them for each token.

# %% [markdown]
# ## falsifier
#
# The outcome of a measurement that would show that a claim is wrong. It is written down before the
# measurement. A claim that no outcome could refute cannot be tested.

# %% [markdown]
# ## feed-forward layer
#
# The second of the two layers of a block. It computes each token alone. It has two or three
# matrices with a nonlinear step between them. It holds most weights of a dense transformer.

# %% [markdown]
# ## FLOP
#
# One floating-point operation: one multiplication or one addition. A weight in a matrix costs a
# token two FLOPs. FLOPs count work, not time.

# %% [markdown]
# ## grouped heads
#
# A form of attention in which several heads of queries share one head of keys and values. It makes
# the KV cache smaller.

# %% [markdown]
# ## head
#
# Attention runs several times side by side, each time with fewer numbers. One such run is an
# attention head. The output head is something else: the last matrix of a model. It gives each
# possible next token a score.

# %% [markdown]
# ## KV cache
#
# The keys and values of all tokens read so far. A model that writes a text keeps them, so that it
# computes them only once. The cache grows with the text. Notebook 11 measures it.

# %% [markdown]
# ## layer
#
# A part of a network with its own weights. It turns the vector of each token into a new vector. A
# block has two layers: attention, and a feed-forward or MoE layer. People often count blocks as
# layers: a model with `n_layers=4` has 4 blocks, so 4 layers of attention and 4 others.

# %% [markdown]
# ## ledger
#
# The list of the claims that the articles make. Each row says who makes the claim, what would
# refute it, where it is tested, and the verdict.

# %% [markdown]
# ## load
#
# The share of all assignments that an expert gets. The loads of a layer sum to one. With an even
# load each of E experts has 1/E.

# %% [markdown]
# ## logit
#
# A raw number that a network gives to each choice, for example to each expert. It may be negative.
# Softmax turns logits into scores.

# %% [markdown]
# ## MoE
#
# Mixture of Experts: a layer with many experts. A router chooses a few of them for each token. A
# model with such layers is also called an MoE.

# %% [markdown]
# ## NaN
#
# "Not a number": a special value of floating-point arithmetic. Each sum and each product with a NaN
# is NaN. The notebooks use it to mark weights. A result that becomes NaN has read these weights.
# The converse does not hold: a result that stays a number may still have read them, for example in
# a comparison.

# %% [markdown]
# ## parameter
#
# One number in a model that training sets. Most parameters are weights. A few models also have
# parameters that are added, called biases.

# %% [markdown]
# ## residual stream
#
# The vector of a token on its way through a model. Each layer reads it and adds its result to it.
# Nothing else carries information from one layer to the next.

# %% [markdown]
# ## RMSNorm
#
# A step that scales a vector so that the mean of its squares is 1. Then it multiplies each number by
# a parameter. It stands before each layer.

# %% [markdown]
# ## routed expert
#
# An expert that a token gets only if the router chooses it. The opposite is a shared expert.

# %% [markdown]
# ## router
#
# The part of an MoE layer that chooses experts. It has a matrix and a rule. The matrix gives each
# expert a logit for a token, and the rule keeps the best experts.

# %% [markdown]
# ## score
#
# The positive number that softmax makes of a logit. The scores of all experts for one token sum to
# 1. Some models use a sigmoid instead of softmax. Then the scores do not sum to 1.

# %% [markdown]
# ## seed
#
# A number that fixes random numbers. The same seed gives the same weights and the same batches.
# Several seeds show how much of a result is chance.

# %% [markdown]
# ## shared expert
#
# An expert that every token uses. No router chooses it.

# %% [markdown]
# ## softmax
#
# A function that turns numbers into positive numbers that sum to 1. It takes e to the power of each
# number and divides each result by the sum. The largest number gets the largest part.

# %% [markdown]
# ## sparse
#
# A network is sparse if each token uses only a part of its weights. In an MoE layer the router
# decides which part. The opposite is dense.

# %% [markdown]
# ## SwiGLU
#
# The kind of feed-forward layer used here, also inside each expert. Two matrices, gate and up, read
# the vector. The gate's result goes through the function silu and is multiplied by the result of
# up. A third matrix, down, turns the product back.

# %% [markdown]
# ## token
#
# A piece of text that a model reads as one unit. Many models use parts of words. Here a token is
# one byte.

# %% [markdown]
# ## top-k
#
# The rule that keeps the K choices with the best scores. For K = 2 each token gets two experts.

# %% [markdown]
# ## validation text
#
# Text that is not used for training. It serves to judge a model, because the model cannot have
# learned it by heart.

# %% [markdown]
# ## verdict
#
# What the series concludes about a claim, in one of a few fixed phrases. One of them is "shown
# here, with a condition". The verdict names what would have refuted the claim.

# %% [markdown]
# ## weight
#
# A number that a network multiplies with, set by training. Matrices consist of weights; norms have
# weights too. All weights are parameters. The combine weights of an MoE layer are something else:
# they are computed for each token.
