"""What a sweep was timed on: seconds from two machines are no comparison."""

from collections.abc import Mapping
from typing import Any


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
