"""Random weight guessing: draw all weights anew until every training datapoint is right.

Hochreiter and Schmidhuber, 1996; Schmidhuber, Hochreiter and Bengio: Evaluating benchmark problems by random guessing,
in A Field Guide to Dynamical Recurrent Networks, 2001.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import Field

from freewalk.harness.methods.method import Card
from freewalk.harness.methods.population import Members, PopulationMethod, PopulationParameters, members
from freewalk.harness.methods.space import BATCH_SIZES, Range
from freewalk.kernels.model.population import Array, Origin, Strategy, Tried, member_uniforms

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Guess(Strategy):
    """Weights uniform in [-scale, scale), each member drawn for itself."""

    def __init__(self, origin: Origin) -> None:
        super().__init__(origin)
        self.arrays = {
            "best": origin.weights.copy(),
            "best_seen": np.zeros(2, dtype=np.int64),
            "best_loss": np.full(1, np.inf),
            "guesses": np.zeros(1, dtype=np.int64),
        }

    def ask(self, step: int) -> Array:
        """Return K guesses."""
        o = self.origin
        uniforms = member_uniforms(o.seed, step, np.arange(o.members), 0, len(o.weights))
        guesses: Array = o.parameters.scale * (2.0 * uniforms - 1.0)
        return guesses

    def tell(self, step: int, members: Array, tried: Tried) -> None:
        """Keep the first guess of the step that is right, else one that saw more or, of as much, lost less."""
        best = np.lexsort((tried.losses, -tried.seen, ~tried.right))[0]
        if tried.right.any():
            best = tried.right.argmax()
            if not self.guesses:
                self.arrays["guesses"][0] = step * self.origin.members + best + 1
        reached = (int(tried.right[best]), int(tried.seen[best]), -tried.losses[best])
        before = (*self.arrays["best_seen"].tolist(), -self.arrays["best_loss"][0])
        if reached > before or tried.right[best]:
            self.arrays["best"] = members[best]
            self.arrays["best_seen"][:] = reached[:2]
            self.arrays["best_loss"][0] = tried.losses[best]

    @property
    def guesses(self) -> int:
        """How many guesses it took to the first that was right; 0 for none yet."""
        return int(self.arrays["guesses"][0])

    @property
    def answer(self) -> Array:
        """The last right guess, or the one that came furthest."""
        best: NDArray[np.float64] = self.arrays["best"]
        return best


class GuessParameters(PopulationParameters):
    """What guessing uses besides."""

    population: Members = members(1000)
    scale: float = Field(
        100.0, gt=0, le=1e30, allow_inf_nan=False, description="guesses are uniform between -scale and scale"
    )
    tolerance: float = Field(
        0.1, gt=0, allow_inf_nan=False, description="a guess is right if no output is as far as this from its target"
    )


class GuessMethod(PopulationMethod):
    """Guessing."""

    name = "guess"
    summary = "random weight guessing: new weights until every training datapoint is right"
    parameters = GuessParameters
    spaces = ({"scale": Range(1, 300), "batch_size": BATCH_SIZES},)
    also_called = ("rwg", "random_guessing", "random_search", "random_weight_guessing")
    card = Card(
        equation="K weight sets a step, each weight uniform in (-scale, scale); a set is right if every output of all "
        "B datapoints is less than tolerance from its target",
        reference="Schmidhuber, Hochreiter and Bengio, Evaluating benchmark problems by random guessing, in Kolen and "
        "Kremer (eds.), A Field Guide to Dynamical Recurrent Networks, IEEE Press, 2001; first Hochreiter and "
        "Schmidhuber, 1996",
        unbiased="nothing: it learns nothing. Weights are those of the last right guess, and until there is one, of "
        "the guess that came furthest before its first wrong lane group",
        variance="guesses to the first right one are geometric: their standard deviation is about their mean, their "
        "median 0.69 of it",
        cost="K B: an upper bound; a guess is left at the first lane group of sixteen datapoints in which one is "
        "wrong, and the trainer counts in `evaluations` what has been run",
        deviations="with wiring=full all neurons have biases and hear the timestep before, as in no network of the "
        "paper. Its A1 and A2 are wiring=a1 and wiring=a2 (a2-no-self without hidden neurons' connections to "
        "themselves) of its tasks, where outputs hear hidden neurons at once: with them the published 250 trials of A2 "
        "without self-connections at parity come out (harness reproduce guessing-parity)",
        held_by="tests/harness/methods/test_population_methods.py",
    )

    def tolerance(self, parameters: Any) -> float:
        """Return the parameter."""
        return float(parameters.tolerance)

    def strategy(self, origin: Origin) -> Strategy:
        """Return guessing."""
        return Guess(origin)


GUESS = GuessMethod()
