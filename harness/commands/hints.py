"""What to write instead of an option that a command does not have."""

from __future__ import annotations

from collections.abc import Sequence

import click

from freewalk.harness.parameters.parameters import AXIS_KEYS, PARAMETERS
from freewalk.results.base.names import meant, nearest

_OF_ONE_TRIAL = ("train", "gradcheck")
_SEVERAL = ("LOW,HIGH", "NAMES", "PLACES", "SEEDS")


def hint(error: click.NoSuchOption, arguments: Sequence[str]) -> str:
    """Return what follows the message that there is no such option; empty where nothing comes near it."""
    command = error.ctx.info_name if error.ctx else None
    key = error.option_name.lstrip("-").replace("-", "_")
    value = _value_of(error.option_name, arguments)
    takes = error.ctx.command.get_params(error.ctx) if error.ctx else []  # --help among them
    options = [one for one in takes if isinstance(one, click.Option) and (one.expose_value or not one.hidden)]
    known = [name for one in options for name in one.opts]
    shown = [name for one in options if not one.hidden for name in one.opts]
    if said := _otherwise(command, key, value, known):
        return said
    parameter = meant(key, AXIS_KEYS)
    if command == "show" and parameter:
        return f'; write --where "{parameter} == {value}"'
    if command == "gradcheck" and parameter and f"--{parameter.replace('_', '-')}" not in known:
        return ": no gradient depends on it"
    return nearest(error.option_name, shown) or nearest(error.option_name, known)


def _otherwise(command: str | None, key: str, value: str, known: Sequence[str]) -> str:
    """Return how a command takes what others take by this option."""
    if key == "seed" and "--seeds" in known:
        if not (value.isascii() and value.isdecimal()):
            return f"; write --seeds {value}" if value != "VALUE" else "; write --seeds 0:3 for the seeds 0, 1 and 2"
        n = int(value)
        several = f", or --seeds 0:{n} for {n} seeds" if n > 1 else ""
        return f"; write --seeds {n}:{n + 1} for the seed {n}{several}"
    if key == "seeds" and "--seed" in known:
        first = value.partition(":")[0].partition(",")[0]
        one = first if first.isdecimal() else "0"
        return f": {command} runs one; write --seed {one}, or harness sweep --seeds {value} for several"
    if key == "grid" and command in _OF_ONE_TRIAL:
        return _without_a_grid(command, value)
    if key == "preset" and "--grid" in known:
        return f"; write --grid {value}"
    return ""


def unexpected(word: str, arguments: Sequence[str], takes: Sequence[click.Parameter]) -> str:
    """Say what to do with a word that is no option's and no argument's."""
    options = {spelling: one for one in takes if isinstance(one, click.Option) for spelling in one.opts}
    place = arguments.index(word)
    before = arguments[max(0, place - 2) : place]
    option = options.get(before[0].replace("_", "-")) if len(before) == 2 else None
    if option is not None and (option.name in PARAMETERS or option.metavar in _SEVERAL):
        values = f"{before[1]},{word}"
        return f"{' '.join(before)} {word}: several values have commas between them; write {before[0]} {values}"
    if "--task" in options:
        from freewalk.tasks.registry import TASKS

        if word in TASKS:
            return f"{word} is a task; write --task {word}"
    return f"{word} belongs to no option; leave it out, or write the option before it"


def _without_a_grid(command: str, spec: str) -> str:
    name, equals, value = (part.strip() for part in spec.partition("="))
    if not equals:
        from freewalk.harness.parameters.presets.relatives import RELATIVES

        as_preset = spec in RELATIVES and command == "train"
        return (
            f"; write --preset {spec}"
            if as_preset
            else f": {command} runs one trial; write harness sweep --grid {spec}"
        )
    if "," in value or "(" in value:
        return f": {command} runs one trial; write harness sweep --grid {spec} for several"
    return f"; write --{name.replace('_', '-')} {value}"


def _value_of(option: str, arguments: Sequence[str]) -> str:
    """Return the value that follows an option on the command line; VALUE if there is none."""
    for argument, following in zip(arguments, [*arguments[1:], ""], strict=True):
        written, equals, value = argument.partition("=")
        if written.replace("_", "-") == option:
            found = value if equals else following if not following.startswith("--") else ""
            return found or "VALUE"
    return "VALUE"
