"""`harness info`."""

from __future__ import annotations

import json

import click


@click.command("info")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of lines.")
def command(as_json: bool) -> None:
    """Show what this installation runs on: versions, processor, threads, and which backends are usable."""
    from freewalk.harness.environment import environment, vector_unit
    from freewalk.kernels.backend import resolve_backend

    facts = environment(resolve_backend("auto"))
    if as_json:
        click.echo(json.dumps(facts, indent=2))
        return
    packages = ", ".join(f"{name} {version}" for name, version in facts["packages"].items() if name != "freewalk")
    memory = f", {facts['memory_gb']} GB of memory" if facts["memory_gb"] else ""
    for name, value in (
        ("freewalk", f"{facts['packages']['freewalk']} ({facts['git_revision'] or 'no git checkout'})"),
        ("python", f"{facts['python']} on {facts['platform']}"),
        ("packages", packages),
        ("processor", f"{facts['cpu']['model']}{memory}"),
        ("vectors", vector_unit()),
        ("threads", f"{facts['threads']} (NUMBA_NUM_THREADS sets fewer); layer {facts['threading_layer']}"),
        ("backends", "cpu (what auto takes), reference"),
    ):
        click.echo(f"{name:<10} {value}")
