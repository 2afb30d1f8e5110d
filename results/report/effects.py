"""What the parameters do to each method's cost, alone and together, in sentences."""

import math
from typing import Final

from freewalk.results.base.numbers import counted, is_missing, listed, percent, short_value, significant
from freewalk.results.report.comparing import LEVEL
from freewalk.results.report.subject import Row, Task, records
from freewalk.results.schema.schema import PARAMETER_PREFIX

HARDLY: Final = 1.05
"""Below this, "so many times as high" would read as once."""
_PAIRS_TOLD: Final = 2


def effects_of(task: Task, method: str) -> list[Row]:
    """Return the rows of the sensitivity table that tell of what the grid varies for a method, largest share first."""
    names = {*(PARAMETER_PREFIX + name for name in task.varied), *task.varied}
    rows = [row for row in records(task.sensitivity) if row["method"] == method]
    return [row for row in rows if row["parameter"] in names and not math.isnan(row["variance_share"])]


def pairs_of(task: Task, method: str) -> list[Row]:
    """Return the rows of pairs of parameters that act together beyond chance, largest share first."""
    rows = [row for row in records(task.sensitivity) if row["method"] == method and ":" in str(row["parameter"])]
    return [row for row in rows if row["p_adjusted"] < LEVEL and all(name in task.varied for name in _both(row))]


def influence(task: Task) -> list[str]:
    """Name the parameter that matters most to each method, and pairs that act together, where there are any."""
    sentences = []
    for method in task.methods:
        before = f"{method}: " if len(task.methods) > 1 else ""
        told = [*_most_important(effects_of(task, method)), *map(_together, pairs_of(task, method)[:_PAIRS_TOLD])]
        sentences += [f"{before}{sentence}" for sentence in told]
    return sentences


def _most_important(effects: list[Row]) -> list[str]:
    if len(effects) < 2:
        return []
    first = effects[0]
    untested = math.isnan(first["p_adjusted"])
    if not untested and first["p_adjusted"] >= LEVEL:
        return ["No single parameter has a clear effect on its own."]
    response = _response(first)
    name = str(first["parameter"]).removeprefix(PARAMETER_PREFIX)
    size = (
        f", which is {fold_words(first)} times as high at its worst value as at its best,"
        f" {short_value(first['best_value'])}"
        if first["fold"] >= HARDLY
        else ", which it changes by less than 5 % all the same"
    )
    return [
        f"{name} {'seems to matter' if untested else 'matters'} most: it explains {percent(first['variance_share'])} of"
        f" the variation of the {response}{size if math.isfinite(first['fold']) else ''}."
        f"{' It varies together with others, so that no test can part them.' if untested else ''}"
    ]


def _response(row: Row) -> str:
    return "cost" if row["response"] == "evaluations_to_target" else "final loss"


def _both(pair: Row) -> list[str]:
    return str(pair["parameter"]).split(":")


def _together(pair: Row) -> str:
    """Say what two parameters do together: the best value of one for values of the other."""
    first, second = _both(pair)
    told = [part.split(": ") for part in str(pair["best_value"]).split("; ")]
    best = {short_value(value): short_value(other) for value, other in told}
    evidence = f"{percent(pair['variance_share'])} of the variation, p = {significant(pair['p_adjusted'], 2)}"
    start = f"{first} and {second} act together on the {_response(pair)} ({evidence})"
    if len(set(best.values())) == 1:
        return f"{start}: {second} {next(iter(best.values()))} is best throughout, but by how much depends on {first}."
    where = [f"{other} where {first} is {value}" for value, other in best.items()]
    return f"{start}: the best {second} is {listed(where)}."


def fold_words(effect: Row) -> str:
    """Return by how much a parameter's values differ: 13, or at least 13 where what it would have cost is not known."""
    at_least = "at least " if not is_missing(effect["fold_is_bound"]) and effect["fold_is_bound"] else ""
    return f"{at_least}{significant(effect['fold'], 2)}"


def missed_words(effect: Row) -> str:
    """Say how trials that missed the target count; nothing where there are none."""
    n = int(effect["n_censored"])
    return f" {counted(n, 'trial')} that missed the target count as twice the largest cost of all." if n else ""
