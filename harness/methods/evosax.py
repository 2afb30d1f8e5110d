"""The algorithms of evosax, evolution strategies and others in JAX: asked and told, under freewalk's budgets.

Lange: evosax: JAX-based evolution strategies, arXiv 2212.04180.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import Field

from freewalk.harness.base.errors import UsageError
from freewalk.harness.methods.method import Card, Configuration, Scalar
from freewalk.harness.methods.population import Members, PopulationMethod, SpreadParameters, members
from freewalk.kernels.model.population import Array, Origin, Strategy, Tried, member_normals
from freewalk.results.base.names import nearest

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from freewalk.harness.methods.problem import ResolvedProblem
    from freewalk.kernels.backend import Backend


@cache
def _algorithms() -> dict[str, Any]:
    """Return evosax's algorithms by name, those that need nothing but a size and a solution."""
    import evosax.algorithms as module

    return {name: kind for name, kind in sorted(vars(module).items()) if hasattr(kind, "tell") and _is_complete(kind)}


def _is_complete(kind: Any) -> bool:
    given = inspect.signature(kind).parameters.values()
    return {one.name for one in given if one.default is inspect.Parameter.empty} == {"population_size", "solution"}


@cache
def _made(name: str, n_members: int, n_weights: int, sigma0: float) -> tuple[Any, Any]:
    """Return an algorithm and its parameters; one of each, since JAX compiles for each anew."""
    import jax.numpy as jnp
    import optax

    kind, options = _algorithms()[name], {}
    if "std_schedule" in inspect.signature(kind.__init__).parameters:
        options["std_schedule"] = optax.constant_schedule(sigma0)
    algorithm = kind(population_size=n_members, solution=jnp.zeros(n_weights), **options)
    parameters = algorithm.default_params
    if hasattr(parameters, "std_init"):
        parameters = parameters.replace(std_init=jnp.asarray(sigma0, dtype=jnp.float32))
    return algorithm, parameters


def _on_the_processor() -> Any:
    import jax

    return jax.default_device(jax.devices("cpu")[0])


class Evosax(Strategy):
    """An algorithm of evosax; its state is the leaves of the algorithm's state."""

    def __init__(self, origin: Origin) -> None:
        import jax

        super().__init__(origin)
        own, n = origin.parameters, len(origin.weights)
        with _on_the_processor():
            self._algorithm, self._parameters = _made(own.strategy, origin.members, n, own.sigma0)
            self._key = jax.random.key(origin.seed % 2**63)
            start = origin.weights.astype(np.float32)
            self._has_mean = hasattr(self._algorithm, "get_mean")
            key = jax.random.fold_in(self._key, 0)
            if self._has_mean:
                self._state = self._algorithm.init(key, start, self._parameters)
            else:  # members are there from the start: those of step 0, which are run first
                self._state = self._begun(np.tile(start, (origin.members, 1)), np.zeros(origin.members))

    def _begun(self, population: Array, losses: Array) -> Any:
        import jax

        key = jax.random.fold_in(self._key, 0)
        return self._algorithm.init(key, population.astype(np.float32), losses.astype(np.float32), self._parameters)

    def ask(self, step: int) -> Array:
        """Return the algorithm's members; if it keeps a population, first one around the start."""
        import jax

        o = self.origin
        if step == 0 and not self._has_mean:
            noise = member_normals(o.seed, step, np.arange(o.members), 0, len(o.weights))
            noise[0] = 0.0
            first: Array = (o.weights + o.parameters.sigma0 * noise).astype(np.float32).astype(np.float64)
            return first
        with _on_the_processor():
            key = jax.random.fold_in(self._key, 2 * step + 1)
            population, self._state = self._algorithm.ask(key, self._state, self._parameters)
            return np.asarray(population, dtype=np.float64)

    def tell(self, step: int, members: Array, tried: Tried) -> None:
        """Tell the algorithm the losses."""
        import jax

        with _on_the_processor():
            if step == 0 and not self._has_mean:
                self._state = self._begun(members, tried.losses)
                return
            key = jax.random.fold_in(self._key, 2 * step + 2)
            told = members.astype(np.float32), tried.losses.astype(np.float32), self._state, self._parameters
            self._state, _ = self._algorithm.tell(key, *told)

    @property
    def answer(self) -> Array:
        """The mean, or the best of the population that the algorithm keeps."""
        state = self._state
        best = state.mean if self._has_mean else np.asarray(state.population)[np.argmin(np.asarray(state.fitness))]
        return np.asarray(best, dtype=np.float64)

    def state(self) -> dict[str, NDArray[Any]]:
        """Return the leaves of the algorithm's state."""
        import jax

        arrays = (np.asarray(leaf) for leaf in jax.tree.leaves(self._state))
        numbers = (leaf.astype(np.uint8) if leaf.dtype == np.bool_ else leaf for leaf in arrays)
        return {f"leaf_{k}": leaf for k, leaf in enumerate(numbers)}

    def shapes(self, state: Mapping[str, NDArray[Any]]) -> dict[str, tuple[int, ...]]:
        """Return the shapes of the leaves."""
        return {name: leaf.shape for name, leaf in self.state().items()}

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Go on from leaves."""
        import jax
        import jax.numpy as jnp

        leaves, structure = jax.tree.flatten(self._state)
        with _on_the_processor():
            given = [jnp.asarray(state[f"leaf_{k}"], dtype=jnp.asarray(leaf).dtype) for k, leaf in enumerate(leaves)]
        self._state = jax.tree.unflatten(structure, given)


class EvosaxParameters(SpreadParameters):
    """What algorithms of evosax use besides."""

    population: Members = members(32)
    strategy: str = Field(
        "CMA_ES",
        min_length=1,
        description="algorithm of evosax, by the name of its class: CMA_ES, Sep_CMA_ES, SNES, xNES, Open_ES, PGPE, "
        "SimpleGA, DifferentialEvolution and others",
        json_schema_extra={"values": "a name such as CMA_ES"},
    )


class EvosaxMethod(PopulationMethod):
    """Algorithms of evosax."""

    name = "evosax"
    summary = "evolution strategies and others by the package evosax (extra es)"
    parameters = EvosaxParameters
    needs = "evosax"
    card = Card(
        equation="ask the algorithm that `strategy` names for K members, run them on the batch, tell it their losses",
        reference="Lange, evosax: JAX-based evolution strategies, GECCO companion 2023, arXiv:2212.04180; each "
        "algorithm's own paper is named in its file there",
        unbiased="nothing that holds for all of its algorithms. Weights are the algorithm's mean, or the best of the "
        "population that it keeps",
        variance="that of K draws, by the algorithm's own rule",
        cost="K B: every member on the whole batch; an algorithm that keeps a population has its first one run as "
        "step 0",
        deviations="evosax's defaults but for sigma0, where an algorithm has such a number; networks run in "
        "freewalk's kernels, not in JAX",
        held_by="tests/harness/methods/test_population_libraries.py",
    )

    def configure(self, parameters: Mapping[str, Scalar | None], *, timesteps: int, steps: int) -> Configuration:
        """Return the configuration.

        Raises
        ------
        UsageError
            If evosax is not installed or has no such algorithm.
        """
        made = super().configure(parameters, timesteps=timesteps, steps=steps)
        name = str(parameters.get("strategy") or EvosaxParameters().strategy)
        if name not in _algorithms():
            raise UsageError(f"strategy={name!r}{nearest(name, _algorithms())}: evosax has {', '.join(_algorithms())}")
        return made

    def refusal(self, parameters: Any, n_weights: int, n_members: int) -> str | None:
        """Refuse what evosax does."""
        try:
            with _on_the_processor():
                _made(parameters.strategy, n_members, n_weights, parameters.sigma0)
        except AssertionError as error:
            return (
                f"evosax refuses population={n_members} for {parameters.strategy}: {str(error).rstrip('.')}; give"
                " another population"
            )
        return None

    def warm_up(self, problem: ResolvedProblem, backend: Backend) -> None:
        """Compile the kernels of one thread, and the algorithm for the network's number of weights."""
        super().warm_up(problem, backend)
        configuration: Any = problem.configuration
        n = problem.n_weights
        k = configuration.members(n)
        own = Evosax(Origin(np.zeros(n), np.zeros(n, np.intp), 0, k, configuration.parameters))
        for step in range(2):
            asked = own.ask(step)
            own.tell(step, asked, Tried(np.arange(float(k)), np.ones(k, np.int64), np.zeros(k, np.bool_)))

    def kernels(self, parameters: Mapping[str, Scalar | None]) -> str:
        """Return what is compiled anew for every algorithm and network."""
        names = ("strategy", "population", "sigma0", "hidden", "architecture")
        return " ".join([super().kernels(parameters), *(f"{parameters.get(name)}" for name in names)])

    def strategy(self, origin: Origin) -> Strategy:
        """Return the algorithm around the start."""
        return Evosax(origin)


EVOSAX = EvosaxMethod()
