"""What is asked of `freewalk.sweep` and `freewalk.tune` alike."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from freewalk.harness.base.errors import UsageError
from freewalk.harness.plan.arguments import names_and_objects, networks_in, number_of
from freewalk.harness.plan.objects import own_objects, present
from freewalk.harness.plan.plugins import lent


class Objects(NamedTuple):
    """Tasks and methods by name, those that are objects of this process among them."""

    tasks: tuple[str, ...]
    methods: tuple[str, ...]
    plugins: tuple[str, ...]
    """What a folder knows the objects by."""


@contextmanager
def asked_objects(task: Any, method: Any, grid: Any, *, kept: bool, shared: bool) -> Iterator[Objects]:
    """Let tasks, methods and networks that are given as objects be known by name, as long as the context lasts.

    Parameters
    ----------
    task, method
        Names, objects, or several of both.
    grid
        Mappings among it may hold networks.
    kept
        Whether a folder has to know them again later.
    shared
        Whether other processes have to know them.

    Raises
    ------
    UsageError
        If one is neither, cannot be kept or shared, or its name is taken.
    """
    (tasks, own_tasks), (methods, own_methods) = names_and_objects("task", task), names_and_objects("method", method)
    own = own_objects((*own_tasks, *own_methods, *networks_in(grid)))
    if own and shared:
        raise UsageError(
            f"{own[0].name!r} is an object of this process alone; with cluster or workers put it into a Python"
            " file, and give plugins=[FILE] and its name"
        )
    with lent(own), present(own if kept else ()) as names:
        yield Objects(tasks, methods, names)


def threads_of(threads: Any) -> int | None:
    """Return how many threads are asked for at most; UsageError if that is no number of them."""
    most: int | None = number_of("threads", threads, whole=True)
    if most is not None and most < 1:
        raise UsageError(f"threads must be at least 1, got {most}")
    return most
