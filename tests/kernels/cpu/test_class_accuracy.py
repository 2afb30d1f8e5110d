"""Accuracy: the share of classes found, the same from the compiled kernel and from NumPy."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from freewalk.kernels.cpu.evaluate import _find_classes
from freewalk.kernels.machine.jit import uncached_kernel
from freewalk.kernels.machine.lanes import LANES
from freewalk.kernels.trainers.reference_trainer import class_accuracy

NAN = np.nan
find_classes = uncached_kernel(_find_classes.py_func)  # Python cannot call a helper
CASES = [
    # outputs and targets of the rows of one datapoint; classes found, rows with a class
    ([[0.1, 0.9]], [[0, 1]], 1, 1),
    ([[0.9, 0.1]], [[0, 1]], 0, 1),
    ([[0.5, 0.5]], [[1, 0]], 1, 1),  # the first of equals
    ([[0.5, 0.5]], [[0, 1]], 0, 1),
    ([[0.9, NAN]], [[1, 0]], 0, 1),
    ([[NAN, 0.9]], [[0, 1]], 0, 1),
    ([[0.9, 0.1]], [[0, 0]], 0, 0),  # no class
    ([[0.9, 0.1]], [[0.5, 0.4]], 0, 0),
    ([[0.1, 0.2, 0.3], [0.3, 0.2, 0.1], [0, 0, 1]], [[0, 0, 1], [0, 1, 0], [0, 0, 0]], 1, 2),
]


def lanes(rows: list[list[float]]) -> NDArray[np.float32]:
    """The same datapoint in lane 3, others around it."""
    values = np.full((np.size(rows), LANES), 0.7, dtype=np.float32)
    values[:, 3] = np.ravel(rows)
    return values.reshape(-1)


@pytest.mark.parametrize(("outputs", "targets", "found", "present"), CASES)
def test_the_kernel_and_numpy_find_the_same_classes(
    outputs: list[list[float]], targets: list[list[float]], found: int, present: int
) -> None:
    n = len(outputs[0])
    assert find_classes(len(outputs), n, 3, lanes(outputs), lanes(targets)) == (found, present)
    share = class_accuracy(np.array([outputs]), np.array([targets]))
    assert share == found / present if present else np.isnan(share)


def test_datapoints_are_counted_together() -> None:
    outputs = np.array([[[0.9, 0.1], [0.2, 0.8]], [[0.9, 0.1], [0.9, 0.1]]])
    targets = np.array([[[1, 0], [1, 0]], [[1, 0], [0, 0]]])
    assert class_accuracy(outputs, targets) == pytest.approx(2 / 3)
