"""`harness status`: how far a sweep, a tuning or a reproduction is, and what to type next."""

from __future__ import annotations

import shlex
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from freewalk.harness.base.errors import UsageError
from freewalk.harness.commands.command import Command
from freewalk.harness.commands.kinds import SweepFolder
from freewalk.harness.commands.options import json_option
from freewalk.results.base.text import printable

if TYPE_CHECKING:
    from freewalk.harness.terminal.works import Work


@click.command("status", cls=Command)
@click.argument("folder", metavar="DIR", type=SweepFolder())
@json_option("instead of lines.")
def command(folder: str, as_json: bool) -> None:
    """Say how far the sweep, tuning or reproduction in DIR is: trials, failures and why, time left, and what to do.

    Nothing is changed, and a sweep that runs is not disturbed.
    """
    from freewalk.harness.terminal.console import print_facts, print_json
    from freewalk.harness.terminal.works import work_of, works_in

    directory = Path(folder)
    if not directory.is_dir():
        raise UsageError(f"{directory}: no such folder; harness list shows what there is")
    if (work := work_of(directory)) is None:
        within = works_in(directory)
        remedy = f"give one of those in it, such as {within[-1].directory}" if within else "harness list shows what is"
        raise UsageError(f"{directory} is no sweep, tuning or reproduction itself; {remedy}")
    facts = _facts(work)
    if as_json:
        print_json(work.facts() | facts, nan=None)
    else:
        print_facts(f"{printable(str(directory))}: {work.kind}, {work.state}", _lines(work, facts))


def _facts(work: Work) -> dict[str, Any]:
    """Return what is known of it besides its place in a list."""
    from collections import Counter

    from freewalk.results.base.errors import StoreError
    from freewalk.results.store.failures import failures_in

    reasons: Counter[str] = Counter()
    for one in work.sweeps:
        try:
            reasons.update(dict(failures_in(one.directory)) if one.n_failed else {})
        except StoreError as error:
            raise UsageError(str(error)) from None
    n_ended = work.total("n_done")
    left = [_seconds_left(one.directory) for one in work.sweeps if one.state == "running"]
    return {
        "n_reached": work.total("n_reached"),
        "n_running": work.total("n_running"),
        "failures": dict(reasons.most_common()),
        "seconds_a_trial": work.total("n_seconds") / n_ended if n_ended else None,
        "seconds_left": sum(left) if left and all(left) else None,
        "bytes_free": shutil.disk_usage(work.directory).free,
        "next": _next(work),
    }


def _seconds_left(directory: Path) -> float:
    from freewalk.harness.watching.left import time_left
    from freewalk.results.base.errors import StoreError

    try:
        left = time_left(directory)
    except (StoreError, ValueError, TypeError):
        return 0.0  # a column that is not what it should be: there is no telling
    return left.seconds if left else 0.0


def _next(work: Work) -> str:
    """Return what to type next."""
    folder, state = str(work.directory), work.state
    if state == "running":
        return shlex.join(["harness", "watch", folder])
    if work.kind == "reproduction":
        name, _, scale = work.directory.name.rpartition("-")
        known = [str((work.verdict or {}).get("command") or f"harness reproduce {name} --scale {scale}")]
        return " ".join([*known, "--out", shlex.quote(str(work.directory.parent))])
    if work.kind == "tuning":
        tuned = work.directory / "tuned.toml"
        if state == "finished":
            return shlex.join(["harness", "sweep", "--grid", str(tuned)])
        return f"the same harness tune command again, with --out {shlex.quote(folder)}"
    document = work.directory / "sweep.toml"
    again = ["harness", "sweep", "--grid", str(document), "--out", folder]
    if state == "stopped" and document.exists():
        return shlex.join(again)
    if work.total("n_failed") and document.exists():
        return shlex.join([*again, "--retry-failed"])
    return shlex.join(["harness", "report", folder])


def _lines(work: Work, facts: dict[str, Any]) -> dict[str, str]:
    from freewalk.harness.base.text import counted, duration
    from freewalk.harness.terminal.works import size_text
    from freewalk.results.base.numbers import seconds

    reached, running = facts["n_reached"], facts["n_running"]
    under_way = f", {running:,} under way" if running else ""
    written = work.last_written
    lines = {
        "problem": work.facts()["problem"] or "",
        "trials": f"{work.progress}{under_way}; {reached:,} reached their target" if work.sweeps else "",
        "tasks": ", ".join(work.tasks),
        "methods": ", ".join(work.methods),
        "verdict": str((work.verdict or {}).get("verdict", "")),
    }
    if facts["failures"]:
        (reason, n), *others = facts["failures"].items()
        besides = f"; {counted(len(others), 'other reason')}" if others else ""
        lines["failed"] = f"{counted(work.total('n_failed'), 'trial')}, {n:,} of them: {reason}{besides}"
    if facts["seconds_a_trial"]:
        lines["pace"] = f"a trial trains {seconds(facts['seconds_a_trial'])} on average"
    if facts["seconds_left"] is not None:
        lines["left"] = f"about {duration(facts['seconds_left'])}"
    lines["disk"] = f"{size_text(work.n_bytes)}; {size_text(facts['bytes_free'])} are free"
    lines["last written"] = f"{written:%Y-%m-%d %H:%MZ}" if written else ""
    lines["next"] = facts["next"]
    return {heading: printable(text) for heading, text in lines.items() if text}
