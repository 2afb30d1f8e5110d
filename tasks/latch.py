"""The latch problems: keep one bit in one neuron under noise, with three weights.

Bengio's latch (Bengio, Simard, Frasconi, IEEE Trans. Neural Networks 5, 1994, 157-166) as Schmidhuber, Hochreiter and
Bengio pose it for random guessing (in A Field Guide to Dynamical Recurrent Networks, 2001). The network is one tanh
neuron, y_t = tanh(w y_{t-1} + what it hears). All elements but the first are normal noise with mean 0 and variance
`noise_variance`, 0.2, of 500 to 600 elements with the default `length`; the target comes at the end.

- `latch-1`: the first element of each class is itself a weight, u_1 or u_2, and noise is heard as it is: y_0 =
  tanh(u_c), y_t = tanh(w y_{t-1} + noise). Targets 0.8 for class 1, -0.8 for class 0. A neuron that holds its bit
  saturates at 1 or -1, 0.2 from the target, so right is what lies on the target's side of 0, less than 0.8 from it; our
  reading, as the chapter does not say it.
- `latch-2`: the first element is 1 for class 1, -1 for class 0; weights from the input, the neuron itself and a bias
  are trained. Targets 1 and -1, right within 0.1.

Of `freewalk.tasks.timed` in all else. Hidden neurons have no connections here: give hidden=0.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from freewalk.kernels.model.network import FreeNetwork
from freewalk.tasks.task import Problem, Task
from freewalk.tasks.timed import length_and_class, timed_problem, unpacked, which, write_answer, write_normals
from freewalk.tasks.two_sequence import VARIANCE, VARIANCE_STEPS, variance_in_steps

_ZERO, _ONE = np.float32(0.0), np.float32(1.0)
_FIRST_TARGET, _SECOND_TARGET = 0.8, 1.0


def first(seed: int, stream: Any, step: Any, index: Any, timesteps: int, argument: int, x: Any, y: Any) -> None:
    """Write a one for the class at the first timestep, noise into the third input after it, and y: 0.8 or -0.8."""
    longest, _, sequences, variance = unpacked(argument)
    fixed, step, index = which(stream, step, index, sequences)
    n, kind = length_and_class(seed, stream, step, index, (5 * longest + 5) // 6, longest, fixed)
    for t in range(timesteps):
        x[t, 0] = _ONE if t == 0 and kind else _ZERO
        x[t, 1] = _ONE if t == 0 and not kind else _ZERO
    write_normals(seed, stream, step, index, 1, n, variance / VARIANCE_STEPS, 2, x)
    write_answer(n - 1, _FIRST_TARGET if kind else -_FIRST_TARGET, y)


def second(seed: int, stream: Any, step: Any, index: Any, timesteps: int, argument: int, x: Any, y: Any) -> None:
    """Write 1 or -1, noise, zeros after the last element, and y: 1 or -1."""
    longest, _, sequences, variance = unpacked(argument)
    fixed, step, index = which(stream, step, index, sequences)
    n, kind = length_and_class(seed, stream, step, index, (5 * longest + 5) // 6, longest, fixed)
    write_normals(seed, stream, step, index, 1, n, variance / VARIANCE_STEPS, 0, x)
    x[0, 0] = _ONE if kind else -_ONE
    write_answer(n - 1, _SECOND_TARGET if kind else -_SECOND_TARGET, y)


def _first_wiring(network: FreeNetwork) -> NDArray[np.float64]:
    """Return NaN for the two first elements and the output's weight to itself, 1 for the noise."""
    weights = np.zeros((network.n_from, network.n_to))
    weights[[0, 1, network.n_input + 1], 0] = np.nan
    weights[2, 0] = 1.0
    return weights


def _second_wiring(network: FreeNetwork) -> NDArray[np.float64]:
    """Return NaN for what the output hears of the input, the bias and itself."""
    weights = np.zeros((network.n_from, network.n_to))
    weights[: network.n_input + 2, 0] = np.nan
    return weights


def _first_problem(length: int, sequences: int, noise_variance: float) -> Problem:
    units: dict[str, Any] = {"wiring": _first_wiring, "output_activation": "tanh", "n_input": 3}
    more = variance_in_steps(FIRST.name, noise_variance)
    return timed_problem(FIRST.name, first, length, 0, sequences, more=more, **units)


def _second_problem(length: int, sequences: int, noise_variance: float) -> Problem:
    units: dict[str, Any] = {"wiring": _second_wiring, "output_activation": "tanh"}
    more = variance_in_steps(SECOND.name, noise_variance)
    return timed_problem(SECOND.name, second, length, 0, sequences, more=more, **units)


FIRST = Task(
    name="latch-1",
    summary="the latch problem: one neuron keeps which of two weights it heard first; give hidden=0",
    metric="bit_accuracy",
    target=0.99,
    make_problem=_first_problem,
    parameters={"length": 600, "sequences": 0, "noise_variance": VARIANCE},
    baseline=0.5,
    baseline_text="chance: either answer always",
    difficulty=(
        "6 guesses of its three weights from -100 to 100, mean of 40 runs; 1,600 trials with other methods"
        " (Schmidhuber, Hochreiter, Bengio, 2001, who quote Bengio, Simard, Frasconi, 1994)"
    ),
)

SECOND = Task(
    name="latch-2",
    summary="the latch problem, the class told by an input of 1 or -1: one neuron keeps it; give hidden=0",
    metric="bit_accuracy",
    target=0.99,
    make_problem=_second_problem,
    parameters={"length": 600, "sequences": 0, "noise_variance": VARIANCE},
    baseline=0.5,
    baseline_text="chance: either answer always",
    difficulty=(
        "22 guesses of its three weights from -100 to 100 on average (Schmidhuber, Hochreiter, Bengio, Evaluating"
        " benchmark problems by random guessing, 2001)"
    ),
)
