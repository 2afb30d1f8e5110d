"""What methods share that propose weight sets and look at nothing but their losses."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast

from pydantic import Field

from freewalk.harness.base.errors import UsageError
from freewalk.harness.base.packages import is_installed
from freewalk.harness.methods.method import Configuration, Method, Parameters, Scalar
from freewalk.harness.methods.space import BATCH_SIZES, Range, Space

if TYPE_CHECKING:
    from freewalk.harness.methods.problem import ResolvedProblem
    from freewalk.kernels.backend import Backend
    from freewalk.kernels.model.population import Origin, Strategy
    from freewalk.kernels.model.walk import Trainer


Members = Literal["auto"] | Annotated[int, Field(ge=2, le=2**31 - 1)]


def members(default: int | None = None) -> Any:
    """Return the field of how many members a step has."""
    return Field(
        "auto" if default is None else default,
        description="weight sets that a step tries, K (popsize), each on all `batch_size` datapoints; auto: 4 + floor(3"
        " ln P) for P weights",
        json_schema_extra={"values": "auto or a whole number of at least 2"},
    )


BITS = {"batch_size": "16"}
"""What learns AND and XOR."""


class PopulationParameters(Parameters):
    """What every such method uses."""

    population: Members = members()


SPREAD_SPACE: Space = {"sigma0": Range(0.03, 3), "population": Range(8, 256), "batch_size": BATCH_SIZES}
"""Of those that begin with members around the start."""


class SpreadParameters(PopulationParameters):
    """What those use besides that begin with members around the start."""

    sigma0: float = Field(
        0.5, gt=0, le=1e30, allow_inf_nan=False, description="standard deviation of the first members around the start"
    )


class PopulationMethod(Method):
    """A method whose steps are those of a strategy; a step costs K times the batch size."""

    parameters: type[Parameters] = PopulationParameters
    takes_wiring = True
    runs_hidden_first = True

    @abstractmethod
    def strategy(self, origin: Origin) -> Strategy:
        """Return the strategy of a trial at its start."""

    def tolerance(self, parameters: Any) -> float:
        """Return how far outputs may be from their targets, given the own parameters; infinity: members see all."""
        return math.inf

    def refusal(self, parameters: Any, n_weights: int, n_members: int) -> str | None:
        """Return why it does not take the own parameters, weights and members, with the remedy; None where it does."""
        return None

    def configure(self, parameters: Mapping[str, Scalar | None], *, timesteps: int, steps: int) -> Configuration:
        """Return the configuration, with the own parameters checked by their model.

        Raises
        ------
        UsageError
            If the package that it needs is not installed.
        """
        from freewalk.kernels.model.population import PopulationConfiguration

        if self.needs is not None and not is_installed(self.needs):
            raise UsageError(
                f"method {self.name} needs {self.needs}, which is not here; install it with: pip install 'freewalk[es]'"
            )
        names = self.parameters.model_fields
        own: Any = self.parameters(**{name: parameters[name] for name in names if parameters.get(name) is not None})
        return PopulationConfiguration(
            method=self.name,
            strategy=self.strategy,
            batch_size=int(parameters.get("batch_size") or 1),
            timesteps=timesteps,
            population=None if own.population == "auto" else own.population,
            tolerance=self.tolerance(own),
            refusal=self.refusal,
            parameters=own,
            schedule_steps=steps,
        )

    def start(self, problem: ResolvedProblem, backend: Backend, **given: Any) -> Trainer:
        """Return a trial at step 0."""
        from freewalk.kernels.trainers.population_trainer import CpuPopulation, ReferencePopulation

        kind: Any = ReferencePopulation if backend.name == "reference" else CpuPopulation
        trainer = kind(problem.network, problem.configuration, problem.data(), mask=problem.mask, **given)
        return cast("Trainer", trainer)

    def warm_up(self, problem: ResolvedProblem, backend: Backend) -> None:
        """Compile the kernels of one thread, or load them from the cache."""
        from freewalk.kernels.trainers.population_trainer import compile_kernels

        if backend.name != "reference":
            compile_kernels(threads=1)

    def kernels(self, parameters: Mapping[str, Scalar | None]) -> str:
        """Return what all such methods share."""
        return "population"

    def bytes_carried(self, problem: ResolvedProblem, *, float64: bool) -> int:
        """Return the memory of the members: as they are asked for, as the kernels run them, and what made them."""
        configuration: Any = problem.configuration
        members: int = configuration.members(problem.n_weights)
        return members * (3 * 8 * problem.n_weights + 4 * problem.network.n_weights)

    def passes(self, problem: ResolvedProblem) -> float:
        """Return K: each member sees every datapoint."""
        return problem.evaluations_per_step / problem.configuration.batch_size
