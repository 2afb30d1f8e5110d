"""Why a trial ended as it did, in one sentence with the numbers that decided it.

Everything is read from the trial's row and, where it is at hand, its curve; whatever is missing is left out.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Final

import pandas as pd

from freewalk.results.base.numbers import counted, is_missing, seconds, significant
from freewalk.results.report.ended_trial import EndedTrial
from freewalk.results.report.remedy import remedy
from freewalk.results.schema.records import CurvePoint
from freewalk.results.schema.schema import Outcome, State


def explain(row: Mapping[str, object], curve: Iterable[CurvePoint] = ()) -> str:
    """Say in one sentence how a trial ended and why.

    Parameters
    ----------
    row : mapping
        The trial's row of the trials table, or the fields that `Store.finish` takes; None, NaN, NA and absent values
        are missing.
    curve : iterable of CurvePoint, optional
        Its points, in any order; see `curve_points` for those of a table.

    Returns
    -------
    str
        Such as ``plateaued: the loss has not improved on 0.25 since step 300 ...``; no full stop.
    """
    trial = EndedTrial(row, tuple(sorted(curve, key=lambda point: point.step)))
    state = trial.word("state")
    outcome = trial.word("outcome")
    if outcome is None:
        return _without_outcome(trial, state)
    tell = _STORIES.get(outcome)
    return outcome if tell is None else f"{outcome}: {_join(tell(trial), remedy(trial))}"


def curve_points(curves: pd.DataFrame, trial_id: str | None = None) -> list[CurvePoint]:
    """Return the points of one trial in a curves table; without a name, all of them.

    Parameters
    ----------
    curves : pandas.DataFrame
        The curves table, or some of its rows.
    trial_id : str, optional
        Whose points.

    Returns
    -------
    list of CurvePoint
    """
    mine = curves if trial_id is None else curves[curves["trial_id"] == trial_id]
    columns = (mine[name] for name in CurvePoint._fields)
    return [
        CurvePoint(int(step), _whole(evaluations), float(time), str(split), str(metric), float(value))
        for step, evaluations, time, split, metric, value in zip(*columns, strict=True)
    ]


def _join(*parts: str) -> str:
    return "; ".join(part for part in parts if part)


def _without_outcome(trial: EndedTrial, state: str | None) -> str:
    if state == State.FAILED:
        return f"failed: {trial.word('error') or 'its error was not recorded'}"
    if state == State.INTERRUPTED:
        return " ".join(part for part in ("interrupted", trial.after) if part)
    if state == State.PENDING:
        return "pending: it has not run yet"
    if state == State.RUNNING:
        return "running: it has not ended yet"
    return "no outcome is recorded"


def _reached(trial: EndedTrial) -> str:
    steps, evaluations = trial.number("steps_to_target"), trial.number("evaluations_to_target")
    resolution = trial.number("evaluations_resolution")
    at_most = f", at most {resolution:,.0f} too many" if 0 < resolution < evaluations else ""
    at_most = ", at the first look" if resolution == evaluations else at_most
    spent = [f"{evaluations:,.0f} evaluations{at_most}"] if math.isfinite(evaluations) else []
    time = trial.number("seconds_to_target")
    spent += [f"{seconds(time)} of training"] if math.isfinite(time) else []
    cost = f" ({', '.join(spent)})" if spent else ""
    if steps == 0:
        when, cost = " before the first step", ""
    else:
        when = f" after {counted(int(steps), 'step')}" if math.isfinite(steps) else ""
    return _join(f"the target was met{when}{cost}", trial.verdict)


def _exhausted(trial: EndedTrial) -> str:
    start = " ".join(part for part in ("the budget ended", trial.after) if part)
    return _join(start, trial.verdict, _unconfirmed(trial), "" if remedy(trial) else _trend(trial))


def _unconfirmed(trial: EndedTrial) -> str:
    n = trial.number("n_unconfirmed")
    return f"{counted(int(n), 'look')} met it, but not on fresh datapoints" if n > 0 else ""


def _trend(trial: EndedTrial) -> str:
    """Say where the loss stood at the end, compared with its lowest; see `remedy` for one that was still falling."""
    points = [point for point in trial.heldout("loss") if math.isfinite(point.value)]
    if len(points) < 3:
        return ""
    first, last = points[0].value, points[-1].value
    best = min(points, key=lambda point: point.value)
    if last > first and best.step == points[0].step:
        return f"the loss was lowest before training, {significant(first)}, and ended at {significant(last)}"
    if last > 1.1 * best.value:
        return (
            f"the loss had been lower: {significant(best.value)} at step {best.step:,}, {significant(last)} at the end"
        )
    return f"the loss, {significant(last)}, hardly changed over the last quarter, so more steps alone will hardly help"


def _plateaued(trial: EndedTrial) -> str:
    best = trial.number("loss_best")
    points = [point for point in trial.heldout("loss") if point.value == best]
    value = f" its best, {significant(best)}" if math.isfinite(best) else ""
    since = f" since step {points[0].step:,}" if points else ""
    start = f"the loss has not improved notably on{value}{since}" if value else "the loss stopped improving"
    return _join(" ".join(part for part in (start + ("," if trial.after else ""), trial.after) if part), trial.verdict)


def _collapsed(trial: EndedTrial) -> str:
    spread = trial.last("output_spread")
    detail = f": no output differs by more than {significant(spread)} between two inputs" if spread == spread else ""
    return _join(f"the answer is the same whatever the input{detail}", trial.verdict)


def _saturated(trial: EndedTrial) -> str:
    signal = trial.last("signal")
    left = significant(signal) if signal == signal else "almost nothing"
    return _join(
        f"the training signal is gone though the answer is wrong: {left} of it is left for each unit of error, because"
        " the outputs stand at 0 or 1",
        trial.verdict,
    )


def _diverged(trial: EndedTrial) -> str:
    points = trial.heldout("loss")
    finite = [point for point in points if math.isfinite(point.value)]
    final = trial.number("loss_final")
    if math.isfinite(final):
        origin = f" from {significant(finite[0].value)}" if finite else ""
        return _join(
            f"the loss only ever rose,{origin} to {significant(final)}: the steps are too long, or go along"
            " the gradient instead of against it",
            trial.verdict,
        )
    when = trial.after
    start = " ".join(part for part in ("the loss or the metric was not finite", when) if part)
    if not finite:
        best = trial.number("loss_best")
        return _join(start, f"the lowest finite loss was {significant(best)}" if math.isfinite(best) else "")
    last = finite[-1]
    return _join(start, f"the last finite loss was {significant(last.value)} at step {last.step:,}")


_STORIES: Final[Mapping[str, Callable[[EndedTrial], str]]] = {
    Outcome.REACHED: _reached,
    Outcome.EXHAUSTED: _exhausted,
    Outcome.PLATEAUED: _plateaued,
    Outcome.COLLAPSED: _collapsed,
    Outcome.SATURATED: _saturated,
    Outcome.DIVERGED: _diverged,
}


def _whole(value: object) -> int:
    return 0 if is_missing(value) else int(str(value).partition(".")[0])
