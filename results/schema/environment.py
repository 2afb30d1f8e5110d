"""``environment.json``: what a sweep ran on and what it read."""

import json
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
