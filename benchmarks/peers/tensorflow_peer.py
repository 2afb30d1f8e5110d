"""The step in TensorFlow, in the form of the original program: a session runs a graph that is fed from NumPy.

The same operations in the same places as the original's graph: the weights tiled for every datapoint, normals drawn in
the graph, two `while_loop`s over timesteps with a product of its own for every datapoint, the mean of perturbations
times loss differences added to a variable. Data are made by NumPy outside, float64 as there, and fed at every step.
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from benchmarks.peers.peer import Device, Unavailable, optional_import
from freewalk.harness.bench import LEARNING_RATE, MOMENTUM, Single, Steps, Workload
from freewalk.kernels.machine.threads import usable_threads


def _losses(tf: Any, timesteps: int, weights: Any, x: Any, y: Any) -> Any:
    """Return the (B,) losses of x (B, T, 3) under weights (B, n_from, n_to)."""
    batch_size, n_to, n_output = x.shape[0], weights.shape[2], y.shape[1]
    bias = tf.ones((batch_size, 1))

    def tick(t: Any, a: Any) -> tuple[Any, Any]:
        inputs = tf.concat([x[:, t], bias, a], axis=1)
        return t + 1, tf.sigmoid(tf.squeeze(tf.matmul(tf.expand_dims(inputs, 1), weights), 1))

    start = (tf.constant(0), tf.zeros((batch_size, n_to)))
    _, a = tf.compat.v1.while_loop(lambda t, a: t < timesteps, tick, start, back_prop=False)
    return tf.reduce_sum(tf.square(a[:, :n_output] - y), axis=1)


class _Graph:
    """One trial's graph, with the random numbers it draws replaced by `noise` where that is given."""

    def __init__(self, tf: Any, workload: Workload, weights: Single, batch_size: int, noise: Single | None) -> None:
        n_from, n_to = weights.shape
        shape = (batch_size, n_from, n_to)
        self.graph = tf.Graph()
        with self.graph.as_default():
            self.x = tf.compat.v1.placeholder(tf.float32, (batch_size, workload.timesteps, 3))
            self.y = tf.compat.v1.placeholder(tf.float32, (batch_size, 2))
            self.weights = tf.compat.v1.get_variable("W", initializer=weights, use_resource=False)
            tiled = tf.tile(tf.expand_dims(self.weights, 0), [batch_size, 1, 1])
            if noise is None:
                perturbations = tf.random.normal(shape, stddev=workload.stddev)
            else:
                perturbations = tf.constant(noise * np.float32(workload.stddev))
            plain = _losses(tf, workload.timesteps, tiled, self.x, self.y)
            perturbed = _losses(tf, workload.timesteps, tiled + perturbations, self.x, self.y)
            lowered = tf.reshape(plain - perturbed, (batch_size, 1, 1))
            self.update = tf.reduce_mean(perturbations * lowered, axis=0)
            self.step = self._moved(tf, workload, self.update)
            self.loss = tf.reduce_mean(plain)
            self._begin = tf.compat.v1.global_variables_initializer()
        threads = usable_threads()
        options = tf.compat.v1.ConfigProto(intra_op_parallelism_threads=threads, inter_op_parallelism_threads=threads)
        self.session = tf.compat.v1.Session(graph=self.graph, config=options)
        self.session.run(self._begin)

    def warm(self, x: Any, y: Any) -> None:
        """Take a step, which prepares the session for more, and take it back."""
        self.run(x, y)
        self.session.run(self._begin)

    def _moved(self, tf: Any, workload: Workload, update: Any) -> Any:
        if workload.update == "raw":
            return self.weights.assign_add(update)
        optimizer = tf.compat.v1.train.MomentumOptimizer(LEARNING_RATE, MOMENTUM)
        return optimizer.apply_gradients([(update / -(workload.stddev**2), self.weights)])

    def run(self, x: Any, y: Any) -> None:
        """Take a step."""
        self.session.run([self.step, self.loss], {self.x: x, self.y: y})

    def current(self) -> Single:
        """Return the weights."""
        result: Single = self.session.run(self.weights)
        return result


class TensorFlowPeer:
    """The step as the original program ran it; one trial."""

    def __init__(self, tf: Any) -> None:
        self._tf = tf

    def update(self, workload: Workload, weights: Single, x: Single, y: Single, *noise: Single) -> Single:
        """Return what a step with given unit noise adds to the weights, (N, n_from, n_to)."""
        updates = []
        for w, x_k, y_k, noise_k in zip(weights, x, y, *noise, strict=True):
            graph = _Graph(self._tf, workload, w, len(x_k), noise_k)
            updates.append(graph.session.run(graph.update, {graph.x: x_k, graph.y: y_k}))
            graph.session.close()
        return np.stack(updates)

    def start(self, workload: Workload, weights: Single, seed: int) -> Steps:
        """Return the loop that is timed."""
        random = np.random.default_rng(seed)

        def batch() -> tuple[Any, Any]:
            first = random.random((workload.batch_size, 1, 3)) * 2 - 1
            y = 1 / (1 + np.exp(-(first[:, 0, :1] + first[:, 0, 1:])))
            return first + np.arange(workload.timesteps)[:, None], y

        graphs = [_Graph(self._tf, workload, w, workload.batch_size, None) for w in weights]
        for graph in graphs:
            graph.warm(*batch())

        def take(n_steps: int) -> None:
            for graph in graphs:
                for _ in range(n_steps):
                    graph.run(*batch())

        def close() -> None:
            for graph in graphs:
                graph.session.close()

        return Steps(take, lambda: [graph.current() for graph in graphs], close=close)


def make_tensorflow(device: Device) -> TensorFlowPeer:
    """Return the step in TensorFlow."""
    if device != "cpu":
        raise Unavailable("timed on the processor alone")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    return TensorFlowPeer(optional_import("tensorflow"))
