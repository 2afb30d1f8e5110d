"""The step in JAX: one datapoint's loss, vmapped over datapoints and trials; scans over timesteps and over steps.

The scan over steps leaves one dispatch for many steps. Products ask for full float32: JAX's default on GPUs is TF32,
whose errors exceed the loss differences that the rule lives on.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, Literal

from benchmarks.peers.peer import Device, Unavailable, optional_import
from freewalk.harness.bench import LEARNING_RATE, MOMENTUM, Single, Steps, Workload

Generator = Literal["threefry2x32", "rbg"]
_MOST_UNROLLED = 8
_MOST_STEPS_AT_ONCE = {"cpu": 10, "gpu": 50}
NORMALS_AT_ONCE = 1e8
"""A call takes as many steps as draw about so many normals: dispatch no longer counts, and a call stays short."""
STEPS_TO_A_TARGET = 5
"""With momentum a target is near, and looked for after every call."""


def _update(jax: Any, timesteps: int, weights: Any, x: Any, y: Any, perturbations: Any) -> Any:
    """Return what one trial adds to its weights (n_from, n_to); x (B, T, 3), perturbations (B, n_from, n_to)."""
    jnp = jax.numpy
    n_to = weights.shape[1]
    precision = jax.lax.Precision.HIGHEST

    def lowered(x: Any, y: Any, perturbation: Any) -> Any:
        def tick(states: tuple[Any, Any], x_t: Any) -> tuple[tuple[Any, Any], None]:
            fed = jnp.append(x_t, 1.0)
            plain, perturbed = (jnp.concatenate([fed, a]) for a in states)
            z = jnp.matmul(perturbed, weights, precision=precision)
            z += jnp.matmul(perturbed, perturbation, precision=precision)
            return (jax.nn.sigmoid(jnp.matmul(plain, weights, precision=precision)), jax.nn.sigmoid(z)), None

        zeros = jnp.zeros(n_to, weights.dtype)
        states, _ = jax.lax.scan(tick, (zeros, zeros), x, unroll=min(timesteps, _MOST_UNROLLED))
        plain, perturbed = (((a[: len(y)] - y) ** 2).sum() for a in states)
        return plain - perturbed

    differences = jax.vmap(lowered)(x, y, perturbations)
    return jnp.tensordot(differences, perturbations, 1, precision=precision) / len(x)


def _updates(jax: Any, timesteps: int, weights: Any, x: Any, y: Any, perturbations: Any) -> Any:
    """Do what `_update` does for every trial."""
    return jax.vmap(lambda *one: _update(jax, timesteps, *one))(weights, x, y, perturbations)


def _own_update(jax: Any, workload: Workload, weights: Any, key: Any) -> Any:
    """Return what a step with JAX's own random numbers adds to the weights of all trials."""
    jnp, random = jax.numpy, jax.random
    n_trials, n_from, n_to = weights.shape
    data_key, noise_key = random.split(key)
    first = random.uniform(data_key, (n_trials, workload.batch_size, 1, 3), minval=-1.0)
    x = first + jnp.arange(workload.timesteps, dtype=jnp.float32)[:, None]
    y = jax.nn.sigmoid(first[:, :, 0, :1] + first[:, :, 0, 1:])
    noise = random.normal(noise_key, (n_trials, workload.batch_size, n_from, n_to))
    return _updates(jax, workload.timesteps, weights, x, y, workload.stddev * noise)


class JaxPeer:
    """The step in JAX, with one of its two generators."""

    def __init__(self, jax: Any, device: Any, generator: Generator) -> None:
        self._jax = jax
        self._device = device
        self._generator = generator

    def update(self, workload: Workload, weights: Single, x: Single, y: Single, noise: Single) -> Single:
        """Return what a step with given unit noise adds to the weights, (N, n_from, n_to)."""
        jax = self._jax
        w, x_, y_, unit = (jax.device_put(array, self._device) for array in (weights, x, y, noise))
        function = jax.jit(lambda *given: _updates(jax, workload.timesteps, *given))
        result: Single = jax.device_get(function(w, x_, y_, unit * workload.stddev))
        return result

    def start(self, workload: Workload, weights: Single, seed: int) -> Steps:
        """Return the loop that is timed: some steps a call."""
        jax, w = self._jax, self._jax.device_put(weights, self._device)
        most = _MOST_STEPS_AT_ONCE[w.device.platform] if workload.update == "raw" else STEPS_TO_A_TARGET
        at_once = max(1, min(most, int(NORMALS_AT_ONCE / (w.size * workload.batch_size))))
        with jax.default_device(self._device):
            key = jax.random.key(seed, impl=self._generator)

        def step(state: tuple[Any, Any, Any], _: None) -> tuple[tuple[Any, Any, Any], None]:
            weights, velocity, key = state
            key, own = jax.random.split(key)
            update = _own_update(jax, workload, weights, own)
            if workload.update == "raw":
                return (weights + update, velocity, key), None
            velocity = MOMENTUM * velocity + update / workload.stddev**2
            return (weights + LEARNING_RATE * velocity, velocity, key), None

        return scanned(jax, step, (w, jax.numpy.zeros_like(w), key), at_once, lambda state: state[0])


def scanned(jax: Any, step: Callable[..., Any], state: Any, at_once: int, weights: Callable[[Any], Any]) -> Steps:
    """Return a loop whose calls scan over `at_once` steps; `weights` finds the weights in the state."""
    run = jax.jit(lambda state: jax.lax.scan(step, state, None, length=at_once)[0]).lower(state).compile()

    def take(n_steps: int) -> None:
        nonlocal state
        for _ in range(n_steps // at_once):
            state = run(state)
        jax.block_until_ready(state)

    return Steps(take, lambda: jax.device_get(weights(state)), at_once=at_once)


def import_jax() -> Any:
    """Return JAX, set up to leave memory to others."""
    # JAX would take three quarters of the GPU's memory at its first use, and keep what it once had: others need some.
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    os.environ.setdefault("XLA_CLIENT_MEM_FRACTION", "0.45")
    return optional_import("jax")


def make_jax(device: Device, generator: Generator = "threefry2x32") -> JaxPeer:
    """Return the step in JAX."""
    jax = import_jax()
    try:
        (found, *_) = jax.devices("cpu" if device == "cpu" else "gpu")
    except RuntimeError as error:
        raise Unavailable(f"this JAX sees no such device: {str(error).splitlines()[0]}") from None
    return JaxPeer(jax, found, generator)
