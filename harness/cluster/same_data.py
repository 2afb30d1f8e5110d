"""Whether a worker trains on what the driver would: a task's data may lie in files, which differ between machines."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from types import CodeType, FunctionType
from typing import Any, Self

import numpy as np

from freewalk.harness.base.errors import UsageError
from freewalk.harness.plan.plan import Cell
from freewalk.tasks.registry import BUILT_IN, TASKS
from freewalk.tasks.stored import Source
from freewalk.tasks.task import Problem

_PLAIN = (bool, int, float, complex, str, bytes, tuple, frozenset, np.generic)
_REMEDY = "; put the same there and start the worker again"
_FUNCTIONS = ("datapoint", "load_stored", "wiring")
"""Fields of a problem that are functions, of which only what they hold can be compared."""


@dataclass(frozen=True)
class TaskData:
    """What decides the datapoints of a task besides the code."""

    task: str
    sources: tuple[Source, ...]
    sizes: dict[str, str]
    """The other facts of the problem by name, as text."""
    held: str
    """SHA-256 of the memory and of the constants from which a task of one's own makes datapoints."""

    @classmethod
    def of(cls, cell: Cell) -> Self:
        """Return the data that this process has for a cell; loads them.

        Raises
        ------
        UsageError
            If there are none: the reason.
        """
        try:
            problem = TASKS[cell.task].problem(cell.parameters)
            sources = problem.sources
            held = "" if cell.task in BUILT_IN else _held(problem)
        except (ValueError, OSError, ImportError) as error:
            raise UsageError(f"it has no data for task {cell.task!r}: {' '.join(str(error).split())}") from None
        sizes = {one.name: repr(getattr(problem, one.name)) for one in fields(Problem) if one.name not in _FUNCTIONS}
        if problem.wiring is not None:
            wired = problem.wiring(problem.network(int(cell.parameters.get("hidden") or 0)))
            sizes["wiring"] = hashlib.sha256(np.ascontiguousarray(wired, dtype=np.float64).tobytes()).hexdigest()
        return cls(cell.task, sources, sizes, held)

    def refuse_others(self, driver: TaskData) -> None:
        """Refuse to take part with other data than the driver's.

        Raises
        ------
        UsageError
            Naming the task, and where they are known, the file and both SHA-256.
        """
        refuse_other_sources(self.task, self.sources, driver.sources)
        names = dict.fromkeys((*self.sizes, *driver.sizes))
        different = [name for name in names if self.sizes.get(name) != driver.sizes.get(name)]
        if different or self.held != driver.held:
            which = f" ({', '.join(different)})" if different else ""
            raise UsageError(f"its data of task {self.task!r} are others{which}{_REMEDY}")


def refuse_other_sources(task: str, own: Sequence[Source], driver: Sequence[Source]) -> None:
    """Refuse data of a task that come from other files or data sets than the driver's, whatever their paths.

    Raises
    ------
    UsageError
        Naming the first file that differs, and both SHA-256.
    """
    for here, there in zip(own, driver, strict=False):
        if (here.unpacked or here.sha256) != (there.unpacked or there.sha256):
            raise UsageError(
                f"its data of task {task!r} are others: {here.path} has the SHA-256 {here.sha256[:12]}…, the driver's"
                f" {there.sha256[:12]}…{_REMEDY}"
            )
    if len(own) != len(driver):
        raise UsageError(f"its data of task {task!r} are others{_REMEDY}")


def _held(problem: Problem) -> str:
    digest = hashlib.sha256()
    if problem.load_stored is not None:
        digest.update(problem.load_stored().memory.tobytes())
    for part in _constants(problem.datapoint, set()):
        digest.update(part)
    return digest.hexdigest()


def _constants(function: Any, seen: set[int]) -> Iterator[bytes]:
    """Yield what the compiler takes from outside a function, and those that it calls: arrays, numbers, texts."""
    function = getattr(function, "py_func", function)
    if not isinstance(function, FunctionType) or id(function) in seen or function.__module__.startswith("freewalk."):
        return
    seen.add(id(function))
    outside = {name: function.__globals__.get(name) for name in sorted(_names(function.__code__))}
    cells = zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
    outside |= {name: cell.cell_contents for name, cell in cells}
    for name, value in outside.items():
        if isinstance(value, np.ndarray):
            yield f"{name} {value.dtype} {value.shape}".encode() + value.tobytes()
        elif isinstance(value, _PLAIN):
            yield f"{name} {value!r}".encode()
        else:
            yield from _constants(value, seen)


def _names(code: CodeType) -> set[str]:
    inner = [_names(constant) for constant in code.co_consts if isinstance(constant, CodeType)]
    return set(code.co_names).union(*inner)
