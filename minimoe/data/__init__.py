"""Text with domains, synthetic languages, and batches of both."""

from minimoe.data.batches import Batch, training_batch, validation_batches
from minimoe.data.encyclopedia import encyclopedia_text
from minimoe.data.folder import folder_text
from minimoe.data.languages import markov_language, mixture_floor_bits, mixture_text
from minimoe.data.packaged import packaged_text, real_text, small_text
from minimoe.data.text import Corpus, Text, decode, encode
