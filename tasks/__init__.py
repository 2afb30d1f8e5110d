"""What is to be learned: data as a function of (seed, step, datapoint), a metric and a target."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from freewalk.kernels.data.task_functions import data_words, uniform
    from freewalk.tasks.arrays import from_arrays
    from freewalk.tasks.bits import random_bit
    from freewalk.tasks.errors import DataError, UnreachableTargets
    from freewalk.tasks.images import read_idx
    from freewalk.tasks.registry import register
    from freewalk.tasks.stored import Source, Stored, drawn
    from freewalk.tasks.task import Guesses, Place, Problem, Task

__all__ = [
    "DataError",
    "Guesses",
    "Place",
    "Problem",
    "Source",
    "Stored",
    "Task",
    "UnreachableTargets",
    "data_words",
    "drawn",
    "from_arrays",
    "random_bit",
    "read_idx",
    "register",
    "uniform",
]

_HOMES = {
    "DataError": "freewalk.tasks.errors",
    "Guesses": "freewalk.tasks.task",
    "Place": "freewalk.tasks.task",
    "Problem": "freewalk.tasks.task",
    "Source": "freewalk.tasks.stored",
    "Stored": "freewalk.tasks.stored",
    "Task": "freewalk.tasks.task",
    "UnreachableTargets": "freewalk.tasks.errors",
    "data_words": "freewalk.kernels.data.task_functions",
    "drawn": "freewalk.tasks.stored",
    "from_arrays": "freewalk.tasks.arrays",
    "random_bit": "freewalk.tasks.bits",
    "read_idx": "freewalk.tasks.images",
    "register": "freewalk.tasks.registry",
    "uniform": "freewalk.kernels.data.task_functions",
}


def __getattr__(name: str) -> Any:
    """Import a public name on first use, so that a module of tasks loads no more than it needs."""
    if name in _HOMES:
        import importlib

        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'freewalk.tasks' has no attribute {name!r}")
