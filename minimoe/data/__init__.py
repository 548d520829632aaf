"""What does the model read? Text with domains, synthetic languages, and batches of them."""

from minimoe.data.batches import Batch, training_batch, validation_batches
from minimoe.data.languages import (
    MarkovLanguage,
    TemplateLanguage,
    markov_language,
    mixture_floor_bits,
    mixture_text,
    template_language,
)
from minimoe.data.text import Corpus, Text, corpus_rows, decode, encode, folder_text, real_text

__all__ = [
    "Batch",
    "Corpus",
    "MarkovLanguage",
    "TemplateLanguage",
    "Text",
    "corpus_rows",
    "decode",
    "encode",
    "folder_text",
    "markov_language",
    "mixture_floor_bits",
    "mixture_text",
    "real_text",
    "template_language",
    "training_batch",
    "validation_batches",
]
