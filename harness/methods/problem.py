"""A cell made concrete: its data, its network, how a step is taken, and where the weights start."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Self, cast

import numpy as np
from numpy.typing import NDArray

from freewalk.harness.base.errors import UsageError
from freewalk.harness.base.packages import is_installed
from freewalk.harness.methods.method import FREE, Configuration, Method, Scalar
from freewalk.harness.methods.own_networks import NETWORKS
from freewalk.harness.methods.registered import METHODS
from freewalk.kernels.backend import Backend
from freewalk.kernels.cpu.trial import compile_measures
from freewalk.kernels.model.layered import LayeredNetwork, parse_architecture
from freewalk.kernels.model.network import FreeNetwork, Wired
from freewalk.kernels.model.noise import initial_weights
from freewalk.kernels.model.own_network import ModelNetwork, network_of
from freewalk.kernels.model.walk import Data, Trainer
from freewalk.tasks.registry import TASKS
from freewalk.tasks.task import Problem, Task


@dataclass(frozen=True)
class ResolvedProblem:
    """What a cell trains; no array of the network's size is made before it is asked for."""

    task: Task
    problem: Problem
    """The task with its parameters filled in."""
    method: Method
    network: FreeNetwork
    """What is trained; a layered network as the free network that it is a part of."""
    layers: LayeredNetwork | None
    """The layered network; None for a free one."""
    configuration: Configuration
    init_scale: float = 1.0
    """Times the weights that the seed gives."""
    init_biases: str = "auto"
    """`zero`, `drawn`, or `auto`: zero in layers."""

    @property
    def timesteps(self) -> int:
        """How often the layer is applied: the depth of a layered network."""
        return self.configuration.timesteps

    @property
    def mask(self) -> NDArray[np.bool_] | None:
        """Which weights there are, (n_from, n_to) bool; None for all."""
        return self.free_mask if self.layers is None else self.layers.mask

    @property
    def free_mask(self) -> NDArray[np.bool_] | None:
        """Which weights of a free network are trained; None for all, and for a layered network."""
        return None if self._wiring is None else np.isnan(self._wiring)

    @property
    def n_weights(self) -> int:
        """Number of weights that are trained."""
        if self.layers is not None:
            return self.layers.n_weights
        return self.network.n_weights if self._wiring is None else int(np.isnan(self._wiring).sum())

    @property
    def evaluations_per_step(self) -> float:
        """Forward passes of one datapoint, or their worth, that one step costs."""
        wired = None if self._wiring is None else Wired(self.n_weights)
        return self.configuration.evaluations_per_step(cast("Any", self.layers or wired or self.network))

    @cached_property
    def _wiring(self) -> NDArray[np.float64] | None:
        """Return the weights of a free network that stay as they are, NaN where they are trained; None for none."""
        is_other = self.layers is not None or isinstance(self.network, ModelNetwork)
        return None if is_other or self.problem.wiring is None else self.problem.wiring(self.network)

    def over(self, steps: int) -> Self:
        """Return the same for a trial of so many steps: schedules of the learning rate end there."""
        configuration: Any = replace(cast(Any, self.configuration), schedule_steps=steps)
        return replace(self, configuration=configuration)

    def initial_weights(self, seed: int) -> NDArray[np.float64]:
        """Return the weights before the first step, (n_from, n_to); zeros where the mask is False."""
        if isinstance(self.network, ModelNetwork):
            return self.init_scale * self.network.initial_weights(seed)
        if self.layers is not None:
            weights = self.layers.initial_weights(seed, biases=self.init_biases == "drawn")
        else:
            weights = initial_weights(self.network.n_from, self.network.n_to, seed)
        if self.init_biases == "zero":
            weights[self.network.n_input] = 0.0
        drawn = self.init_scale * weights
        return drawn if self._wiring is None else np.where(np.isnan(self._wiring), drawn, self._wiring)

    def given_weights(self, seed: int) -> NDArray[np.float64] | None:
        """Return the initial weights, or None where backends make them of the seed by themselves."""
        as_drawn = self.layers is None and self._wiring is None and self.init_scale == 1 and self.init_biases != "zero"
        as_drawn = as_drawn and not isinstance(self.network, ModelNetwork)
        return None if as_drawn else self.initial_weights(seed)

    def data(self) -> Data:
        """Compile the task's data function, or load it from the cache."""
        return self.problem.data()

    def warm_up(self, backend: Backend) -> None:
        """Compile the kernels of a trial on one thread, and what confirms its end, or load them from the cache."""
        self.method.warm_up(self, backend)
        compile_measures()

    def start(
        self, backend: Backend, *, seed: int, evaluation_points: int, initial: NDArray[np.float64] | None = None
    ) -> Trainer:
        """Return a trial at step 0 on a backend.

        Every method starts from the same weights, those of the seed or `initial`, (n_from, n_to). `evaluation_points`
        are those wanted; a task with few different datapoints shows each once.
        """
        if initial is None:
            initial = self.given_weights(seed)
        points = self.problem.evaluation_points(evaluation_points)
        return self.method.start(self, backend, seed=seed, evaluation_points=points, initial=initial)


def resolve_problem(task: str, method: str, parameters: Mapping[str, Scalar | None], steps: int = 1) -> ResolvedProblem:
    """Turn a cell's parameters into what the kernels take.

    Parameters
    ----------
    task, method : str
        Names that exist.
    parameters : mapping
        The cell's parameters by name; None or absent where one does not apply.
    steps : int
        Steps of the trial, which schedules of the learning rate need; see `ResolvedProblem.over`.

    Returns
    -------
    ResolvedProblem
        With every default that the kernels have for what is None.

    Raises
    ------
    ValueError
        If the values do not fit each other, the task or the method: a sentence with the remedy.
    UsageError
        If the task's data are in a package that is not installed.
    """
    own, problem = METHODS[method], TASKS[task].problem(parameters)
    _refuse_without_data(task, problem)
    is_own = parameters.get("architecture") in NETWORKS
    network: FreeNetwork
    layers = None if is_own else _layers(problem, parameters)
    if layers is None and own.networks == "layered":
        raise ValueError(f"method {method} learns layered networks only; {_how_to_layer(problem, 'another method')}")
    if layers is not None and own.networks == "free":
        raise ValueError(f"method {method} learns free networks only; give architecture={FREE}, or another method")
    if is_own:
        network, timesteps = _own_network(own, problem, parameters)
    elif layers is None:
        network = problem.network(int(parameters.get("hidden") or 0))
        network = replace(network, **_units(problem, parameters), leak=float(parameters.get("leak") or 1))
        timesteps = int(parameters.get("timesteps") or problem.default_timesteps)
        _refuse_wiring(own, problem, parameters)
    else:
        network, timesteps = layers.free_network, layers.depth
    configuration = own.configure(parameters, timesteps=timesteps, steps=steps)
    scale = parameters.get("init_scale")
    scale = 1.0 if scale is None else float(scale)
    biases = str(parameters.get("init_biases") or "auto")
    return ResolvedProblem(TASKS[task], problem, own, network, layers, configuration, scale, biases)


def _own_network(method: Method, problem: Problem, parameters: Mapping[str, Scalar | None]) -> tuple[ModelNetwork, int]:
    """Return the network of one's own that the parameters name, and for how many timesteps it is made."""
    name = str(parameters["architecture"])
    if not method.takes_own_networks or parameters.get("tangent") == "exact":
        takers = ", ".join(one.name for one in METHODS.values() if one.takes_own_networks)
        what = "tangent=exact" if method.takes_own_networks else f"method {method.name}"
        raise ValueError(
            f"{what} needs to know more of a network than its outputs, which is all that architecture={name} gives;"
            f" methods that do with them: {takers}"
        )
    timesteps = int(parameters.get("timesteps") or problem.default_timesteps)
    return network_of(NETWORKS[name], problem.network(int(parameters.get("hidden") or 0)), timesteps), timesteps


def _refuse_wiring(method: Method, problem: Problem, parameters: Mapping[str, Scalar | None]) -> None:
    """Raise ValueError if a method has no steps for a network of which the task says how it is connected."""
    if problem.hidden_first and not method.runs_hidden_first:
        takers = ", ".join(name for name, one in METHODS.items() if one.runs_hidden_first)
        raise ValueError(
            f"method {method.name} does not run networks whose outputs hear hidden neurons at once; methods that do:"
            f" {takers}"
        )
    usual = {"rank": "full", "directions": "independent"}
    others = [f"{key}={parameters[key]}" for key, value in usual.items() if parameters.get(key) not in (None, value)]
    if problem.wiring is not None and not (method.takes_wiring and not others):
        takers = ", ".join(name for name, one in METHODS.items() if one.takes_wiring)
        own = others[0] if method.takes_wiring else f"method {method.name}"
        raise ValueError(
            f"{own} does not train networks that lack connections, as this task's do; methods that do: {takers}, the"
            " walk with rank=full and independent directions"
        )


_PACKAGES = {"sklearn": "scikit-learn"}
"""Packages by the modules that they bring, where the names differ."""


def _refuse_without_data(task: str, problem: Problem) -> None:
    """Raise UsageError if a task's data are in a package that is not installed."""
    if problem.needs is not None and not is_installed(problem.needs):
        package = _PACKAGES.get(problem.needs, problem.needs)
        raise UsageError(f"task {task!r} needs {package}, which is not here; install it with: pip install {package}")


def _layers(problem: Problem, parameters: Mapping[str, Scalar | None]) -> LayeredNetwork | None:
    """Return the layered network that the parameters ask for; None if they ask for a free one.

    Raises
    ------
    ValueError
        If it does not fit the task's data.
    """
    text = str(parameters.get("architecture") or FREE)
    if text == FREE:
        return None
    if problem.sequence_input or problem.sequence_output:
        raise ValueError(f"architecture={text} does not fit; {_how_to_layer(problem, 'architecture=free')}")
    widths = parse_architecture(text)
    if (widths[0], widths[-1]) != (problem.n_input, problem.n_output):
        fitting = "-".join(map(str, (problem.n_input, *widths[1:-1], problem.n_output)))
        raise ValueError(
            f"architecture={text} does not fit {problem.n_input} input and {problem.n_output} output values;"
            f" give architecture={fitting}"
        )
    return LayeredNetwork.part_of(replace(problem.network(0), **_units(problem, parameters)), widths)


def _units(problem: Problem, parameters: Mapping[str, Scalar | None]) -> dict[str, Any]:
    """Return what a network is told of its neurons; without a word it has its own defaults.

    Raises
    ------
    ValueError
        If such outputs do not fit the task.
    """
    hidden, output = parameters.get("activation"), parameters.get("output") or "sigmoid"
    if output == "softmax" and not problem.softmax:
        raise ValueError("output=softmax needs a task of classes; give output=linear or output=sigmoid")
    if output in ("linear", "tanh") and problem.softmax:
        raise ValueError(f"output={output} leaves a task of classes without chances; give output=softmax")
    units: dict[str, Any] = {} if hidden is None else {"hidden_activation": hidden}
    of_outputs = {"softmax": "linear", "sigmoid": problem.output_activation}
    return units | {"output_activation": of_outputs.get(str(output), output)}


def _how_to_layer(problem: Problem, otherwise: str) -> str:
    """Say how a layered network could learn a task, or what to give where none can."""
    if problem.sequence_input or problem.sequence_output:
        return (
            "a layered network sees its input once and answers once, here data come timestep by timestep;"
            f" give form=static where the task has it, or {otherwise}"
        )
    return f"give its widths, such as architecture={problem.n_input}-16-{problem.n_output}"
