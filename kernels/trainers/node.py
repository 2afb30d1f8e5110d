"""Node perturbation: its configuration, and trainers for free and layered networks."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar, get_args

import numpy as np
from numpy.typing import NDArray

from freewalk.kernels.cpu import node
from freewalk.kernels.cpu.descent import CpuBackprop
from freewalk.kernels.cpu.layout import shape_of
from freewalk.kernels.cpu.memory import rows_of
from freewalk.kernels.machine.lanes import LANES
from freewalk.kernels.model.descent import DescentConfiguration
from freewalk.kernels.model.layered import Network
from freewalk.kernels.model.network import FreeNetwork
from freewalk.kernels.model.noise import DEFAULT_NOISE, NOISE_CODES, Noise
from freewalk.kernels.model.walk import Sides, check_positive, check_words
from freewalk.kernels.reference import reference
from freewalk.kernels.reference.layered_pass import (
    Array,
    Parameters,
    activate,
    activation_of,
    forward_layers,
    outputs_of,
    write_gradient,
)
from freewalk.kernels.reference.node import node_estimate, unit_node_noise
from freewalk.kernels.trainers.descent import Descent
from freewalk.kernels.trainers.layered_descent import LayeredDescent
from freewalk.kernels.trainers.reference_descent import ReferenceDescent


@dataclass(frozen=True)
class NodeConfiguration(DescentConfiguration):
    """Noise on the sums of neurons.

    Raises
    ------
    ValueError
        If a value is out of range, or the activity-based form is to have two sides.
    """

    method: ClassVar = "node"
    stddev: float = 0.01
    """Of the noise on every sum."""
    sides: Sides = "one"
    """`one` compares a noisy pass with the clean one; `two` compares noise with its negative."""
    noise: Noise = DEFAULT_NOISE
    activity: bool = False
    """Whether the change of the sums takes the noise's place: activity-based node perturbation."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_words(self, sides=get_args(Sides), noise=get_args(Noise))
        check_positive(self, "stddev")
        if self.activity and self.sides == "two":
            raise ValueError("activity=yes compares with the clean pass; it needs sides=one")

    def evaluations_per_datapoint(self, network: Network) -> float:
        """Return 2: a clean pass and a noisy one; or 3, with two noisy ones."""
        return 2.0 if self.sides == "one" else 3.0


class CpuNode(CpuBackprop):
    """One trial of node perturbation on the free network, whose batches are cut as those of backpropagation.

    Parameters as for `CpuTrainer`.
    """

    configured_by = NodeConfiguration
    _configuration: NodeConfiguration

    def _prepare(self) -> int:
        self._noise = _noise_of(self._shape, self._configuration, int(self._seed))
        return super()._prepare()

    def _allocate(self, threads: int) -> None:
        super()._allocate(threads)
        activity = self._configuration.activity
        self._noisy = node.make_noisy(self._shape, self._tiling.groups, threads, activity=activity)

    def _run_steps(self, n_steps: int) -> tuple[int, float]:
        run = node.train if self.threads == 1 else node.train_parallel
        done: tuple[int, float] = run(
            self._shape,
            self._rows,
            self._rule,
            self._noise,
            self._training,
            self._seed,
            self._tiling,
            self._weights,
            self._mask,
            self._blocked,
            self._memory,
            self._noisy,
            self._sums,
            self._gradient,
            self.step,
            n_steps,
        )
        return done


def _noise_of(shape: Any, configuration: NodeConfiguration, seed: int) -> node.NodeNoise:
    kind, two_sided = NOISE_CODES[configuration.noise], configuration.sides == "two"
    activity = configuration.activity
    return node.node_noise(shape, kind, configuration.stddev, seed, two_sided=two_sided, activity=activity)


def unit_noise(
    network: FreeNetwork, timesteps: int, *, seed: int, step: int, n_datapoints: int, noise: Noise
) -> NDArray[np.float32]:
    """Return the noise of a step's first datapoints, (n, timesteps, n_to), as the compiled kernels draw it.

    See `freewalk.kernels.reference.node.unit_node_noise`.
    """
    shape = shape_of(network, timesteps)
    rows = rows_of(shape)
    source = node.node_noise(shape, NOISE_CODES[noise], 1.0, seed, two_sided=False, activity=False)
    scratch = np.zeros(timesteps * rows.deltas * LANES, dtype=np.float32)
    out = np.zeros((n_datapoints, timesteps, network.n_to), dtype=np.float32)
    node.unit_noise(shape, rows, source, step, scratch, out)
    return out


class ReferenceNode(ReferenceDescent):
    """One trial of node perturbation on the free network in NumPy. Parameters as for `ReferenceTrainer`."""

    _configuration: NodeConfiguration

    def _loss_and_gradient(self, x: NDArray[Any], y: NDArray[Any]) -> tuple[float, reference.Array]:
        network, timesteps, own = self.network, self._timesteps, self._configuration
        where: dict[str, Any] = {"seed": self._seed, "step": self.step, "datapoints": np.arange(len(x))}
        xi = unit_node_noise(network, timesteps, noise=own.noise, **where)
        loss, estimate = node_estimate(
            network, self._weights, x, y, timesteps, xi, own.stddev, sides=own.sides, activity=own.activity
        )
        return loss, estimate if self._mask is None else estimate * self._mask


class LayeredNode(LayeredDescent):
    """One trial of node perturbation on a layered network. Parameters as for `LayeredDescent`."""

    _configuration: NodeConfiguration

    def _find_gradient(self, x: Array, y: Array) -> float:
        layers, own = self._layers, self._configuration
        activations = forward_layers(layers, self._used, x)
        xi = self._unit_noise(len(x))
        clean = self._losses(activations[-1], y)
        sums, noisy = self._noisy_pass(x, xi, own.stddev)
        if own.sides == "two":
            change = (self._losses(noisy, y) - self._losses(self._noisy_pass(x, xi, -own.stddev)[1], y)) / 2
        else:
            change = self._losses(noisy, y) - clean
        if own.activity:
            moved = [z - of_layer(self._used, k, activations[k]) for k, z in enumerate(sums)]
            length = sum(((d * d).sum(axis=1) for d in moved), np.zeros(len(x)))
            scale = math.sqrt(sum(layers.widths[1:])) * change / length
        else:
            moved, scale = xi, change / own.stddev
        weighing = scale.astype(self._dtype)[:, None]
        write_gradient(self._gradient, activations, [d * weighing for d in moved])
        return float(clean.mean())

    def _losses(self, last: Array, y: Array) -> reference.Array:
        return reference.losses(self.network, outputs_of(self._layers, last), y)

    def _noisy_pass(self, x: Array, xi: list[Array], stddev: float) -> tuple[list[Array], Array]:
        """Return the sums of every layer with noise on them, and the last activations."""
        sums, h = [], x
        for layer, noise in enumerate(xi):
            sums.append(of_layer(self._used, layer, h) + stddev * noise)
            h = activate(activation_of(self._layers, layer), sums[-1])
        return sums, h

    def _unit_noise(self, n: int) -> list[Array]:
        """Return the noise of each layer's sums, (B, width): of a free network's first timestep."""
        kind, where = self._configuration.noise, {"seed": self._seed, "step": self.step}
        if self._dtype == np.float64:
            drawn: Any = unit_node_noise(self.network, 2, datapoints=np.arange(n), noise=kind, **where)
        else:
            drawn = unit_noise(self.network, 2, n_datapoints=n, noise=kind, **where)
        return [drawn[:, 0, columns] for _, columns in self._layers.places]


def of_layer(parameters: Parameters, layer: int, h: Array) -> Array:
    """Return the weighted sums of a layer, (B, n_out), for what enters it, (B, n_in)."""
    sums: Array = h @ parameters.weights[layer] + parameters.biases[layer]
    return sums


NODE = Descent(NodeConfiguration, LayeredNode, CpuNode, ReferenceNode, compile_free=CpuNode.compile_kernels)
