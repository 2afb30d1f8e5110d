"""What is said and drawn of estimates of a gradient."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd

from freewalk.results.analysis.estimators import (
    Crossing,
    Names,
    PriceLine,
    by_estimator,
    crossings,
    numeric_axes,
    price_lines,
)
from freewalk.results.base.numbers import counted, interval, seconds, significant
from freewalk.results.report.drawing import Drawing, Group
from freewalk.results.report.line_plot import Line, LinePlot
from freewalk.results.report.palette import N_SERIES
from freewalk.results.report.subject import Row, records
from freewalk.results.schema.schema import PARAMETER_PREFIX

STDDEV: Final = f"{PARAMETER_PREFIX}stddev"
WHOLE: Final = "all"
_LEAST_STDDEVS: Final = 4
_PLOTS_OF_STDDEV: Final = 4
_NAMED: Final = 3
_NOTHING: Final = 1e-4
_SURE: Final = 0.02
_ERRORS: Final = 4.0
_TWO_SIDED: Final = 1.96
_PLACES: Final = {
    "initial": "at the initial weights",
    "half": "at half trained weights",
    "trained": "at trained weights",
    "file": "at the weights of the file",
}
_THEORY: Final = "by theory"
_COSTS: Final[Mapping[str, tuple[str, Callable[[float], str]]]] = {
    "evaluations_needed": ("Fewest evaluations", significant),
    "seconds_needed": ("Least time", seconds),
    "numbers_needed": ("Fewest random numbers", significant),
}


@dataclass(frozen=True)
class PlaceView:
    """One task at one place."""

    task: str
    at: str
    rows: Sequence[Row]
    """Of all weights, the cheapest estimator first, exact and predicted ones last."""
    parts: Sequence[Row]
    """Of layers, kinds of weights or timesteps, in the same order."""
    names: Names
    groups: Sequence[Group]
    crossings: Sequence[Crossing]

    @property
    def title(self) -> str:
        """The task and the place in words."""
        return f"{self.task} {_PLACES.get(self.at, self.at)}"

    @property
    def anchor(self) -> str:
        """A name for links."""
        return f"{self.task}-{self.at}"

    @property
    def usual(self) -> str:
        """Say what holds of every estimator that names nothing else."""
        return f"Unless it says otherwise: {self.names.usual_words}." if self.names.usual else ""

    @property
    def facts(self) -> str:
        """Say what is known of the place."""
        first = self.rows[0]
        steps, reached = first["trained_steps"], first["trained_reached"]
        end = f"Loss {significant(first['loss'])}, length of the gradient {significant(first['gradient_length'])}."
        if self.at not in ("half", "trained"):
            return end
        if self.at == "half":
            how = ", half of those that met the target" if reached else ", half of those that did not meet the target"
        else:
            how = ", which met the target" if reached else ", which did not meet the target"
        return f"After {counted(int(steps), 'step')} of backpropagation{how}. {end}"

    def words(self, row: Row) -> str:
        """Return an estimator in words."""
        return self.names.words(row)

    @property
    def sentences(self) -> list[str]:
        """Say which estimator is the cheapest, by evaluations, time and random numbers, and which ones are wrong."""
        estimated = [row for row in self.rows if row["kind"] == "estimated"]
        found = []
        for column, (what, shown) in _COSTS.items():
            known = [row for row in estimated if row[column] > 0 and not is_biased(row)]
            if known:
                best = min(known, key=lambda row: float(row[column]))
                found.append(f"{what}: {self.words(best)}, {shown(best[column])}.")
        biased = [self.words(row) for row in estimated if is_biased(row)]
        if biased:
            more = [f"{len(biased) - _NAMED} more"] if len(biased) > _NAMED else []
            found.append(f"Biased, beyond chance and 2 %: {'; '.join([*biased[:_NAMED], *more])}.")
        found += [crossing_sentence(one) for one in self.crossings]
        return found


def is_biased(row: Row) -> bool:
    """Tell whether the slope is off what it should be, by four standard errors and 2 %."""
    wanted = row["slope_expected"]  # NaN is not judged
    error = (row["slope_high"] - row["slope_low"]) / 2 / _TWO_SIDED
    return bool(abs(row["slope"] - wanted) > max(_ERRORS * error, _SURE * wanted))


def crossing_sentence(one: Crossing) -> str:
    """Say where one estimator becomes the cheaper one."""
    ends = interval(one.low, one.high)
    return f"Up to {one.parameter} {significant(one.value)} ({ends}) {one.below} is cheaper, beyond it {one.above}."


def place_views(estimates: pd.DataFrame, cosines: pd.DataFrame) -> Iterator[PlaceView]:
    """Yield what is said and drawn of each task and place, in the order of the table."""
    for (task, at), part in estimates.groupby(["task", "at"], sort=False):
        whole = part[part["weights"] == WHOLE].reset_index(drop=True)
        names = Names.of(whole)
        rows = sorted(records(whole), key=_order)
        places = {names.words(row): place for place, row in enumerate(rows)}
        parts = sorted(records(part[part["weights"] != WHOLE]), key=lambda row: places[names.words(row)])
        own = cosines[(cosines["task"] == task) & (cosines["at"] == at)]
        lines = {axis: price_lines(whole, axis, names) for axis in numeric_axes(whole) if axis != STDDEV}
        crossed = [one for axis, found in lines.items() for one in crossings(found, axis)]
        groups = [
            *_cosine_plots(rows, own, names),
            *_stddev_plots(whole, names),
            *(_price_plot(found, axis) for axis, found in lines.items() if found),
        ]
        yield PlaceView(str(task), str(at), rows, parts, names, groups, crossed)


def _order(row: Row) -> tuple[bool, bool, float]:
    price = float(row["evaluations_needed"])
    return row["kind"] != "estimated", is_biased(row), math.inf if math.isnan(price) else price


def _cosine_plots(rows: Sequence[Row], cosines: pd.DataFrame, names: Names) -> Iterator[Group]:
    """Yield how well the best estimators point, each by its best stddev, over what they cost."""
    chosen: dict[str, Row] = {}
    for row in rows:
        if row["kind"] == "estimated" and not is_biased(row):
            chosen.setdefault(names.words(row, [STDDEV]), row)
    parts = {names.words(records(part.iloc[:1])[0]): part for part in by_estimator(cosines, names)}
    lines: list[Line] = []
    for row in list(chosen.values())[:N_SERIES]:
        part = parts.get(names.words(row))
        if part is None:
            continue
        x, y, wanted = (part[name].to_numpy(np.float64) for name in ("evaluations", "cosine_mean", "cosine_expected"))
        pale = wanted if np.isfinite(wanted).any() else None
        lines.append(Line(x, y, len(lines) + 1, names.words(row), pale=pale, pale_words=_THEORY))
    if lines:
        plot = LinePlot("How well the mean of estimates points", "evaluations", "cosine", lines, scale="linear")
        caption = (
            "Mean cosine of the angle between the task's gradient and the mean of 1, 2, 4, … estimates that follow each"
            " other. Pale: what theory says."
        )
        choices = [(line.number or 0, line.name) for line in lines]
        yield Group("Direction", [Drawing("cosine", plot, caption)], choices=choices)


def _stddev_plots(whole: pd.DataFrame, names: Names) -> Iterator[Group]:
    """Yield what a stddev costs each estimator that was tried with several."""
    if STDDEV not in whole:
        return
    drawings: list[Drawing] = []
    for part in by_estimator(whole, names, [STDDEV]):
        part = part[part[STDDEV].notna() & part["rounding"].notna()].sort_values(STDDEV)
        if part[STDDEV].nunique() < _LEAST_STDDEVS or len(drawings) >= _PLOTS_OF_STDDEV:
            continue
        x = part[STDDEV].to_numpy(np.float64)
        named = {"smoothing": "smoothing of the loss", "curvature": "curvature of the loss", "rounding": "rounding"}
        lines = [
            Line(x, _positive(part[name].abs().to_numpy(np.float64)), number, words, end=name)
            for number, (name, words) in enumerate(named.items(), 1)
        ]
        name = names.words(records(part.iloc[:1])[0], [STDDEV])
        drawings.append(Drawing(f"stddev-{len(drawings)}", LinePlot(name, "stddev", "share", lines)))
    if drawings:
        caption = (
            "Smoothing: what the mean estimate gains or loses along the gradient, as a share of it. Curvature and"
            " rounding: what they add to a single estimate, as a share of its length. Rounding falls as stddev grows;"
            " smoothing grows with its square, curvature with stddev, or with its square if two-sided. The best stddev"
            " lies where all three are small."
        )
        yield Group("What stddev costs", drawings, caption)


def _price_plot(lines: Sequence[PriceLine], axis: str) -> Group:
    name = axis.removeprefix(PARAMETER_PREFIX)
    drawn = [
        Line(line.x, line.price, number, line.words, line.low, line.high, pale=line.expected, pale_words=_THEORY)
        for number, line in enumerate(lines[:N_SERIES], 1)
    ]
    plot = LinePlot(f"Price over {name}", name, "evaluations", drawn)
    more = f" The first {N_SERIES} of {len(lines)} are drawn." if len(lines) > N_SERIES else ""
    caption = f"Evaluations until the error of the mean estimate is as long as the gradient. Pale: theory.{more}"
    choices = [(line.number or 0, line.name) for line in drawn]
    return Group(f"Over {name}", [Drawing(f"price-{name}", plot, caption)], choices=choices)


def _positive(values: Any) -> Any:
    return np.where(values > 0, values, math.nan)


def figures_of(row: Mapping[str, Any]) -> dict[str, str]:
    """Return the figures of a row as the page's and the terminal's tables show them."""
    return {
        "evaluations": _figure(row["evaluations_needed"]),
        "time": "" if pd.isna(row["seconds_needed"]) else seconds(row["seconds_needed"]),
        "numbers": _figure(row["numbers_needed"]),
        "slope": _with_half(row, "slope"),
        "second moment": _with_half(row, "second_moment"),
        "over theory": _with_half(row, "of_expected"),
        "noise": _figure(row["variance_of_noise"]),
        "data": _figure(row["variance_of_data"]),
        "cosine": _figure(row["cosine_mean"]),
        "theory": _figure(row["cosine_expected"]),
    }


def _with_half(row: Mapping[str, Any], name: str) -> str:
    """Return a figure and half of its interval, to the digits that the interval leaves."""
    value, half = row[name], (row[f"{name}_high"] - row[f"{name}_low"]) / 2
    if pd.isna(value):
        return ""
    if not half > 1e-6 * abs(value):
        return significant(value)
    digits = max(0, 1 - math.floor(math.log10(half)))
    return f"{value:,.{digits}f} ± {half:,.{digits}f}"


def _figure(value: float) -> str:
    return "" if pd.isna(value) else significant(0.0 if abs(value) < _NOTHING else value)
