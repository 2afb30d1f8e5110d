"""A network of your own: a gated recurrent unit (Cho et al., 2014), trained by the walk like a built-in one.

harness sweep --plugin examples/own_network.py --task delayed-xor --grid architecture=gated,free --grid hidden=8 \
    --grid update=normalised --grid optimizer=adam --grid learning_rate=0.03 --seeds 0:4
"""

import math

import numpy as np

from freewalk.networks import Model, OwnNetwork, Sizes


def make(sizes: Sizes) -> Model:
    """Return the unit for some sizes: rows input, bias, state; columns update gate, reset gate, candidate, output."""
    n_in, n_out, h = sizes.n_input, sizes.n_output, sizes.hidden
    n_to, last, timesteps = 3 * h + n_out, sizes.output_rows - 1, sizes.timesteps

    def outputs(weights, x, out):
        w = weights.reshape(n_in + 1 + h, n_to)
        state, before = np.zeros(h), np.zeros(h)
        sums = np.empty(n_to)
        for t in range(timesteps):
            row = min(t, len(x) - 1)
            before[:] = state
            for j in range(3 * h):
                sums[j] = w[n_in, j]
                for i in range(n_in):
                    sums[j] += x[row, i] * w[i, j]
            for j in range(2 * h):
                for i in range(h):
                    sums[j] += before[i] * w[n_in + 1 + i, j]
                sums[j] = 1 / (1 + math.exp(-sums[j]))
            for j in range(h):
                for i in range(h):
                    sums[2 * h + j] += sums[h + i] * before[i] * w[n_in + 1 + i, 2 * h + j]
                state[j] = sums[j] * before[j] + (1 - sums[j]) * math.tanh(sums[2 * h + j])
            for k in range(n_out):
                z = w[n_in, 3 * h + k]
                for i in range(h):
                    z += state[i] * w[n_in + 1 + i, 3 * h + k]
                out[min(t, last), k] = 1 / (1 + math.exp(-z))

    return Model((n_in + 1 + h, n_to), outputs)


GATED = OwnNetwork("gated", "gated recurrent unit with sigmoid outputs", make)
