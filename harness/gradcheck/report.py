"""What a comparison of two gradients finds: per layer, the worst weights, and the faults by name."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from freewalk.harness.gradcheck.diagnosis import Fault, diagnose
from freewalk.harness.gradcheck.fits import Suspect
from freewalk.harness.gradcheck.layers import Layer, array_layers

Array = NDArray[np.float64]

TOLERANCE = 1e-6
SMALLEST = 1e-8
"""Magnitudes below this count as this in a relative error."""


@dataclass(frozen=True)
class Miss:
    """A weight whose two derivatives differ."""

    layer: str
    from_neuron: str
    to_neuron: str
    analytic: float
    numerical: float
    error: float
    """Relative."""

    def __str__(self) -> str:
        return (
            f"{self.layer}, {self.from_neuron} to {self.to_neuron}:"
            f" analytic {self.analytic:.6g}, numerical {self.numerical:.6g}, relative error {self.error:.1e}"
        )


@dataclass(frozen=True)
class LayerResult:
    """How one layer's two gradients compare."""

    name: str
    n_weights: int
    n_missed: int
    max_error: float
    """Largest relative error of a weight."""
    cosine: float
    """Of the angle between the two gradients; NaN where one is zero."""
    norm_ratio: float
    """Length of the analytic gradient over the numerical one's; NaN where both are zero."""
    distance: float
    """Length of their difference over the numerical one's; NaN where both are zero."""


@dataclass(frozen=True)
class Report:
    """What `check_gradient` found."""

    tolerance: float
    layers: tuple[LayerResult, ...]
    worst: tuple[Miss, ...]
    """Up to five weights beyond the tolerance, the worst first."""
    faults: tuple[Fault, ...]

    @property
    def passed(self) -> bool:
        """Whether every weight agrees."""
        return self.n_missed == 0

    @property
    def n_weights(self) -> int:
        """Weights compared."""
        return sum(layer.n_weights for layer in self.layers)

    @property
    def n_missed(self) -> int:
        """Weights beyond the tolerance."""
        return sum(layer.n_missed for layer in self.layers)

    def as_dict(self) -> dict[str, Any]:
        """Return the report as JSON holds it."""
        return {
            "passed": self.passed,
            "tolerance": self.tolerance,
            "n_weights": self.n_weights,
            "n_missed": self.n_missed,
            **asdict(self),
        }

    def __str__(self) -> str:
        if self.passed:
            largest = max((layer.max_error for layer in self.layers), default=0.0)
            return f"all {self.n_weights:,} weights agree; largest relative error {largest:.1e}"
        lines = [f"{self.n_missed:,} of {self.n_weights:,} weights miss the tolerance of {self.tolerance:g}"]
        lines += [f"fault: {fault.sentence}" for fault in self.faults]
        lines += [f"worst: {miss}" for miss in self.worst]
        return "\n".join(lines)


def check_gradient(
    analytic: NDArray[Any],
    numerical: NDArray[Any],
    layers: Sequence[Layer] | None = None,
    *,
    tolerance: float = TOLERANCE,
    noise: NDArray[Any] | float = 0.0,
    counts: Mapping[str, float] | None = None,
    suspects: Callable[[], Iterable[Suspect]] | None = None,
    weights: NDArray[Any] | None = None,
) -> Report:
    """Compare an analytic gradient with a numerical one, weight by weight; name what is wrong if they differ.

    The relative error of a weight is |a - n| / max(1e-8, |a| + |n|).

    Parameters
    ----------
    analytic, numerical
        Two arrays of the same shape.
    layers
        Which weights belong together; None: all of them, named by their place in the array. Weights in no layer are not
        compared.
    tolerance
        Largest relative error that agrees.
    noise
        How far each numerical derivative may be off; so much is taken off the difference.
    counts
        Numbers that a wrong factor may be made of, by what they count: cases, outputs, timesteps.
    suspects
        Called when the gradients differ: gradients with a known fault in them, to compare with.
    weights
        Of the same shape, where the gradients were taken: they tell a penalty on weights that is missing.

    Returns
    -------
    Report

    Raises
    ------
    ValueError
        If the shapes differ or a layer reaches outside them.
    """
    a, n = np.asarray(analytic, dtype=np.float64), np.asarray(numerical, dtype=np.float64)
    if a.shape != n.shape:
        raise ValueError(f"the analytic gradient has shape {a.shape}, the numerical one {n.shape}; they must agree")
    if layers is None:
        layers = array_layers(["weights"], [a.shape])
    if any(layer.indices.size and layer.indices.max() >= a.size for layer in layers):
        raise ValueError(f"a layer names weights beyond the gradient's {a.size}")
    errors = relative_errors(a, n, noise)
    missed = ~(errors <= tolerance)
    results = tuple(_layer_result(layer, a.reshape(-1), n.reshape(-1), errors, missed) for layer in layers)
    faults: tuple[Fault, ...] = ()
    if any(result.n_missed for result in results):
        options: dict[str, Any] = {"tolerance": tolerance, "noise": noise, "counts": counts or {}}
        faults = diagnose(a, n, layers, missed=missed, suspects=suspects, weights=weights, **options)
    return Report(tolerance, results, _worst(layers, a.reshape(-1), n.reshape(-1), errors, missed), faults)


def relative_errors(analytic: Array, numerical: Array, noise: NDArray[Any] | float = 0.0) -> Array:
    """Return (n,) relative errors of two flat or shaped gradients; NaN where one is not finite."""
    with np.errstate(invalid="ignore", over="ignore"):
        distance = np.maximum(np.abs(analytic - numerical) - noise, 0.0)
        errors = distance / np.maximum(SMALLEST, np.abs(analytic) + np.abs(numerical))
    result: Array = np.where(np.isfinite(analytic) & np.isfinite(numerical), errors, math.nan).reshape(-1)
    return result


def angle_and_ratio(a: Array, n: Array) -> tuple[float, float]:
    """Return the cosine of the angle between two arrays and the ratio of their lengths, NaN where not defined."""
    with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
        length_a, length_n = float(np.linalg.norm(a)), float(np.linalg.norm(n))
        product = length_a * length_n
        cosine = float(np.vdot(a, n)) / product if product > 0 else math.nan
    ratio = length_a / length_n if length_n > 0 else (math.inf if length_a > 0 else math.nan)
    return cosine, ratio


def _layer_result(layer: Layer, a: Array, n: Array, errors: Array, missed: NDArray[np.bool_]) -> LayerResult:
    at = layer.indices
    cosine, ratio = angle_and_ratio(a[at], n[at])
    _, distance = angle_and_ratio(a[at] - n[at], n[at])
    largest = errors[at].max(initial=0.0) if not np.isnan(errors[at]).any() else math.nan
    return LayerResult(layer.name, at.size, int(missed[at].sum()), float(largest), cosine, ratio, distance)


def _worst(
    layers: Sequence[Layer], a: Array, n: Array, errors: Array, missed: NDArray[np.bool_], most: int = 5
) -> tuple[Miss, ...]:
    found = []
    for layer in layers:
        for i, j in np.argwhere(missed[layer.indices]):
            at = layer.indices[i, j]
            found.append((errors[at], layer, int(i), int(j)))
    # what is not finite is worst of all; then the larger error, then the larger distance between the two values
    found.sort(key=lambda item: _badness(item, a, n), reverse=True)
    return tuple(
        Miss(
            layer.name,
            layer.row_name(i),
            layer.column_name(j),
            float(a[layer.indices[i, j]]),
            float(n[layer.indices[i, j]]),
            float(error),
        )
        for error, layer, i, j in found[:most]
    )


def _badness(item: tuple[Any, Layer, int, int], a: Array, n: Array) -> tuple[float, float]:
    error, layer, i, j = item
    if not math.isfinite(error):
        return math.inf, math.inf
    at = layer.indices[i, j]
    return float(f"{error:.1e}"), abs(float(a[at] - n[at]))
