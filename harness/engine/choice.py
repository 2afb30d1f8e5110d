"""Which engine runs which trials of a sweep."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial

from freewalk.harness.base.errors import UsageError
from freewalk.harness.engine.engine import Engine
from freewalk.harness.methods.own_networks import is_own
from freewalk.harness.methods.registered import METHODS
from freewalk.harness.plan.budget import Budget
from freewalk.harness.plan.plan import Plan, Trial
from freewalk.harness.plan.settings import BACKENDS
from freewalk.kernels.backend import Backend, resolve_backend
from freewalk.kernels.cuda.device import there_may_be_a_gpu, why_unusable
from freewalk.kernels.machine.threads import usable_threads


def engines_for(
    backend: Backend, budget: Budget, plan: Plan, trials: Sequence[Trial], *, checkpoint_seconds: float = math.inf
) -> Iterator[tuple[Engine, Sequence[Trial]]]:
    """Yield engines with what each shall run: the walk on the backend, and methods without kernels there on the CPU.

    Parameters
    ----------
    backend, budget
        Of the sweep.
    plan
        The whole sweep, which decides what makes a pack.
    trials
        What is left of it.
    checkpoint_seconds
        Time between two checkpoints of a trial.
    """
    for home, whole, own in by_home(partial(backend_of, backend), plan.trials, trials):
        yield Engine(home, budget, whole, checkpoint_seconds=checkpoint_seconds), own


def by_home(
    home_of: Callable[[str, object], Backend], plan: Sequence[Trial], trials: Sequence[Trial]
) -> Iterator[tuple[Backend, list[Trial], list[Trial]]]:
    """Yield each backend with those of all trials, and of those left, whose method and architecture run there."""
    homes = {learner: home_of(*learner) for learner in dict.fromkeys(trial.cell.learner for trial in plan)}
    for home in dict.fromkeys(homes[trial.cell.learner] for trial in trials):
        whole, own = ([one for one in some if homes[one.cell.learner] == home] for some in (plan, trials))
        yield home, whole, own


def usable_backend(name: str) -> Backend:
    """Return the backend of that name.

    Raises
    ------
    UsageError
        If it cannot be used on this machine.
    """
    try:
        usable_threads()
    except ValueError as error:
        raise UsageError(str(error)) from None
    try:
        return resolve_backend(name)
    except ValueError as error:
        raise UsageError(f"--backend {name}: {error}") from None


def backend_of(backend: Backend, method: str, architecture: object = "free") -> Backend:
    """Return where a method runs on a backend: there, or on the CPU if the backend has no kernels for the two."""
    has_kernels = METHODS[method].runs_on_gpus and not is_own(architecture)
    return backend if has_kernels or not backend.most_in_a_pack else resolve_backend("cpu")


def backend_for(name: str, method: str, architecture: object = "free") -> Backend:
    """Return where a method runs on the backend of that name.

    Raises
    ------
    UsageError
        If there is none of that name, it cannot be used on this machine or for these cells, or was demanded and has no
        kernels for them.
    """
    if name not in BACKENDS:
        raise UsageError(f"--backend {name}: must be one of {', '.join(BACKENDS)}")
    refuse_without_kernels(name, [(method, architecture)])
    return backend_of(usable_backend(name), method, architecture)


def note_of(backend: Backend) -> str | None:
    """Return the line that says why `auto` computes on the CPU; None if there is nothing to say, or no GPU at all."""
    if backend.note is None or (backend.note == why_unusable() and not there_may_be_a_gpu()):
        return None
    return f"harness: backend auto computes on the CPU: {backend.note}"


def where(backend: Backend) -> dict[str, object]:
    """Return the columns of the trials table that say what computed a trial."""
    return {"backend": backend.name, "device": backend.device, "dtype": backend.dtype}


def refuse_without_kernels(choice: str, learners: Iterable[tuple[str, object]]) -> None:
    """Raise UsageError if a GPU was demanded for methods or architectures that have no kernels there."""
    learners = [*learners]
    others = dict.fromkeys(method for method, _ in learners if not METHODS[method].runs_on_gpus)
    own = dict.fromkeys(str(architecture) for _, architecture in learners if is_own(architecture))
    missing = [f"method {', '.join(others)}"] if others else []
    missing += [f"architecture={','.join(own)}"] if own else []
    if choice == "cuda" and missing:
        raise UsageError(
            f"backend cuda has no kernels for {' and '.join(missing)}; give --backend auto, which runs what has some on"
            " the GPU and the rest on the CPU"
        )
