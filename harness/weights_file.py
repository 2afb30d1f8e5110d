"""Weights on disk: a .npz with the network, the task and the training record inside; no pickle."""

from __future__ import annotations

import json
import operator
import os
import tempfile
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from freewalk.harness.errors import UsageError
from freewalk.harness.plan import Cell
from freewalk.harness.problem import ResolvedProblem
from freewalk.kernels.layered import LayeredNetwork
from freewalk.kernels.network import FreeNetwork

FORMAT_VERSION = 2
"""Version 1 knew neither methods nor layers nor activations: a walk on a free network of sigmoids."""
_READABLE = (1, FORMAT_VERSION)
_MARK = "freewalk weights"
_LARGEST_TEXT = 1 << 20
# What reading a strange file may raise: a plain .npy is no archive (TypeError), nested JSON recurses, a header may
# promise more than there is memory, a zip may be encrypted (RuntimeError) or use an unknown compression (one too).
_DAMAGE = (
    OSError,
    EOFError,
    KeyError,
    TypeError,
    ValueError,
    RuntimeError,
    MemoryError,
    zipfile.BadZipFile,
    zlib.error,
)


@dataclass(frozen=True)
class SavedWeights:
    """What a weights file holds."""

    weights: NDArray[np.float64]
    """(n_from, n_to), of a layered network too: 0 where it has no weight."""
    network: FreeNetwork
    task: str
    parameters: Mapping[str, Any]
    """Parameters of the cell that was trained."""
    record: Mapping[str, Any]
    """What training came to: outcome, steps, losses."""
    method: str = "walk"
    widths: tuple[int, ...] | None = None
    """Of a layered network, from the input to the output; None for a free one."""

    @classmethod
    def of(cls, cell: Cell, problem: ResolvedProblem, weights: NDArray[np.float64], record: Mapping[str, Any]) -> Self:
        """Return what is to be saved of a trial."""
        parameters = {name: value for name, value in cell.parameters.items() if value is not None}
        widths = None if problem.layers is None else problem.layers.widths
        return cls(weights, problem.network, cell.task, parameters, record, cell.method, widths)

    @property
    def layers(self) -> LayeredNetwork | None:
        """The layered network; None for a free one."""
        if self.widths is None:
            return None
        network = self.network
        return LayeredNetwork(
            self.widths, hidden_activation=network.hidden_activation, softmax=network.softmax, loss=network.loss
        )


def save_weights(path: Path, saved: SavedWeights) -> None:
    """Write a weights file, whole or not at all, never over another file.

    Raises
    ------
    UsageError
        If the file exists already or cannot be written.
    """
    described = {
        "mark": _MARK,
        "version": FORMAT_VERSION,
        "network": asdict(saved.network),
        "task": saved.task,
        "parameters": dict(saved.parameters),
        "record": dict(saved.record),
        "method": saved.method,
        "widths": saved.widths,
    }
    check_free(path)
    try:
        temporary = path.with_name(f".{path.name}.{os.getpid()}.new")
        with temporary.open("wb") as file:
            np.savez(file, weights=saved.weights, description=np.array(json.dumps(described)))
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(temporary, path)  # unlike a rename, refuses to replace what is there
        finally:
            temporary.unlink()
    except FileExistsError:
        raise UsageError(f"--save {path} exists already; give another name") from None
    except OSError as error:
        raise UsageError(f"--save {path} cannot be written ({error.strerror or error}); give another name") from None


def check_free(path: Path) -> None:
    """Make a new weights file's folder; raise UsageError if the file exists or could not be written."""
    if path.exists() or path.is_symlink():
        raise UsageError(f"--save {path} exists already; give another name")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        problem = error.strerror or error
        raise UsageError(f"--save {path}: its folder cannot be written ({problem}); give another name") from None


def load_weights(path: Path) -> SavedWeights:
    """Read a weights file.

    Raises
    ------
    UsageError
        If the file is missing, damaged, no weights file, or of a newer version.
    """
    try:
        # Opened here: NumPy leaves a damaged archive's file open.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            if int(archive["description"].nbytes) > _LARGEST_TEXT:
                raise ValueError("its description is too long")
            described = json.loads(str(archive["description"]))
            weights = archive["weights"]
    except FileNotFoundError:
        raise UsageError(f"there is no file {path}; check the path") from None
    except _DAMAGE as error:
        problem = " ".join(str(error).split()) or type(error).__name__
        raise UsageError(f"{path} is no weights file or is damaged ({problem}); give one that train saved") from None
    return _checked(path, described, weights)


def _checked(path: Path, described: Any, weights: NDArray[Any]) -> SavedWeights:
    if not isinstance(described, dict) or described.get("mark") != _MARK:
        raise UsageError(f"{path} is no weights file; give one that train saved")
    if described.get("version") not in _READABLE:
        raise UsageError(
            f"{path} has version {described.get('version')} of the format; this freewalk reads up to {FORMAT_VERSION}"
        )
    try:
        network = FreeNetwork(**described["network"])
        widths = described.get("widths")
        saved = SavedWeights(
            weights,
            network,
            described["task"],
            described["parameters"],
            described["record"],
            described.get("method", "walk"),
            None if widths is None else tuple(operator.index(width) for width in widths),
        )
        layers = saved.layers
    except (TypeError, KeyError, ValueError) as error:
        raise UsageError(f"{path} is damaged: {error}") from None
    if weights.dtype != np.float64 or weights.shape != (network.n_from, network.n_to):
        raise UsageError(
            f"{path} is damaged: its weights are {weights.dtype} of shape {weights.shape},"
            f" its network needs float64 of shape {(network.n_from, network.n_to)}"
        )
    if layers is not None:
        _check_layers(path, layers, network, weights)
    return saved


def _check_layers(path: Path, layers: LayeredNetwork, network: FreeNetwork, weights: NDArray[np.float64]) -> None:
    name = "-".join(map(str, layers.widths))
    if layers.free_network != network:
        raise UsageError(f"{path} is damaged: its network is not the layered network {name}")
    if weights[~layers.mask].any():
        raise UsageError(f"{path} is damaged: it has weights where the layered network {name} has none")
