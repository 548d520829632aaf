"""Progress of a long loop in a notebook."""

import sys
from collections.abc import Iterable


def watched(first: int, last: int) -> Iterable[int]:
    """Count from `first` to `last`, with a bar and the time left in a notebook that is open.

    nbval and nbclient run a notebook without standard input; they get no bar. A loop of less than
    two seconds shows none either. `list(watched(1, 3)) == [1, 2]`.
    """
    if not _is_watched():
        return range(first, last)
    from tqdm import tqdm

    return tqdm(range(first, last), initial=first, total=last, unit="step", delay=2)


def _is_watched() -> bool:
    """Whether this code runs in a notebook's kernel for somebody who could type an answer."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    return bool(getattr(getattr(shell, "kernel", None), "_allow_stdin", False))
