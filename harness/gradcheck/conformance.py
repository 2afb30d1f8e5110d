"""Does a task or a method keep what the harness relies on? For one's own, and for those that come with freewalk."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from freewalk.harness.methods.method import Method
from freewalk.harness.methods.problem import ResolvedProblem, resolve_problem
from freewalk.harness.methods.registered import METHODS
from freewalk.harness.parameters.parameters import Scalar, add_method, default_of, remove_method
from freewalk.harness.plan.plan import fill
from freewalk.kernels.backend import resolve_backend
from freewalk.kernels.data.datapoints import draw_rows
from freewalk.kernels.model.noise import Stream
from freewalk.kernels.model.walk import Trainer
from freewalk.kernels.trainers.reference_trainer import measure
from freewalk.tasks.registry import TASKS
from freewalk.tasks.task import Problem, Task

Complaints = Iterator[str]
Datapoints = tuple[NDArray[np.float32], NDArray[np.float32]]

_N = 37  # not a multiple of the 16 datapoints of a lane group
_MORE_TIMESTEPS = 3
_PLAIN_TOLERANCE = 1e-6
_SECONDS_TO_STOP = 20.0


def check_task(task: Task, parameters: Mapping[str, Scalar] | None = None) -> None:
    """Check that a task keeps what trials rely on.

    Its parameters' defaults work; every number of x and y is written, finite and a function of (seed, step, datapoint)
    alone; datapoints, steps and seeds differ; held-out data are not the training data; timesteps are respected; plain
    Python computes the same as the compiled function; targets lie where outputs do; the target is met by the right
    answers and not by the blind one.

    Parameters
    ----------
    task
        One's own or one of freewalk's.
    parameters
        Values other than the defaults; with output=linear targets may be any numbers.

    Raises
    ------
    AssertionError
        With a line for everything that is wrong.
    """
    _complain(f"task {task.name!r}", lambda: _task_complaints(task, dict(parameters or {})))


def _complain(what: str, complaints: Callable[[], Complaints]) -> None:
    found: list[str] = []
    try:
        found.extend(complaints())
    except Exception as error:
        found.append(f"{type(error).__name__}: {' '.join(str(error).split())}")
    if found:
        raise AssertionError(f"{what}:\n" + "\n".join(f"- {line}" for line in found))


def _task_complaints(task: Task, parameters: dict[str, Scalar]) -> Complaints:
    problem = task.problem(parameters)
    timesteps = max(problem.default_timesteps, problem.least_timesteps)
    if timesteps != problem.default_timesteps and (problem.sequence_input or problem.sequence_output):
        yield f"default_timesteps={problem.default_timesteps} is below least_timesteps={problem.least_timesteps}"
    draw = _Drawing(problem, timesteps)
    training = draw()
    held_out = draw(stream=Stream.EVALUATION_DATA, n=problem.evaluation_points(_N))
    for name, data in (("training", training), ("held-out", held_out)):
        own = parameters.get("output", problem.output_activation)
        yield from _number_complaints(name, data, problem, _LOWEST.get(str(own), 0.0))
    yield from _writing_complaints(draw, training)
    yield from _variety_complaints(problem, draw, training, held_out)
    yield from _timestep_complaints(task, problem, parameters, timesteps)
    yield from _plain_complaints(problem, timesteps, training, held_out)
    yield from _target_complaints(task, problem, held_out)


class _Drawing:
    """Draws datapoints of a problem."""

    def __init__(self, problem: Problem, timesteps: int) -> None:
        self._problem, self._timesteps, self._data = problem, timesteps, problem.data()

    def __call__(
        self, *, seed: int = 3, stream: Stream = Stream.DATA, step: int = 5, n: int = _N, before: float = 0.0
    ) -> Datapoints:
        """Return x (n, rows, n_input) and y (n, rows, n_output)."""
        network, timesteps = self._problem.network(0), self._timesteps
        where: Any = {"seed": seed, "stream": stream, "step": step}
        return draw_rows(network, self._data, timesteps, n_datapoints=n, before=before, **where)


def _equal(a: Datapoints, b: Datapoints) -> bool:
    return all(np.array_equal(one, other, equal_nan=True) for one, other in zip(a, b, strict=True))


_LOWEST = {"tanh": -1.0, "linear": -math.inf}
"""Of outputs, but of sigmoids, by what makes them."""


def _number_complaints(which: str, data: Datapoints, problem: Problem, lowest: float) -> Complaints:
    x, y = data
    counted = y[~np.isnan(y)]
    if not np.isfinite(x).all() or not np.isfinite(counted).all():
        yield f"{which} data hold numbers that are not finite"
    elif not counted.size:
        yield f"{which} targets are NaN, so that none counts"
    elif math.isfinite(lowest) and (counted.min() < lowest or counted.max() > 1):
        yield (
            f"{which} targets reach from {counted.min():g} to {counted.max():g}, outputs only from {lowest:g} to 1:"
            " scale them, or learn them with output=linear"
        )
    elif problem.softmax and not np.allclose(y[~np.isnan(y).any(axis=-1)].sum(axis=-1), 1, atol=1e-5):
        yield f"{which} targets of a softmax must sum to 1"


def _writing_complaints(draw: _Drawing, training: Datapoints) -> Complaints:
    for name, poisoned, other in zip("xy", draw(before=np.nan), draw(before=7.0), strict=True):
        if not np.array_equal(poisoned, other, equal_nan=True) or (name == "x" and np.isnan(poisoned).any()):
            yield f"not all of {name} is written, or it is read before it is written"
    if not _equal(draw(), training):
        yield "the same seed, step and datapoint give different data"
    if not _equal(draw(n=20), (training[0][:20], training[1][:20])):
        yield "a datapoint depends on how many others there are"


def _variety_complaints(problem: Problem, draw: _Drawing, training: Datapoints, held_out: Datapoints) -> Complaints:
    n_patterns = len(np.unique(training[0].reshape(_N, -1), axis=0))
    if problem.domain_size != 1 and n_patterns == 1:
        yield "all datapoints of a step have the same x"
    if problem.domain_size != 1 and _equal(draw(step=6), training):
        yield "every step has the same data"
    if problem.domain_size is not None:
        return  # few datapoints: a batch may hold them all, whatever the seed
    if _equal(draw(seed=4), training):
        yield "every seed has the same data"
    rows = {row.tobytes() for row in training[0]} & {row.tobytes() for row in held_out[0]}
    by_chance = n_patterns < _N / 2
    if len(rows) > min(len(training[0]), len(held_out[0])) / 2 and not by_chance:
        yield "held-out datapoints are training datapoints: use the stream, or say domain_size if there are so few"


def _timestep_complaints(task: Task, problem: Problem, parameters: dict[str, Scalar], timesteps: int) -> Complaints:
    more = timesteps + _MORE_TIMESTEPS
    if problem.most_timesteps is None or more <= problem.most_timesteps:
        longer = task.problem(parameters | {"timesteps": more})
        draw = _Drawing(longer, more)
        if not _equal(draw(before=np.nan), draw(before=7.0)):
            yield f"not all of x and y is written with timesteps={more}"
    if problem.least_timesteps > 1 and (problem.sequence_input or problem.sequence_output):
        try:
            task.problem(parameters | {"timesteps": problem.least_timesteps - 1})
        except ValueError:
            return
        yield f"timesteps={problem.least_timesteps - 1} is not refused"


def _plain_complaints(problem: Problem, timesteps: int, training: Datapoints, held_out: Datapoints) -> Complaints:
    argument = problem.data().argument
    cases = [(Stream.DATA, 5, training, k) for k in (0, 1, _N - 1)] + [(Stream.EVALUATION_DATA, 5, held_out, 0)]
    for stream, step, (xs, ys), k in cases:
        x, y = np.full(xs.shape[1:], np.nan, np.float32), np.full(ys.shape[1:], np.nan, np.float32)
        try:
            problem.datapoint(3, int(stream), step, k, timesteps, argument, x, y)
        except Exception as error:
            yield f"the data function does not run as plain Python: {type(error).__name__}: {error}"
            return
        if not all(
            np.allclose(a, b, rtol=_PLAIN_TOLERANCE, atol=_PLAIN_TOLERANCE, equal_nan=True)
            for a, b in ((x, xs[k]), (y, ys[k]))
        ):
            yield f"plain Python and the compiled function differ on datapoint {k} of {stream.name}"


def _target_complaints(task: Task, problem: Problem, held_out: Datapoints) -> Complaints:
    network = problem.network(0)
    y = held_out[1] if network.sequence_output else held_out[1][:, 0]
    best = task.measure(measure(network, y.astype(np.float64), y))
    target = f"{task.comparison} {task.target:g}"
    if not task.is_met_by(best):
        yield f"the right answers have {task.metric} {best:g}, which misses the target {target}"
    if task.baseline is not None and task.is_met_by(task.baseline):
        yield f"the baseline {task.baseline:g} meets the target {target}"


def check_method(
    method: Method, settings: Mapping[str, Scalar] | None = None, *, task: str = "xor", steps: int = 5
) -> None:
    """Check that a method keeps what trials rely on, on a small network.

    The same seed gives the same bits, in one call or several; steps are counted; evaluating moves nothing; a request to
    stop is heard; weights stay finite, of their shape, and 0 where there is none; a trial goes on from its state to the
    same bits; what a step is said to cost covers the evaluations that `ArrayTrainer.losses` counted.

    Parameters
    ----------
    method
        One's own or one of freewalk's.
    settings
        Parameters other than the defaults; hidden=3 and batch_size=8 unless given.
    task
        What is learned.
    steps
        Steps of a trial.

    Raises
    ------
    AssertionError
        With a line for everything that is wrong.
    """
    with _registered(method):
        _complain(f"method {method.name!r}", lambda: _method_complaints(method, dict(settings or {}), task, steps))


@contextmanager
def _registered(method: Method) -> Iterator[None]:
    """Let a method have its name while it is checked."""
    known = METHODS.get(method.name) is method
    if not known:
        add_method(method)
    try:
        yield
    finally:
        if not known:
            remove_method(method.name)


def _method_complaints(method: Method, settings: dict[str, Scalar], task: str, steps: int) -> Complaints:
    problem = _method_problem(method, settings, task, steps)
    backend = resolve_backend("cpu")
    problem.warm_up(backend)

    def start(seed: int = 1) -> Trainer:
        return problem.start(backend, seed=seed, evaluation_points=64)

    first, claimed = start(), problem.evaluations_per_step
    if not (np.isfinite(claimed) and claimed > 0):
        yield f"a step is said to cost {claimed} evaluations"
    if first.step != 0:
        yield f"a new trial has step {first.step}"
    if not np.array_equal(first.weights, problem.initial_weights(1)):
        yield "a new trial does not start from the weights it was given"
    progress = first.train(steps)
    if progress.steps != steps or first.step != steps:
        yield f"train({steps}) counted {progress.steps} steps, and step is {first.step}"
    counted = getattr(first, "evaluations", 0)
    if counted > claimed * steps:
        yield f"{steps} steps took {counted} evaluations and are said to cost {claimed * steps:g}"
    yield from _weight_complaints(problem, first)
    yield from _repeat_complaints(start, first, steps)
    yield from _stop_complaints(start())


def _method_problem(method: Method, settings: dict[str, Scalar], task: str, steps: int) -> ResolvedProblem:
    small: dict[str, Scalar] = {"batch_size": 8}
    if "architecture" not in settings:
        small["hidden"] = 3
    parameters = fill(method.name, {**small, **settings}, TASKS[task].parameters)
    for name in method.parameters.model_fields:
        if parameters[name] is None and name not in ("learning_rate", "schedule", "momentum", "optimizer"):
            parameters[name] = default_of(name, method.name)
    return resolve_problem(task, method.name, parameters, steps)


def _weight_complaints(problem: ResolvedProblem, trainer: Trainer) -> Complaints:
    weights = trainer.weights.copy()
    wanted = (problem.network.n_from, problem.network.n_to)
    if weights.shape != wanted or weights.dtype != np.float64:
        yield f"weights must be float64 of shape {wanted}, got {weights.dtype} of shape {weights.shape}"
        return
    if not np.isfinite(weights).all():
        yield "weights are not finite after a few steps"
    if problem.mask is not None and weights[~problem.mask].any():
        yield "weights are not 0 where the network has none"
    before = trainer.evaluate()
    if trainer.evaluate() != before and not np.isnan(before.accuracy):
        yield "two evaluations of the same weights differ"
    if not np.array_equal(trainer.weights, weights):
        yield "an evaluation moves the weights"
    trainer.weights[:] = 0.0
    if not np.array_equal(trainer.weights, weights):
        yield "weights is not a copy"


def _repeat_complaints(start: Callable[..., Trainer], first: Trainer, steps: int) -> Complaints:
    again, other, halves = start(), start(2), start()
    again.train(steps)
    if not np.array_equal(again.weights, first.weights):
        yield "the same seed gives other bits"
    other.train(steps)
    if np.array_equal(other.weights, first.weights):
        yield "another seed gives the same bits"
    halves.train(2)
    state = halves.state() if hasattr(halves, "state") else None
    halves.train(steps - 2)
    if not np.array_equal(halves.weights, first.weights):
        yield "steps taken in two calls give other bits than in one"
    if state is not None:
        resumed: Any = start()
        resumed.restore(state)
        resumed.train(steps - 2)
        if resumed.step != steps or not np.array_equal(resumed.weights, first.weights):
            yield "a trial that goes on from its state gives other bits"


def _stop_complaints(trainer: Trainer) -> Complaints:
    thread = threading.Thread(target=trainer.train, args=(10**9,), daemon=True)
    thread.start()
    trainer.request_stop()
    thread.join(_SECONDS_TO_STOP)
    if thread.is_alive():
        yield f"train goes on {_SECONDS_TO_STOP:g} s after request_stop"
