"""`harness methods`."""

from __future__ import annotations

import json
from typing import Any

import click

from freewalk.harness.commands.command import Command
from freewalk.harness.commands.options import METHOD, json_option, plugin_option

_NETWORKS = {"both": "free and layered", "free": "free only", "layered": "layered only"}
_OF_ONES_OWN = (
    "nothing: a method of one's own has no card. Its file says what it is, freewalk.testing.check_method whether it "
    "keeps the rules, harness gradcheck whether it goes downhill"
)


@click.command("methods", cls=Command)
@click.argument("name", type=METHOD, required=False)
@plugin_option
@json_option()
def command(name: str | None, plugins: tuple[str, ...], as_json: bool) -> None:
    """List the methods: what else they are called, which networks and backends they take, what a step costs.

    With NAME, or what a paper calls it, a method's identity card: equation, reference, what a step is unbiased for, its
    variance and cost, the parameters, how it differs from its paper, and the test that holds it true.
    """
    from freewalk.harness.base.errors import unknown_own
    from freewalk.harness.methods.registered import METHODS
    from freewalk.harness.parameters.identity import identity
    from freewalk.harness.plan.plugins import load_entry_points, load_plugins
    from freewalk.results.base.names import meant

    load_entry_points()
    load_plugins(plugins)
    if name is not None and name not in METHODS:
        known = meant(name, METHODS)
        if known is None:
            raise unknown_own("method", name, METHODS)
        name = known
    cards = [identity(method) for method in METHODS.values() if name in (None, method.name)]
    if as_json:
        click.echo(json.dumps(cards if name is None else cards[0], indent=2))
    elif name is None:
        _print_table(cards)
    else:
        _print_one(cards[0])


def _print_table(cards: list[dict[str, Any]]) -> None:
    from freewalk.harness.terminal.console import make_console, make_table

    table = make_table()
    for heading in ("method", "also called", "networks", "backends", "evaluations a step", "what"):
        table.add_column(heading, no_wrap=heading == "method")
    for card in cards:
        also, where = ", ".join(card["also_called"]), ", ".join(card["backends"])
        cost = card["evaluations"] or "its own count"
        table.add_row(card["method"], also or "-", card["networks"], where, cost, card["summary"])
    make_console().print(table, highlight=False, markup=False)
    click.echo(
        "B datapoints of a step, P weights, N neurons, K members; r, S: harness methods NAME, which shows a card."
    )
    click.echo("Settings of the walk that are methods of the field: harness presets. Your own: docs/methods.md.")


def _print_one(card: dict[str, Any]) -> None:
    from freewalk.harness.parameters.identity import parameter_text, spaces_text
    from freewalk.harness.terminal.console import print_facts

    presets = ", ".join(card["presets"])
    facts = {
        "what": card["summary"],
        "also called": ", ".join(card["also_called"]),
        "equation": card["equation"],
        "reference": card["reference"],
        "unbiased for": card["unbiased"],
        "variance": card["variance"],
        "cost of a step": card["cost"] or "what its evaluations_per_step says",
        "differs in": card["deviations"],
        "held true by": card["held_by"],
        "networks": _NETWORKS[card["networks"]],
        "backends": ", ".join(card["backends"]),
        "tuned over": spaces_text(card),
        "needs": f"the package {card['needs']}: pip install 'freewalk[es]'" if card["needs"] else "",
        "presets": f"{presets} are this method with certain settings; see harness presets" if presets else "",
        "known besides": "" if card["equation"] else _OF_ONES_OWN,
    }
    print_facts(card["method"], {heading: text for heading, text in facts.items() if text})
    if card["parameters"]:
        print_facts("\nparameters", {name: parameter_text(card, name) for name in card["parameters"]})
    if card["symbols"]:
        print_facts("\nsymbols", card["symbols"])
