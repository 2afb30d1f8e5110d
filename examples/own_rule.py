"""A rule of your own at the speed of the walk: weight perturbation whose slopes are clipped.

harness sweep --plugin examples/own_rule.py --task xor --method clipped --method walk --grid hidden=4 --seeds 0:8
"""

import numpy as np
from pydantic import Field

from freewalk.methods import ArrayTrainer, OptimizerParameters, OwnMethod


class Parameters(OptimizerParameters):
    """What `clipped` has beyond an optimizer."""

    stddev: float = Field(0.01, gt=0, description="standard deviation of the perturbations")
    most: float = Field(1.0, gt=0, description="slopes beyond it count as much")


class Clipped(ArrayTrainer):
    """One trial."""

    def take_step(self) -> float:
        """Move along the perturbations that lowered the loss; return the mean loss before."""
        given = self.start.parameters
        seen = self.perturb(given.stddev)
        slopes = np.clip(seen.slopes, -given.most, given.most)
        self.descend(seen.weighed_mean(slopes))
        return seen.loss


CLIPPED = OwnMethod(
    name="clipped",
    summary="weight perturbation with clipped slopes",
    make_trainer=Clipped,
    evaluations_per_step=lambda parameters, batch_size, n_weights: 2 * batch_size,
    parameters=Parameters,
    learning_rates={"sgd": 0.1, "momentum": 0.3, "adam": 0.01},
    gradient="estimated",
)
