"""What did not vary: the parameters that all cells of a task share, and how its trials were run."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from freewalk.results.base.numbers import MISSING, is_missing, listed, parameter_text, significant
from freewalk.results.report.subject import Task, ordered_values
from freewalk.results.schema.schema import PARAMETER_PREFIX
from freewalk.results.tables.frames import parameter_columns

_ELSEWHERE: Final = {"name", "seeds", "grid", "target", "backend", "plugins"}
_OF_TRIALS: Final = {
    "backend": "backend",
    "device": "device",
    "dtype": "dtype",
    "n_weights": "weights",
}
_VALUES_NAMED: Final = 3


@dataclass(frozen=True)
class Settings:
    """Settings under one heading: their names and values."""

    title: str
    pairs: Sequence[tuple[str, str]]


def fixed_settings(task: Task, run: Sequence[Mapping[str, Any]]) -> list[Settings]:
    """Return what does not set a task's cells apart.

    Parameters
    ----------
    task : Task
        The task; its trials have every parameter, defaults too.
    run : sequence of mapping
        How its trials were run: epochs and the like, one for each sweep that was merged.

    Returns
    -------
    list of Settings
        What all cells have in common, then what all cells of a method have, then the budget and the rest. A parameter
        that varies with others though the grid does not name it comes with all its values.
    """
    own = {method: _parameters(task, method) for method in task.methods}
    first, *others = own.values()
    common = {name: text for name, text in first.items() if all(values.get(name) == text for values in others)}
    groups = [Settings("all cells", [*([] if others else [("method", task.methods[0])]), *common.items()])]
    if others:
        groups += [Settings(method, [item for item in own[method].items() if item[0] not in common]) for method in own]
    groups.append(Settings("budget and judging", [*_budget(run), *_judging(task)]))
    return [group for group in groups if group.pairs]


def _parameters(task: Task, method: str) -> dict[str, str]:
    trials = task.trials[task.trials["method"] == method]
    names = [name for name in parameter_columns(trials) if name.removeprefix(PARAMETER_PREFIX) not in task.varied]
    names += [
        name for name in parameter_columns(trials) if name not in names and len(ordered_values(trials[name])) == 1
    ]
    texts = {name.removeprefix(PARAMETER_PREFIX): _values(trials[name]) for name in names}
    return {name: text for name, text in texts.items() if text}


def _budget(run: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
    names = dict.fromkeys(name for settings in run for name in settings if name not in _ELSEWHERE)
    texts = {name: _values(settings.get(name) for settings in run) for name in names}
    return [(name, text) for name, text in texts.items() if text]


def _judging(task: Task) -> list[tuple[str, str]]:
    goal = [] if is_missing(task.target) else [("target", task.goal)]
    texts = {words: _values(task.trials[name]) for name, words in _OF_TRIALS.items()}
    return [*goal, ("seeds", _seeds(task)), *((words, text) for words, text in texts.items() if text)]


def _seeds(task: Task) -> str:
    seeds = sorted(int(seed) for seed in task.trials["seed"].dropna().unique())
    if len(seeds) < 3:
        return listed([str(seed) for seed in seeds])
    whole = seeds[-1] - seeds[0] == len(seeds) - 1
    return f"{seeds[0]} to {seeds[-1]}" if whole else f"{len(seeds)} from {seeds[0]} to {seeds[-1]}"


def _values(values: Iterable[Any]) -> str:
    """Write the values that a setting has, all of a few or the first and the last of many; nothing if it has none."""
    known = [value for value in values if isinstance(value, str | int | float) or hasattr(value, "dtype")]
    texts = [text for value in ordered_values(known) if (text := _text(value)) != MISSING]
    texts = list(dict.fromkeys(texts))
    return listed(texts, "or") if len(texts) <= _VALUES_NAMED else f"{texts[0]} to {texts[-1]}"


def _text(value: Any) -> str:
    is_count = not isinstance(value, str | bool) and float(value).is_integer() and abs(value) >= 1000
    return significant(float(value), 12) if is_count else parameter_text(value)
