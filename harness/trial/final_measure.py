"""The test part of a task's data: measured once, at the end of a trial, and judged by nobody."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from freewalk.harness.methods.problem import ResolvedProblem
from freewalk.kernels.cpu.trial import run_on_arrays
from freewalk.kernels.model.walk import Evaluation
from freewalk.kernels.trainers.reference_trainer import measure


def measure_test_part(problem: ResolvedProblem, weights: NDArray[np.float64]) -> Evaluation | None:
    """Return the measures on every row of the test part, from the CPU kernels whatever trained; None if there is none.

    Parameters
    ----------
    weights
        (n_from, n_to), zeros where the network has none.
    """
    rows = problem.problem.test_rows(problem.timesteps)
    if rows is None:
        return None
    network = problem.network
    x = rows[0] if network.sequence_input else rows[0][:, 0]
    y = rows[1] if network.sequence_output else rows[1][:, 0]
    with np.errstate(all="ignore"):
        outputs, _ = run_on_arrays(network, weights, x, y, problem.timesteps)
        return measure(network, outputs, y)
