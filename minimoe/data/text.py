"""Text to read: what comes with installed packages, and what a user's folder holds."""

from minimoe.data.corpus import MAX_DOMAINS, TOTAL, VOCAB_SIZE, Corpus, Text, decode, encode
from minimoe.data.folder import folder_text
from minimoe.data.packaged import real_text

__all__ = [
    "MAX_DOMAINS",
    "TOTAL",
    "VOCAB_SIZE",
    "Corpus",
    "Text",
    "decode",
    "encode",
    "folder_text",
    "real_text",
]
