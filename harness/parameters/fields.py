"""The fields of a cell that do not hang on its method: each with its type, default, range and meaning.

Help texts, the documentation and the checks are all made from them and from those of the methods; see
`freewalk.harness.parameters.parameters`.
"""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from freewalk.harness.methods.method import FREE, Parameters, Scalar
from freewalk.kernels.model.layered import parse_architecture

# Datapoints are one 32-bit word of the noise's counter; other sizes meet memory's limit long before this one.
_COUNTER_LIMIT = 2**32 - 1
_SIZE_LIMIT = 2**31 - 1


def _canonical_architecture(text: str) -> str:
    """Return `FREE` as it is, and widths in one way of writing; raise ValueError for anything else."""
    return text if text == FREE else "-".join(map(str, parse_architecture(text)))


class CommonParameters(Parameters):
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
    batch_size: int = Field(
        1000,
        ge=1,
        le=_COUNTER_LIMIT,
        description="datapoints per step; for walk, pairs of a perturbation and a datapoint",
    )


class TaskParameters(Parameters):
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


CONDITIONS: Mapping[str, tuple[str, str]] = {
    "hidden": ("architecture", FREE),
    "timesteps": ("architecture", FREE),
    "optimizer": ("update", "normalised"),
    "learning_rate": ("update", "normalised"),
    "schedule": ("update", "normalised"),
    "momentum": ("optimizer", "momentum"),
    "noise": ("directions", "independent"),
    "generator": ("noise", "gaussian"),
    "shaping": ("update", "normalised"),
    "truncation": ("architecture", FREE),
}
"""A parameter that applies only where another one has a certain value, or where the method has no such other."""

LATER_PARAMETERS: Mapping[str, Scalar] = {
    "architecture": FREE,
    "activation": "sigmoid",
    "pairs": 0,
    "generator": "philox",
    "rank": "full",
    "directions": "independent",
    "datapoints": 1,
    "share_data": "no",
    "shaping": "none",
    "predictor_normalisation": "none",
}
"""Parameters younger than the oldest stores, with the value that stands for how things were before.

A trial with that value is the trial that those stores name, so its name must not depend on it.
"""
