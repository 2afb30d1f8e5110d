"""The files of a report: whose they are, and writing them whole or not at all."""

import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from freewalk.results.base.errors import StoreError
from freewalk.results.base.writing import replacing

REPORT_NAME: Final = "report.html"
PLOTS_FOLDER: Final = "plots"
# Every file of a report holds one of these.
_SIGNS: Final = (b"schema_version,", b"freewalk")
_SWEEP: Final = re.compile(rb'<meta name="freewalk-sweep" content="(\w*)">')


def refuse_foreign(paths: Iterable[Path], sweep_id: str) -> None:
    """Refuse to overwrite what no report of this sweep has written.

    Raises
    ------
    StoreError
        One of the paths is a file of another origin, the report of another sweep, or no file.
    """
    for path in paths:
        if not os.path.lexists(path):
            continue
        content = _read(path)
        if content is None or not any(sign in content for sign in _SIGNS):
            raise StoreError(f"{path} is there and was not written by a report: move it away or pick another --out")
        found = _SWEEP.search(content)
        if found and found[1].decode() != sweep_id:
            raise StoreError(f"{path} is the report of another sweep: move it away or pick another --out")


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None


def write_bytes(content: bytes, path: Path) -> None:
    """Write a file so that it is there whole or not at all.

    Raises
    ------
    StoreError
        It cannot be written; what stood there before still does.
    """
    try:
        with replacing(path) as temporary:
            temporary.write_bytes(content)
    except OSError as error:
        raise StoreError(f"cannot write {path}: {error.strerror or error}; pick another --out") from error
