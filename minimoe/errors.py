"""The error for bad input, and how its one line stays short."""

from collections.abc import Collection

LONGEST_MESSAGE = 300  # characters
SHOWN_NAMES = 5


class InputError(ValueError):
    """The input cannot be used.

    The message is one line of at most 300 characters that says what to do; longer text is cut in
    the middle, so that its beginning and its advice at the end both stay.
    """

    def __init__(self, message: object) -> None:
        super().__init__(one_line(message))


def one_line(message: object) -> str:
    """Put a message on one line of at most 300 characters.

    `one_line("a\\n b") == "a b"`.
    """
    line = " ".join(str(message).split())
    if len(line) <= LONGEST_MESSAGE:
        return line
    half = (LONGEST_MESSAGE - 5) // 2
    return f"{line[:half]} ... {line[-half:]}"


def listed(names: Collection[str], shown: int = SHOWN_NAMES) -> str:
    """Name the first few of many: five examples and the number of the rest.

    `listed(["a", "b", "c"], shown=2) == "a, b and 1 more"`.
    """
    readable = [name if name.isprintable() else repr(name) for name in names]
    rest = len(readable) - shown
    head = ", ".join(readable[:shown])
    return f"{head} and {rest:,} more" if rest > 0 else head
