"""Rungs that learn a task, as a trial of a sweep would."""

from __future__ import annotations

from collections.abc import Mapping

from freewalk.harness.base.errors import UsageError
from freewalk.harness.base.text import counted, significant
from freewalk.harness.engine.choice import backend_of
from freewalk.harness.ladder.rung import Attempt, Setting
from freewalk.harness.methods.method import FREE, Recipe
from freewalk.harness.methods.problem import ResolvedProblem, resolve_problem
from freewalk.harness.methods.registered import METHODS
from freewalk.harness.parameters.parameters import Scalar, check_axis
from freewalk.harness.parameters.values import parse_values
from freewalk.harness.plan.budget import Budget
from freewalk.harness.plan.single_trial import single_trial
from freewalk.harness.trial.trial import run_trial, start_problem
from freewalk.kernels.model.layered import parse_architecture
from freewalk.results.report.explanation import explain

_EPOCHS = 50
_EVALUATION_POINTS = 1000


def checked_values(options: Mapping[str, str]) -> dict[str, Scalar]:
    """Return options as the values that they say."""
    values: dict[str, Scalar] = {}
    for name, text in options.items():
        where = f"--{name.replace('_', '-')} {text}: "
        found = check_axis(name, parse_values(text, where), where)
        if len(found) > 1:
            raise UsageError(f"{where}a climb has one value of each; give one")
        values[name] = found[0]
    return values


def options_of(architecture: str, method: str) -> dict[str, str]:
    """Return what asks for a layered network, or for a free one as deep where a method learns no other."""
    if METHODS[method].networks != FREE:
        return {"architecture": architecture}
    _, *hidden, _ = parse_architecture(architecture)
    return {"hidden": str(sum(hidden)), "timesteps": str(len(hidden) + 1)}


def learn(setting: Setting, method: str, task: str, architecture: str, recipe: Recipe) -> Attempt:
    """Let a method learn a task; passed if the task's own metric meets its target on held-out data."""
    options = {**options_of(architecture, method), **recipe.options}
    cell = single_trial("ladder", task, method, str(setting.seed), options).cell
    return learn_problem(setting, resolve_problem(cell.task, cell.method, cell.parameters), recipe)


def learn_problem(setting: Setting, problem: ResolvedProblem, recipe: Recipe) -> Attempt:
    """Do what `learn` does for a cell made concrete."""
    budget = Budget(
        epochs=_EPOCHS, steps_per_epoch=max(1, recipe.steps // _EPOCHS), evaluation_points=_EVALUATION_POINTS
    )
    backend = backend_of(setting.backend, problem.method.name)
    run = start_problem(problem, setting.seed, budget, backend)
    result = run_trial(run, backend)
    fields = result.fields
    figures = (
        f"{fields['metric_name']} {significant(float(str(fields['metric_final'])))}"
        f" ({run.task.comparison} {significant(float(str(fields['target'])))})"
        f" after {counted(int(str(fields['steps'])), 'step')}"
    )
    return Attempt(bool(fields["reached"]), figures, explain(fields, result.curve))
