"""Options that several commands share; their defaults are those of the configuration."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from freewalk.harness.configuration import BACKENDS, SweepConfiguration

_TYPES: dict[str, type] = {
    "epochs": int,
    "steps_per_epoch": int,
    "target": float,
    "plateau": int,
    "evaluation_points": int,
}
_HELP = {
    "epochs": "Epochs of a trial; after each it is judged.",
    "steps_per_epoch": "Steps of an epoch.",
    "target": "Value of the metric to reach.",
    "plateau": "Stop a trial after so many epochs without improvement.",
    "evaluation_points": "Held-out datapoints.",
    "backend": "What computes.",
}
_DEFAULT_WORDS = {"target": "each task's own", "plateau": "never"}


def run_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that say how long trials run, how they are judged and what computes them."""
    for name, text in reversed(list(_HELP.items())):
        default = _DEFAULT_WORDS.get(name) or SweepConfiguration.model_fields[name].default
        function = click.option(
            f"--{name.replace('_', '-')}",
            type=_TYPES.get(name),
            metavar="|".join(BACKENDS) if name == "backend" else None,
            envvar=f"HARNESS_{name.upper()}",
            help=f"{text}  [default: {default}]",
        )(function)
    return function
