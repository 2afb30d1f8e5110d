"""The columns of the tables made from trials: what ranks, what matters, how two sweeps compare, what was merged.

They are registered beside the tables of `schema`, so that they are built, written, read and documented the same way.
"""

from typing import Final

from freewalk.results.schema.schema import PARAMETERS_AFTER, TABLES, Column, TableName

RANKING: Final[TableName] = "ranking"
METHODS: Final[TableName] = "methods"
SENSITIVITY: Final[TableName] = "sensitivity"
COMPARISON: Final[TableName] = "comparison"
ORIGINS: Final[TableName] = "origins"

_VERSION: Final = Column("schema_version", "Int64", "version of the table's layout")
_TASK: Final = Column("task", "string", "what is to be learned")
_METHOD: Final = Column("method", "string", "how it is learned")


def _interval(name: str, text: str, unit: str = "") -> tuple[Column, Column]:
    return (
        Column(f"{name}_low", "float64", f"lower end of {text}", unit),
        Column(f"{name}_high", "float64", f"upper end of {text}", unit),
    )


_OF_BEST_CELL: Final = (
    "n_complete",
    "n_reached",
    "success_rate",
    "success_rate_low",
    "success_rate_high",
    "ert_evaluations",
    "ert_evaluations_low",
    "ert_evaluations_high",
    "ert_resolution",
)

RANKING_COLUMNS: Final[tuple[Column, ...]] = (
    _VERSION,
    _TASK,
    _METHOD,
    Column("rank", "Int64", "place in the task: by success rate, then expected running time, then median final loss"),
    Column("n_complete", "Int64", "complete trials, the base of every statistic", "trials"),
    Column("n_reached", "Int64", "complete trials that met the target", "trials"),
    Column("success_rate", "float64", "n_reached / n_complete"),
    *_interval("success_rate", "its 95 % Wilson interval"),
    Column("ert_evaluations", "float64", "expected running time to the target, failures counted in", "evaluations"),
    *_interval("ert_evaluations", "its 95 % interval", "evaluations"),
    Column(
        "ert_resolution",
        "float64",
        "by so many evaluations at most is ert_evaluations too high, since trials are looked at now and then",
        "evaluations",
    ),
    Column(
        "evaluations_median",
        "float64",
        "evaluations by which half of the trials reached the target (Kaplan-Meier); inf where they never did",
        "evaluations",
    ),
    *_interval("evaluations_median", "its 95 % interval", "evaluations"),
    Column("loss_final_iqm", "float64", "interquartile mean of the final loss"),
    *_interval("loss_final_iqm", "its 95 % interval"),
    Column(
        "ratio",
        "float64",
        "ert_evaluations over that of the task's first cell; inf where this cell never reached the target, and then "
        "ratio_low says at least how much dearer it is",
    ),
    *_interval("ratio", "its 95 % interval"),
    Column(
        "cost_ratio",
        "float64",
        "median ratio of the evaluations to the target, this cell's over the first's, where both reached it: "
        "of pairs with equal seeds where there are enough, else of any two trials",
    ),
    *_interval("cost_ratio", "its 95 % interval"),
    Column(
        "superiority",
        "float64",
        "probability that a trial of the task's first cell beats one of this cell, ties counted half; "
        "a trial beats another by reaching the target in fewer evaluations, or, where neither reached it, "
        "by the lower final loss",
    ),
    *_interval("superiority", "its 95 % interval"),
    Column("test", "string", "the rank test that compares the cell with the task's first"),
    Column("p_value", "float64", "two-sided p-value of that test"),
    Column(
        "p_adjusted",
        "float64",
        "p_value times the number of pairs of the task's cells, k (k - 1) / 2 of k with a complete trial, at most 1: "
        "holds for all cells at once, although the first was picked by these trials: were all cells of a task the "
        "same, any would be below 0.05 in at most 5 % of sweeps",
    ),
    Column(
        "p_attainable",
        "float64",
        "the lowest p_adjusted that so many trials can give; above 0.05 they are too few to tell any difference",
    ),
    Column(
        "different",
        "boolean",
        "whether the cell is told apart from the task's first, whichever way: p_adjusted below 0.05",
    ),
    Column(
        "verdict",
        "string",
        "beside the task's first: worse (told apart, and nothing speaks for it), trade-off (success rate and cost "
        "point in different directions, or what is true of most trials is not of their mean), alike (the interval of "
        "cost_ratio within 0.8 to 1.25 and that of the difference of the success rates within 0.1), or unclear (more "
        "seeds would tell)",
    ),
)

METHOD_COLUMNS: Final[tuple[Column, ...]] = (
    _VERSION,
    _TASK,
    _METHOD,
    Column("rank", "Int64", "place of the method in the task, by its best cell"),
    Column("cell_rank", "Int64", "place of that cell among all of the task"),
    Column("n_cells", "Int64", "finished cells of the method, of which this is the best", "cells"),
    *(column for column in RANKING_COLUMNS if column.name in _OF_BEST_CELL),
    Column(
        "ert_left_out",
        "float64",
        "expected running time where each seed is run by the cell that does best on the other seeds: what remains when "
        "no cell gains by having been picked",
        "evaluations",
    ),
    Column("ratio", "float64", "that over the same of the task's best method"),
    *_interval("ratio", "its 95 % interval"),
    Column("cost_ratio", "float64", "median ratio of these costs where both methods reached the target"),
    *_interval("cost_ratio", "its 95 % interval"),
    Column("test", "string", "the rank test of these costs against the best method's"),
    Column("p_value", "float64", "two-sided p-value of that test"),
    Column("p_adjusted", "float64", "p_value times the number of pairs of methods, at most 1"),
    Column("p_attainable", "float64", "the lowest p_adjusted that so many trials can give"),
    *(column for column in RANKING_COLUMNS if column.name == "verdict"),
)

SENSITIVITY_COLUMNS: Final[tuple[Column, ...]] = (
    _VERSION,
    _TASK,
    _METHOD,
    Column(
        "parameter",
        "string",
        "a parameter that varies; two with a colon between: what they do together beyond what each does; then seed "
        "(what is luck of the noise) and residual (what the single ones and the seed leave: pairs, and noise)",
    ),
    Column(
        "response",
        "string",
        "what is explained, as a logarithm: evaluations_to_target, or loss_final where no trial of the task reached it",
    ),
    Column("n_trials", "Int64", "complete trials that the parameter applies to", "trials"),
    Column(
        "n_censored",
        "Int64",
        "trials among them that did not reach the target; each counts as twice the most evaluations that any trial "
        "of the task spent (a diverged trial as twice the highest finite loss)",
        "trials",
    ),
    Column("n_values", "Int64", "different values of the parameter"),
    Column(
        "variance_share",
        "float64",
        "share of the variance of the response that the parameter alone explains; of two parameters, what their "
        "interaction adds to all single ones",
    ),
    Column("degrees_of_freedom", "Int64", "of the parameter, beside the other parameters and the seed"),
    Column("residual_degrees_of_freedom", "Int64", "of what all of them leave unexplained"),
    Column("f_value", "float64", "F of the parameter given the others (type II sums of squares)"),
    Column("p_value", "float64", "probability of an F at least as large where the parameter has no effect"),
    Column("p_adjusted", "float64", "p_value corrected by Holm for all parameters and pairs of the task and method"),
    Column(
        "best_value",
        "string",
        "value with the lowest geometric mean of the response; of two parameters a:b, the best b for values of a",
    ),
    Column("fold", "float64", "highest geometric mean of a value over the lowest"),
    Column(
        "fold_is_bound",
        "boolean",
        "whether fold is only a lower bound: trials of the value with the highest mean did not reach the target (or "
        "diverged, where the response is the loss), and what they would have cost is not known",
    ),
)

COMPARISON_COLUMNS: Final[tuple[Column, ...]] = (
    _VERSION,
    _TASK,
    _METHOD,
    Column("measure", "string", "evaluations_to_target (per success: expected running time) or seconds_per_step"),
    Column("n_a", "Int64", "complete trials of the cell in A", "trials"),
    Column("n_b", "Int64", "complete trials of the cell in B", "trials"),
    Column("n_reached_a", "Int64", "those that met the target in A", "trials"),
    Column("n_reached_b", "Int64", "those that met the target in B", "trials"),
    Column("value_a", "float64", "the measure in A: expected running time in evaluations, or median seconds a step"),
    Column("value_b", "float64", "the measure in B"),
    Column(
        "resolution_a",
        "float64",
        "by so many evaluations at most is value_a too high, since trials are looked at now and then",
        "evaluations",
    ),
    Column("resolution_b", "float64", "the same of value_b", "evaluations"),
    Column(
        "ratio",
        "float64",
        "B over A, above 1 where B is worse; seconds: the geometric mean over the pairs of runs, in each the ratio of "
        "the median trials",
    ),
    *_interval("ratio", "its 95 % interval (seconds: Student's of the logarithms, from three pairs of runs on)"),
    Column(
        "cost_ratio",
        "float64",
        "median ratio of the evaluations to the target, B over A, where both reached it: of pairs with equal seeds "
        "where there are enough, else of any two trials; nothing for seconds",
    ),
    *_interval("cost_ratio", "its 95 % interval"),
    Column(
        "superiority", "float64", "probability that a trial of A beats one of B, ties counted half; nothing for seconds"
    ),
    *_interval("superiority", "its 95 % interval"),
    Column(
        "test",
        "string",
        "a rank test of the trials' evaluations; for seconds of the pairs of runs, none of fewer than three: the "
        "seconds of one run depend on each other",
    ),
    Column("p_value", "float64", "two-sided p-value of that test"),
    Column("p_adjusted", "float64", "p_value corrected by Holm for all cells of the measure"),
    Column("p_worse", "float64", "one-sided p-value of that test: small where B is worse"),
    Column("p_worse_adjusted", "float64", "p_worse corrected by Holm for all cells of the measure"),
    Column("p_attainable", "float64", "the lowest p_adjusted that so many trials can give"),
    Column("different", "boolean", "whether A and B are told apart, whichever way: p_adjusted below 0.05"),
    Column(
        "verdict",
        "string",
        "B beside A: worse or better (told apart, and nothing speaks against that), trade-off (success rate and cost "
        "point in different directions, or what is true of most trials is not of their mean), alike (the interval of "
        "cost_ratio, for seconds of ratio, within 0.8 to 1.25 and that of the difference of the success rates within "
        "0.1), or unclear (more seeds would tell); nothing where nothing was tested",
    ),
)

ORIGIN_COLUMNS: Final[tuple[Column, ...]] = (
    _VERSION,
    Column("trial_id", "string", "the trial's name"),
    Column("sweep_id", "string", "the sweep it was run in"),
    Column("source", "string", "the folder it was merged from"),
    Column("machine", "string", "what it was timed on: processor, threads, memory, GPU; missing where nothing tells"),
)

TABLES.update(
    {
        RANKING: RANKING_COLUMNS,
        METHODS: METHOD_COLUMNS,
        SENSITIVITY: SENSITIVITY_COLUMNS,
        COMPARISON: COMPARISON_COLUMNS,
        ORIGINS: ORIGIN_COLUMNS,
    }
)
PARAMETERS_AFTER.update({RANKING: "method", METHODS: "method", COMPARISON: "method"})
