"""Numba's threads, on which the chunks of one step are spread: how many there are, and whether a fork has lost them."""

from __future__ import annotations

import os
from contextlib import suppress

import numba

_lost = False


def n_threads() -> int:
    """Start Numba's threads, if they are not yet running; return how many there are.

    Raises
    ------
    ValueError
        If the setting of Numba names threads that it cannot use here.
    """
    try:
        return int(numba.get_num_threads())
    except ValueError as error:
        reason = str(error).splitlines()[0]
        raise ValueError(
            f"NUMBA_THREADING_LAYER={numba.config.THREADING_LAYER}: Numba cannot use these threads here"
            f" ({reason.rstrip('.')}); unset it, or give omp or workqueue"
        ) from None


def are_lost() -> bool:
    """Tell whether this process was forked from one with such threads: a fork leaves them behind.

    GNU OpenMP ends a process that asks for them nevertheless; other kinds may wait for ever.
    """
    return _lost


def _note_a_fork() -> None:
    global _lost
    with suppress(ValueError):  # Numba's word for not started yet: then the child can start its own
        numba.threading_layer()
        _lost = True


os.register_at_fork(after_in_child=_note_a_fork)
