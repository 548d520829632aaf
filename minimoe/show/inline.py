"""Figures inside a notebook, whatever backend its kernel was started with."""

import sys
from typing import Any


def draw_inline() -> None:
    """Switch a notebook's kernel to inline figures where its backend would show none.

    A kernel started with MPLBACKEND=Agg runs every cell and shows no figure. Outside of a notebook,
    and with a backend that shows figures, nothing changes.
    """
    shell = _notebook_shell()
    if shell is None:
        return
    import matplotlib
    from matplotlib.backends import BackendFilter, backend_registry

    silent = backend_registry.list_builtin(BackendFilter.NON_INTERACTIVE)
    if matplotlib.get_backend().lower() in silent:
        shell.run_line_magic("matplotlib", "inline")


def _notebook_shell() -> Any:
    """The shell of the running kernel; None in a script or a terminal."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    return shell if hasattr(shell, "kernel") else None
