"""Which parameters matter on which task to which method, alone and together."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import pandas as pd

from freewalk.results.analysis.cells import Bools, TrialArrays, group_rows
from freewalk.results.base.numbers import value_order
from freewalk.results.schema.report_schema import SENSITIVITY
from freewalk.results.statistics.cell import Floats
from freewalk.results.statistics.ranks import holm
from freewalk.results.statistics.variance import Codes, Effect, interaction, main_effect, unexplained_share
from freewalk.results.tables.frames import column_dtypes, frame_of, parameter_columns, parameter_names

PENALTY: Final = 2.0
"""A trial that missed the target counts as this many times the largest budget that was spent on the task."""
_VALUES_TOLD: Final = 4


def sensitivity(trials: pd.DataFrame) -> pd.DataFrame:
    """Tell for every parameter that varies how much of the differences between trials it explains.

    Per task and method, an analysis of variance of the logarithm of the evaluations to the target. A trial that did not
    reach it counts as twice the most evaluations that any of these spent (PAR2, the penalised average of algorithm
    configuration), so that it is worse than any that did and the same wherever it stopped. Where none reached the
    target, the final loss takes the place of the evaluations, and a diverged trial twice the highest finite loss.
    A parameter is judged on the trials that it applies to, beside the parameters that apply to all of these, and the
    seed: trials with equal seeds share their noise. Two parameters together are judged beside all single ones: whether
    what one does depends on the value of the other. Methods are not pooled: their parameters mean different things, and
    which of them is better is a matter of their best cells.

    Parameters
    ----------
    trials : pandas.DataFrame
        The ``trials`` table; complete trials count.

    Returns
    -------
    pandas.DataFrame
        The ``sensitivity`` table: per task and method the parameters, largest share first, then pairs of them, seed and
        residual. One without two cells, or whose trials are all alike, has no rows.
    """
    arrays = TrialArrays(trials)
    records: list[dict[str, Any]] = []
    for rows in group_rows(trials[["task", "method"]]):
        chosen = np.zeros(len(trials), dtype=np.bool_)
        chosen[rows] = arrays.complete[rows]
        where = {name: str(trials[name].iloc[int(rows[0])]) for name in ("task", "method")}
        records += [row | where for row in _records(trials, arrays, chosen)]
    return frame_of(SENSITIVITY, records)


def _records(trials: pd.DataFrame, arrays: TrialArrays, chosen: Bools) -> Iterator[dict[str, Any]]:
    """Yield the rows of one method on one task."""
    chosen = chosen & ~np.isnan(arrays.spent("evaluations"))
    factors = _factors(trials[chosen])
    response, name, bounds = _response(arrays, chosen)
    if not factors or not response.size or np.ptp(response) == 0:
        return
    seed = _Factor.of(trials["seed"][chosen])
    sample = _Sample({**factors, "seed": seed}, response, ~arrays.reached[chosen], bounds)
    alone = [_record(parameter, sample) for parameter in factors]
    pairs = (_pair_record(pair, sample) for pair in itertools.combinations(factors, 2))
    together = [row for row in pairs if row is not None]
    both = [*alone, *together]
    for row, p_adjusted in zip(both, holm([row["p_value"] for row in both]), strict=True):
        row["p_adjusted"] = float(p_adjusted)
    # stable: ties keep the order of the columns
    rows = [
        row
        for group in (alone, together)
        for row in sorted(group, key=lambda row: -np.nan_to_num(row["variance_share"]))
    ]
    if len(seed.levels) > 1:
        rows.append(_record("seed", sample))
    codes = {name: factor.codes - factor.codes.min() for name, factor in sample.factors.items()}
    share, freedom = unexplained_share(response, codes)
    rows.append(_blank("residual", sample.missed) | {"variance_share": share, "residual_degrees_of_freedom": freedom})
    yield from (row | {"response": name} for row in rows)


def _response(arrays: TrialArrays, chosen: Bools) -> tuple[Floats, str, Bools]:
    """Return what is explained, its name, and where it is only a penalty; nothing without a finite positive loss."""
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
    """What may matter: a parameter, or the seed."""

    codes: Codes
    """The place of each trial's value, -1 where the factor does not apply."""
    levels: list[Any]

    @classmethod
    def of(cls, column: pd.Series) -> "_Factor":
        codes, values = pd.factorize(column)
        return cls(codes, list(values))


class _Sample(NamedTuple):
    """The trials of one method on one task, and what may matter to them."""

    factors: Mapping[str, _Factor]
    """The seed too."""
    response: Floats
    missed: Bools
    bounds: Bools
    """Where the response is only a penalty."""

    def beside(self, names: Sequence[str], applies: Bools) -> dict[str, Codes]:
        """Return the codes of the other factors that apply to all of some trials."""
        others = {name: factor.codes[applies] for name, factor in self.factors.items() if name not in names}
        return {name: codes for name, codes in others.items() if (codes >= 0).all()}


def _factors(trials: pd.DataFrame) -> dict[str, _Factor]:
    """Return the parameters that vary."""
    columns = zip(parameter_names(trials), parameter_columns(trials), strict=True)
    found = {name: _Factor.of(trials[column]) for name, column in columns}
    return {name: factor for name, factor in found.items() if len(factor.levels) > 1}


def _record(name: str, sample: _Sample) -> dict[str, Any]:
    """Judge a factor where it applies, beside those that apply to all of these trials."""
    factor = sample.factors[name]
    applies = factor.codes >= 0
    codes, response = factor.codes[applies], sample.response[applies]
    effect = main_effect(response, codes, sample.beside([name], applies))
    means = np.bincount(codes, weights=response) / np.bincount(codes)
    return _blank(name, sample.missed[applies]) | {
        **_columns(effect),
        "n_values": len(means),
        "best_value": None if np.isnan(effect.share) else str(factor.levels[int(means.argmin())]),
        "fold": float(np.exp(np.ptp(means))),
        "fold_is_bound": bool(sample.bounds[applies][codes == means.argmax()].any()),
    }


def _pair_record(pair: tuple[str, str], sample: _Sample) -> dict[str, Any] | None:
    """Judge what two factors do together; None where their values do not cross, so that nothing can tell."""
    first, second = (sample.factors[name] for name in pair)
    applies = (first.codes >= 0) & (second.codes >= 0)
    a, b = (np.unique(factor.codes[applies], return_inverse=True)[1] for factor in (first, second))
    effect = interaction(sample.response[applies], a, b, sample.beside(pair, applies))
    if effect is None:
        return None
    return _blank(":".join(pair), sample.missed[applies]) | {
        **_columns(effect),
        "n_values": len({*zip(a.tolist(), b.tolist(), strict=True)}),
        "best_value": _best_of_second(first, second, sample.response, sample.bounds),
    }


def _columns(effect: Effect) -> dict[str, float]:
    names = ("variance_share", "degrees_of_freedom", "residual_degrees_of_freedom", "f_value", "p_value")
    return dict(zip(names, effect, strict=True))


def _best_of_second(first: _Factor, second: _Factor, response: Floats, bounds: Bools) -> str:
    """Say which value of one factor has the lowest mean at each of a few values of another: ``0.1: 4; 1: 16``.

    Values at which no trial reached the target have no best.
    """
    best = []
    for code in _spread(first.levels):
        at = (first.codes == code) & (second.codes >= 0)
        if bounds[at].all():
            continue
        codes, counts = np.unique(second.codes[at], return_counts=True)
        means = [response[at & (second.codes == other)].mean() for other in codes] if counts.size else []
        best += [f"{first.levels[code]}: {second.levels[codes[int(np.argmin(means))]]}"] if means else []
    return "; ".join(best)


def _spread(levels: list[Any]) -> list[int]:
    """Choose at most a few places among levels, in their order, the lowest and the highest with them."""
    order = sorted(range(len(levels)), key=lambda place: (value_order(levels[place]), str(levels[place])))
    if len(order) <= _VALUES_TOLD:
        return order
    return [order[round(k * (len(order) - 1) / (_VALUES_TOLD - 1))] for k in range(_VALUES_TOLD)]


def _blank(name: str, missed: Bools) -> dict[str, Any]:
    blank: dict[str, Any] = dict.fromkeys(column_dtypes(SENSITIVITY))
    return blank | {"parameter": name, "n_trials": len(missed), "n_censored": int(missed.sum())}
