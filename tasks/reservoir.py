"""A reservoir's readout: five hundred fixed neurons, driven in time, whose weighted sums shall draw a butterfly.

The reservoir task of Züge, Klos and Memmesheimer (Physical Review X 13, 021006, 2023), as their example code has it. A
trial is T = 500 timesteps, the same in every trial. N = 500 neurons x hear five inputs u and each other,

    x <- g x + (1 - g) (V u_t + W tanh(x)),    g = exp(-1/10),

from x = 0, 100 timesteps before the first that counts. u are sqrt(T) times 1/sqrt(T), sqrt(2/T) sin(2 pi k t/T) and
sqrt(2/T) cos(2 pi k t/T) for k = 1, 2, and go on periodically. V is normal with variance 1/5, W normal, divided by the
largest real part of its eigenvalues. The network reads tanh(x), and its two linear outputs shall be r cos(a) and r
sin(a) with a = 2 pi t/(T - 1) and

    r = (9 - sin a + 2 sin 3a + 2 sin 5a - sin 7a + 3 cos 2a - 2 cos 4a) / 10.

The paper's error is loss / (2 T), and its weights start at 0: init_scale=0. The network has no biases and no other
connections: hidden neurons have none, give hidden=0.

With `components` the network reads so many of the largest principal components of tanh(x) in place of the neurons.
Gradients, normal noise on weights and noise on sums do not know by which axes inputs are told, so nothing else changes
but that what lies along the other axes is left out: 6e-6 of the variance with 30 of them, 3e-7 with 40.

V and W are the normals of the words of Philox under the key 0, the same for every seed: column i of (500, 505) numbers
holds what neuron i hears. tanh(x) is rounded to four decimals, so that it does not depend on a machine's last bits.
This one datapoint is what training shows and what is judged.
"""

from __future__ import annotations

import hashlib
from functools import cache, partial

import numpy as np
from numpy.typing import NDArray

from freewalk.kernels.model.noise import Stream, unit_perturbations
from freewalk.tasks.stored import Rows, Source
from freewalk.tasks.table import Table, datapoint
from freewalk.tasks.task import Problem, Task
from freewalk.tasks.wiring import inputs_only

TIMESTEPS = N_NEURONS = 500
_N_DRIVING = 5
_WARM_UP = 100
_KEPT = np.exp(-1 / 10)


def driving_inputs() -> NDArray[np.float64]:
    """Return u, (T, 5)."""
    turns = 2 * np.pi * np.arange(TIMESTEPS) / TIMESTEPS
    waves = [np.sqrt(2) * wave(k * turns) for k in (1, 2) for wave in (np.sin, np.cos)]
    return np.stack([np.ones(TIMESTEPS), *waves], axis=1)


def butterfly() -> NDArray[np.float64]:
    """Return the targets, (T, 2)."""
    a = 2 * np.pi * np.arange(TIMESTEPS) / (TIMESTEPS - 1)
    odd = -np.sin(a) + 2 * np.sin(3 * a) + 2 * np.sin(5 * a) - np.sin(7 * a)
    r = 0.1 * (9 + odd + 3 * np.cos(2 * a) - 2 * np.cos(4 * a))
    return np.stack([r * np.cos(a), r * np.sin(a)], axis=1)


def states() -> NDArray[np.float64]:
    """Return tanh(x) after each timestep, (T, N)."""
    drawn = unit_perturbations(
        N_NEURONS, N_NEURONS + _N_DRIVING, seed=0, step=0, datapoints=np.array([0]), stream=Stream.DATA
    )[0]
    recurrent, driving = drawn[:, :N_NEURONS].T, drawn[:, N_NEURONS:] / np.sqrt(_N_DRIVING)
    recurrent = recurrent / np.linalg.eigvals(recurrent).real.max()
    u, x, after = driving_inputs(), np.zeros(N_NEURONS), np.empty((TIMESTEPS, N_NEURONS))
    for t in range(-_WARM_UP, TIMESTEPS):
        x = _KEPT * x + (1 - _KEPT) * (driving @ u[t % TIMESTEPS] + recurrent @ np.tanh(x))
        if t >= 0:
            after[t] = np.tanh(x)
    return after


@cache
def _table(components: int = 0) -> Table:
    inputs = states().round(4)
    if components:
        inputs = inputs @ principal_axes(inputs)[:, :components]
    rows: Rows = inputs.round(4).astype(np.float32)[None], butterfly().astype(np.float32)[None]
    digest = hashlib.sha256(rows[0].tobytes() + rows[1].round(4).tobytes()).hexdigest()
    return Table((Source("the reservoir and its butterfly", digest),), rows, rows, rows)


def principal_axes(inputs: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the eigenvectors of the inputs' mean products (N, N), the largest first, the largest part of each above 0.

    Products about 0, not about the mean: the error of a readout hangs on these.
    """
    axes = np.linalg.eigh(inputs.T @ inputs)[1][:, ::-1]
    turned: NDArray[np.float64] = axes * np.sign(axes[np.abs(axes).argmax(axis=0), np.arange(N_NEURONS)])
    return turned


def _make_problem(components: int) -> Problem:
    if components > N_NEURONS:
        raise ValueError(f"components={components} does not fit task reservoir: at most {N_NEURONS}")
    return Problem(
        n_input=components or N_NEURONS,
        n_output=2,
        datapoint=datapoint,
        sequence_input=True,
        sequence_output=True,
        default_timesteps=TIMESTEPS,
        least_timesteps=TIMESTEPS,
        most_timesteps=TIMESTEPS,
        domain_size=1,
        load_stored=partial(_table, components),
        shows_all=True,
        wiring=inputs_only,
        output_activation="linear",
    )


TASK = Task(
    name="reservoir",
    summary="a butterfly, drawn by two sums of 500 neurons of a fixed reservoir; give hidden=0",
    metric="loss",
    target=5.0,
    make_problem=_make_problem,
    parameters={"components": 0},
    baseline=461.328,
    baseline_text="the middle of the butterfly at all timesteps; 0 always scores 462.575",
    difficulty=(
        "computed: the best sums of the 5, 10 and 20 largest principal components of the neurons leave 36.7, 10.5 and"
        " 0.016; five components hold 96 % of the variance, and learning along the small ones is slow. The task of"
        " Züge, Klos, Memmesheimer, Phys. Rev. X 13, 021006, 2023"
    ),
)
