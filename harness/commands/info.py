"""`harness info`."""

from __future__ import annotations

import json
from typing import Any

import click

from freewalk.harness.commands.command import Command
from freewalk.harness.commands.options import json_option


@click.command("info", cls=Command)
@json_option("instead of lines.")
def command(as_json: bool) -> None:
    """Show what this installation runs on: versions, processor, threads, and which backends are usable."""
    from freewalk.harness.base.environment import environment, vector_unit
    from freewalk.harness.commands.defaults import described
    from freewalk.harness.engine.choice import usable_backend
    from freewalk.kernels.machine.cache import kept_in

    backend = usable_backend("auto")
    facts = environment(backend) | {"kernel_cache": kept_in(), "defaults": described(_names_of_commands())}
    if as_json:
        click.echo(json.dumps(facts, indent=2))
        return
    packages = ", ".join(
        f"{name} {version}" for name, version in facts["packages"].items() if version and name != "freewalk"
    )
    memory = f", {facts['memory_gb']} GB of memory" if facts["memory_gb"] else ""
    for name, value in (
        ("freewalk", f"{facts['packages']['freewalk']} ({facts['git_revision'] or 'no git checkout'})"),
        ("python", f"{facts['python']} on {facts['platform']}"),
        ("packages", packages),
        ("processor", f"{facts['cpu']['model']}{memory}"),
        ("vectors", vector_unit()),
        ("threads", f"{facts['threads']} (NUMBA_NUM_THREADS sets fewer); layer {facts['threading_layer']}"),
        ("gpu", _gpu_text(facts) or f"none: {backend.note}"),
        (
            "kernels",
            f"compiled ones are kept in {facts['kernel_cache'] or 'no folder'} (NUMBA_CACHE_DIR names another)",
        ),
        ("backends", f"{backend.name} (what auto takes), {'cpu, ' if backend.name == 'cuda' else ''}reference"),
    ):
        click.echo(f"{name:<10} {value}")
    for one in facts["defaults"]:
        click.echo(f"{'defaults':<10} {_defaults_text(one)}")


def _names_of_commands() -> list[str]:
    group = click.get_current_context().find_root()
    return group.command.list_commands(group) if isinstance(group.command, click.Group) else []


def _defaults_text(one: dict[str, Any]) -> str:
    """Return a file and what it sets."""
    tables = []
    for name, values in one["sets"].items():
        tables.append(f"[{name}] {', '.join(f'{key} = {value!r}' for key, value in values.items())}")
    return f"{one['file']}: {'; '.join(tables) or 'nothing'}"


def _gpu_text(facts: dict[str, Any]) -> str | None:
    gpu = facts["gpu"]
    if gpu is None:
        return None
    return (
        f"{gpu['name']}, compute capability {gpu['compute_capability']}, {gpu['multiprocessors']} multiprocessors,"
        f" {gpu['memory_gb']} GB, driver {facts['gpu_driver']}"
    )
