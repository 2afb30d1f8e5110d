"""What a weights file says of its cell, as options of a command that goes on from it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click

from freewalk.harness.base.errors import UsageError
from freewalk.harness.commands.options import option
from freewalk.harness.parameters.parameters import CONDITIONS, PARAMETERS

_FOLLOWS_OPTIMIZER = ("learning_rate", "momentum")
"""Values that suit one optimizer only."""


def weights_option(text: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Add --weights, for a command that may go without."""
    return option(
        "--weights", type=click.Path(path_type=Path), metavar="FILE", help=f"Weights that train saved: {text}"
    )


def weights_argument(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the file of weights that a command is about."""
    return click.argument("weights", type=click.Path(path_type=Path), metavar="FILE")(function)


def load_given(weights: Path, plugins: tuple[str, ...]) -> Any:
    """Return what a file of weights holds, once plug-ins are loaded."""
    from freewalk.harness.plan.plugins import load_entry_points, load_plugins
    from freewalk.harness.weights.weights_file import load

    load_entry_points()
    load_plugins(plugins)
    return load(weights)


def load_for(path: Path, task: str | None) -> Any:
    """Read a weights file of a task.

    Raises
    ------
    UsageError
        If it cannot be read, its weights are not finite, or it was trained on another task.
    """
    from freewalk.harness.weights.weights_file import load

    saved = load(path, option="--weights ")
    if task is not None and saved.task not in (None, task):
        raise UsageError(f"--weights {path} was trained on {saved.task}, not {task}; leave --task out")
    return saved


def carried_network(parameters: Mapping[str, Any]) -> dict[str, str]:
    """Return what a weights file says of the network and the data, as options."""
    return {
        name: str(value)
        for name, value in parameters.items()
        if name in PARAMETERS and PARAMETERS[name].group != "method" and name != "batch_size"
    }


def carried_training(parameters: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, str]:
    """Return what a weights file says of the method, as options, less what the given options make meaningless."""
    carried = {
        name: str(value)
        for name, value in parameters.items()
        if name in PARAMETERS and (PARAMETERS[name].group == "method" or name == "batch_size")
    }
    if given.get("optimizer") not in (None, carried.get("optimizer")):
        carried = {name: value for name, value in carried.items() if name not in _FOLLOWS_OPTIMIZER}
    for name, (parent, required) in CONDITIONS.items():
        if given.get(parent) not in (None, required):
            carried.pop(name, None)
    if given.get("update") not in (None, "normalised"):  # momentum hangs on optimizer, which hangs on update
        carried.pop("momentum", None)
    return carried
