"""Tasks, methods and networks that are objects of a Python session, as a sweep's folder knows them: by a digest.

They stand among a sweep's plug-ins, `python:KIND:NAME@sha256:HEX` in place of a file's pinned path.
"""

from __future__ import annotations

import platform
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from freewalk.harness.base.errors import UsageError
from freewalk.harness.base.fingerprint import NoFingerprint, fingerprint
from freewalk.harness.methods.method import OwnMethod
from freewalk.kernels.model.own_network import OwnNetwork

if TYPE_CHECKING:
    from freewalk.tasks.task import Task

_NAMED: Final = re.compile(r"python:(?P<kind>task|method|network):(?P<name>[^@]+)@sha256:(?P<sha256>[0-9a-f]{64})")
_SAID: Final = frozenset({"summary", "parameter_help", "baseline", "baseline_text", "difficulty", "guesses", "spaces"})
"""Fields that decide nothing of a trial."""

_present: set[str] = set()
"""The names of the objects that are lent now."""


def is_object(spec: str) -> bool:
    """Tell whether a plug-in's name is that of an object of a Python session."""
    return _NAMED.fullmatch(spec) is not None


def title(spec: str) -> str:
    """Return what to call an object in messages: task 'signs' of a Python session."""
    found = _NAMED.fullmatch(spec)
    assert found is not None
    return f"{found['kind']} {found['name']!r} of a Python session"


def same_object(one: str, other: str) -> bool:
    """Tell whether two names are of the same task, method or network, whatever it does."""
    found = [_NAMED.fullmatch(spec) for spec in (one, other)]
    return None not in found and len({(f["kind"], f["name"]) for f in found if f is not None}) == 1


@contextmanager
def present(objects: Iterable[Task | OwnMethod | OwnNetwork]) -> Iterator[tuple[str, ...]]:
    """Yield the names of objects, by which a sweep may refer to them as long as the context lasts.

    Raises
    ------
    UsageError
        If it cannot be told what one does.
    """
    names = tuple(_name(one) for one in objects)
    added = {*names} - _present
    _present.update(added)
    try:
        yield names
    finally:
        _present.difference_update(added)


def refuse_absent(spec: str) -> None:
    """Refuse, with a UsageError, an object that is not lent now."""
    if spec not in _present:
        found = _NAMED.fullmatch(spec)
        assert found is not None
        kind, name = found["kind"], found["name"]
        raise UsageError(
            f"{kind} {name!r} was an object of a Python session, or is another one by now: make the same call there"
            f" again, with the object it was; or put it into a Python file, name that with --plugin, and"
            " choose another --out"
        )


def text_of(spec: str) -> dict[str, str]:
    """Describe an object as a plug-in's text: what to call it, its digest, and the Python that this is of."""
    refuse_absent(spec)
    sha256 = spec.rpartition(":")[2]
    return {"path": title(spec), "sha256": sha256, "code": sha256, "python": _python()}


def _python() -> str:
    return ".".join(platform.python_version_tuple()[:2])


def _name(one: Task | OwnMethod | OwnNetwork) -> str:
    kind = "method" if isinstance(one, OwnMethod) else "network" if isinstance(one, OwnNetwork) else "task"
    try:
        sha256 = fingerprint([type(one), {key: value for key, value in vars(one).items() if key not in _SAID}])
    except NoFingerprint as error:
        raise UsageError(
            f"{kind} {one.name!r} cannot be kept with out: it refers to {error}, and nothing can tell later whether"
            f" that is still the same; put the {kind} into a Python file, and give plugins=[FILE] and its name"
        ) from None
    return f"python:{kind}:{one.name}@sha256:{sha256}"


def own_objects(objects: Iterable[Any]) -> tuple[Any, ...]:
    """Return those that no registry holds: neither freewalk nor a plug-in brings them."""
    from freewalk.harness.methods.own_networks import NETWORKS
    from freewalk.harness.methods.registered import METHODS
    from freewalk.tasks.registry import TASKS

    known = {id(one) for one in (*TASKS.values(), *METHODS.values(), *NETWORKS.values())}
    return tuple(one for one in objects if id(one) not in known)
