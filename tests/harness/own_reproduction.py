"""A reproduction of a second, as a document and as a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import tomli_w


def reproduction(**changed: Any) -> dict[str, Any]:
    """Return the document of one on XOR: four trials of twenty steps; what is None is left out."""
    whole = {
        "title": "XOR in a moment",
        "source": "A. Author, A Journal 1, 2 (2003)",
        "known": "derived",
        "claim": "An untrained network loses 1/4.",
        "epochs": 4,
        "steps_per_epoch": 5,
        "grid": [{"task": "xor", "method": "backprop", "architecture": "2-3-1", "batch_size": 4}],
        "check": [{"claim": "loss", "value": "loss_final", "published": 0.25}],
        "quick": {"seeds": "0:4"},
    }
    return {key: value for key, value in (whole | changed).items() if value is not None}


def write(folder: Path, stem: str = "own", /, **changed: Any) -> Path:
    """Write it as a file, with what is changed; return its path."""
    path = folder / f"{stem}.toml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(tomli_w.dumps(reproduction(**changed)), encoding="utf-8")
    return path
