"""The tasks by name: those that come with freewalk, and those that plug-ins add."""

from __future__ import annotations

import re
from collections.abc import Mapping

from freewalk.tasks import (
    adding,
    addition,
    characters,
    copying,
    delayed_xor,
    images,
    latch,
    linear_perceptron,
    linear_teacher,
    logic,
    long_parity,
    parity,
    reservoir,
    shifted_sums,
    sign,
    sparse_parity,
    tomita,
    two_sequence,
)
from freewalk.tasks.task import Task

_TASKS: dict[str, Task] = {
    task.name: task
    for task in (
        *(shifted_sums.TASK, logic.AND, logic.OR, logic.XOR, sign.TASK, parity.TASK, addition.TASK),
        *(images.DIGITS, images.MNIST),
        *(adding.TASK, delayed_xor.TASK, copying.TASK, long_parity.TASK, characters.TASK),
        *(two_sequence.TASK, latch.FIRST, latch.SECOND, tomita.TASK, sparse_parity.TASK),
        *(linear_teacher.TASK, linear_perceptron.TASK, reservoir.TASK),
    )
}

TASKS: Mapping[str, Task] = _TASKS
"""Every task, in the order in which it is shown."""

BUILT_IN: tuple[str, ...] = tuple(_TASKS)
"""The names of those that come with freewalk."""


def check_name(kind: str, name: str) -> None:
    """Raise ValueError unless a name is made of letters, digits, points, hyphens and underscores, a letter first."""
    if re.fullmatch(r"[A-Za-z][A-Za-z0-9._-]*", name) is None:
        raise ValueError(
            f"{kind} {name!r}: a name has letters, digits, points, hyphens and underscores, a letter first"
        )


def register(task: Task) -> None:
    """Add a task of your own.

    Raises
    ------
    ValueError
        If its name is taken by another task, or is none that a command line takes.
    """
    check_name("task", task.name)
    if _TASKS.get(task.name, task) is not task:
        whose = "that comes with freewalk" if task.name in BUILT_IN else "that another plug-in brought"
        raise ValueError(f"task {task.name!r} is the name of a task {whose}; choose another name")
    _TASKS[task.name] = task


def unregister(name: str) -> None:
    """Forget a task of your own; those that come with freewalk stay."""
    if name not in BUILT_IN:
        _TASKS.pop(name, None)
