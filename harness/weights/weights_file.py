"""Weights on disk: a .npz with the network, the task and the training record inside; no pickle."""

from __future__ import annotations

import json
import operator
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from freewalk.harness.base.archive import read_npz
from freewalk.harness.base.errors import UsageError, unknown_own
from freewalk.harness.methods.own_networks import NETWORKS
from freewalk.harness.methods.problem import ResolvedProblem
from freewalk.harness.methods.registered import DEFAULT_METHOD
from freewalk.harness.plan.plan import Cell
from freewalk.harness.weights.outputs import Measures, measure, outputs_of, targets_of
from freewalk.kernels.model.layered import LayeredNetwork
from freewalk.kernels.model.network import FreeNetwork, check_mask
from freewalk.kernels.model.own_network import ModelNetwork, network_of
from freewalk.results.base.writing import replacing
from freewalk.tasks.registry import TASKS
from freewalk.tasks.task import Problem

FORMAT_VERSION = 6
"""Version 1 knew neither methods nor layers nor activations: a walk on a free network of sigmoids. Version 2 had a task
always, neither timesteps of its own nor masks. Version 3 knew sigmoid outputs alone, and no leak. Version 4 knew
neither tanh outputs nor hidden neurons that outputs hear at once. Version 5 knew no networks of one's own."""
_READABLE = (1, 2, 3, 4, 5, FORMAT_VERSION)
_MARK = "freewalk weights"
_LARGEST_TEXT = 1 << 20
_HEADER_BYTES = 1024
_REMEDY = "give one that train saved"


@dataclass(frozen=True)
class SavedWeights:
    """What a weights file holds."""

    weights: NDArray[np.float64]
    """(n_from, n_to), of a layered network too: 0 where it has no weight."""
    network: FreeNetwork
    task: str | None
    """What was learned; None for data of the user's own."""
    parameters: Mapping[str, Any]
    """Parameters of the cell that was trained."""
    record: Mapping[str, Any]
    """What training came to: outcome, steps, losses."""
    method: str = DEFAULT_METHOD
    widths: tuple[int, ...] | None = None
    """Of a layered network, from the input to the output; None for a free one."""
    timesteps: int | None = None
    """How often the layer is applied; None in files older than version 3, whose parameters say it."""
    mask: NDArray[np.bool_] | None = None
    """(n_from, n_to), False where a limited architecture has no weight; None for all, or those of the layers."""

    @classmethod
    def of(cls, cell: Cell, problem: ResolvedProblem, weights: NDArray[np.float64], record: Mapping[str, Any]) -> Self:
        """Return what is to be saved of a trial."""
        parameters = {name: value for name, value in cell.parameters.items() if value is not None}
        widths = None if problem.layers is None else problem.layers.widths
        return cls(weights, problem.network, cell.task, parameters, record, cell.method, widths, problem.timesteps)

    @property
    def n_timesteps(self) -> int:
        """How often the layer is applied.

        Raises
        ------
        UsageError
            If neither the file, nor its parameters, nor its task says it.
        """
        if self.widths is not None:
            return len(self.widths) - 1
        steps = self.timesteps or self.parameters.get("timesteps")
        if steps is None and self.task is not None and self.task in TASKS:
            steps = self.problem(self.task).default_timesteps
        if not isinstance(steps, int):
            raise UsageError("the weights file says no timesteps; train and save again")
        return steps

    def problem(self, task: str) -> Problem:
        """Return a task, with the parameters of the one that was trained on.

        Raises
        ------
        UsageError
            If there is no such task, or the parameters do not fit it.
        """
        if task not in TASKS:
            raise unknown_own("task", task, TASKS)
        try:
            return TASKS[task].problem(self.parameters)
        except (ValueError, TypeError) as error:
            raise UsageError(f"the parameters in the weights file do not fit task {task}: {error}") from None

    def predict(self, x: ArrayLike) -> NDArray[np.float64]:
        """Return the outputs of datapoints, computed in float64.

        Parameters
        ----------
        x
            (B, n_input), or (B, T, n_input) for a network whose input is a sequence; such a one takes (B, T) integers
            too, each meant one-hot.

        Returns
        -------
        (B, n_output), or (B, T, n_output) for a network whose output is a sequence

        Raises
        ------
        UsageError
            If x does not fit the network.
        """
        return outputs_of(self.network, self.weights, x, self.n_timesteps, self.layers)

    def evaluate(self, x: ArrayLike, y: ArrayLike) -> Measures:
        """Return the losses and errors on datapoints, y (B, n_output) or (B, T, n_output); see `predict`."""
        return measure(self.network, self.predict(x), targets_of(self.network, y, self.n_timesteps))

    @property
    def layers(self) -> LayeredNetwork | None:
        """The layered network; None for a free one."""
        return None if self.widths is None else LayeredNetwork.part_of(self.network, self.widths)


def save(path: str | os.PathLike[str], saved: SavedWeights, *, replace: bool = False, option: str = "") -> None:
    """Write a weights file, whole or not at all.

    Parameters
    ----------
    path
        A .npz; its folder is made.
    saved
        What `load` gave, or the `saved` of a training.
    replace
        Whether a file of that name may be replaced; otherwise none ever is.
    option
        What messages start with: "--save ", say.

    Raises
    ------
    UsageError
        If there is such a file and it may not be replaced, or it cannot be written.
    """
    path = Path(path)
    described = {
        "mark": _MARK,
        "version": FORMAT_VERSION,
        "network": _described(saved.network),
        "task": saved.task,
        "parameters": dict(saved.parameters),
        "record": dict(saved.record),
        "method": saved.method,
        "widths": saved.widths,
        "timesteps": saved.timesteps,
    }
    arrays: dict[str, Any] = {"weights": saved.weights, "description": np.array(json.dumps(described))}
    if saved.mask is not None:
        arrays["mask"] = saved.mask
    if not replace:
        check_free(path, option)
    try:
        with replacing(path, new=not replace) as temporary, temporary.open("wb") as file:
            np.savez(file, **arrays)
    except FileExistsError:
        raise UsageError(f"{option}{path} exists already; give another name") from None
    except OSError as error:
        raise UsageError(f"{option}{path} cannot be written ({error.strerror or error}); give another name") from None


def check_free(path: Path, option: str = "") -> None:
    """Make a new weights file's folder; raise UsageError if the file exists or could not be written."""
    if path.exists() or path.is_symlink():
        raise UsageError(f"{option}{path} exists already; give another name")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        problem = error.strerror or error
        raise UsageError(f"{option}{path}: its folder cannot be written ({problem}); give another name") from None


def load(path: str | os.PathLike[str], *, option: str = "") -> SavedWeights:
    """Read a weights file; nothing in it is unpickled.

    Parameters
    ----------
    path
        As `save` and `harness train` write it.
    option
        What messages start with: "--weights ", say.

    Returns
    -------
    SavedWeights
        The network, its weights, the task and how it was trained; `predict(x)` runs it.

    Raises
    ------
    UsageError
        If the file is missing, damaged, no weights file, of a newer version, or its weights are not finite.
    """
    saved = load_weights(Path(path))
    if not np.isfinite(saved.weights).all():
        outcome = saved.record.get("outcome")
        said = f", its training ended {outcome}" if isinstance(outcome, str) else ""
        raise UsageError(f"{option}{path} has weights that are not finite{said}; train again with smaller steps")
    return saved


def load_weights(path: Path) -> SavedWeights:
    """Read a weights file, also one whose weights are not finite; see `load`."""
    described = _description(path)
    try:
        _check_kinds(described)
        network = _network_of(described)
        most = network.n_weights * 8 + _HEADER_BYTES
    except (TypeError, KeyError, ValueError) as error:
        raise UsageError(f"{path} is damaged: {error}") from None
    arrays = read_npz(path, {"weights": most, "mask": most}, optional=["mask"], what="weights file", remedy=_REMEDY)
    return _checked(path, described, network, arrays["weights"], arrays.get("mask"))


def _described(network: FreeNetwork) -> dict[str, Any]:
    """Return a network as JSON holds it; one's own by its name and its sizes."""
    described = {one.name: getattr(network, one.name) for one in fields(FreeNetwork)}
    if isinstance(network, ModelNetwork):
        described |= {"own": network.name, "timesteps": network.timesteps}
    return described


def _network_of(described: Mapping[str, Any]) -> FreeNetwork:
    """Return the network that a description names; raise UsageError for one's own whose plug-in is not loaded."""
    given = dict(described["network"])
    name, timesteps = given.pop("own", None), given.pop("timesteps", 1)
    free = FreeNetwork(**given)
    if name is None:
        return free
    if name not in NETWORKS:
        raise unknown_own("network", name, NETWORKS)
    return network_of(NETWORKS[name], free, timesteps)


def _description(path: Path) -> dict[str, Any]:
    """Read what a weights file says of itself."""
    arrays = read_npz(path, {"description": _LARGEST_TEXT}, what="weights file", remedy=_REMEDY)
    try:
        described = json.loads(str(arrays["description"]))
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path} is no weights file or is damaged ({error}); {_REMEDY}") from None
    if not isinstance(described, dict) or described.get("mark") != _MARK:
        raise UsageError(f"{path} is no weights file; give one that train saved")
    if described.get("version") not in _READABLE:
        raise UsageError(
            f"{path} has version {described.get('version')} of the format; this freewalk reads up to {FORMAT_VERSION}"
        )
    return described


def _checked(
    path: Path,
    described: Mapping[str, Any],
    network: FreeNetwork,
    weights: NDArray[Any],
    mask: NDArray[Any] | None,
) -> SavedWeights:
    try:
        widths = described.get("widths")
        saved = SavedWeights(
            weights,
            network,
            described["task"],
            described["parameters"],
            described["record"],
            described.get("method", DEFAULT_METHOD),
            None if widths is None else tuple(operator.index(width) for width in widths),
            _count(described.get("timesteps")),
            mask,
        )
        layers = saved.layers
        check_mask(network, mask)
    except (TypeError, KeyError, ValueError) as error:
        raise UsageError(f"{path} is damaged: {error}") from None
    if weights.dtype != np.float64 or weights.shape != (network.n_from, network.n_to):
        raise UsageError(
            f"{path} is damaged: its weights are {weights.dtype} of shape {weights.shape},"
            f" its network needs float64 of shape {(network.n_from, network.n_to)}"
        )
    if mask is not None and weights[~mask].any():
        raise UsageError(f"{path} is damaged: it has weights where its mask has none")
    if layers is not None:
        _check_layers(path, layers, network, weights)
    return saved


def _check_kinds(described: Mapping[str, Any]) -> None:
    """Raise TypeError if a field of the description is of another kind than train writes."""
    for name, kinds in (("task", (str, type(None))), ("parameters", (dict,)), ("record", (dict,))):
        if not isinstance(described[name], kinds):
            raise TypeError(f"its {name} is {described[name]!r:.40}")
    if not isinstance(described.get("method", ""), str):
        raise TypeError(f"its method is {described['method']!r:.40}")


def _count(value: Any) -> int | None:
    """Return a whole number of at least 1, or None for None; raise ValueError or TypeError for anything else."""
    if value is not None and operator.index(value) < 1:
        raise ValueError(f"timesteps must be at least 1, got {value}")
    return value if value is None else operator.index(value)


def _check_layers(path: Path, layers: LayeredNetwork, network: FreeNetwork, weights: NDArray[np.float64]) -> None:
    name = "-".join(map(str, layers.widths))
    if layers.free_network != network:
        raise UsageError(f"{path} is damaged: its network is not the layered network {name}")
    if weights[~layers.mask].any():
        raise UsageError(f"{path} is damaged: it has weights where the layered network {name} has none")
