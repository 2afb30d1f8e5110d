"""Which parameters matter on which task."""

from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

import numpy as np
import pandas as pd

from freewalk.results.cells import Bools, TrialArrays, parameter_columns
from freewalk.results.frames import build_frame, column_dtypes, typed_series
from freewalk.results.report_schema import SENSITIVITY
from freewalk.results.schema import PARAMETER_PREFIX, SCHEMA_VERSION
from freewalk.results.statistics import Floats
from freewalk.results.statistics_ranks import holm
from freewalk.results.statistics_variance import Codes, main_effect, unexplained_share

PENALTY: Final = 2.0
"""A trial that missed the target counts as this many times the largest budget that was spent on the task."""


def sensitivity(trials: pd.DataFrame) -> pd.DataFrame:
    """Tell for every parameter that varies how much of the differences between trials it explains.

    Per task, an analysis of variance of the logarithm of the evaluations to the target. A trial that did not reach it
    counts as twice the most evaluations that any trial of the task spent (PAR2, the penalised average of algorithm
    configuration), so that it is worse than any that did and the same wherever it stopped. Where no trial reached the
    target, the final loss takes the place of the evaluations, and a diverged trial twice the highest finite loss.
    A parameter is judged on the trials that it applies to, beside the parameters that apply to all of these, and the
    seed: trials with equal seeds share their noise.

    Parameters
    ----------
    trials : pandas.DataFrame
        The ``trials`` table; complete trials count.

    Returns
    -------
    pandas.DataFrame
        The ``sensitivity`` table: per task the parameters, largest share first, then seed and residual. A task without
        two cells, or whose trials are all alike, has no rows.
    """
    arrays = TrialArrays(trials)
    tasks, names = pd.factorize(trials["task"])
    records: list[dict[str, Any]] = []
    for code, task in enumerate(names):
        records.extend(_task_records(str(task), trials, arrays, (tasks == code) & arrays.complete))
    columns = {
        name: typed_series([record[name] for record in records], dtype)
        for name, dtype in column_dtypes(SENSITIVITY).items()
    }
    return build_frame(SENSITIVITY, columns)


def _task_records(task: str, trials: pd.DataFrame, arrays: TrialArrays, chosen: Bools) -> Iterator[dict[str, Any]]:
    chosen = chosen & ~np.isnan(arrays.spent("evaluations"))
    factors = _factors(trials[chosen])
    response, name, bounds = _response(arrays, chosen)
    if not factors or not response.size or np.ptp(response) == 0:
        return
    missed = ~arrays.reached[chosen]
    seed = _Factor.of(trials["seed"][chosen])
    rows = [_record(parameter, factors, seed, response, missed, bounds) for parameter in factors]
    for row, p_adjusted in zip(rows, holm([row["p_value"] for row in rows]), strict=True):
        row["p_adjusted"] = float(p_adjusted)
    rows.sort(key=lambda row: -np.nan_to_num(row["variance_share"]))  # stable: ties keep the order of the columns
    if len(seed.levels) > 1:
        rows.append(_record("seed", {**factors, "seed": seed}, seed, response, missed, bounds))
    share, freedom = unexplained_share(response, {k: f.codes - f.codes.min() for k, f in {**factors, "": seed}.items()})
    rows.append(_blank("residual", missed) | {"variance_share": share, "residual_degrees_of_freedom": freedom})
    yield from (row | {"schema_version": SCHEMA_VERSION, "task": task, "response": name} for row in rows)


def _response(arrays: TrialArrays, chosen: Bools) -> tuple[Floats, str, Bools]:
    """Give what is explained, its name, and where it is only a penalty; nothing without a finite positive loss."""
    reached = arrays.reached[chosen]
    if reached.any():
        spent = np.maximum(arrays.spent("evaluations")[chosen], 1)  # an untrained network may meet the target
        return np.log(np.where(reached, spent, PENALTY * spent.max())), "evaluations_to_target", ~reached
    losses = arrays.numbers["loss_final"][chosen]
    positive = losses[np.isfinite(losses) & (losses > 0)]
    if not positive.size:
        return positive, "loss_final", ~reached
    finite = np.maximum(losses, positive.min())
    diverged = ~np.isfinite(losses)
    return np.log(np.where(diverged, PENALTY * positive.max(), finite)), "loss_final", diverged


class _Factor(NamedTuple):
    """What may matter: a parameter, the method, or the seed."""

    codes: Codes
    """The place of each trial's value, -1 where the factor does not apply."""
    levels: list[Any]

    @classmethod
    def of(cls, column: pd.Series) -> "_Factor":
        codes, values = pd.factorize(column)
        return cls(codes, list(values))


def _factors(trials: pd.DataFrame) -> dict[str, _Factor]:
    """Give the parameters that vary."""
    columns = {name.removeprefix(PARAMETER_PREFIX): trials[name] for name in ["method", *parameter_columns(trials)]}
    found = {name: _Factor.of(column) for name, column in columns.items()}
    return {name: factor for name, factor in found.items() if len(factor.levels) > 1}


def _record(
    name: str, factors: Mapping[str, _Factor], seed: _Factor, response: Floats, missed: Bools, bounds: Bools
) -> dict[str, Any]:
    """Judge a factor where it applies, beside those that apply to all of these trials."""
    factor = seed if name == "seed" else factors[name]
    applies = factor.codes >= 0
    beside = {other: f.codes[applies] for other, f in {**factors, "seed": seed}.items() if other != name}
    effect = main_effect(
        response[applies],
        factor.codes[applies],
        {other: codes for other, codes in beside.items() if (codes >= 0).all()},
    )
    means = np.bincount(factor.codes[applies], weights=response[applies]) / np.bincount(factor.codes[applies])
    return _blank(name, missed[applies]) | {
        "n_values": len(means),
        "variance_share": effect.share,
        "degrees_of_freedom": effect.freedom,
        "residual_degrees_of_freedom": effect.residual_freedom,
        "f_value": effect.f_value,
        "p_value": effect.p_value,
        "best_value": None if np.isnan(effect.share) else str(factor.levels[int(means.argmin())]),
        "fold": float(np.exp(np.ptp(means))),
        "fold_is_bound": bool(bounds[applies][factor.codes[applies] == means.argmax()].any()),
    }


def _blank(name: str, missed: Bools) -> dict[str, Any]:
    blank: dict[str, Any] = dict.fromkeys(column_dtypes(SENSITIVITY))
    return blank | {"parameter": name, "n_trials": len(missed), "n_censored": int(missed.sum())}
