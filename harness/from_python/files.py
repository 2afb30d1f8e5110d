"""Where a result's page goes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from freewalk.harness.base.errors import UsageError
from freewalk.harness.plan.arguments import path_of
from freewalk.results.base.errors import StoreError


def page_path(path: str | Path | None, directory: Path | None, name: str) -> Path:
    """Return a page's file: the path, or `name` in it if it is a folder, or in the result's own.

    Raises
    ------
    UsageError
        If there is neither a path nor a folder.
    """
    if path is None and directory is None:
        raise UsageError("this result was not kept on disk: give a path, such as report('report.html')")
    target = path_of("path", directory if path is None else path)
    return target / name if target.is_dir() or str(path or "").endswith(os.sep) else target


@contextmanager
def written() -> Iterator[None]:
    """Let what is wrong with a file speak of a path, not of an option."""
    try:
        yield
    except StoreError as error:
        raise StoreError(str(error).replace("pick another --out", "give another path")) from None
