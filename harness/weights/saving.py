"""Weights files from Python: `freewalk.load` and `freewalk.save`."""

from __future__ import annotations

import os
from pathlib import Path

from freewalk.harness.weights.weights_file import SavedWeights, load_sound_weights, save_weights


def load(path: str | os.PathLike[str]) -> SavedWeights:
    """Read a weights file; nothing in it is unpickled.

    Returns
    -------
    SavedWeights
        The network, its weights, the task and how it was trained; `predict(x)` runs it.

    Raises
    ------
    UsageError
        If the file is missing, damaged, no weights file, of a newer version, or its weights are not finite.
    """
    return load_sound_weights(Path(path))


def save(path: str | os.PathLike[str], saved: SavedWeights, *, replace: bool = False) -> None:
    """Write a weights file, whole or not at all.

    Parameters
    ----------
    path
        A .npz; its folder is made.
    saved
        What `load` gave, or the `saved` of a training.
    replace
        Whether a file of that name may be replaced.

    Raises
    ------
    UsageError
        If there is such a file and it may not be replaced, or it cannot be written.
    """
    save_weights(Path(path), saved, replace=replace)
