"""`harness gradcheck`: whether the gradients of a cell are right."""

from __future__ import annotations

from pathlib import Path

import click

from freewalk.harness.base.errors import UsageError
from freewalk.harness.commands.carried import carried_network, load_for, weights_option
from freewalk.harness.commands.cell_options import cell_options, set_option
from freewalk.harness.commands.command import Command
from freewalk.harness.commands.options import (
    json_option,
    method_option,
    option,
    plugin_option,
    seed_option,
    setting_option,
    task_option,
    threads_option,
)
from freewalk.harness.methods.backprop import BACKPROP
from freewalk.harness.methods.walk import WALK
from freewalk.harness.parameters.parameters import PARAMETERS
from freewalk.harness.plan.single_trial import own_settings, single_trial

EXIT_MISSED = 3

_NO_MATTER = ("update", "optimizer", "learning_rate", "momentum", "schedule", "shaping", "backward_cost")
"""Parameters that turn a gradient, or what its estimate is made of, into a step, or count its cost."""
_NAMES = [name for name in PARAMETERS if name not in _NO_MATTER]
_DEFAULTS = {"batch_size": "16"}
"""Few datapoints show every fault and make central differences quick."""


@click.command("gradcheck", cls=Command, without=_NO_MATTER)
@task_option("whose data and sizes; see harness tasks.")
@method_option(BACKPROP.name)
@seed_option("of the initial weights, the data and the noise.", default=0)
@weights_option("check at these.")
@option(
    "--samples",
    type=click.IntRange(min=2),
    metavar="N",
    default=500,
    help="Steps that estimates come from: of inexact gradients, and of the direction of a method of your own.",
)
@setting_option("backend")
@plugin_option
@threads_option
@set_option
@json_option("instead of tables.")
@cell_options(_NAMES, _DEFAULTS)
def command(
    task: str | None,
    method: str | None,
    seed: int,
    weights: Path | None,
    samples: int,
    backend: str,
    plugins: tuple[str, ...],
    settings: tuple[str, ...],
    as_json: bool,
    **given: str | None,
) -> int:
    """Check gradients: analytic against numerical ones, and the step that training takes against the analytic one.

    The relative error of every weight, |a - n| / max(1e-8, |a| + |n|) in float64 with h = 1e-5, must stay below 1e-6.
    What is wrong with one that misses is named: a constant factor, a sign, a derivative of the wrong thing, a layer, a
    bias. For the walk, the bias along the gradient is measured; for a method of your own, whether its steps lead down.
    Exit code 3 if something is wrong.
    """
    from freewalk.harness.engine.choice import backend_for
    from freewalk.harness.engine.estimate import refuse_too_large
    from freewalk.harness.gradcheck.cell import check_cell
    from freewalk.harness.methods.own_networks import refuse_own
    from freewalk.harness.methods.problem import resolve_problem
    from freewalk.harness.plan.plan import Plan
    from freewalk.harness.plan.plugins import load_plugins
    from freewalk.harness.terminal.console import print_json
    from freewalk.harness.terminal.gradcheck_table import facts_of, print_check

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
    # under the raw rule a step of the walk is its estimate; what an optimizer makes of it does not matter
    rule = {"update": "raw"} if method == WALK.name and options.get("tangent") != "exact" else {}
    trial = single_trial("gradcheck", task, method, str(seed), {**_DEFAULTS, **rule, **options})
    refuse_own("gradcheck", trial.cell.parameters["architecture"], "freewalk.gradcheck takes a loss of your own")
    problem = resolve_problem(task, method, trial.cell.parameters)
    if problem.method.gradient == "estimated" and trial.cell.parameters.get("stddev") == 0:
        raise UsageError("stddev=0 estimates no gradient; give one above 0")
    if initial is not None and problem.network != saved.network:
        raise UsageError(f"--weights {weights} holds another network than these options make; leave them out")
    chosen = backend_for(backend, method)
    refuse_too_large(Plan((trial.cell,), (trial,), 0), chosen)
    check = check_cell(problem, chosen, seed=trial.seed, samples=samples, initial=initial)
    facts = {
        "task": task,
        "method": method,
        "seed": trial.seed,
        "n_weights": problem.n_weights,
        "datapoints": problem.configuration.data_per_step,
    }
    if as_json:
        print_json({**facts, "backend": chosen.name, **facts_of(check)})
    else:
        print_check(check, problem.method, chosen)
    return 0 if check.passed else EXIT_MISSED
