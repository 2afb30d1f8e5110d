"""`harness gradcheck`: whether the gradients of a cell are right."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click

from freewalk.harness.base.errors import UsageError
from freewalk.harness.commands.carried import carried_network, load_for
from freewalk.harness.commands.cell_options import cell_options, set_option
from freewalk.harness.commands.options import plugin_option, threads_option
from freewalk.harness.methods.backprop import BACKPROP
from freewalk.harness.methods.registered import METHODS
from freewalk.harness.parameters.parameters import PARAMETERS
from freewalk.harness.plan.single_trial import own_settings, single_trial

EXIT_MISSED = 3

_NO_MATTER = ("update", "optimizer", "learning_rate", "momentum", "schedule", "backward_cost")
"""Parameters that turn a gradient into a step or count its cost: no gradient depends on them."""
_NAMES = [name for name in PARAMETERS if name not in _NO_MATTER]
_DEFAULTS = {"batch_size": "16"}
"""Few datapoints show every fault and make central differences quick."""


@click.command("gradcheck")
@click.option("--task", metavar="NAME", envvar="HARNESS_TASK", help="Whose data and sizes; see harness tasks.")
@click.option("--method", metavar="NAME", envvar="HARNESS_METHOD", help=f"Method.  [default: {BACKPROP.name}]")
@click.option("--seed", metavar="SEED", envvar="HARNESS_SEED", default="0", show_default=True, help="Seed.")
@click.option("--weights", type=click.Path(path_type=Path), metavar="FILE", help="Check at these, saved by train.")
@click.option(
    "--samples",
    type=click.IntRange(min=2),
    envvar="HARNESS_SAMPLES",
    default=500,
    show_default=True,
    help="Steps that the estimates of walk and synthetic come from, and the direction of a method of your own.",
)
@click.option("--backend", metavar="NAME", envvar="HARNESS_BACKEND", default="auto", help="Whose steps to check.")
@plugin_option
@threads_option
@set_option
@click.option("--json", "as_json", is_flag=True, envvar="HARNESS_JSON", help="Print JSON instead of tables.")
@cell_options(_NAMES, _DEFAULTS)
def command(
    task: str | None,
    method: str | None,
    seed: str,
    weights: Path | None,
    samples: int,
    backend: str,
    plugins: tuple[str, ...],
    settings: tuple[str, ...],
    as_json: bool,
    **given: str | None,
) -> int:
    """Check gradients: analytic against numerical, and what a training step moves by against the analytic one.

    The relative error of every weight, |a - n| / max(1e-8, |a| + |n|) in float64 with h = 1e-5, must stay below 1e-6.
    A gradient that misses is named: a constant factor, a sign, a derivative of the wrong thing, a layer, a bias. Of the
    walk the bias along the gradient is measured, of a method of your own whether its steps lead down. Exit code 3 if
    something is wrong.
    """
    from freewalk.harness.engine.estimate import refuse_too_large
    from freewalk.harness.gradcheck.cell import check_cell
    from freewalk.harness.gradcheck.table import as_json as found_as_json
    from freewalk.harness.gradcheck.table import print_check
    from freewalk.harness.methods.problem import resolve_problem
    from freewalk.harness.plan.plan import Plan
    from freewalk.harness.plan.plugins import load_plugins

    load_plugins(plugins)
    options = {name: value for name in _NAMES if (value := given.get(name)) is not None}
    options |= own_settings(settings, options)
    initial = None
    if weights is not None:
        saved = load_for(weights, task)
        task, method = task or saved.task, method or saved.method
        options = {**carried_network(saved.parameters), **options}
        initial = saved.weights
    if task is None:
        raise UsageError("gradcheck needs --task NAME or --weights FILE; see harness tasks")
    method = method or BACKPROP.name
    trial = single_trial("gradcheck", task, method, seed, {**_DEFAULTS, **_rule(method), **options})
    problem = resolve_problem(task, method, trial.cell.parameters)
    if problem.method.gradient == "estimated" and not trial.cell.parameters["stddev"]:
        raise UsageError("stddev=0 estimates no gradient; give one above 0")
    if initial is not None and problem.network != saved.network:
        raise UsageError(f"--weights {weights} holds another network than these options make; leave them out")
    chosen = chosen_backend(backend, method)
    refuse_too_large(Plan((trial.cell,), (trial,), 0), chosen)
    check = check_cell(problem, chosen, seed=trial.seed, samples=samples, initial=initial)
    facts = {
        "task": task,
        "method": method,
        "seed": trial.seed,
        "n_weights": problem.n_weights,
        "datapoints": problem.configuration.batch_size,
    }
    if as_json:
        click.echo(json.dumps({**facts, "backend": chosen.name, **found_as_json(check)}, indent=2))
    else:
        _print(check, problem, chosen, print_check)
    return 0 if check.passed else EXIT_MISSED


def _rule(method: str) -> dict[str, str]:
    """Return the walk's rule under which its step is its estimate, whatever an optimizer makes of it."""
    known = METHODS.get(method)
    return {"update": "raw"} if known and "update" in known.checked_with else {}


def chosen_backend(name: str, method: str) -> Any:
    """Return the backend that an option names, for a method; UsageError if there is none or it cannot run it."""
    from freewalk.harness.engine.choice import backend_of, refuse_methods_without_kernels, usable_backend
    from freewalk.harness.plan.settings import BACKENDS

    if name not in BACKENDS:
        raise UsageError(f"--backend {name}: must be one of {', '.join(BACKENDS)}")
    refuse_methods_without_kernels(name, [method])
    return backend_of(usable_backend(name), method)


def _print(check: Any, problem: Any, backend: Any, print_check: Any) -> None:
    from rich.console import Console

    console = Console(width=None if sys.stdout.isatty() else 160)
    words = f"{backend.name}, {backend.dtype}"
    name, predicted = problem.method.name, problem.method.gradient == "predicted"
    part = "the last layer's gradient in a step" if predicted else "the gradient a step takes"
    print_check(
        check,
        console,
        f"{part} of {name} ({words}) against the analytic one",
        f"{'the estimate' if check.direction is None else 'the steps'} of {name} ({words}) against the"
        " analytic gradient",
    )
    click.echo("passed" if check.passed else "failed: see above")
