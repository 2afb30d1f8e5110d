"""The columns of what `harness estimate` writes: how good estimates of a gradient are.

Registered beside the tables of `schema`, as those of reports are.
"""

from typing import Final

from freewalk.results.schema.schema import PARAMETERS_AFTER, TABLES, Column, TableName

ESTIMATES: Final[TableName] = "estimates"
COSINES: Final[TableName] = "cosines"

_NEEDED: Final = "until the error of the mean estimate is as long as the gradient, an angle of 45 degrees: "


def _interval(name: str) -> tuple[Column, Column]:
    return (
        Column(f"{name}_low", "float64", "lower end of its 95 % interval"),
        Column(f"{name}_high", "float64", "upper end of its 95 % interval"),
    )


def _law(of: str) -> tuple[Column, ...]:
    return (
        Column("cosine_mean", "float64", f"mean cosine of the angle between {of} and the task's gradient"),
        Column("cosine_q05", "float64", "its 5 % quantile"),
        Column("cosine_median", "float64", "its median"),
        Column("cosine_q95", "float64", "its 95 % quantile"),
        Column(
            "cosine_expected",
            "float64",
            "its mean by theory: exact of full normal perturbations that all see one gradient, else about",
        ),
        Column("cosine_expected_q05", "float64", "its 5 % quantile by theory, where all see one gradient"),
        Column("cosine_expected_q95", "float64", "its 95 % quantile by theory, where all see one gradient"),
    )


_WHERE: Final = (
    Column("schema_version", "Int64", "version of the table's layout"),
    Column("task", "string", "whose gradient is estimated"),
    Column("method", "string", "by which method"),
    Column("at", "string", "at which weights: initial; half or trained, by backpropagation; or those of a file"),
    Column("seed", "Int64", "seed of the initial weights, the data and the noise"),
)

ESTIMATE_COLUMNS: Final[tuple[Column, ...]] = (
    *_WHERE,
    Column(
        "weights",
        "string",
        "which of the weights: all, those of a layer or from one kind of neuron, or all in what a timestep contributes",
    ),
    Column("n_weights", "Int64", "their number", "weights"),
    Column(
        "kind",
        "string",
        "exact; estimated: right on average, but for what stddev smooths and shaping scales; or predicted: a guess "
        "that no averaging makes right",
    ),
    Column("backend", "string", "what computed the steps"),
    Column("dtype", "string", "floating-point type of the network arithmetic"),
    Column("trained_steps", "Int64", "steps of backpropagation that led to the weights", "steps"),
    Column("trained_reached", "boolean", "whether that training met the task's target"),
    Column("loss", "float64", "mean loss of the task at the weights"),
    Column("gradient_length", "float64", "length of its gradient, all weights"),
    Column("n_steps", "Int64", "steps that were measured", "steps"),
    Column("is_precise", "boolean", "whether second_moment is as precise as was asked"),
    Column(
        "evaluations_per_step", "float64", "forward passes of one datapoint, or their worth, of a step", "evaluations"
    ),
    Column("seconds_per_step", "float64", "time of a step, median of three runs", "s"),
    Column("numbers_per_step", "float64", "random numbers that a step draws", "numbers"),
    Column("slope", "float64", "mean length of the estimate along the exact gradient, in units of that: 1 is unbiased"),
    *_interval("slope"),
    Column("slope_expected", "float64", "slope by theory: 1, or what shaping makes of it"),
    Column("second_moment", "float64", "mean squared length of the estimate over that of the gradient"),
    *_interval("second_moment"),
    Column("second_moment_expected", "float64", "second_moment by theory for a small stddev, of the same datapoints"),
    Column("of_expected", "float64", "second_moment over second_moment_expected, step by step"),
    *_interval("of_expected"),
    Column(
        "variance_of_noise",
        "float64",
        "what perturbations contribute: second_moment over slope squared, less 1, less variance_of_data",
    ),
    Column("variance_of_noise_expected", "float64", "the same by theory"),
    Column(
        "variance_of_data",
        "float64",
        "what datapoints contribute: mean squared distance of the exact gradient of a step's datapoints from the "
        "task's, over the square of its length",
    ),
    *_law("an estimate"),
    Column("evaluations_needed", "float64", f"{_NEEDED}evaluations", "evaluations"),
    Column("evaluations_needed_low", "float64", "lower end of its 95 % interval", "evaluations"),
    Column("evaluations_needed_high", "float64", "upper end of its 95 % interval", "evaluations"),
    Column("evaluations_needed_expected", "float64", "evaluations_needed by theory", "evaluations"),
    Column("seconds_needed", "float64", f"{_NEEDED}time of steps", "s"),
    Column("numbers_needed", "float64", f"{_NEEDED}random numbers", "numbers"),
    Column("smoothing", "float64", "what the stddev adds to slope by smoothing the loss, in float64"),
    *_interval("smoothing"),
    Column(
        "curvature", "float64", "length that the loss's curvature adds to an estimate, over that of a linear loss's"
    ),
    Column("rounding", "float64", "the same of rounding, against float64"),
)

COSINE_COLUMNS: Final[tuple[Column, ...]] = (
    *_WHERE,
    Column("n_estimates", "Int64", "estimates of steps that follow each other, whose mean is looked at", "estimates"),
    Column("evaluations", "float64", "what these cost", "evaluations"),
    Column("n_means", "Int64", "such means that were seen"),
    *_law("such a mean")[:1],
    *_interval("cosine_mean"),
    *_law("such a mean")[1:],
)

TABLES.update({ESTIMATES: ESTIMATE_COLUMNS, COSINES: COSINE_COLUMNS})
PARAMETERS_AFTER.update({ESTIMATES: "method", COSINES: "method"})
