"""A short sweep on the processor and on the device: the same trials must learn, after about as many steps."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple

from freewalk.harness.bench.accelerator import Accelerator
from freewalk.harness.bench.checks.check import Check, Measure
from freewalk.kernels.cpu.trial import CpuWalk
from freewalk.kernels.machine.threads import usable_threads
from freewalk.kernels.model.pack import PackTrial
from freewalk.kernels.model.walk import Evaluation, Progress, WalkConfiguration
from freewalk.results.ending.convergence import Convergence
from freewalk.tasks.registry import TASKS

_SEEDS = range(3)
_STEPS_OF_AN_EPOCH = 5
_EPOCHS = 40
_POINTS = 1000
_SHARE_OF_STEPS = 0.05


class Ending(NamedTuple):
    """How a trial ended."""

    outcome: str
    steps: int | None
    """To the target, if it was reached."""


@dataclass(frozen=True)
class _Cell:
    task: str
    configuration: WalkConfiguration

    @property
    def name(self) -> str:
        c = self.configuration
        return f"{self.task}, {c.optimizer}, stddev {c.stddev:g}, T {c.timesteps}, B {c.batch_size}"


_BASE = WalkConfiguration(
    stddev=0.1, batch_size=256, timesteps=4, update="normalised", optimizer="momentum", learning_rate=0.3
)
_CELLS = (
    _Cell("shifted-sums", replace(_BASE, stddev=0.01, batch_size=1000)),
    _Cell("xor", _BASE),
    _Cell("xor", replace(_BASE, timesteps=1)),
    _Cell("xor", replace(_BASE, timesteps=4, optimizer="adam", learning_rate=0.1)),
    _Cell("sign", replace(_BASE, timesteps=2)),
)


def sweep_checks(accelerator: Accelerator, *, quick: bool) -> Iterator[Check]:
    """Yield a check a cell."""
    for cell in _CELLS[:2] if quick else _CELLS:
        yield Check("sweep: device = processor", cell.name, partial(_compare, accelerator, cell))


def _compare(accelerator: Accelerator, cell: _Cell) -> Measure:
    found, wanted = _on_device(accelerator, cell), _on_processor(cell)
    disagreeing = sum(not agree(a, b) for a, b in zip(found, wanted, strict=True))
    note = f"device {_words(found)}; processor {_words(wanted)}"
    return Measure(f"trials of {len(_SEEDS)} that end otherwise", float(disagreeing), 0, note)


def agree(found: Ending, wanted: Ending) -> bool:
    """Tell whether two trials ended alike, with steps to the target within 5 % or one evaluation of each other."""
    if found.outcome != wanted.outcome:
        return False
    if found.steps is None or wanted.steps is None:
        return found.steps == wanted.steps
    return abs(found.steps - wanted.steps) <= max(_STEPS_OF_AN_EPOCH, _SHARE_OF_STEPS * wanted.steps)


def _words(endings: list[Ending]) -> str:
    return ", ".join(f"{e.outcome}{'' if e.steps is None else f' at {e.steps}'}" for e in endings)


class _Judge:
    """One trial's convergence, fed epoch by epoch."""

    def __init__(self, cell: _Cell) -> None:
        self._task = TASKS[cell.task]
        self._convergence = Convergence(self._task.target, self._task.direction, strict=self._task.strict)

    @property
    def is_done(self) -> bool:
        return self._convergence.outcome is not None

    def observe(self, step: int, loss: float, evaluation: Evaluation) -> None:
        self._convergence.observe(
            step=step,
            evaluations=0,
            train_seconds=0.0,
            loss=evaluation.loss if math.isfinite(loss) else math.nan,
            metric=self._task.measure(evaluation),
            output_spread=evaluation.output_spread,
        )

    def ending(self) -> Ending:
        return Ending(str(self._convergence.finish()), self._convergence.steps_to_target)


def _follow(
    judges: list[_Judge], train: Callable[[], list[Progress]], evaluate: Callable[[], list[Evaluation]]
) -> None:
    """Let trials run side by side until each has come to its end or the budget is spent."""
    for epoch in range(1, _EPOCHS + 1):
        progress = train()
        for judge, made, evaluation in zip(judges, progress, evaluate(), strict=True):
            if not judge.is_done:
                judge.observe(epoch * _STEPS_OF_AN_EPOCH, made.loss, evaluation)
        if all(judge.is_done for judge in judges):
            return


def _on_device(accelerator: Accelerator, cell: _Cell) -> list[Ending]:
    problem = TASKS[cell.task].problem({})
    batch = accelerator.many(
        problem.network(30),
        problem.data(),
        [PackTrial(cell.configuration, seed) for seed in _SEEDS],
        evaluation_points=problem.evaluation_points(_POINTS),
    )
    judges = [_Judge(cell) for _ in _SEEDS]
    _follow(judges, lambda: batch.train(_STEPS_OF_AN_EPOCH), batch.evaluate)
    return [judge.ending() for judge in judges]


def _on_processor(cell: _Cell) -> list[Ending]:
    with ThreadPoolExecutor(usable_threads()) as pool:
        return list(pool.map(partial(_one_on_processor, cell), _SEEDS))


def _one_on_processor(cell: _Cell, seed: int) -> Ending:
    problem = TASKS[cell.task].problem({})
    walk = CpuWalk(
        problem.network(30),
        cell.configuration,
        problem.data(),
        seed=seed,
        evaluation_points=problem.evaluation_points(_POINTS),
    )
    judge = _Judge(cell)
    _follow([judge], lambda: [walk.train(_STEPS_OF_AN_EPOCH)], lambda: [walk.evaluate()])
    return judge.ending()
