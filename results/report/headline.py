"""The report's first lines: the question, what was run, and whether it has ended."""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from freewalk.results.base.numbers import counted, counted_seeds, listed, percent
from freewalk.results.report.subject import FINISHED, Task
from freewalk.results.schema.schema import State

_NAMED_AT_MOST = 5


@dataclass(frozen=True)
class Headline:
    """What stands above the answers."""

    question: str
    extent: str
    """How much was run, in one sentence."""
    progress: str
    """What is still to come; empty when all trials have ended."""
    share_done: float


def headline(tasks: Sequence[Task], trials: pd.DataFrame) -> Headline:
    """Put the first lines together."""
    states = trials["state"]
    done = int(states.isin([state.value for state in FINISHED]).sum())
    share = done / len(trials) if len(trials) else 0.0
    return Headline(_question(tasks), _extent(tasks, trials), _progress(states, done), share)


def _question(tasks: Sequence[Task]) -> str:
    names = _some([task.name for task in tasks])
    varied = list(dict.fromkeys(name for task in tasks for name in task.varied))
    methods = list(dict.fromkeys(name for task in tasks for name in task.methods))
    verb = "learn" if len(varied) > 1 else "learns"
    if len(methods) > 1:
        return f"Which method learns {names} most surely, and at the least cost?"
    if not varied:
        return f"Does {methods[0] if methods else 'it'} learn {names}?"
    return f"Which {_some(varied)} {verb} {names} most surely, and at the least cost?"


def _some(names: Sequence[str]) -> str:
    if len(names) > _NAMED_AT_MOST:
        return f"{', '.join(names[: _NAMED_AT_MOST - 1])} and {len(names) - _NAMED_AT_MOST + 1} more"
    return listed(list(names))


def _extent(tasks: Sequence[Task], trials: pd.DataFrame) -> str:
    cells = [cell for task in tasks for cell in task.cells]
    each = "each " if len(cells) > 1 else ""
    return (
        f"{counted(len(trials), 'trial')}: {counted(len(cells), 'cell')} on {counted(len(tasks), 'task')},"
        f" {each}with {counted_seeds(int(cell['n_trials']) for cell in cells)}."
    )


def _progress(states: pd.Series, done: int) -> str:
    left = len(states) - done
    if not left:
        return ""
    counts = {state: int((states == state).sum()) for state in (State.RUNNING, State.INTERRUPTED, State.PENDING)}
    words = {State.RUNNING: "running", State.INTERRUPTED: "interrupted", State.PENDING: "still to run"}
    rest = listed([f"{n:,} {words[state]}" for state, n in counts.items() if n])
    return (
        f"This sweep has not ended: {done:,} of {counted(len(states), 'trial')} ({percent(done / len(states))}) are"
        f" done, {rest}. What follows rests on those that are done and may change."
    )
