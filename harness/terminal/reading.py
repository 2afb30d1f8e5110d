"""Sweeps that a command reads, with errors that speak of the folder that was given."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from freewalk.harness.base.errors import UsageError
from freewalk.harness.base.text import counted
from freewalk.results.base.errors import StoreError

if TYPE_CHECKING:
    from freewalk.results.files.sources import Source


@contextmanager
def reading() -> Iterator[None]:
    """Turn what is wrong with a sweep that is read into a usage error."""
    try:
        yield
    except StoreError as error:
        # The store's own remedy is meant for whoever writes there.
        raise UsageError(str(error).replace("pick another --out", "give another folder")) from None


def counted_once_note(n: int) -> str:
    """Say that trials are left aside since their walks are counted already."""
    return f"{counted(n, 'trial')} left aside: of their cell and seed another one is counted already"


def read_sweep(path: str) -> Source:
    """Read a sweep's folder or its ``trials.csv``; UsageError where it is none."""
    from freewalk.results.files.sources import read_source

    with reading():
        return read_source(Path(path))
