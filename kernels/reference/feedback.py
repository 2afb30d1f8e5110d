"""Errors that come back through matrices of their own, not through the transposed weights, in float32 or float64.

With delta_L the exact derivative of the loss by the sums of the last layer, and B_i in the place of W_{i+1}':

    feedback alignment   delta_i = (delta_{i+1} B_i) f'(z_i)    Lillicrap et al., Nature Communications 7:13276, 2016
    direct               delta_i = (delta_L B_i) f'(z_i)        Nøkland, NeurIPS 2016, arXiv:1609.01596
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray

from freewalk.kernels.model.layered import LayeredNetwork
from freewalk.kernels.model.noise import Stream, uniforms
from freewalk.kernels.reference.layered_pass import activation_of, through

Array = NDArray[Any]


def feedback_deltas(
    network: LayeredNetwork, feedback: Sequence[Array], activations: Sequence[Array], last: Array
) -> list[Array]:
    """Return what is taken for the derivative of each datapoint's loss by the sums of every layer, (B, width) each.

    Parameters
    ----------
    feedback
        (width of the layer above, width) of each hidden layer.
    activations
        (B, width) each, of the input and every layer.
    last
        (B, n_output), of the last layer.
    """
    deltas = [last]
    for layer in range(network.depth - 2, -1, -1):
        arriving = deltas[0] @ feedback[layer]
        deltas.insert(0, through(activation_of(network, layer), arriving, activations[layer + 1]))
    return deltas


def direct_deltas(
    network: LayeredNetwork, feedback: Sequence[Array], activations: Sequence[Array], last: Array
) -> list[Array]:
    """Return the same with `feedback` (n_output, width) of each hidden layer, which leads there from the outputs."""
    hidden = [
        through(activation_of(network, layer), last @ matrix, activations[layer + 1])
        for layer, matrix in enumerate(feedback)
    ]
    return [*hidden, last]


def draw_feedback(
    network: LayeredNetwork, seed: int, scale: float, *, direct: bool = False, step: int = 0
) -> list[NDArray[Any]]:
    """Return feedback matrices, Glorot-uniform times a scale, U(±scale sqrt(6 / (rows + columns))), float64.

    Parameters
    ----------
    direct
        Whether they lead from the outputs, (n_output, width) for each hidden layer; otherwise each leads from the layer
        above.
    step
        Training step, if they are drawn for one.
    """
    matrices = []
    for layer, width in enumerate(network.widths[1:-1]):
        rows = network.widths[-1] if direct else network.widths[layer + 2]
        bound = scale * (6.0 / (rows + width)) ** 0.5
        matrices.append(bound * uniforms(rows, width, seed, Stream.FEEDBACK, step=step, item=layer))
    return matrices
