"""How neurons of a free network are connected where a task says so: those of random weight guessing, and perceptrons.

Schmidhuber, Hochreiter and Bengio (Evaluating benchmark problems by random guessing, in A Field Guide to Dynamical
Recurrent Networks, 2001) guess the weights of two networks with one output. In both, the output hears what hidden
neurons do in the same timestep, and all activations are 0 before the first.

- A1: every neuron hears the input, the output and all hidden neurons; hidden neurons have a bias, the output has none.
  With one hidden neuron these are 7 weights.
- A2: a hidden neuron hears the input, the output, itself and a bias; the output hears the input, the hidden neurons and
  a bias. With ten hidden neurons these are 52 weights, 42 without the hidden neurons' connections to themselves.

`readout` is the network of cybertronai/schmidhuber-problems (2026): hidden neurons hear the input, each other and a
bias, the output the hidden neurons and a bias. With two hidden neurons these are 11 weights.

A wiring is a function from a free network to weights (n_from, n_to): NaN where one is trained, 0 where there is no
connection.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from freewalk.kernels.model.network import FreeNetwork

Wiring = Callable[[FreeNetwork], NDArray[np.float64]]


def _a1(network: FreeNetwork) -> NDArray[np.float64]:
    """Return what A1 trains: everything but the output's bias."""
    weights = np.full((network.n_from, network.n_to), np.nan)
    weights[network.n_input, : network.n_output] = 0.0
    return weights


def _a2(network: FreeNetwork) -> NDArray[np.float64]:
    """Return what A2 trains."""
    n, first = network.n_output, network.n_input + 1 + network.n_output
    weights = np.full((network.n_from, network.n_to), np.nan)
    weights[network.n_input + 1 : first, :n] = 0.0
    weights[first:, n:] = np.where(np.eye(network.n_hidden), np.nan, 0.0)
    return weights


def _a2_no_self(network: FreeNetwork) -> NDArray[np.float64]:
    """Return what A2 trains whose hidden neurons do not hear themselves."""
    weights = _a2(network)
    weights[network.n_input + 1 + network.n_output :, network.n_output :] = 0.0
    return weights


def readout(network: FreeNetwork) -> NDArray[np.float64]:
    """Return what is trained where nobody hears the outputs, which hear hidden neurons and a bias."""
    n, first = network.n_output, network.n_input + 1
    weights = np.full((network.n_from, network.n_to), np.nan)
    weights[first : first + n] = 0.0
    weights[: network.n_input, :n] = 0.0
    return weights


def inputs_only(network: FreeNetwork) -> NDArray[np.float64]:
    """Return what a perceptron without biases trains: from inputs to outputs; hidden neurons have no connection."""
    weights = np.zeros((network.n_from, network.n_to))
    weights[: network.n_input, : network.n_output] = np.nan
    return weights


FULL = "full"
"""The wiring by which every neuron hears every other and itself, a timestep later, and has a bias."""
WIRINGS: Mapping[str, Wiring | None] = {FULL: None, "a1": _a1, "a2": _a2, "a2-no-self": _a2_no_self, "readout": readout}
"""Values of the parameter `wiring`; outputs hear hidden neurons at once with all but `full`."""


def wired(task: str, name: str) -> dict[str, Any]:
    """Return the fields of `Problem` that say how neurons are connected, for a value of the parameter `wiring`.

    Raises
    ------
    ValueError
        If there is no wiring of that name.
    """
    if name not in WIRINGS:
        raise ValueError(f"wiring={name} does not fit task {task}: one of {', '.join(WIRINGS)}")
    return {"wiring": WIRINGS[name], "hidden_first": name != FULL}
