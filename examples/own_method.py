r"""A method of your own: try a random change of all weights, and keep it if the batch likes it.

harness sweep --plugin examples/own_method.py --task xor --method climb --method walk \
    --grid hidden=4 --grid batch_size=64
harness tune --plugin examples/own_method.py --task xor --method climb --method walk
"""

from pydantic import BaseModel, Field

from freewalk.methods import ArrayTrainer, OwnMethod, Range


class Parameters(BaseModel):
    """What `climb` has beyond the common parameters."""

    reach: float = Field(0.3, gt=0, description="standard deviation of a change")


class Climb(ArrayTrainer):
    """One trial."""

    def take_step(self) -> float:
        """Return the mean loss before the step; move to the changed weights if they are better."""
        x, y = self.batch()
        before = self.losses(self.values, x, y).mean()
        change = self.start.parameters.reach * self.random().standard_normal(self.values.shape)
        changed = self.values + self.unmasked(change)
        if self.losses(changed, x, y).mean() < before:
            self.values = changed
        return float(before)


CLIMB = OwnMethod(
    name="climb",
    summary="keep a random change that helps",
    make_trainer=Climb,
    evaluations_per_step=lambda parameters, batch_size, n_weights: 2 * batch_size,
    parameters=Parameters,
    spaces=({"reach": Range(0.03, 3), "batch_size": Range(8, 256)},),  # what harness tune searches
)
