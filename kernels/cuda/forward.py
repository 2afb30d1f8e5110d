"""A block runs one datapoint through all timesteps, its threads the columns in turn; for networks of any size."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from freewalk.kernels.cuda.functions import ACTIVATIONS, SLOPES, exp, log
from freewalk.kernels.cuda.jit import cuda, device_function
from freewalk.kernels.cuda.layout import Spec
from freewalk.kernels.cuda.noise import keys, make_values

_ZERO, _ONE, _TWO = np.float32(0.0), np.float32(1.0), np.float32(2.0)


def make_activation(spec: Spec) -> Any:
    """Return a device function that gives a neuron's activation; the first columns are outputs."""
    n_output = spec.n_output
    of_outputs, of_hidden = ACTIVATIONS[spec.of_outputs], ACTIVATIONS[spec.of_hidden]
    leak, keep = np.float32(spec.leak), np.float32(1 - np.float32(spec.leak))

    @device_function
    def same(z: np.float32, column: int, before: np.float32) -> np.float32:
        return of_hidden(z)

    @device_function
    def either(z: np.float32, column: int, before: np.float32) -> np.float32:
        if column < n_output:
            return of_outputs(z)
        return of_hidden(z)

    @device_function
    def leaking(z: np.float32, column: int, before: np.float32) -> np.float32:
        """Let a hidden neuron keep of what it was `before`, 0 at the first timestep."""
        if column < n_output:
            return of_outputs(z)
        return leak * of_hidden(z) + keep * before

    return leaking if spec.leak != 1 else same if spec.of_outputs == spec.of_hidden else either


def make_rate(spec: Spec) -> Any:
    """Return a device function that gives the derivative of a neuron's activation from that of its sum, z."""
    n_output = spec.n_output
    of_outputs, of_hidden = SLOPES[spec.of_outputs], SLOPES[spec.of_hidden]
    leak, keep = np.float32(spec.leak), np.float32(1 - np.float32(spec.leak))

    @device_function
    def rate_of(z: np.float32, change: np.float32, column: int, before: np.float32) -> np.float32:
        """Let a hidden neuron keep of the derivative `before`, 0 at the first timestep and without a leak."""
        if column < n_output:
            rate: np.float32 = of_outputs(z) * change
        else:
            rate = leak * of_hidden(z) * change + keep * before
        return rate

    return rate_of


def make_loss_slope(spec: Spec) -> Any:
    """Return a device function that gives the derivative of the loss of one output.

    It takes the output, the derivative of its activation, the mean of such by a softmax's outputs, and the target.
    """
    softmax, cross_entropy = spec.softmax, spec.cross_entropy

    @device_function
    def slope_of(output: np.float32, rate: np.float32, mean: np.float32, target: np.float32) -> np.float32:
        if target != target:
            return _ZERO
        if cross_entropy:
            return -target * (rate - mean) if softmax else -target * rate / output
        change = output * (rate - mean) if softmax else rate
        return _TWO * (output - target) * change

    return slope_of


def make_slope(spec: Spec) -> Any:
    """Return a device function that gives the derivative of the loss of one output, where derivatives are state 0."""
    n_output, softmax = spec.n_output, spec.softmax
    read, slope_of = make_read(spec), make_loss_slope(spec)

    @device_function
    def slope_at(activations: Any, there: int, column: int, target: np.float32) -> Any:
        mean = _ZERO
        if softmax:
            for k in range(n_output):
                mean += read(activations, there, 1, k) * activations[there, 0, k]
        return slope_of(read(activations, there, 1, column), activations[there, 0, column], mean, target)

    return slope_at


def make_read(spec: Spec) -> Any:
    """Return a device function that reads an output: an activation, or its share of the softmax."""
    n_output, softmax, logits = spec.n_output, spec.softmax, spec.of_outputs != "sigmoid"

    @device_function
    def read(activations: Any, there: int, which: int, column: int) -> Any:
        output = activations[there, which, column]
        if softmax:
            total, highest = _ZERO, _ZERO
            if logits:  # sigmoids lie in [0, 1]
                highest = output
                for k in range(n_output):
                    highest = max(highest, activations[there, which, k])
            for k in range(n_output):
                total += exp(activations[there, which, k] - highest)
            output = exp(output - highest) / total
        return output

    return read


def make_loss(spec: Spec) -> Any:
    """Return a device function that gives the loss of one output, 0 where its target is NaN."""
    cross_entropy = spec.cross_entropy

    @device_function
    def loss_of(output: np.float32, target: np.float32) -> np.float32:
        if target != target:
            return _ZERO
        if cross_entropy:
            return -target * log(output)
        return (output - target) * (output - target)

    return loss_of


def make_layer(spec: Spec, threads: int, *, perturbed: bool) -> Any:
    """Return a device function that applies the layer once: perturbed beside unperturbed, or unperturbed alone."""
    n_input, n_output, n_to, n_from = spec.n_input, spec.n_output, spec.n_to, spec.n_from
    two_sided, masked, sequence_output, leaky = spec.two_sided, spec.masked, spec.sequence_output, spec.leak != 1
    activation, rate_of, tangent = make_activation(spec), make_rate(spec), spec.tangent
    rows, values = make_values(spec.noise)

    @device_function
    def value_at(x: NDArray[np.float32], x_row: int, activations: Any, here: int, which: int, row: int) -> Any:
        if row < n_input:
            return x[x_row, row]
        if row == n_input:
            return _ONE
        return activations[here, which, row - n_input - 1]

    @device_function
    def apply_layer(
        t: int,
        is_last: bool,
        stddev: np.float32,
        weights: NDArray[np.float32],
        mask: NDArray[np.float32],
        x: NDArray[np.float32],
        x_row: int,
        activations: Any,  # INOUT (2, 2, n_to): of timesteps t and t + 1; perturbed, other
        seed: int,
        index: int,
        step: int,
    ) -> None:
        noise = cuda.local.array(rows, np.float32)
        here = t & 1
        used_rows = n_input + 1 if t == 0 else n_from  # at first, all activations are zero
        columns = n_output if is_last and not sequence_output else n_to  # the others are not read any more
        k0, k1 = keys(seed)
        for column in range(cuda.threadIdx.x, columns, threads):
            plus, other = _ZERO, _ZERO
            for first_row in range(0, used_rows, rows):
                if perturbed:
                    values(noise, k0, k1, n_from, first_row, column, index, step)
                for r in range(rows):
                    row = first_row + r
                    if row < used_rows:
                        position = row * n_to + column
                        weight = weights[position]
                        other_value = value_at(x, x_row, activations, here, 1, row)
                        if perturbed:
                            shift = stddev * noise[r]
                            if masked:
                                shift *= mask[position]
                            if tangent:
                                plus += shift * other_value
                                if row > n_input:
                                    plus += weight * activations[here, 0, row - n_input - 1]
                            else:
                                plus += (weight + shift) * value_at(x, x_row, activations, here, 0, row)
                            other += (weight - shift if two_sided else weight) * other_value
                        else:
                            other += weight * other_value
            if perturbed:
                kept = activations[here, 0, column] if leaky and t > 0 else _ZERO
                if tangent:
                    activations[1 - here, 0, column] = rate_of(other, plus, column, kept)
                else:
                    activations[1 - here, 0, column] = activation(plus, column, kept)
            kept = activations[here, 1, column] if leaky and t > 0 else _ZERO
            activations[1 - here, 1, column] = activation(other, column, kept)

    return apply_layer


def make_pass(spec: Spec, threads: int, *, perturbed: bool) -> Any:
    """Return a device function that runs one datapoint and returns its two losses, right in thread 0 alone."""
    n_output, sequence_input, sequence_output = spec.n_output, spec.sequence_input, spec.sequence_output
    read, loss_of, slope_at, tangent = make_read(spec), make_loss(spec), make_slope(spec), spec.tangent
    apply_layer = make_layer(spec, threads, perturbed=perturbed)
    readers = min(threads, n_output)

    @device_function
    def run_pass(
        timesteps: int,
        stddev: np.float32,
        weights: NDArray[np.float32],  # IN (n_weights,)
        mask: NDArray[np.float32],  # IN (n_weights,), or (0,)
        x: NDArray[np.float32],  # IN (input_rows, n_input)
        y: NDArray[np.float32],  # IN (output_rows, n_output)
        activations: NDArray[np.float32],  # SCRATCH (2, 2, n_to)
        seed: int,
        index: int,
        step: int,
    ) -> tuple[np.float32, np.float32]:
        """Run through all timesteps; the block meets before the activations are used again."""
        partial = cuda.shared.array((2, readers), np.float32)
        thread = cuda.threadIdx.x
        plus, other = _ZERO, _ZERO
        for t in range(timesteps):
            is_last = t + 1 == timesteps
            x_row = t if sequence_input else 0
            apply_layer(t, is_last, stddev, weights, mask, x, x_row, activations, seed, index, step)
            cuda.syncthreads()
            if sequence_output or is_last:
                there = 1 - (t & 1)
                for k in range(thread, n_output, threads):
                    target = y[t if sequence_output else 0, k]
                    loss = loss_of(read(activations, there, 1, k), target)
                    if perturbed and tangent:
                        plus += loss + slope_at(activations, there, k, target)
                    elif perturbed:
                        plus += loss_of(read(activations, there, 0, k), target)
                    other += loss
        if thread < readers:
            partial[0, thread] = plus
            partial[1, thread] = other
        cuda.syncthreads()
        plus, other = _ZERO, _ZERO
        if thread == 0:
            for k in range(readers):
                plus += partial[0, k]
                other += partial[1, k]
        return plus, other

    return run_pass
