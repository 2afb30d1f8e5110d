"""Inputs and targets that users bring as files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from freewalk.harness.base.archive import read_npy, read_npz
from freewalk.harness.base.errors import UsageError

_TEXTS = (".csv", ".tsv", ".txt", ".dat")
_ANY_SIZE = 1 << 62
"""That is stored as it is: what is compressed has a limit of its own."""


def load_pair(data: Path, targets: Path | None) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return x and y from a .npz that holds both, or from a .npy each; nothing is unpickled.

    Raises
    ------
    UsageError
        If a file is missing, damaged, too large, or y is nowhere.
    """
    for path in (data, targets):
        if path is not None and path.suffix.lower() in _TEXTS:
            raise UsageError(
                f"{path} is a table of text (CSV); read it with NumPy and save inputs and targets as a .npz: t ="
                f" np.loadtxt({path.name!r}, delimiter=',', skiprows=1); np.savez('data.npz', x=t[:, :-1], y=t[:, -1])"
            )
    if data.suffix.lower() == ".npz":
        if targets is not None:
            raise UsageError(f"--y has no effect beside {data}, which holds both x and y; leave it out")
        remedy = "save it with np.savez(FILE, x=x, y=y)"
        arrays = read_npz(data, {"x": _ANY_SIZE, "y": _ANY_SIZE}, what="file of x and y", remedy=remedy)
        return arrays["x"], arrays["y"]
    if targets is None:
        raise UsageError(f"{data} holds inputs alone; give their targets with --y FILE, or both in one .npz")
    return read_npy(data), read_npy(targets)
