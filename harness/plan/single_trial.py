"""The one trial that the options of a command make."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from freewalk.harness.base.errors import UsageError, unknown
from freewalk.harness.parameters.parameters import PARAMETERS


def own_settings(texts: Iterable[str], given: Mapping[str, str]) -> dict[str, str]:
    """Return what --set says, by parameter; `given` are options of the same command.

    Raises
    ------
    UsageError
        If a text is none, or a parameter is given twice.
    """
    settings: dict[str, str] = {}
    for text in texts:
        key, equals, value = (part.strip() for part in text.partition("="))
        if not (key and equals and value) or key in ("task", "method"):
            raise UsageError(f"--set {text!r}: write a parameter and its value, such as --rate 0.1")
        if key not in PARAMETERS:
            raise UsageError(f"--set {text!r}: {unknown('parameter', key, PARAMETERS)}")
        if key in settings or key in given:
            raise UsageError(f"--set {text!r}: {key} is given twice; leave one out")
        settings[key] = value
    return settings


def single_trial(command: str, task: str, method: str, seed: str, given: Mapping[str, str]) -> Any:
    """Return the one trial that options make, with every default filled in.

    Raises
    ------
    UsageError
        If a value is wrong, does not fit the others, or makes several trials.
    """
    from freewalk.harness.plan.configuration import resolve
    from freewalk.harness.plan.grid import axis_text
    from freewalk.harness.plan.plan import expand
    from freewalk.harness.plan.registry import BuiltInRegistry

    registry = BuiltInRegistry()
    grid = [axis_text(name, value) for name, value in given.items()]
    plan = expand(resolve(grid, registry=registry, tasks=[task], methods=[method], seeds=seed), registry)
    if len(plan.trials) != 1:
        raise UsageError(f"{command} takes one trial, these options make {len(plan.trials)}; give one value each")
    return plan.trials[0]
