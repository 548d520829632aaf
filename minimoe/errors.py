"""The error for bad input, and its one short line."""

from collections.abc import Collection

LONGEST_MESSAGE = 300  # characters
SHOWN_NAMES = 5


class InputError(ValueError):
    """The input cannot be used; the message is `one_line` and says what to do."""

    def __init__(self, message: object) -> None:
        super().__init__(one_line(message))


def one_line(message: object) -> str:
    """Put a message on one line of at most 300 characters.

    A longer message is cut in the middle: its beginning and the advice at its end both stay.
    `one_line("a\\n b") == "a b"`.
    """
    line = printable(" ".join(str(message).split()))
    if len(line) <= LONGEST_MESSAGE:
        return line
    half = (LONGEST_MESSAGE - 5) // 2
    return f"{line[:half]} ... {line[-half:]}"


def printable(text: str) -> str:
    """Write lone surrogates as ASCII; Python makes them of bytes in a file name that are not UTF-8.

    `printable("caf\\udce9") == "caf\\\\udce9"`: one character has become six.
    """
    return text.encode("utf-8", errors="backslashreplace").decode("utf-8")


def listed(names: Collection[str], shown: int = SHOWN_NAMES) -> str:
    """List the first few of many names, and the number of the rest.

    `listed(["a", "b", "c"], shown=2) == "a, b and 1 more"`.
    """
    readable = [name if name.isprintable() else repr(name) for name in names]
    rest = len(readable) - shown
    head = ", ".join(readable[:shown])
    return f"{head} and {rest:,} more" if rest > 0 else head
