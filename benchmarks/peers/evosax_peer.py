"""OpenAI-ES of evosax on the same network: ask for a population, run it, tell its losses.

The population has as many members as the walk has perturbations, in antithetic pairs, evosax's own default; both
members of a pair get the same datapoint. With losses taken as they are and plain gradient descent at the rate stddev²
that is the walk's two-sided raw step on half as many datapoints. It draws half of the walk's normals and makes half of
its forward passes: one a member.
"""

from __future__ import annotations

from typing import Any

from benchmarks.peers.jax_peer import NORMALS_AT_ONCE, STEPS_TO_A_TARGET, import_jax, plain_loss, scanned
from benchmarks.peers.peer import Device, Unavailable, optional_import
from freewalk.harness.bench import Single, Steps, Workload

_MOST_STEPS_AT_ONCE = 10
_ADAM_RATE = 0.01


def _losses(jax: Any, population: Any, x: Any, y: Any) -> Any:
    """Return (2n,) losses of a population (2n, n_from, n_to), members k and n + k on datapoint k of n."""
    jnp = jax.numpy
    losses = jax.vmap(lambda *one: plain_loss(jax, x.shape[1], *one))
    return losses(population, jnp.concatenate([x, x]), jnp.concatenate([y, y]))


class EvosaxPeer:
    """OpenAI-ES with antithetic pairs; one trial."""

    sides = "two"
    """A step on given noise is the walk's two-sided one."""
    largest_error = 5e-3
    """evosax takes the noise from float32 weights again, and losses before their difference: 1e-3 is lost."""

    def __init__(self, jax: Any, evosax: Any, optax: Any) -> None:
        self._jax, self._open_es, self._optax = jax, evosax.Open_ES, optax

    def _strategy(self, workload: Workload, solution: Any, size: int) -> Any:
        """Return OpenAI-ES: the raw rule with losses as they are, or with evosax's ranks and Adam to learn fast."""
        options: dict[str, Any] = {"std_schedule": self._optax.constant_schedule(workload.stddev)}
        if workload.update == "raw":
            options["optimizer"] = self._optax.sgd(workload.stddev**2)
            options["fitness_shaping_fn"] = lambda population, fitness, state, params: fitness
        else:
            options["optimizer"] = self._optax.adam(_ADAM_RATE)
        return self._open_es(size, solution, **options)

    def update(self, workload: Workload, weights: Single, x: Single, y: Single, *noise: Single) -> Single:
        """Return what a step with given unit noise, and its mirror image, adds to the weights, (N, n_from, n_to)."""
        jax, jnp = self._jax, self._jax.numpy
        updates = []
        for w, x_k, y_k, noise_k in zip(*(map(jnp.asarray, given) for given in (weights, x, y, *noise)), strict=True):
            strategy = self._strategy(workload, w, 2 * len(x_k))
            key, params = jax.random.key(0), strategy.default_params
            state = strategy.init(key, w, params)
            population = w + workload.stddev * jnp.concatenate([noise_k, -noise_k])
            state, _ = strategy.tell(key, population, _losses(jax, population, x_k, y_k), state, params)
            updates.append(strategy.get_mean(state) - w)
        result: Single = jax.device_get(jnp.stack(updates))
        return result

    def start(self, workload: Workload, weights: Single, seed: int) -> Steps:
        """Return the loop that is timed."""
        if len(weights) != 1:
            raise Unavailable("one trial at a time")
        jax, jnp = self._jax, self._jax.numpy
        strategy = self._strategy(workload, jnp.asarray(weights[0]), workload.batch_size)
        n_points, params = workload.batch_size // 2, strategy.default_params
        most = _MOST_STEPS_AT_ONCE if workload.update == "raw" else STEPS_TO_A_TARGET
        at_once = max(1, min(most, int(NORMALS_AT_ONCE / (weights.size * workload.batch_size))))
        key, first = jax.random.split(jax.random.key(seed))

        def step(carry: tuple[Any, Any], _: None) -> tuple[tuple[Any, Any], None]:
            state, key = carry
            key, for_data, for_ask, for_tell = jax.random.split(key, 4)
            x_0 = jax.random.uniform(for_data, (n_points, 1, 3), minval=-1.0)
            x = x_0 + jnp.arange(workload.timesteps, dtype=jnp.float32)[:, None]
            y = jax.nn.sigmoid(x_0[:, 0, :1] + x_0[:, 0, 1:])
            population, state = strategy.ask(for_ask, state, params)
            state, _ = strategy.tell(for_tell, population, _losses(jax, population, x, y), state, params)
            return (state, key), None

        begin = (strategy.init(first, jnp.asarray(weights[0]), params), key)
        return scanned(jax, step, begin, at_once, lambda carry: strategy.get_mean(carry[0])[None])


def make_evosax(device: Device) -> EvosaxPeer:
    """Return OpenAI-ES of evosax."""
    if device != "cpu":
        raise Unavailable("timed on the processor alone")
    jax = import_jax()
    algorithms = optional_import("evosax.algorithms")
    return EvosaxPeer(jax, algorithms, optional_import("optax"))
