"""How fast is a step here? The workloads, the walk's step and NumPy's, and rounds that time several of them in turn.

`harness bench` and the comparisons in benchmarks/ measure with what is here, so that both find the same.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from freewalk.kernels.backend import Backend
from freewalk.kernels.machine.threads import usable_threads
from freewalk.kernels.model.network import FreeNetwork
from freewalk.kernels.model.noise import DEFAULT_GENERATOR, DEFAULT_NOISE, Kind, Noise
from freewalk.kernels.model.walk import Sides, WalkConfiguration
from freewalk.results.statistics.cell import median, quartiles
from freewalk.tasks.registry import TASKS

Single = NDArray[np.float32]
PROBLEM = TASKS["shifted-sums"].problem({})
LEARNING_RATE, MOMENTUM = 0.3, 0.9
"""Of the momentum rule: the best settings of the walk on this task."""
SEED = 100
_WARM_CALLS = 2  # one compiles; JAX compiles once more when it meets its own output as input
_MOST_STEPS = 100_000
_MOST_GROWTH = 4  # from one guess to the next
_GUESSES = 4
_GROWN = 2  # a guess that grew by this much is not the last
_FEWEST_ROUNDS = 3
_SHARE_OF_WAKING = 10  # a tenth of a measurement goes before it, untimed


@dataclass(frozen=True)
class Workload:
    """One step of `n_trials` trials of the original program's example: 3 inputs, 2 outputs, one-sided."""

    hidden: int = 30
    timesteps: int = 4
    batch_size: int = 1000
    n_trials: int = 1
    stddev: float = 0.01
    update: Literal["raw", "momentum"] = "raw"
    """`raw`: the original rule. `momentum`: the estimate divided by stddev², v = 0.9 v + g, W -= 0.3 v."""
    rank: int | None = None
    """Of the perturbations; None: every weight's own number."""

    @property
    def network(self) -> FreeNetwork:
        """The network of every trial."""
        return PROBLEM.network(self.hidden)

    @property
    def configuration(self) -> WalkConfiguration:
        """The walk's configuration of every trial."""
        raw = WalkConfiguration(
            stddev=self.stddev, batch_size=self.batch_size, timesteps=self.timesteps, rank=self.rank
        )
        if self.update == "raw":
            return raw
        return replace(raw, update="normalised", optimizer="momentum", learning_rate=LEARNING_RATE, momentum=MOMENTUM)

    @property
    def numbers(self) -> int:
        """Random numbers of a perturbation."""
        network = self.network
        return network.n_weights if self.rank is None else self.rank * (network.n_from + network.n_to)

    @property
    def noise_shapes(self) -> tuple[tuple[float, tuple[int, ...]], ...]:
        """Standard deviations and shapes of the arrays that make a perturbation: of itself, or of rank 1 of a and b."""
        n_from, n_to = self.network.n_from, self.network.n_to
        if self.rank is None:
            return ((self.stddev, (n_from, n_to)),)
        return (self.stddev, (n_from,)), (1.0, (n_to,))

    @property
    def label(self) -> str:
        """What departs from the default."""
        here, usual = (
            {
                "hidden": one.hidden,
                "T": one.timesteps,
                "B": one.batch_size,
                "trials": one.n_trials,
                "rank": one.rank,
            }
            for one in (self, DEFAULT)
        )
        return ", ".join(f"{name} {here[name]:,}" for name in here if here[name] != usual[name]) or "default"


DEFAULT = Workload()
HIDDEN_254 = Workload(hidden=254)
T_100 = Workload(timesteps=100, stddev=0.1)
"""At stddev 0.01 nothing moves where outputs are saturated, as inputs that grow with the timestep make them."""
WORKLOADS = (DEFAULT, HIDDEN_254, T_100)


class Loop(Protocol):
    """Trials in progress, to be timed."""

    steps_at_once: int
    """`measure` takes multiples of this many steps."""

    def measure(self, n_steps: int) -> float:
        """Take steps; return the seconds they took, the device's work included."""

    def weights(self) -> NDArray[np.floating]:
        """Return a copy of the weights of all trials, (n_trials, n_from, n_to)."""

    def close(self) -> None:
        """Give the memory back."""


def wall_seconds(work: Callable[[], object]) -> float:
    """Do the work; return the seconds it took."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


class Steps:
    """A loop made of a function that takes n steps, one that returns the weights, and a clock."""

    def __init__(
        self,
        take: Callable[[int], object],
        weights: Callable[[], Any],
        seconds: Callable[[Callable[[], object]], float] = wall_seconds,
        *,
        at_once: int = 1,
        close: Callable[[], object] | None = None,
    ) -> None:
        self.steps_at_once = at_once
        self._take, self._weights, self._seconds, self._close = take, weights, seconds, close

    def measure(self, n_steps: int) -> float:
        """Take steps; return the seconds."""
        return self._seconds(lambda: self._take(n_steps))

    def weights(self) -> NDArray[np.floating]:
        """Return a copy of what `weights` gives."""
        return np.array(self._weights())

    def close(self) -> None:
        """Give the memory back."""
        del self._take, self._weights
        if self._close is not None:
            self._close()


def walk_steps(
    workload: Workload, backend: Backend, *, noise: Kind = DEFAULT_NOISE, sides: Sides = "one", seed: int = SEED
) -> Steps:
    """Return the walk's own step of one trial, on all threads of the backend."""
    distribution, _, generator = noise.partition("-")
    drawn: dict[str, Any] = {"noise": distribution, "generator": generator or DEFAULT_GENERATOR}
    configuration = replace(workload.configuration, sides=sides, **drawn)
    walk = backend.make_walk(workload.network, configuration, PROBLEM.data(), seed=seed, evaluation_points=1)
    backend.spread(walk)
    return Steps(walk.train, lambda: [walk.weights])


def first_weights(workload: Workload, seed: int = 1) -> Single:
    """Return (n_trials, n_from, n_to) weights of the distribution that the walk begins with."""
    n_from, n_to = workload.network.n_from, workload.network.n_to
    bound = math.sqrt(6 / (n_from + n_to))
    return np.random.default_rng(seed).uniform(-bound, bound, (workload.n_trials, n_from, n_to)).astype(np.float32)


class ArrayStep:
    """The step in vectorised NumPy, or in a library that has its functions.

    Shapes: N trials, B datapoints, T timesteps; weights (N, n_from, n_to), x (N, B, T, 3), y (N, B, 2) and noise
    (N, B, n_from, n_to), or of rank 1 the vectors (N, B, n_from) and (N, B, n_to) whose product it is; all float32.
    """

    xp: Any = np
    seconds = staticmethod(wall_seconds)

    def __init__(self, noise: Noise = DEFAULT_NOISE) -> None:
        self._noise = noise

    def generator(self, seed: int) -> Any:
        """Return a source of random numbers."""
        return np.random.default_rng(seed)

    def uniform(self, random: Any, shape: tuple[int, ...]) -> Any:
        """Return float32 numbers in [0, 1)."""
        return random.random(shape, dtype=np.float32)

    def normal(self, random: Any, stddev: float, shape: tuple[int, ...]) -> Any:
        """Return float32 normals."""
        normals = random.standard_normal(shape, dtype=np.float32)
        normals *= np.float32(stddev)
        return normals

    def draw(self, random: Any, stddev: float, shape: tuple[int, ...]) -> Any:
        """Return float32 numbers of the step's kind of noise."""
        if self._noise == "gaussian":
            return self.normal(random, stddev, shape)
        return self.xp.where(self.uniform(random, shape) < 0.5, np.float32(-stddev), np.float32(stddev))

    def to_numpy(self, array: Any) -> Single:
        """Return an array in the processor's memory."""
        return np.asarray(array)

    def release(self) -> None:
        """Give memory back that is kept for later."""

    def update(self, workload: Workload, weights: Single, x: Single, y: Single, *noise: Single) -> Single:
        """Return what a step on given unit noise adds to the weights, (N, n_from, n_to)."""
        w, x_, y_, first, *more = (self.xp.asarray(array, dtype=np.float32) for array in (weights, x, y, *noise))
        return self.to_numpy(self._update(workload, w, x_, y_, first * np.float32(workload.stddev), *more))

    def _update(self, workload: Workload, weights: Any, x: Any, y: Any, *noise: Any) -> Any:
        """Return the mean over datapoints of their perturbation times the loss that it takes away.

        Both passes share a product with the weights.
        """
        xp, (n_trials, batch_size), (_, n_from, n_to) = self.xp, noise[0].shape[:2], weights.shape
        a = xp.zeros((n_trials, 2, batch_size, n_to), dtype=np.float32)
        bias = xp.ones((n_trials, 2, batch_size, 1), dtype=np.float32)
        for t in range(workload.timesteps):
            fed = xp.broadcast_to(x[:, None, :, t], (n_trials, 2, batch_size, x.shape[-1]))
            inputs = xp.concatenate([fed, bias, a], axis=-1)
            z = xp.matmul(inputs.reshape(n_trials, 2 * batch_size, n_from), weights)
            z = z.reshape(n_trials, 2, batch_size, n_to)
            if len(noise) == 1:
                z[:, 1] += xp.matmul(inputs[:, 1, :, None, :], noise[0])[:, :, 0]
            else:
                z[:, 1] += (inputs[:, 1] * noise[0]).sum(axis=-1, keepdims=True) * noise[1]
            with np.errstate(over="ignore"):  # an infinity gives the 0 that it should
                a = 1 / (1 + xp.exp(-z))
        losses = ((a[..., : y.shape[-1]] - y[:, None]) ** 2).sum(axis=-1)
        lowered = losses[:, 0] - losses[:, 1]
        if len(noise) == 1:
            product = xp.matmul(lowered[:, None, :], noise[0].reshape(n_trials, batch_size, -1))
        else:
            product = xp.matmul((lowered[..., None] * noise[0]).swapaxes(1, 2), noise[1])
        return product.reshape(weights.shape) / np.float32(batch_size)

    def start(self, workload: Workload, weights: Single, seed: int) -> Steps:
        """Return the loop that is timed: data and noise by the library's own generator."""
        random, w = self.generator(seed), self.xp.array(weights, dtype=np.float32)
        velocity = self.xp.zeros(w.shape, dtype=np.float32)
        times = self.xp.arange(workload.timesteps, dtype=np.float32)[:, None]
        batch = (len(weights), workload.batch_size)

        def take(n_steps: int) -> None:
            for _ in range(n_steps):
                first = self.uniform(random, (*batch, 1, 3)) * 2 - 1
                y = 1 / (1 + self.xp.exp(-(first[:, :, 0, :1] + first[:, :, 0, 1:])))
                noise = [self.draw(random, size, (*batch, *shape)) for size, shape in workload.noise_shapes]
                move(self._update(workload, w, first + times, y, *noise))

        def move(update: Any) -> None:
            if workload.update == "raw":
                w[...] += update
            else:
                velocity[...] = MOMENTUM * velocity + update / workload.stddev**2
                w[...] += LEARNING_RATE * velocity

        return Steps(take, lambda: self.to_numpy(w), self.seconds, close=self.release)


class Effort(NamedTuple):
    """How long to measure."""

    seconds: float = 0.1
    """Aim for one measurement."""
    rounds: int = 11
    most_seconds: float = 2.5
    """Of all measurements of a loop: a slow one gets fewer rounds, but at least three."""
    rest: float = 0.15
    """Seconds before each measurement: idle threads of OpenMP and BLAS wait busily for a while, and slow the next."""


class Plan(NamedTuple):
    """How a loop is measured."""

    n_steps: int
    """Of one measurement."""
    rounds: int
    rest: float
    waking: int
    """Untimed steps that go before it."""


def calibrate(loop: Loop, effort: Effort) -> Plan:
    """Warm a loop; return how many steps make a measurement of the wanted length, and how many of them to take."""
    for _ in range(_WARM_CALLS):
        loop.measure(loop.steps_at_once)
    most_calls = _MOST_STEPS // loop.steps_at_once
    seconds = _seconds_a_call(loop, 1)
    calls = min(math.ceil(effort.seconds / seconds), most_calls)
    for _ in range(_GUESSES):  # a call alone takes longer than one among many, the more so while threads wake
        if calls == 1:
            break
        seconds = _seconds_a_call(loop, calls)
        before, calls = calls, max(1, min(math.ceil(effort.seconds / seconds), _MOST_GROWTH * calls, most_calls))
        if calls < _GROWN * before:
            break
    rounds = int(effort.most_seconds / max(seconds * calls, effort.seconds))
    waking = 0 if calls == 1 else math.ceil(calls / _SHARE_OF_WAKING) * loop.steps_at_once
    return Plan(calls * loop.steps_at_once, max(_FEWEST_ROUNDS, min(effort.rounds, rounds)), effort.rest, waking)


def _seconds_a_call(loop: Loop, calls: int) -> float:
    return max(loop.measure(calls * loop.steps_at_once) / calls, 1e-9)


def measured(loop: Loop, plan: Plan) -> float:
    """Return seconds a step, once other threads sleep and the loop's own are awake."""
    time.sleep(plan.rest)
    if plan.waking:
        loop.measure(plan.waking)
    return loop.measure(plan.n_steps) / plan.n_steps


def interleave(loops: Mapping[str, Loop], plans: Mapping[str, Plan]) -> Iterator[tuple[str, float | Exception]]:
    """Yield seconds a step in rounds, each loop once a round for as long as it has rounds left, or why it failed."""
    left = dict(loops)
    for round_ in range(max((plans[name].rounds for name in loops), default=0)):
        for name, loop in [one for one in left.items() if round_ < plans[one[0]].rounds]:
            try:
                yield name, measured(loop, plans[name])
            except Exception as error:
                del left[name]
                yield name, error


class Beside(NamedTuple):
    """One workload's step beside NumPy's; each figure as quartiles and median."""

    workload: Workload
    milliseconds: tuple[float, float, float]
    numpy_milliseconds: tuple[float, float, float]
    ratio: tuple[float, float, float]
    """NumPy's time over the walk's, of the rounds."""


def beside_numpy(backend: Backend, workloads: Sequence[Workload]) -> Iterator[Beside]:
    """Time the walk's step and NumPy's in turn, on as many threads; yield each workload as soon as it is known."""
    for workload in workloads:
        loops = {
            "freewalk": walk_steps(workload, backend),
            "numpy": ArrayStep().start(workload, first_weights(workload), 1),
        }
        samples: dict[str, list[float]] = {name: [] for name in loops}
        with threadpool_limits(usable_threads(), user_api="blas"):
            plans = {name: calibrate(loop, Effort(rounds=9)) for name, loop in loops.items()}
            for name, seconds in interleave(loops, plans):
                if isinstance(seconds, Exception):
                    raise seconds
                samples[name].append(1000 * seconds)
        ratios = [theirs / ours for ours, theirs in zip(samples["freewalk"], samples["numpy"], strict=False)]
        yield Beside(workload, spread(samples["freewalk"]), spread(samples["numpy"]), spread(ratios))


def spread(values: Sequence[float]) -> tuple[float, float, float]:
    """Return the lower quartile, the median and the upper quartile."""
    low, high = quartiles(values)
    return float(low), float(median(values)), float(high)
