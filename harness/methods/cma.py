"""CMA-ES by pycma, the package `cma` of its author: asked and told, under freewalk's budgets and random numbers.

Hansen: The CMA evolution strategy: a tutorial, arXiv 1604.00772.
"""

from __future__ import annotations

import io
import math
import pickle
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import Field

from freewalk.harness.methods.method import Card
from freewalk.harness.methods.population import SPREAD_SPACE, PopulationMethod, SpreadParameters
from freewalk.kernels.model.population import Array, Origin, Strategy, Tried, member_normals

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from freewalk.harness.methods.problem import ResolvedProblem

_MOST_WEIGHTS = 3000
_OTHERS = {
    "numpy": {"_reconstruct", "_frombuffer", "ndarray", "dtype", "scalar", "eigh"},
    "collections": {"OrderedDict"},
}
"""What a pickle may name beside the package's own classes."""
_STATE = "cma"


class _Normals:
    """What cma draws from: normals of the trial's seed and step, in the order in which it asks for them."""

    def __init__(self, seed: int) -> None:
        self.seed, self.step, self.drawn = seed, 0, 0

    def __call__(self, *shape: int) -> Array:
        rows, columns = math.prod(shape[:-1]), shape[-1]
        drawn = member_normals(self.seed, self.step, self.drawn + np.arange(rows), 0, columns)
        self.drawn += rows
        return drawn.reshape(shape)


class _Pickler(pickle.Pickler):
    def persistent_id(self, one: Any) -> str | None:
        return "normals" if isinstance(one, _Normals) else None


class _Unpickler(pickle.Unpickler):
    """Reads what cma and NumPy arrays are made of, and refuses anything else."""

    def __init__(self, data: bytes, normals: _Normals) -> None:
        super().__init__(io.BytesIO(data))
        self._normals = normals

    def persistent_load(self, name: str) -> _Normals:
        return self._normals

    def find_class(self, module: str, name: str) -> Any:
        package = module.partition(".")[0]
        if package == "cma" or name in _OTHERS.get(package, ()):
            return super().find_class(module, name)
        raise pickle.UnpicklingError(f"{module}.{name} is no part of cma")


class Cma(Strategy):
    """A `cma.CMAEvolutionStrategy`; its state is its pickle, as bytes."""

    def __init__(self, origin: Origin) -> None:
        import cma

        super().__init__(origin)
        own = origin.parameters
        self._normals = _Normals(origin.seed)
        options = {
            "popsize": origin.members,
            "CMA_diagonal": own.covariance == "diagonal",
            "randn": self._normals,
            "seed": math.nan,  # which leaves NumPy's own generator alone
            "verbose": -9,
        }
        self._es: Any = cma.CMAEvolutionStrategy(origin.weights, own.sigma0, options)

    def ask(self, step: int) -> Array:
        """Return draws of the distribution."""
        self._normals.step, self._normals.drawn = step, 0
        return np.stack(self._es.ask())

    def tell(self, step: int, members: Array, tried: Tried) -> None:
        """Move mean, covariance and step size."""
        self._es.tell(list(members), tried.losses.tolist())

    @property
    def answer(self) -> Array:
        """The mean."""
        return np.array(self._es.mean, dtype=np.float64)

    def state(self) -> dict[str, NDArray[Any]]:
        """Return the pickle."""
        buffer = io.BytesIO()
        _Pickler(buffer, protocol=5).dump(self._es)
        return {_STATE: np.frombuffer(buffer.getvalue(), dtype=np.uint8)}

    def shapes(self, state: Mapping[str, NDArray[Any]]) -> dict[str, tuple[int, ...]]:
        """Return the shape that the pickle has: its length varies."""
        return {_STATE: (state[_STATE].size if _STATE in state else 0,)}

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Go on from a pickle.

        Raises
        ------
        ValueError
            If it is none of cma's, or of another number of weights.
        """
        try:
            es = _Unpickler(state[_STATE].astype(np.uint8).tobytes(), self._normals).load()
            n = len(es.mean)
        except Exception as error:
            raise ValueError(f"the state is not one of this release of cma: {error}") from None
        if n != len(self.origin.weights):
            raise ValueError(f"the state is of {n} weights, this trial has {len(self.origin.weights)}")
        self._es = es


class CmaParameters(SpreadParameters):
    """What CMA-ES uses besides."""

    covariance: Literal["full", "diagonal"] = Field(
        "full", description="full: all of the covariance matrix of P weights; diagonal: separable CMA-ES"
    )


class CmaMethod(PopulationMethod):
    """CMA-ES."""

    name = "cma"
    summary = "CMA-ES by the package cma (extra es): a normal distribution that learns its covariance"
    parameters = CmaParameters
    spaces = (SPREAD_SPACE,)
    also_called = ("cma_es", "cmaes", "pycma")
    needs = "cma"
    card = Card(
        equation="members x_k = mean + sigma y_k, y_k normal with covariance C, ranked by loss; mean moves to a "
        "weighted mean of the best half, C by their y_k' y_k less those of the worst half (rank mu, active) and by "
        "the path of the mean (rank one), sigma by the length of such a path",
        reference="Hansen and Ostermeier, Evolutionary Computation 9(2), 2001, doi:10.1162/106365601750190398; "
        "Hansen, The CMA evolution strategy: a tutorial, arXiv:1604.00772; the package: doi:10.5281/zenodo.2559634",
        unbiased="nothing: ranks decide. Weights are the mean of the distribution",
        variance="that of K draws: the more members, the less",
        cost="K B: every member on the whole batch; besides 16 P^2 bytes of memory, and P^3 operations every few steps",
        deviations="none of ours: cma does all but draw, which Philox does, keyed by seed and step",
        held_by="tests/harness/methods/test_population_libraries.py",
    )

    def refusal(self, parameters: Any, n_weights: int, n_members: int) -> str | None:
        """Refuse what a covariance matrix of 16 P**2 bytes does not leave room for."""
        if parameters.covariance == "diagonal" or n_weights <= _MOST_WEIGHTS:
            return None
        return (
            f"method {self.name} takes up to {_MOST_WEIGHTS:,} weights, this network has {n_weights:,}; give"
            " covariance=diagonal, or method=snes"
        )

    def bytes_carried(self, problem: ResolvedProblem, *, float64: bool) -> int:
        """Return the memory of the members, and of a covariance matrix with its roots, eigenvectors and a copy."""
        configuration: Any = problem.configuration
        full = configuration.parameters.covariance == "full"
        return super().bytes_carried(problem, float64=float64) + (4 * 8 * problem.n_weights**2 if full else 0)

    def strategy(self, origin: Origin) -> Strategy:
        """Return CMA-ES around the start."""
        return Cma(origin)


CMA = CmaMethod()
