"""`harness train`: one trial, watched."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

import click

from freewalk.harness.base.errors import UsageError, unknown
from freewalk.harness.commands.carried import carried_network, carried_training, load_for, weights_option
from freewalk.harness.commands.cell_options import cell_options, set_option
from freewalk.harness.commands.command import Command
from freewalk.harness.commands.gathering import without_overridden
from freewalk.harness.commands.kinds import Name
from freewalk.harness.commands.options import (
    json_option,
    method_option,
    option,
    plugin_option,
    quiet_option,
    run_options,
    seed_option,
    task_option,
    threads_option,
)
from freewalk.harness.parameters.parameters import DEFAULT_METHOD, PARAMETERS
from freewalk.harness.parameters.presets.relatives import RELATIVES
from freewalk.harness.plan.grid import axis_text
from freewalk.harness.plan.single_trial import own_settings

_SECONDS_BETWEEN_LINES = 2.0
_SECONDS_BETWEEN_REDRAWS = 0.1


@click.command("train", cls=Command)
@task_option("what to learn; see harness tasks.")
@method_option(DEFAULT_METHOD)
@seed_option("of the initial weights, the data and the noise.", default=0)
@plugin_option
@threads_option
@set_option
@run_options()
@weights_option("start from these; task, network and method are theirs unless an option differs.")
@option(
    "--preset",
    type=Name(lambda: RELATIVES),
    metavar="NAME",
    help="A method of the field as settings of the walk; see harness presets.",
)
@option("--save", type=click.Path(path_type=Path), metavar="FILE", help="Where the weights go.  [default: runs/]")
@quiet_option("no loss line.")
@json_option("instead of lines.")
@cell_options(PARAMETERS)
def command(
    task: str | None,
    method: str | None,
    seed: int,
    weights: Path | None,
    plugins: tuple[str, ...],
    settings: tuple[str, ...],
    preset: str | None,
    save: Path | None,
    quiet: bool,
    as_json: bool,
    **given: Any,
) -> int:
    """Run one trial, show its loss while it learns, and save its weights as .npz.

    The trial is the same, to the last bit, as in a sweep with the same settings.
    """
    from freewalk.harness.plan.configuration import resolve
    from freewalk.harness.plan.plugins import load_plugins
    from freewalk.harness.plan.registry import BuiltInRegistry

    if preset is not None and preset not in RELATIVES:
        raise unknown("preset", preset, RELATIVES)
    options = {name: value for name in PARAMETERS if (value := given.pop(name, None)) is not None}
    given = without_overridden(given) | {"plugins": load_plugins(plugins)}
    given_options, saved = dict(options), None
    if weights is not None:
        saved = load_for(weights, task)
        task, method, options = _taken_over(saved, task, method, options, with_training=preset is None)
    if task is None:
        raise click.UsageError("missing option '--task', or --weights of a task", click.get_current_context())
    options |= own_settings(settings, given_options)
    grid = [*([] if preset is None else [preset]), *(axis_text(name, value) for name, value in options.items())]
    configuration = resolve(
        grid, registry=BuiltInRegistry(), tasks=[task], methods=[method or DEFAULT_METHOD], seeds=(seed,), **given
    )
    return _train(configuration, save, weights, saved, quiet=quiet, as_json=as_json)


def _initial(path: Path | None, saved: Any, problem: Any) -> Any:
    """Return the weights to start at, None for those of the seed; raise UsageError if they are of another network."""
    if saved is None:
        return None
    if problem.network != saved.network or problem.timesteps != saved.n_timesteps:
        raise UsageError(f"--weights {path} holds another network than these options make; leave them out")
    if saved.mask is not None:
        raise UsageError(f"--weights {path} has a mask of its own, which only freewalk.NNRndTraining trains on")
    if (problem.layers is None) != (saved.layers is None):
        raise UsageError(f"--weights {path} is of another architecture; leave --architecture out")
    return saved.weights


def _taken_over(
    saved: Any, task: str | None, method: str | None, options: dict[str, str], *, with_training: bool
) -> tuple[str | None, str, dict[str, str]]:
    """Return the task, the method and the options of a trial that goes on from a weights file."""
    carried = carried_network(saved.parameters)
    if with_training and method in (None, saved.method):
        carried |= carried_training(saved.parameters, options)
    return task or saved.task, method or saved.method, {**carried, **options}


def _train(
    configuration: Any, save: Path | None, weights: Path | None, saved: Any, *, quiet: bool, as_json: bool
) -> int:
    from freewalk.harness.engine.choice import backend_for, note_of
    from freewalk.harness.engine.estimate import refuse_too_large
    from freewalk.harness.plan.budget import Budget
    from freewalk.harness.plan.plan import expand
    from freewalk.harness.plan.registry import BuiltInRegistry
    from freewalk.harness.plan.targets import warn_of_targets
    from freewalk.harness.trial.trial import resolve_trial, run_interruptibly, spread_if_worth, start_problem
    from freewalk.harness.weights.weights_file import SavedWeights
    from freewalk.harness.weights.weights_file import save as save_weights
    from freewalk.results.base.numbers import json_value
    from freewalk.results.report.explanation import explain
    from freewalk.results.schema.schema import PARAMETER_PREFIX

    plan = expand(configuration, BuiltInRegistry())
    if len(plan.trials) != 1:
        raise UsageError(f"train runs one trial, these options make {len(plan.trials)}; use harness sweep")
    (trial,) = plan.trials
    backend = backend_for(configuration.backend, *trial.cell.learner)
    needed = refuse_too_large(plan, backend)
    warn_of_targets(plan.cells)
    path = _free_path(save, trial.cell.task, trial.trial_id)
    budget = Budget.of(configuration)
    problem = resolve_trial(trial.cell, budget)
    initial = _initial(weights, saved, problem)
    if not quiet and (note := note_of(backend)):
        click.echo(note, err=True)
    if not quiet and needed is not None:
        click.echo(f"harness: {needed}", err=True)
    if not quiet and saved is not None and saved.record.get("seed") == trial.seed:
        sees = "another --seed shows other data and noise"
        click.echo(f"harness: the weights were trained with seed {trial.seed} too; {sees}", err=True)
    run = start_problem(problem, trial.seed, budget, backend, initial)
    problem.warm_up(backend)
    line = _LossLine(run.steps, quiet=quiet)

    def check(run: Any) -> None:
        spread_if_worth(run, backend)
        line.show(run)

    interrupted = False
    try:
        result = run_interruptibly(run, backend, check=check).fields
    except KeyboardInterrupt:
        interrupted = True
        result = {"outcome": "interrupted", "steps": run.trainer.step}
        if (last := run.last_evaluation) is not None:
            result |= {"loss_final": last.loss, "metric_final": run.task.measure(last)}
    line.end(run)
    record = {"seed": trial.seed, **json_value(result)}
    save_weights(path, SavedWeights.of(trial.cell, problem, run.trainer.weights, record), option="--save ")
    settings = {f"{PARAMETER_PREFIX}{name}": value for name, value in trial.cell.parameters.items()}
    row = {"method": trial.cell.method, **settings, **result}
    why = "" if interrupted else explain(row, run.curve).partition(": ")[2]
    _print_result(record, path, why, as_json)
    return 130 if interrupted else 0


def _free_path(save: Path | None, task: str, trial_id: str) -> Path:
    """Return where the weights go; refuse a file that exists before any time is spent."""
    from freewalk.harness.weights.weights_file import check_free

    if save is None:
        names = (
            Path("runs") / f"{task}-{trial_id}{suffix}.npz" for suffix in ["", *(f"-{k}" for k in range(2, 10**6))]
        )
        return next(name for name in names if not name.exists())
    if not save.name:
        raise UsageError(f"--save {save} is a folder; give a file's name")
    path = save if save.suffix == ".npz" else save.with_name(save.name + ".npz")
    check_free(path, "--save ")
    return path


def _print_result(record: dict[str, Any], path: Path, why: str, as_json: bool) -> None:
    from freewalk.harness.base.text import duration, significant
    from freewalk.harness.terminal.console import print_json

    if as_json:
        print_json({**record, "explanation": why or None, "weights": str(path)})
        return
    measures = f"loss {significant(float(record.get('loss_final', 'nan')))}"
    if record.get("metric_name") not in (None, "loss"):
        measures += f", {record['metric_name']} {significant(float(record['metric_final']))}"
    seconds = f" in {duration(record['train_seconds'])} of training" if "train_seconds" in record else ""
    click.echo(f"{record['outcome']} after {record['steps']:,} steps{seconds}: {measures}")
    if why:
        click.echo(why)
    click.echo(f"weights in {path}")


def _terminal_width() -> int:
    try:
        return os.get_terminal_size(sys.stderr.fileno()).columns or 80
    except (OSError, ValueError):
        return 80


class _LossLine:
    """The state of a trial on stderr: one line redrawn on a terminal, now and then a line elsewhere."""

    def __init__(self, steps: int, *, quiet: bool) -> None:
        self._steps = steps
        self._quiet = quiet
        self._is_terminal = sys.stderr.isatty()
        self._pause = _SECONDS_BETWEEN_REDRAWS if self._is_terminal else _SECONDS_BETWEEN_LINES
        self._last = 0.0

    def show(self, run: Any) -> None:
        """Show the state if the last time is long enough ago."""
        now = time.perf_counter()
        if not self._quiet and now - self._last >= self._pause:
            self._last = now
            text = self._text(run)
            if self._is_terminal:  # a line that wraps could not be redrawn
                text = f"\r\x1b[K{text[: _terminal_width() - 1]}"
            click.echo(text, err=True, nl=not self._is_terminal)

    def end(self, run: Any) -> None:
        """Show the last state and leave the line."""
        self._last = 0.0
        self.show(run)
        if self._is_terminal and not self._quiet:
            click.echo(err=True)

    def _text(self, run: Any) -> str:
        from freewalk.harness.base.text import significant

        parts = [f"step {run.trainer.step:,}/{self._steps:,}"]
        if run.last_train_loss is not None:
            parts.append(f"training loss {significant(run.last_train_loss, 4)}")
        if run.last_evaluation is not None:
            parts.append(f"held-out loss {significant(run.last_evaluation.loss, 4)}")
            if run.task.metric != "loss":
                parts.append(f"{run.task.metric} {significant(run.task.measure(run.last_evaluation), 4)}")
        if run.train_seconds:
            parts.append(f"{run.trainer.step / run.train_seconds:,.0f} steps/s")
        return "  ".join(parts)
