"""The `sweep.toml` of a folder: it says what the folder holds, and what somebody has edited is kept."""

from __future__ import annotations

import itertools
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from freewalk.harness.plan.joining import Joined
from freewalk.results.files.export import write_text
from freewalk.results.schema.configuration import DOCUMENT


def keep_document(directory: Path, stored: Mapping[str, Any], joined: Joined) -> list[str]:
    """Let a folder's `sweep.toml` say what the folder holds; return notes for the user.

    A file that says the same in other words stays. One that somebody has edited is kept under another name.

    `stored` is what the store says until now; one of an older version does not have the document.

    Raises
    ------
    StoreError
        The file cannot be written.
    """
    path, notes = directory / "sweep.toml", list[str]()
    before, document = stored.get(DOCUMENT), str((joined.described or stored)[DOCUMENT])
    present: str | None
    try:
        present = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        present = before
    except (OSError, UnicodeDecodeError):
        present = ""
    if path.exists() and (_says(present) == _says(document) or (before is None and not joined.n_added)):
        return notes
    if path.exists() and _says(present) != _says(before):
        kept = next(name for name in map(path.with_name, _names_of_copies()) if not name.exists())
        path.rename(kept)
        notes.append(f"{path} did not say what the folder holds and is written anew; the edited one is now {kept.name}")
    write_text(document, path)
    return notes


def _says(document: str | None) -> object:
    try:
        return tomllib.loads(document or "")
    except (ValueError, RecursionError):
        return document


def _names_of_copies() -> Iterator[str]:
    yield "sweep.edited.toml"
    yield from (f"sweep.edited-{number}.toml" for number in itertools.count(2))
