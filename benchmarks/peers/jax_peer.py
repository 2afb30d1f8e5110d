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
from freewalk.kernels.model.noise import DEFAULT_NOISE, Noise

Generator = Literal["threefry2x32", "rbg"]
_MOST_UNROLLED = 8
_MOST_STEPS_AT_ONCE = {"cpu": 10, "gpu": 50}
NORMALS_AT_ONCE = 1e8
"""A call takes as many steps as draw about so many normals: dispatch no longer counts, and a call stays short."""
STEPS_TO_A_TARGET = 5
"""With momentum a target is near, and looked for after every call."""


def plain_loss(jax: Any, timesteps: int, weights: Any, x: Any, y: Any) -> Any:
    """Return the loss of one datapoint, x (T, 3) and y (2,), under weights (n_from, n_to)."""
    jnp = jax.numpy

    def tick(a: Any, x_t: Any) -> tuple[Any, None]:
        inputs = jnp.concatenate([jnp.append(x_t, 1.0), a])
        return jax.nn.sigmoid(jnp.matmul(inputs, weights, precision=jax.lax.Precision.HIGHEST)), None

    start = jnp.zeros(weights.shape[1], weights.dtype)
    a, _ = jax.lax.scan(tick, start, x, unroll=min(timesteps, _MOST_UNROLLED))
    return ((a[: len(y)] - y) ** 2).sum()


def _update(jax: Any, timesteps: int, weights: Any, x: Any, y: Any, *noise: Any) -> Any:
    """Return what one trial adds to its weights (n_from, n_to); x (B, T, 3).

    noise: perturbations (B, n_from, n_to), or of rank 1 their vectors (B, n_from) and (B, n_to).
    """
    jnp = jax.numpy
    n_to = weights.shape[1]
    precision = jax.lax.Precision.HIGHEST

    def lowered(x: Any, y: Any, first: Any, *second: Any) -> Any:
        def tick(states: tuple[Any, Any], x_t: Any) -> tuple[tuple[Any, Any], None]:
            fed = jnp.append(x_t, 1.0)
            plain, perturbed = (jnp.concatenate([fed, a]) for a in states)
            z = jnp.matmul(perturbed, weights, precision=precision)
            more = jnp.matmul(perturbed, first, precision=precision)  # of rank 1 a number, which goes along `second`
            z += more * second[0] if second else more
            return (jax.nn.sigmoid(jnp.matmul(plain, weights, precision=precision)), jax.nn.sigmoid(z)), None

        zeros = jnp.zeros(n_to, weights.dtype)
        states, _ = jax.lax.scan(tick, (zeros, zeros), x, unroll=min(timesteps, _MOST_UNROLLED))
        plain, perturbed = (((a[: len(y)] - y) ** 2).sum() for a in states)
        return plain - perturbed

    differences = jax.vmap(lowered)(x, y, *noise)
    if len(noise) == 1:
        return jnp.tensordot(differences, noise[0], 1, precision=precision) / len(x)
    return jnp.matmul((differences[:, None] * noise[0]).T, noise[1], precision=precision) / len(x)


def _updates(jax: Any, timesteps: int, *given: Any) -> Any:
    """Do what `_update` does for every trial."""
    return jax.vmap(lambda *one: _update(jax, timesteps, *one))(*given)


def _data(jax: Any, timesteps: int, batch: tuple[int, int], key: Any) -> tuple[Any, Any]:
    """Return x and y of a batch, (n_trials, B)."""
    first = jax.random.uniform(key, (*batch, 1, 3), minval=-1.0)
    x = first + jax.numpy.arange(timesteps, dtype=jax.numpy.float32)[:, None]
    return x, jax.nn.sigmoid(first[:, :, 0, :1] + first[:, :, 0, 1:])


def _own_update(jax: Any, workload: Workload, noise: Noise, weights: Any, key: Any) -> Any:
    """Return what a step with JAX's own random numbers adds to the weights of all trials."""
    data_key, *keys = jax.random.split(key, 1 + len(workload.noise_shapes))
    batch = (len(weights), workload.batch_size)
    draw = jax.random.normal if noise == "gaussian" else jax.random.rademacher
    drawn = [
        stddev * draw(key, (*batch, *shape), "float32")
        for key, (stddev, shape) in zip(keys, workload.noise_shapes, strict=True)
    ]
    return _updates(jax, workload.timesteps, weights, *_data(jax, workload.timesteps, batch, data_key), *drawn)


class JaxPeer:
    """The step in JAX, with one of its two generators."""

    def __init__(self, jax: Any, device: Any, generator: Generator, noise: Noise) -> None:
        self._jax = jax
        self._device = device
        self._generator = generator
        self._noise = noise

    def update(self, workload: Workload, weights: Single, x: Single, y: Single, *noise: Single) -> Single:
        """Return what a step with given unit noise adds to the weights, (N, n_from, n_to)."""
        jax = self._jax
        w, x_, y_, first, *more = (jax.device_put(array, self._device) for array in (weights, x, y, *noise))
        function = jax.jit(lambda *given: _updates(jax, workload.timesteps, *given))
        result: Single = jax.device_get(function(w, x_, y_, first * workload.stddev, *more))
        return result

    def losses(self, workload: Workload, weights: Single, x: Single, y: Single) -> Single:
        """Return the (N, B) losses without perturbation."""
        given = (self._jax.device_put(array, self._device) for array in (weights, x, y))
        result: Single = self._jax.device_get(self._jax.jit(self._losses(workload))(*given))
        return result

    def _losses(self, workload: Workload) -> Callable[..., Any]:
        def one(*given: Any) -> Any:
            return plain_loss(self._jax, workload.timesteps, *given)

        of_batch: Callable[..., Any] = self._jax.vmap(self._jax.vmap(one, in_axes=(None, 0, 0)))
        return of_batch

    def infer(self, workload: Workload, weights: Single, seed: int) -> Steps:
        """Return a loop over plain passes of twice as many datapoints, in place of steps."""
        jax, losses = self._jax, self._losses(workload)
        batch = (len(weights), 2 * workload.batch_size)

        def step(state: tuple[Any, Any, Any], _: None) -> tuple[tuple[Any, Any, Any], None]:
            w, total, key = state
            key, own = jax.random.split(key)
            return (w, total + losses(w, *_data(jax, workload.timesteps, batch, own)), key), None

        with jax.default_device(self._device):
            start = jax.device_put(weights), jax.numpy.zeros(batch), jax.random.key(seed, impl=self._generator)
        return scanned(jax, step, start, self._at_once(workload, weights), lambda state: state[1])

    def _at_once(self, workload: Workload, weights: Single) -> int:
        most = _MOST_STEPS_AT_ONCE[self._device.platform] if workload.update == "raw" else STEPS_TO_A_TARGET
        return max(1, min(most, int(NORMALS_AT_ONCE / (weights.size * workload.batch_size))))

    def start(self, workload: Workload, weights: Single, seed: int) -> Steps:
        """Return the loop that is timed: some steps a call."""
        jax, w = self._jax, self._jax.device_put(weights, self._device)
        with jax.default_device(self._device):
            key = jax.random.key(seed, impl=self._generator)

        def step(state: tuple[Any, Any, Any], _: None) -> tuple[tuple[Any, Any, Any], None]:
            weights, velocity, key = state
            key, own = jax.random.split(key)
            update = _own_update(jax, workload, self._noise, weights, own)
            if workload.update == "raw":
                return (weights + update, velocity, key), None
            velocity = MOMENTUM * velocity + update / workload.stddev**2
            return (weights + LEARNING_RATE * velocity, velocity, key), None

        begin = (w, jax.numpy.zeros_like(w), key)
        return scanned(jax, step, begin, self._at_once(workload, weights), lambda state: state[0])


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


def make_jax(device: Device, generator: Generator = "threefry2x32", noise: Noise = DEFAULT_NOISE) -> JaxPeer:
    """Return the step in JAX."""
    jax = import_jax()
    try:
        (found, *_) = jax.devices("cpu" if device == "cpu" else "gpu")
    except RuntimeError as error:
        raise Unavailable(f"this JAX sees no such device: {str(error).splitlines()[0]}") from None
    return JaxPeer(jax, found, generator, noise)
