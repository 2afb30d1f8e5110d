"""Which setting kept a trial from its target, as far as its numbers tell, and what to give instead."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

import pandas as pd

from freewalk.results.base.numbers import counted, percent, significant
from freewalk.results.report.ended_trial import EndedTrial
from freewalk.results.schema.records import CurvePoint
from freewalk.results.schema.schema import PARAMETER_PREFIX, Outcome

_HARDLY: Final = 0.1
"""A loss that has never been lower than by this part of what it began with has hardly moved."""
_SLOW: Final = 0.01
"""A learning rate of plain gradients above this is not slow: of the built-in tasks none needs so little."""
_SLOW_WITH: Final[Mapping[str, float]] = {"sgd": _SLOW, "momentum": _SLOW / 10, "adam": 0.0003}
"""Momentum makes steps about ten times as long; those of Adam hardly depend on the gradient's length."""
_STILL_FALLING: Final = 0.01
"""A loss that falls by this part in the last quarter of its steps may go on falling."""
_TURNS: Final = 4.0
_SWING: Final = 0.1
"""A loss wanders if its way over the last half is so many times as long as what it gains, and its highest is above its
lowest by this part."""
_KINDS_SAID: Final = 2


def remedy(trial: EndedTrial) -> str:
    """Say which setting a trial that missed its target should change, in one sentence.

    Parameters
    ----------
    trial : EndedTrial
        Its row, parameters included, and its curve.

    Returns
    -------
    str
        The setting with its value, what the numbers show, and what to give; empty where they single out none.
    """
    return _found(trial)[1]


def remedies(trials: pd.DataFrame, curves: pd.DataFrame | None) -> str:
    """Say what kept trials from their target: the commonest reasons, each with how many trials it holds for.

    Parameters
    ----------
    trials : pandas.DataFrame
        Rows of the trials table.
    curves : pandas.DataFrame, optional
        The curves table; without it only what the rows alone tell is said.

    Returns
    -------
    str
        One or two sentences; empty where no reason is known.
    """
    points = _by_trial(curves)
    sentences: dict[str, list[str]] = {}
    for row in trials.to_dict("records"):
        kind, said = _found(
            EndedTrial({str(key): value for key, value in row.items()}, points.get(row["trial_id"], ()))
        )
        if said:
            sentences.setdefault(kind, []).append(said)
    commonest = sorted(sentences.values(), key=len, reverse=True)[:_KINDS_SAID]
    return " ".join(
        f"{len(said)} of {counted(len(trials), 'trial')}: {'' if len({*said}) == 1 else 'for example, '}{said[0]}."
        for said in commonest
    )


def heldout_losses(curves: Iterable[pd.DataFrame]) -> pd.DataFrame:
    """Return the rows of a curves table, or its parts, that `remedies` looks at."""
    return pd.concat([part[(part["split"] == "heldout") & (part["metric"] == "loss")] for part in curves])


def falls(trial: EndedTrial) -> float:
    """Return the part by which the held-out loss fell over the last quarter of the steps; NaN where that is unknown."""
    points = _finite(trial)
    if len(points) < 3:
        return math.nan
    quarter = [point for point in points[:-1] if point.step <= 0.75 * points[-1].step][-1].value
    return (quarter - points[-1].value) / abs(quarter) if quarter else 0.0


def _found(trial: EndedTrial) -> tuple[str, str]:
    """Return the name and the sentence of the first reason that holds; empty ones without any."""
    if trial.word("outcome") in (None, Outcome.REACHED):
        return "", ""
    return next(((find.__name__, said) for find in _FINDERS if (said := find(trial))), ("", ""))


def _by_trial(curves: pd.DataFrame | None) -> dict[object, Sequence[CurvePoint]]:
    if curves is None:
        return {}
    mine = heldout_losses([curves]).sort_values("step")
    return {
        name: [
            CurvePoint(int(step), 0, math.nan, "heldout", "loss", float(value))
            for step, value in zip(points["step"], points["value"], strict=True)
        ]
        for name, points in mine.groupby("trial_id", sort=False)
    }


def _finite(trial: EndedTrial) -> list[CurvePoint]:
    return [point for point in trial.heldout("loss") if math.isfinite(point.value)]


def _value(trial: EndedTrial, name: str) -> str | None:
    return trial.word(PARAMETER_PREFIX + name)


def _number(trial: EndedTrial, name: str) -> float:
    return trial.number(PARAMETER_PREFIX + name)


def _written(trial: EndedTrial, name: str) -> str:
    """Return a setting as `--grid` writes it: `stddev=0.01`."""
    value = _number(trial, name)
    return f"{name}={value:g}" if math.isfinite(value) else f"{name}={_value(trial, name)}"


def _fall(trial: EndedTrial) -> float:
    """Return the part by which the lowest held-out loss is below the first; NaN without a curve."""
    points = _finite(trial)
    if len(points) < 2 or not points[0].value:
        return math.nan
    return 1 - min(point.value for point in points) / points[0].value


def _share(fall: float) -> str:
    return f"only by {significant(100 * fall, 2)} %" if fall > 0 else "not at all"


def _few(trial: EndedTrial) -> str:
    """Tell a batch of the walk that has fewer perturbations than there are weights; empty for any other."""
    n_weights = trial.number("n_weights")
    if trial.word("method") != "walk" or not _number(trial, "batch_size") < n_weights:
        return ""
    return f"{_written(trial, 'batch_size')} is few perturbations for {counted(int(n_weights), 'weight')}"


def _too_long(trial: EndedTrial) -> str:
    """Find steps that drove the outputs to 0 or 1, or the loss beyond all bounds."""
    outcome = trial.word("outcome")
    if outcome not in (Outcome.SATURATED, Outcome.DIVERGED):
        return ""
    did = "drove the outputs to 0 or 1" if outcome == Outcome.SATURATED else "drove the loss up"
    if _value(trial, "update") == "raw":
        rate = significant(_number(trial, "stddev") ** 2)
        return (
            f"{_written(trial, 'stddev')} {did}, since update=raw steps by stddev squared = {rate} times the gradient: "
            "give a smaller stddev"
        )
    if math.isnan(_number(trial, "learning_rate")):
        return ""
    if beyond := _beyond_weights(trial):
        return beyond
    steps = f"steps of {_written(trial, 'learning_rate')} {did}"
    if few := _few(trial):
        return f"{few}, and {steps}: give a larger batch_size or a smaller learning_rate"
    return f"{steps}: give a smaller learning_rate"


def _raw_hardly_moves(trial: EndedTrial) -> str:
    """Find the original rule where stddev squared is next to nothing."""
    fall, stddev = _fall(trial), _number(trial, "stddev")
    if _value(trial, "update") != "raw" or not fall < _HARDLY or not stddev**2 < _SLOW:
        return ""
    return (
        f"update=raw moves by stddev squared = {significant(stddev**2)} times the gradient, and the loss fell "
        f"{_share(fall)} since the start: give update=normalised, which has a learning rate of its own"
    )


def _single_layer(trial: EndedTrial) -> str:
    """Find a network whose outputs see nothing but the inputs, and which has stopped getting better."""
    if falls(trial) > _STILL_FALLING:
        return ""
    architecture = _value(trial, "architecture")
    if architecture == "free" and _number(trial, "timesteps") == 1:
        return (
            "timesteps=1 applies the layer once, so that the outputs see the inputs alone and no hidden neuron: "
            "give timesteps=2 or more"
        )
    if architecture is not None and re.fullmatch(r"\d+-\d+", architecture):
        return f"architecture={architecture} has no hidden layer: give it one"
    return ""


def _beyond_weights(trial: EndedTrial) -> str:
    """Find perturbations larger than any weight that training starts from."""
    stddev, n_weights = _number(trial, "stddev"), trial.number("n_weights")
    if _value(trial, "architecture") != "free" or not n_weights > 0 or falls(trial) > _STILL_FALLING:
        return ""
    # Initial weights end at sqrt(6 / (n_from + n_to)), which is largest for a square matrix.
    largest = math.sqrt(3 / math.sqrt(n_weights))
    if not stddev > largest:
        return ""
    return (
        f"{_written(trial, 'stddev')} perturbs by more than the largest weight that training starts from "
        f"({significant(largest, 2)}): give a smaller stddev"
    )


def _short(trial: EndedTrial) -> str:
    """Find a loss that was still falling when the budget ended."""
    fall = falls(trial)
    if trial.word("outcome") != Outcome.EXHAUSTED or not fall > _STILL_FALLING or not _fall(trial) > 0:
        return ""
    return f"the loss still fell by {percent(fall)} over the last quarter, so more steps may reach it: give more epochs"


def _slow(trial: EndedTrial) -> str:
    """Find a learning rate of next to nothing."""
    fall, rate = _fall(trial), _number(trial, "learning_rate")
    if not fall < _HARDLY or not rate < _SLOW_WITH.get(_value(trial, "optimizer") or "", 0.0):
        return ""
    return (
        f"{_written(trial, 'learning_rate')} moved the loss {_share(fall)} since the start: give a larger learning_rate"
    )


def _wanders(trial: EndedTrial) -> str:
    """Find a loss that goes up and down: steps too long for so noisy an estimate."""
    points = _finite(trial)
    late = [point.value for point in points if point.step >= 0.5 * points[-1].step]
    if len(late) < 5:
        return ""
    way = sum(abs(b - a) for a, b in itertools.pairwise(late))
    if way < _TURNS * abs(late[-1] - late[0]) or max(late) < (1 + _SWING) * min(late):
        return ""
    raw = _value(trial, "update") == "raw"
    rate = "stddev" if raw else "learning_rate"
    if math.isnan(_number(trial, rate)):
        return ""
    wandered = f"the loss went up and down between {significant(min(late))} and {significant(max(late))} at the end"
    if few := _few(trial):
        return f"{few}, and {wandered}: give a larger batch_size or a smaller {rate} than {_number(trial, rate):g}"
    return f"{_written(trial, rate)} makes long steps, and {wandered}: give a smaller {rate}"


_FINDERS: Final[Sequence[Callable[[EndedTrial], str]]] = (
    _too_long,
    _raw_hardly_moves,
    _single_layer,
    _beyond_weights,
    _slow,
    _short,
    _wanders,
)
