"""`harness presets`."""

from __future__ import annotations

import json
from typing import Any

import click

from freewalk.harness.commands.command import Command
from freewalk.harness.commands.kinds import Name
from freewalk.harness.commands.options import json_option
from freewalk.harness.parameters.presets import preset_names
from freewalk.harness.parameters.presets.relatives import RELATIVES


def _known() -> tuple[str, ...]:
    return (*preset_names(), *RELATIVES)


@click.command("presets", cls=Command)
@click.argument("name", type=Name(_known), required=False)
@json_option()
def command(name: str | None, as_json: bool) -> None:
    """List the presets: whole sweeps, and methods of the field as settings of the walk, which any task takes.

    With NAME, one method: its equation, what it estimates, its variance, cost and reference, and how it differs.
    """
    from freewalk.harness.base.errors import unknown

    if name is not None and name not in _known():
        raise unknown("preset", name, _known())
    rows = [_row(one) for one in _known() if name in (None, one)]
    if as_json:
        click.echo(json.dumps(rows if name is None else rows[0], indent=2))
    elif name is None:
        _print_table(rows)
    else:
        _print_one(rows[0])


def _row(name: str) -> dict[str, Any]:
    from freewalk.harness.parameters.presets import preset_path

    if name not in RELATIVES:
        first = preset_path(name).read_text(encoding="utf-8").splitlines()[0]
        return {"preset": name, "what": first.removeprefix("# ")}
    one = RELATIVES[name]
    return {
        "preset": name,
        "what": one.summary,
        "settings": dict(one.settings),
        "equation": one.equation,
        "estimates": one.estimates,
        "variance constant c": one.constant,
        "cost of a step": one.cost,
        "differs in": one.deviations,
        "reference": one.reference,
    }


def _print_table(rows: list[dict[str, Any]]) -> None:
    from freewalk.harness.terminal.console import make_console, make_table

    table = make_table()
    for heading in ("preset", "what", "c", "cost of a step"):
        table.add_column(heading, no_wrap=heading == "preset")
    for row in rows:
        table.add_row(row["preset"], row["what"], row.get("variance constant c", "-"), row.get("cost of a step", "-"))
    make_console().print(table, highlight=False, markup=False)
    click.echo(
        "A whole sweep: harness sweep --grid NAME. A method: harness sweep --task xor --grid NAME, several beside"
    )
    click.echo("each other, and --grid key=value replaces a setting; or harness train --task xor --preset NAME.")
    click.echo("harness presets NAME says what a method is.")


def _print_one(row: dict[str, Any]) -> None:
    from freewalk.harness.terminal.console import print_facts

    facts = dict(row)
    title = facts.pop("preset")
    if "settings" in facts:
        facts["settings"] = " ".join(f"{key}={value}" for key, value in facts["settings"].items())
    print_facts(title, facts)
