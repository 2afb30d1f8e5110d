"""`harness maximize`: the input that makes an output of trained weights largest, or equal to a value."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from freewalk.harness.commands.carried import load_given, weights_argument
from freewalk.harness.commands.command import Command
from freewalk.harness.commands.kinds import Name
from freewalk.harness.commands.options import json_option, option, plugin_option, seed_option, threads_option

_AS_LARGE, _AS_SMALL = 1.0, 0.0


@click.command("maximize", cls=Command)
@weights_argument
@option("--of", type=int, default=0, metavar="N", help="Which output, from 0.")
@option(
    "--value",
    type=float,
    metavar="VALUE",
    default=1.0,
    help="What the output shall be: 1, as large as can be; 0, as small; between, as near to it as can be.",
)
@option(
    "--bounds",
    multiple=True,
    metavar="LOW,HIGH",
    help="Bounds of all inputs; 2=LOW,HIGH: of input 2; 1:2=LOW,HIGH: of input 2 at timestep 1; none: no bounds."
    "  [default: the range of the task's inputs]",
)
@option("--fix", multiple=True, metavar="INPUT=VALUE", help="An input that stays as it is; 1:2=V at timestep 1.")
@option(
    "--ascent",
    type=Name(lambda: ("gradient", "walk")),
    default="gradient",
    metavar="gradient|walk",
    help="What to go along: gradient, the exact one; walk, estimates from random perturbations of the input.",
)
@option("--restarts", type=int, default=20, metavar="N", help="Starting points.")
@option("--steps", type=int, metavar="N", help="Most steps of a restart.  [default: gradient: 1000; walk: 300]")
@option("--binary", is_flag=True, help="Also find the best input with every entry at one of its bounds.")
@option("--timestep", type=int, metavar="T", help="Which of a sequence of outputs, from 0.  [default: the last]")
@seed_option("of the starting points and perturbations.", default=0)
@plugin_option
@threads_option
@json_option("instead of lines.")
def command(
    weights: Path,
    of: int,
    value: float,
    ascent: Any,
    bounds: tuple[str, ...],
    fix: tuple[str, ...],
    plugins: tuple[str, ...],
    as_json: bool,
    **options: Any,
) -> int:
    """Find the input that makes an output of the weights in FILE largest, smallest, or equal to a value, inside a box.

    Says which bounds the input lies on and whether they bind, that is whether the output would get better beyond, and
    how many of the restarts ended at the best output.
    """
    from freewalk.harness.maximize.box import read_bounds, read_fixed
    from freewalk.harness.maximize.search import input_shape, maximize

    saved = load_given(weights, plugins)
    box = read_bounds(input_shape(saved), bounds)
    found = maximize(saved, of, bounds=box, fixed=read_fixed(fix), target=value, method=ascent, **options)
    facts = {"weights": str(weights), "task": saved.task, "output": of, "method": ascent}
    if as_json:
        click.echo(json.dumps({**facts, **_as_json(found)}, indent=2))
    else:
        _print(found, of)
    return 0


def _as_json(found: Any) -> dict[str, Any]:
    box, corner = found.box, found.corner
    return {
        "target": found.target,
        "value": found.value,
        "input": found.x.tolist(),
        "at_bounds": [
            {"place": list(entry.place), "side": entry.side, "binds": entry.binds} for entry in found.at_bounds
        ],
        "binds": found.binds,
        "restarts": len(found.values),
        "restarts_at_best": found.n_best,
        "values": found.values.tolist(),
        "bounds": box.source,
        "lower": _finite(box.lower),
        "upper": _finite(box.upper),
        "corner": corner
        and {
            "input": corner.x.tolist(),
            "value": corner.value,
            "exhaustive": corner.exhaustive,
            "tried": corner.tried,
        },
    }


def _finite(side: Any) -> Any:
    """Return bounds as JSON holds them: null for none."""
    import numpy as np

    finite: Any = np.where(np.isfinite(side), side.astype(object), None)
    return finite.tolist()


def _print(found: Any, output: int) -> None:
    from freewalk.harness.base.text import counted, significant
    from freewalk.harness.maximize.search import TOLERANCE

    goal = {_AS_LARGE: "as large as can be", _AS_SMALL: "as small as can be"}.get(found.target)
    wanted = goal or f"as near to {found.target:g} as can be"
    click.echo(f"output {output} {wanted}: {significant(found.value, 6)}")
    click.echo(f"bounds: {found.box.source}")
    sides = {entry.place: entry for entry in found.at_bounds}
    for place, value in _entries(found.x):
        note = ""
        if not found.box.free[place]:
            note = "fixed"
        elif place in sides:
            note = f"at its {sides[place].side} bound{', which binds' if sides[place].binds else ''}"
        name = f"input {place[0]}" if len(place) == 1 else f"timestep {place[0]} input {place[1]}"
        click.echo(f"  {name}: {significant(float(value), 6)}{f'  ({note})' if note else ''}")
    ended = f"{found.n_best} of {counted(len(found.values), 'restart')} ended within {TOLERANCE:g} of this output"
    spread = float(abs(found.values - found.values[0]).max())
    click.echo(ended if found.n_best == len(found.values) else f"{ended}; the farthest {significant(spread)} from it")
    if found.corner is not None:
        values = ", ".join(significant(float(value), 6) for _, value in _entries(found.corner.x))
        how = (
            f"all {found.corner.tried:,} tried"
            if found.corner.exhaustive
            else f"by flips from {found.corner.tried:,} starts, not all tried"
        )
        click.echo(f"best corner: ({values}), output {significant(found.corner.value, 6)} ({how})")


def _entries(x: Any) -> list[tuple[tuple[int, ...], Any]]:
    import numpy as np

    return [(place, x[place]) for place in np.ndindex(x.shape)]
