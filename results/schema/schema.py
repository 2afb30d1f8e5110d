"""The tables' contract: their columns, types, units, and the closed sets of words in them.

Missing values: a ``float64`` cell is NaN, a cell of a nullable type (``Int64``, ``boolean``, ``string``) is
``NA``.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Literal

SCHEMA_VERSION: Final = 4
PARAMETER_PREFIX: Final = "param_"

DType = Literal["Int64", "float64", "boolean", "string"]
TableName = Literal[
    "trials",
    "curves",
    "summary",
    "ranking",
    "methods",
    "sensitivity",
    "comparison",
    "origins",
    "estimates",
    "cosines",
    "tuned",
    "rounds",
    "reproductions",
]


class State(StrEnum):
    """Where a trial stands."""

    PENDING = "pending"
    RUNNING = "running"
    COMPLETE = "complete"
    FAILED = "failed"
    INTERRUPTED = "interrupted"


FURTHEST_FIRST: Final = (State.COMPLETE, State.FAILED, State.INTERRUPTED, State.RUNNING, State.PENDING)
"""Which of two runs of a trial is taken: the one that is further."""


class Outcome(StrEnum):
    """How a complete trial ended."""

    REACHED = "reached"
    """The target was met, on fresh datapoints too where there are any."""
    EXHAUSTED = "exhausted"
    """The budget was spent."""
    PLATEAUED = "plateaued"
    """The held-out loss stopped improving."""
    COLLAPSED = "collapsed"
    """Every input gives the same output, though the training signal is alive."""
    SATURATED = "saturated"
    """The training signal is gone, the metric is wrong; the outputs may be alike as well."""
    DIVERGED = "diverged"
    """The held-out loss or metric is not finite, or the loss only ever rose."""


@dataclass(frozen=True, slots=True)
class Column:
    """One documented column of a table."""

    name: str
    dtype: DType
    description: str
    unit: str = ""
    since: int = 1
    """The layout that had it first: older stores go without it, and their checksums hold all the same."""


_VERSION = Column("schema_version", "Int64", "version of the table's layout")

TRIAL_COLUMNS: Final[tuple[Column, ...]] = (
    _VERSION,
    Column("sweep_id", "string", "the sweep the trial belongs to"),
    Column("trial_id", "string", "the trial's name, unique in the sweep"),
    Column("state", "string", "pending, running, complete, failed or interrupted"),
    Column("outcome", "string", "how a complete trial ended; missing for any other"),
    Column("task", "string", "what is to be learned"),
    Column("method", "string", "how it is learned"),
    Column("backend", "string", "what computed it"),
    Column("device", "string", "where it was computed"),
    Column("dtype", "string", "floating-point type of the network arithmetic"),
    Column("seed", "Int64", "seed of weights, perturbations and data"),
    Column("effective_learning_rate", "float64", "step taken along the gradient estimate"),
    Column("n_weights", "Int64", "number of trained weights", "weights"),
    Column("evaluations_per_step", "float64", "what one step costs", "evaluations"),
    Column("steps", "Int64", "weight updates made", "steps"),
    Column("evaluations", "Int64", "forward passes of one datapoint, or their worth, spent on training", "evaluations"),
    Column("evaluations_budget", "float64", "evaluations that the trial may spend at most", "evaluations", 4),
    Column("loss_final", "float64", "held-out loss at the last evaluation"),
    Column("loss_best", "float64", "lowest finite held-out loss"),
    Column("metric_final", "float64", "the task's held-out metric at the last evaluation"),
    Column("metric_name", "string", "the task's metric"),
    Column("target", "float64", "value of the metric that counts as learned"),
    Column(
        "judged_on",
        "string",
        "data that decide: held-out, or training where a task has only so many datapoints and every one is shown",
        since=4,
    ),
    Column("reached", "boolean", "whether the target was met, on fresh datapoints too where there are any"),
    Column("n_unconfirmed", "Int64", "looks that met the target, which fresh datapoints then missed", "looks", 4),
    Column("steps_to_target", "Int64", "updates made when the target was met", "steps"),
    Column("evaluations_to_target", "Int64", "evaluations spent when the target was met", "evaluations"),
    Column(
        "evaluations_resolution",
        "Int64",
        "evaluations between the look that met the target and the one before: by so many at most is "
        "evaluations_to_target too high",
        "evaluations",
        since=4,
    ),
    Column("seconds_to_target", "float64", "training time spent when the target was met", "s"),
    Column("train_seconds", "float64", "training time alone; where trials share launches, its share", "s"),
    Column("evaluation_seconds", "float64", "time spent on held-out data", "s"),
    Column("compile_seconds", "float64", "time spent on compilation", "s"),
    Column("peak_memory_mb", "float64", "highest memory use", "MB"),
    Column("error", "string", "why the trial failed; missing for any other"),
    Column("started_at", "string", "when it last started, ISO 8601 UTC"),
    Column("finished_at", "string", "when it ended, ISO 8601 UTC"),
)

CURVE_COLUMNS: Final[tuple[Column, ...]] = (
    _VERSION,
    Column("trial_id", "string", "the trial the point belongs to"),
    Column("step", "Int64", "weight updates made so far", "steps"),
    Column("evaluations", "Int64", "evaluations spent so far", "evaluations"),
    Column("train_seconds", "float64", "training time spent so far", "s"),
    Column(
        "split",
        "string",
        "train; heldout; fresh: other datapoints, where the held-out ones met the target; or test: once, at the end of "
        "a trial whose data have a test part",
    ),
    Column("metric", "string", "what was measured"),
    Column("value", "float64", "its value"),
)

SUMMARY_COLUMNS: Final[tuple[Column, ...]] = (
    _VERSION,
    Column("task", "string", "what is to be learned"),
    Column("method", "string", "how it is learned"),
    Column("n_trials", "Int64", "trials of the cell in any state", "trials"),
    Column("n_complete", "Int64", "complete trials, the base of every statistic", "trials"),
    Column("n_failed", "Int64", "failed trials", "trials"),
    Column("n_reached", "Int64", "complete trials that met the target", "trials"),
    Column("success_rate", "float64", "n_reached / n_complete"),
    Column("success_rate_low", "float64", "lower end of its 95 % Wilson interval"),
    Column("success_rate_high", "float64", "upper end of its 95 % Wilson interval"),
    Column("n_first_look", "Int64", "trials that met the target at the first look after a step", "trials"),
    Column("n_unconfirmed", "Int64", "looks that met the target, which fresh datapoints then missed", "looks"),
    Column("ert_evaluations", "float64", "expected running time to the target", "evaluations"),
    Column(
        "ert_resolution",
        "float64",
        "by so many evaluations at most is ert_evaluations too high, since trials are looked at now and then",
        "evaluations",
    ),
    Column("ert_steps", "float64", "expected running time to the target", "steps"),
    Column("ert_seconds", "float64", "expected training time to the target, failures counted in", "s"),
    Column("seconds_to_target_median", "float64", "median training time of the trials that reached it", "s"),
    Column("loss_final_median", "float64", "median final loss, diverged trials as +inf"),
    Column("loss_final_q25", "float64", "lower quartile of the final loss"),
    Column("loss_final_q75", "float64", "upper quartile of the final loss"),
    Column("loss_final_iqm", "float64", "interquartile mean of the final loss"),
    Column("loss_final_iqm_low", "float64", "lower end of its bootstrap 95 % interval"),
    Column("loss_final_iqm_high", "float64", "upper end of its bootstrap 95 % interval"),
    Column("metric_name", "string", "the task's metric"),
    Column("metric_final_median", "float64", "median final metric, diverged trials as the worst value"),
    Column("target", "float64", "value of the metric that counts as learned"),
)

TABLES: Final[dict[TableName, tuple[Column, ...]]] = {
    "trials": TRIAL_COLUMNS,
    "curves": CURVE_COLUMNS,
    "summary": SUMMARY_COLUMNS,
}
# The documented column that the table's param_* columns follow; curves have none.
PARAMETERS_AFTER: Final[dict[TableName, str]] = {"trials": "seed", "summary": "method"}


def column_names(table: TableName, parameters: Iterable[str] = ()) -> list[str]:
    """Return a table's column names in order.

    Parameters
    ----------
    table : {"trials", "curves", "summary"}
        Which table.
    parameters : iterable of str
        Parameter names without their prefix, in the order wanted; ignored for curves.

    Returns
    -------
    list of str
    """
    names = [column.name for column in TABLES[table]]
    if table in PARAMETERS_AFTER:
        at = names.index(PARAMETERS_AFTER[table]) + 1
        names[at:at] = [PARAMETER_PREFIX + parameter for parameter in parameters]
    return names
