"""What turns a gradient, estimated or exact, into a step: parameters that methods share."""

from typing import Literal

from pydantic import Field

from freewalk.harness.methods.method import Parameters


class OptimizerParameters(Parameters):
    """What turns a gradient, estimated or exact, into a step."""

    optimizer: Literal["sgd", "momentum", "adam"] = Field("momentum", description="what turns gradients into steps")
    learning_rate: float | None = Field(
        None, gt=0, allow_inf_nan=False, description="length of a step along the gradient"
    )
    momentum: float = Field(0.9, ge=0, lt=1, description="share of the last step that is kept")
    schedule: Literal["constant", "cosine"] = Field(
        "constant", description="the learning rate's course: constant, or falling to 0 along a half cosine"
    )
