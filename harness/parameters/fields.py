"""The fields of a cell that do not hang on its method: each with its type, default, range and meaning.

Help texts, the documentation and the checks are all made from them and from those of the methods; see
`freewalk.harness.parameters.parameters`.
"""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from freewalk.harness.methods.method import FREE, Parameters, Scalar
from freewalk.harness.methods.own_networks import OF_OTHERS, SIZES, is_own
from freewalk.kernels.model.layered import parse_architecture
from freewalk.kernels.model.network import Activation

# Datapoints are one 32-bit word of the noise's counter; other sizes meet memory's limit long before this one.
_COUNTER_LIMIT = 2**32 - 1
_SIZE_LIMIT = 2**31 - 1


def _canonical_architecture(text: str) -> str:
    """Return names as they are, and widths in one way of writing; raise ValueError for anything else."""
    return text if text == FREE or is_own(text) else "-".join(map(str, parse_architecture(text)))


class CommonParameters(Parameters):
    """What every method uses."""

    architecture: Annotated[str, AfterValidator(_canonical_architecture)] = Field(
        FREE,
        description="free: every neuron hears every other; widths: a layered network, from the input to the output; "
        "or the name of a network that a plug-in brings",
        json_schema_extra={"values": "free or widths such as 24-128-64-12"},
    )
    hidden: int = Field(8, ge=0, le=_SIZE_LIMIT, description="hidden neurons, the output neurons not counted")
    timesteps: int | None = Field(
        None, ge=1, le=_SIZE_LIMIT, description="how often the layer is applied before the output is read"
    )
    activation: Activation = Field("sigmoid", description="what hidden neurons make of their sums")
    output: Literal["sigmoid", "tanh", "linear", "softmax"] = Field(
        "sigmoid",
        description="what output neurons make of theirs; sigmoid: or what the task needs, see harness tasks NAME; "
        "softmax: of the sums themselves, where sigmoid lets a task's softmax follow",
    )
    leak: float = Field(
        1.0,
        gt=0,
        le=1,
        description="how much of a hidden neuron's activation is new at each timestep, one over its time constant; "
        "the rest is kept",
    )
    init_scale: float = Field(1.0, ge=0, allow_inf_nan=False, description="times the initial weights")
    init_biases: Literal["auto", "zero", "drawn"] = Field(
        "auto",
        description="biases begin at 0, or drawn as the other weights; auto: at 0 in layers, drawn in free networks",
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
        None, ge=0, le=_SIZE_LIMIT, description="timesteps between what is shown and what is answered"
    )
    sequences: int | None = Field(
        None,
        ge=0,
        le=_SIZE_LIMIT,
        description="different sequences that training shows, half of each class, in turn; 0: endless",
    )
    wiring: Literal["full", "a1", "a2", "a2-no-self", "readout"] | None = Field(
        None,
        description="which neurons hear which; full: all, of the timestep before; a1, a2, a2-no-self: as Schmidhuber, "
        "Hochreiter and Bengio (2001) have it; readout: outputs hear hidden neurons alone; but for full, at once",
    )
    input_noise: float | None = Field(
        None, ge=0, allow_inf_nan=False, description="uniform noise between - and + this added to every input"
    )
    noise_variance: float | None = Field(
        None, ge=0, allow_inf_nan=False, description="variance of the normal noise that a sequence is made of"
    )
    components: int | None = Field(
        None, ge=0, le=_SIZE_LIMIT, description="largest principal components that are read; 0: the neurons themselves"
    )
    grammar: int | None = Field(None, ge=1, le=7, description="which of Tomita's seven grammars")
    relevant: int | None = Field(
        None, ge=1, le=_SIZE_LIMIT, description="bits, the first ones, whose product is the answer"
    )
    inputs: int | None = Field(None, ge=1, le=_SIZE_LIMIT, description="input values of the task's teacher")
    outputs: int | None = Field(None, ge=1, le=_SIZE_LIMIT, description="output values of the task's teacher")
    dimensions: int | None = Field(None, ge=1, le=_SIZE_LIMIT, description="inputs that are ever active")
    trial_dimensions: int | None = Field(
        None, ge=1, le=_SIZE_LIMIT, description="inputs that are active in a datapoint, drawn among `dimensions`"
    )
    unreachable: float | None = Field(
        None,
        ge=0,
        allow_inf_nan=False,
        description="what no weights take away of the loss over twice the timesteps",
    )
    counted: Literal["all", "answer"] | None = Field(
        None, description="timesteps whose outputs count in the loss: all, or those of the answer alone"
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
    "leak": ("architecture", FREE),
    "stddev": ("tangent", "difference"),
    "sides": ("tangent", "difference"),
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


def is_met(name: str, value: object) -> bool:
    """Tell whether a parameter's condition holds where its parent has a value; one without a condition has none."""
    parent, required = CONDITIONS[name]
    return value == required or (parent == "architecture" and name in SIZES and is_own(value))


def is_of(name: str, architecture: object) -> bool:
    """Tell whether networks of an architecture know a parameter at all."""
    return not (name in OF_OTHERS and is_own(architecture))


LATER_PARAMETERS: Mapping[str, Scalar] = {
    "architecture": FREE,
    "activation": "sigmoid",
    "output": "sigmoid",
    "leak": 1.0,
    "init_scale": 1.0,
    "init_biases": "auto",
    "pairs": 0,
    "counted": "all",
    "delay": 0,
    "sequences": 0,
    "wiring": "full",
    "input_noise": 0.0,
    "tangent": "difference",
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
