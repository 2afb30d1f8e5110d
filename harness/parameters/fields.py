"""The fields of a cell: one for each parameter, with its type, default, range and meaning, and which method has it.

Help texts, the documentation and the checks are all made from it; see `freewalk.harness.parameters.parameters`.
"""

from collections.abc import Mapping
from typing import Annotated, Literal, TypeAlias

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from freewalk.kernels.model.layered import parse_architecture
from freewalk.kernels.model.noise import DEFAULT_NOISE, NOISES, Noise

Scalar: TypeAlias = int | float | str

FREE = "free"
"""The architecture that has every connection."""

_ESTIMATED = {"sgd": 0.1, "momentum": 0.3, "adam": 0.01}
_EXACT = {"sgd": 1.0, "momentum": 0.3, "adam": 0.01}
_PREDICTED = {"sgd": 0.1, "momentum": 0.01, "adam": 0.003}  # layers that move faster than predictors follow run away
DEFAULT_LEARNING_RATES: Mapping[str, Mapping[str, float]] = {
    "walk": _ESTIMATED,
    "backprop": _EXACT,
    "numerical": _EXACT,
    "synthetic": _PREDICTED,
}
"""By method and optimizer."""

# Datapoints are one 32-bit word of the noise's counter; other sizes meet memory's limit long before this one.
_COUNTER_LIMIT = 2**32 - 1
_SIZE_LIMIT = 2**31 - 1


class _Parameters(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


def _canonical_architecture(text: str) -> str:
    """Return `FREE` as it is, and widths in one way of writing; raise ValueError for anything else."""
    return text if text == FREE else "-".join(map(str, parse_architecture(text)))


class CommonParameters(_Parameters):
    """What every method uses."""

    architecture: Annotated[str, AfterValidator(_canonical_architecture)] = Field(
        FREE,
        description="free: every neuron hears every other; widths: a layered network, from the input to the output",
        json_schema_extra={"values": "free or widths such as 24-128-64-12"},
    )
    hidden: int = Field(8, ge=0, le=_SIZE_LIMIT, description="hidden neurons, the output neurons not counted")
    timesteps: int | None = Field(
        None, ge=1, le=_SIZE_LIMIT, description="how often the layer is applied before the output is read"
    )
    activation: Literal["sigmoid", "tanh"] = Field(
        "sigmoid", description="what hidden neurons make of their sums; output neurons are sigmoid always"
    )
    batch_size: int = Field(1000, ge=1, le=_COUNTER_LIMIT, description="datapoints per step")


class PerturbationParameters(_Parameters):
    """What decides the walk's estimate of the gradient."""

    stddev: float = Field(
        0.01, ge=0, allow_inf_nan=False, description="standard deviation of the perturbations of the weights"
    )
    update: Literal["raw", "normalised"] = Field(
        "normalised",
        description="raw: the original rule, without a learning rate (it acts as stddev squared); "
        "normalised: divide by stddev squared and let an optimizer take the step",
    )


class OptimizerParameters(_Parameters):
    """What turns a gradient, estimated or exact, into a step."""

    optimizer: Literal["sgd", "momentum", "adam"] = Field("momentum", description="what turns gradients into steps")
    learning_rate: float | None = Field(
        None, gt=0, allow_inf_nan=False, description="length of a step along the gradient"
    )
    momentum: float = Field(0.9, ge=0, lt=1, description="share of the last step that is kept")
    schedule: Literal["constant", "cosine"] = Field(
        "constant", description="the learning rate's course: constant, or falling to 0 along a half cosine"
    )


# Fields come in the order of the bases from last to first: an optimizer applies where `update` lets it.
class WalkParameters(OptimizerParameters, PerturbationParameters):
    """What the walk (weight perturbation) uses besides."""

    sides: Literal["one", "two"] = Field(
        "one", description="one: compare with the unperturbed network; two: antithetic pairs, +D with -D"
    )
    noise: Noise = Field(
        DEFAULT_NOISE,
        description=f"distribution of the perturbations: {', or '.join(k.summary for k in NOISES.values())}",
    )


class NumericalParameters(OptimizerParameters):
    """What descent along a gradient by central differences uses besides."""


class BackpropParameters(OptimizerParameters):
    """What descent along the exact gradient uses besides."""

    backward_cost: float = Field(
        2.0, ge=0, allow_inf_nan=False, description="evaluations that the backward pass of one datapoint counts for"
    )


class SyntheticParameters(BackpropParameters):
    """What descent along predicted gradients (decoupled neural interfaces) uses besides."""

    predictor: Literal["linear", "bias", "conditioned"] = Field(
        "linear",
        description="what predicts a hidden layer's gradient: linear: a linear map of its output; bias: with biases; "
        "conditioned: with biases, of its output and the target",
    )
    predictor_learning_rate: float = Field(
        0.1, gt=0, allow_inf_nan=False, description="length of a predictor's steps, plain gradient descent"
    )


class TaskParameters(_Parameters):
    """What some tasks use besides; each task has its own defaults."""

    bits: int | None = Field(None, ge=1, le=_SIZE_LIMIT, description="size of the task's numbers or patterns")
    form: Literal["static", "sequence"] | None = Field(
        None, description="static: all bits at once; sequence: one bit a timestep"
    )
    pairs: int | None = Field(
        None,
        ge=0,
        le=_SIZE_LIMIT,
        description="fixed pairs of numbers to learn: training draws from them and a measurement shows each once; "
        "0: endless",
    )
    length: int | None = Field(None, ge=1, le=_SIZE_LIMIT, description="timesteps, or symbols, of the task's sequences")
    delay: int | None = Field(
        None, ge=1, le=_SIZE_LIMIT, description="timesteps between what is shown and what is answered"
    )
    source: str | None = Field(
        None,
        min_length=1,
        description="where the task's data come from: a name of the task's own, or a file or folder",
        json_schema_extra={"values": "a name of the task's own or a path"},
    )


METHOD_PARAMETERS: Mapping[str, type[BaseModel]] = {
    "walk": WalkParameters,
    "backprop": BackpropParameters,
    "numerical": NumericalParameters,
    "synthetic": SyntheticParameters,
}
"""What a method uses beyond the common parameters; a method that is not named here uses only those."""

CONDITIONS: Mapping[str, tuple[str, str]] = {
    "hidden": ("architecture", FREE),
    "timesteps": ("architecture", FREE),
    "optimizer": ("update", "normalised"),
    "learning_rate": ("update", "normalised"),
    "schedule": ("update", "normalised"),
    "momentum": ("optimizer", "momentum"),
}
"""A parameter that applies only where another one has a certain value, or where the method has no such other."""

LATER_PARAMETERS: Mapping[str, Scalar] = {"architecture": FREE, "activation": "sigmoid", "pairs": 0}
"""Parameters younger than the oldest stores, with the value that stands for how things were before.

A trial with that value is the trial that those stores name, so its name must not depend on it.
"""
