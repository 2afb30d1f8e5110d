"""Which parameters have an effect in a table of axes, and why one has none."""

from collections.abc import Sequence

from freewalk.harness.base.errors import UsageError
from freewalk.harness.methods.method import FREE
from freewalk.harness.parameters.fields import is_met, is_of
from freewalk.harness.parameters.parameters import CONDITIONS, DEFAULT_METHOD, PARAMETERS, Axes, Scalar, uses
from freewalk.harness.plan.registry import BuiltInRegistry


def useful_keys(table: Axes, registry: BuiltInRegistry | None = None) -> set[str]:
    """Return the parameters that have an effect in at least one cell of a table, whether it names them or not.

    The table is a full cross product, so looking at its axes suffices. Without a registry, which knows the parameters
    of tasks, every task is taken to use all.
    """
    methods = [str(method) for method in table.get("method", (DEFAULT_METHOD,))]
    used_by_tasks = {
        name
        for task in table.get("task", ())
        # Unknown tasks are reported where all names are checked.
        if registry is None or task in registry.task_names()
        for name in (PARAMETERS if registry is None else registry.task_parameters(str(task)))
    }
    return {
        name
        for name, parameter in PARAMETERS.items()
        if (parameter.group != "task" or name in used_by_tasks)
        and any(_has_effect(name, method, table) for method in methods)
    }


def _has_effect(name: str, method: str, table: Axes) -> bool:
    if not uses(name, method):
        return False
    if not any(is_of(name, one) for one in _axis_or_default(table, "architecture")):
        return False
    if name not in CONDITIONS:
        return True
    parent, _ = CONDITIONS[name]
    if not uses(parent, method):
        return True
    met = any(is_met(name, value) for value in _axis_or_default(table, parent))
    return met and _has_effect(parent, method, table)


def _axis_or_default(table: Axes, key: str) -> tuple[Scalar, ...]:
    """Return a table's values for a parameter that has a default of its own."""
    return table[key] if key in table else (PARAMETERS[key].field.default,)


def refuse_without_effect(grid: Sequence[Axes], registry: BuiltInRegistry) -> None:
    """Refuse, with a UsageError, a parameter that no cell made from it uses: whoever gave it expects an effect."""
    useful = {key for table in grid for key in useful_keys(table, registry) & set(table)}
    for table in grid:
        for key in table:
            if key in PARAMETERS and key not in useful:
                raise UsageError(f"{key} has no effect {_reason(key, table, registry)}, or leave {key} out")


def _reason(key: str, table: Axes, registry: BuiltInRegistry) -> str:
    parameter = PARAMETERS[key]
    if parameter.group == "task":
        users = [task for task in registry.task_names() if key in registry.task_parameters(task)]
        return f"on {_listed(table['task'])}; add a task that uses it: {', '.join(users) or 'none does'}"
    if not any(uses(key, str(method)) for method in table["method"]):
        return f"with method {_listed(table['method'])}; add method={','.join(parameter.methods)}"
    architectures = _axis_or_default(table, "architecture")
    if not any(is_of(key, one) for one in architectures):
        return f"with architecture={_listed(architectures)}, which says what neurons do; add architecture={FREE}"
    users = [str(method) for method in table["method"] if uses(key, str(method))]
    unmet = min((_unmet(key, method, table) for method in users), key=len)
    now = " and ".join(f"{name}={_listed(_axis_or_default(table, name))}" for name, _ in unmet)
    return f"with {now}; add {' and '.join(f'{name}={required}' for name, required in unmet)}"


def _unmet(key: str, method: str, table: Axes) -> list[tuple[str, str]]:
    """Return the conditions, outermost first, that keep a table's cells of a method from using a parameter."""
    unmet: list[tuple[str, str]] = []
    while key in CONDITIONS:
        name, (key, required) = key, CONDITIONS[key]
        if uses(key, method) and not any(is_met(name, value) for value in _axis_or_default(table, key)):
            unmet.insert(0, (key, required))
    return unmet


def _listed(values: Sequence[Scalar]) -> str:
    return ",".join(str(value) for value in values)
