"""The curves so far of trials that have not ended, in a report that is made meanwhile."""

import numpy as np

from freewalk.results.analysis.bands import curve_bands
from freewalk.results.analysis.cells import cell_columns
from freewalk.results.base.numbers import counted
from freewalk.results.report.drawing import Drawing, Group
from freewalk.results.report.line_plot import Line, LinePlot
from freewalk.results.report.palette import N_SERIES
from freewalk.results.report.subject import Tables, Task, records

_UNIT = "evaluations"


def plots_in_progress(task: Task, tables: Tables) -> list[Group]:
    """Choose the plot of the trials that have not ended, the cells with the lowest losses in colour; none without one.

    Some N_SERIES cells are drawn in all: where there are more, those of the lowest losses.
    """
    curves = tables.curves_in_progress
    if curves is None or curves.empty:
        return []
    trials = task.trials[task.trials["trial_id"].isin(curves["trial_id"])].reset_index(drop=True)
    bands = curve_bands(trials, curves, unit=_UNIT)
    bands = bands[bands[_UNIT] > 0]  # a logarithmic axis has no 0
    parts = [part for _, part in bands.groupby(cell_columns(trials), dropna=False, sort=False)]
    parts.sort(key=lambda part: float(part["median"].iloc[-1]))
    lines = []
    for number, part in enumerate(parts[:N_SERIES], 1):
        x, middle, low, high = (part[name].to_numpy(np.float64) for name in (_UNIT, "median", "q25", "q75"))
        lines.append(Line(x, middle, number, task.label(records(part.iloc[:1])[0]), low, high))
    if not lines:
        return []
    target = {"target": task.target, "target_label": "target"} if task.metric == "loss" else {}
    plot = LinePlot("Loss on held-out data, so far", "evaluations spent on training", "loss", lines, **target)  # type: ignore[arg-type]
    best = f", the {N_SERIES} best of {len(parts)} cells" if len(parts) > N_SERIES else ""
    caption = (
        f"Of {counted(len(trials), 'trial')} that had not ended when the report was made{best}: median over seeds, band"
        " between the quartiles, numbered from the lowest loss. A trial that is behind keeps its last value."
    )
    return [Group("Under way", [Drawing("in-progress", plot, caption)])]
