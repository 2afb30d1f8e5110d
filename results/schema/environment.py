"""``environment.json``: what a sweep ran on and what it read; seconds from two machines are no comparison."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

ENVIRONMENT_NAME: Final = "environment.json"


def read_environment(folder: Path) -> dict[str, Any] | None:
    """Read a folder's ``environment.json``; None without one, or where it is none (not JSON, no object).

    NaN and infinities, which JSON does not know, are missing values.
    """
    try:
        text = (folder / ENVIRONMENT_NAME).read_text(encoding="utf-8")
        found = json.loads(text, parse_constant=lambda _: None)
    except (OSError, ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def machine_name(environment: Mapping[str, Any] | None) -> str | None:
    """Describe the machine of an ``environment.json``: processor, threads, memory, GPU; None where it does not tell.

    Two machines with the same description are taken for one.
    """
    processor = (environment or {}).get("cpu")
    if not environment or not isinstance(processor, Mapping) or not processor.get("model"):
        return None
    parts = [str(processor["model"])]
    if threads := environment.get("threads"):
        parts.append(f"{threads} of {processor.get('logical_processors') or '?'} threads")
    if memory := environment.get("memory_gb"):
        parts.append(f"{memory} GB")
    if gpu := environment.get("gpu"):
        parts.append(str(gpu.get("name") or gpu) if isinstance(gpu, Mapping) else str(gpu))
    return ", ".join(parts)
